//! Keys of services in the keyring of the system: out of files, out of the
//! environment, and out of the list of processes.
//!
//! It is the kernel's own (`keyrings(7)`), of which each account has one that
//! needs no daemon and no unlocking. It is memory: a key is gone after three
//! days without use and when the machine restarts.

use anyhow::Context;

/// A way to keep keys.
trait Keyring {
    fn put(&self, name: &str, secret: &str) -> anyhow::Result<()>;
    fn get(&self, name: &str) -> anyhow::Result<Option<String>>;
    /// `false` where there was none.
    fn remove(&self, name: &str) -> anyhow::Result<bool>;
}

/// Longer than any key that a service gives.
const LONGEST: usize = 4096;

/// What a key of this service is called.
fn name(service: &str) -> String {
    format!("genie:{service}")
}

/// The key for a service, if one is kept. Where there is no keyring there is
/// no key in it.
pub(crate) fn kept(service: &str) -> Option<String> {
    match system().get(&name(service)) {
        Ok(found) => found,
        Err(error) => {
            tracing::debug!(%error, "the keyring can't be read");
            None
        }
    }
}

/// Keeps the key for a service in the place of an earlier one.
pub(crate) fn keep(service: &str, secret: &str) -> anyhow::Result<()> {
    anyhow::ensure!(
        (1..=LONGEST).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic()),
        "this is no key of a service; it has from 1 to {LONGEST} characters and no spaces"
    );
    system()
        .put(&name(service), secret)
        .context("the key can't be kept in the keyring of this system; use GENIE_API_KEY")
}

/// Removes the key for a service; `false` where none is kept.
pub(crate) fn forget(service: &str) -> anyhow::Result<bool> {
    system()
        .remove(&name(service))
        .context("the keyring of this system can't be used")
}

#[cfg(target_os = "linux")]
use self::kernel::system;

#[cfg(target_os = "linux")]
mod kernel {
    use linux_keyutils::{
        Key, KeyError, KeyPermissionsBuilder, KeyRing, KeyRingIdentifier, Permission,
    };

    use super::Keyring;

    pub(super) fn system() -> impl Keyring {
        Kernel
    }

    struct Kernel;

    /// The ring of the account that outlives its sessions, else the one that
    /// ends with the last of them.
    fn ring() -> anyhow::Result<KeyRing> {
        KeyRing::get_persistent(KeyRingIdentifier::Process)
            .or_else(|_| KeyRing::from_special_id(KeyRingIdentifier::User, true))
            .map_err(said)
    }

    fn found(name: &str) -> anyhow::Result<Option<Key>> {
        match ring()?.search(name) {
            Ok(key) => Ok(Some(key)),
            Err(
                KeyError::KeyDoesNotExist
                | KeyError::KeyExpired
                | KeyError::KeyRevoked
                | KeyError::KeyringDoesNotExist,
            ) => Ok(None),
            Err(error) => Err(said(error)),
        }
    }

    /// What the crate means, for people.
    fn said(error: KeyError) -> anyhow::Error {
        match error {
            KeyError::AccessDenied => anyhow::anyhow!("this account may not use it"),
            KeyError::QuotaExceeded => anyhow::anyhow!("this account has no room left in it"),
            KeyError::OperationNotSupported => anyhow::anyhow!("the kernel has none"),
            error => anyhow::anyhow!("the kernel refuses ({error:?})"),
        }
    }

    impl Keyring for Kernel {
        fn put(&self, name: &str, secret: &str) -> anyhow::Result<()> {
            let key = ring()?.add_key(name, secret).map_err(said)?;
            // By default only processes whose session holds the ring may read
            // what is in it, and not those that a timer or a service starts.
            let may = || {
                Permission::VIEW
                    | Permission::READ
                    | Permission::WRITE
                    | Permission::SEARCH
                    | Permission::SETATTR
            };
            let permissions = KeyPermissionsBuilder::builder()
                .posessor(may())
                .user(may())
                .build();
            key.set_perms(permissions).map_err(said)
        }

        fn get(&self, name: &str) -> anyhow::Result<Option<String>> {
            let Some(key) = found(name)? else {
                return Ok(None);
            };
            let secret = key.read_to_vec().map_err(said)?;
            Ok(String::from_utf8(secret).ok())
        }

        fn remove(&self, name: &str) -> anyhow::Result<bool> {
            match found(name)? {
                None => Ok(false),
                // Its bytes go, whoever else has a link to it.
                Some(key) => key.revoke().map(|()| true).map_err(said),
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn system() -> impl Keyring {
    NoKeyring
}

/// Elsewhere keys come from the environment.
#[cfg(not(target_os = "linux"))]
struct NoKeyring;

#[cfg(not(target_os = "linux"))]
impl Keyring for NoKeyring {
    fn put(&self, _name: &str, _secret: &str) -> anyhow::Result<()> {
        anyhow::bail!("this program knows the keyring of Linux alone")
    }

    fn get(&self, _name: &str) -> anyhow::Result<Option<String>> {
        Ok(None)
    }

    fn remove(&self, _name: &str) -> anyhow::Result<bool> {
        anyhow::bail!("this program knows the keyring of Linux alone")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_kept_until_it_is_forgotten() {
        let service = format!("https://test-{}.example.org", std::process::id());
        if let Err(error) = keep(&service, "gk_first") {
            let said = format!("{error:#}");
            assert!(said.contains("use GENIE_API_KEY"), "{said}");
            eprintln!("skipped: {said}");
            assert_eq!(kept(&service), None);
            return;
        }
        assert_eq!(kept(&service).as_deref(), Some("gk_first"));
        keep(&service, "gk_second").unwrap();
        assert_eq!(kept(&service).as_deref(), Some("gk_second"));
        assert_eq!(kept("https://other.example.org"), None);
        assert!(forget(&service).unwrap());
        assert_eq!(kept(&service), None);
        assert!(!forget(&service).unwrap());
    }

    #[test]
    fn what_can_be_no_key_is_refused() {
        for text in ["", "gk a", "gk_\u{e9}", "a\n", &"x".repeat(LONGEST + 1)] {
            let error = keep("https://genie.example.org", text).unwrap_err();
            assert!(error.to_string().contains("no key of a service"), "{error}");
        }
    }
}
