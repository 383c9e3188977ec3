//! The provider: its keys, as long as they may be believed, and the people
//! whom its tokens name.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::Algorithm;
use serde::Deserialize;
use tokio::sync::{Mutex, MutexGuard};

use super::address::is_private;
use super::crypto;
use super::keys::{self, PublicKey};
use super::settings::{Checked, IdentityError, IdentitySettings};
use super::token::{self, Identified, Refusal};
use crate::failure::Failure;

/// Bytes of a document of the provider at most.
const DOCUMENT: usize = 256 << 10;
/// Keys are asked for again after this long, so that one which was withdrawn
/// is not believed any more.
const FRESH: Duration = Duration::from_secs(15 * 60);
/// Keys of a provider that can't be reached are believed this long.
const BELIEVED: Duration = Duration::from_secs(12 * 3600);
/// Not more often than this, whatever tokens say.
const PAUSE: Duration = Duration::from_secs(30);

/// Why something could not be fetched.
pub type FetchError = Box<dyn std::error::Error + Send + Sync + 'static>;

/// Fetches documents of a provider. This crate has no HTTP client; whoever
/// runs it has.
pub trait Fetch: Send + Sync {
    /// The document at an `https` address, or an `http` one of this machine,
    /// within seconds and without following redirects; blocks.
    ///
    /// # Errors
    ///
    /// Where there is no answer, none that is good, or one of more than
    /// `limit` bytes.
    fn fetch(&self, address: &str, limit: usize) -> Result<Vec<u8>, FetchError>;
}

/// A provider of identities whose tokens are accepted.
pub struct IdentityProvider {
    inner: Arc<Inner>,
    /// When keys were asked for last. Whoever holds it may ask.
    asked: Mutex<Option<Instant>>,
}

struct Inner {
    checked: Checked,
    fetch: Box<dyn Fetch>,
    known: RwLock<Known>,
}

#[derive(Default, Clone)]
struct Known {
    /// The keys, and when they were asked for.
    keys: Option<(Arc<Vec<PublicKey>>, Instant)>,
    /// Whether the provider failed to answer last time.
    is_down: bool,
}

/// What is read of a provider's own description.
#[derive(Deserialize)]
struct Description {
    issuer: String,
    jwks_uri: String,
}

impl IdentityProvider {
    /// A provider of these settings. Nothing is fetched before the first
    /// token.
    ///
    /// # Errors
    ///
    /// Names the first setting that makes no sense.
    pub fn new(
        settings: IdentitySettings,
        fetch: impl Fetch + 'static,
    ) -> Result<Self, IdentityError> {
        crypto::install();
        Ok(Self {
            inner: Arc::new(Inner {
                checked: settings.checked()?,
                fetch: Box::new(fetch),
                known: RwLock::default(),
            }),
            asked: Mutex::new(None),
        })
    }

    /// Whom a token names, if it counts.
    pub(crate) async fn identify(&self, token: &str) -> Result<Identified, Failure> {
        self.read(token, Instant::now()).await.map_err(|refusal| {
            tracing::info!(reason = %refusal, "a token is not accepted");
            refusal.into()
        })
    }

    async fn read(&self, token: &str, now: Instant) -> Result<Identified, Refusal> {
        let checked = &self.inner.checked;
        let head = token::head(token, &checked.algorithms)?;
        let key = self.key(head.kid.as_deref(), head.alg, now).await?;
        let claims = token::claims(token, head.alg, &key.key, checked)?;
        token::person(&claims, checked)
    }

    /// The key that a token names, asked for where it is not known or not
    /// fresh any more.
    async fn key(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Instant,
    ) -> Result<PublicKey, Refusal> {
        let known = self.inner.known();
        match known.find(id, algorithm, now, FRESH) {
            Some(key) => return Ok(key),
            None => match (
                known.find(id, algorithm, now, BELIEVED),
                self.asked.try_lock(),
            ) {
                // One asks, the others go on with what is known.
                (Some(key), Err(_)) => return Ok(key),
                (Some(_), Ok(asked)) => self.renew(asked, now).await,
                (None, Ok(asked)) => self.renew(asked, now).await,
                (None, Err(_)) => self.renew(self.asked.lock().await, now).await,
            },
        }
        let known = self.inner.known();
        match known.find(id, algorithm, now, BELIEVED) {
            Some(key) => Ok(key),
            // It may be one that the provider has by now.
            None if known.is_down || !known.has_keys(now) => Err(Refusal::Unavailable),
            None => Err(Refusal::UnknownKey),
        }
    }

    async fn renew(&self, mut asked: MutexGuard<'_, Option<Instant>>, now: Instant) {
        if asked.is_some_and(|before| now.saturating_duration_since(before) < PAUSE) {
            return;
        }
        *asked = Some(now);
        let inner = Arc::clone(&self.inner);
        // It keeps what it found by itself: a caller who leaves meanwhile must
        // not cost the next ones their keys. A panic is printed by its hook.
        let _ = tokio::task::spawn_blocking(move || inner.renew(now)).await;
    }
}

impl std::fmt::Debug for IdentityProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IdentityProvider")
            .field("settings", &self.inner.checked.settings)
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn known(&self) -> Known {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn renew(&self, now: Instant) {
        let fetched = self.keys();
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        match fetched {
            Ok(keys) => {
                tracing::info!(
                    keys = keys.len(),
                    "fetched the keys of the identity provider"
                );
                *known = Known {
                    keys: Some((Arc::new(keys), now)),
                    is_down: false,
                };
            }
            Err(error) => {
                tracing::warn!(%error, "the keys of the identity provider can't be fetched");
                known.is_down = true;
            }
        }
    }

    fn keys(&self) -> Result<Vec<PublicKey>, FetchError> {
        let issuer = &self.checked.settings.issuer;
        let address = format!(
            "{}/.well-known/openid-configuration",
            issuer.trim_end_matches('/')
        );
        let description: Description = serde_json::from_slice(&self.document(&address)?)?;
        if description.issuer != *issuer {
            return Err("it describes another issuer than the configured one".into());
        }
        let keys = keys::read(&self.document(&description.jwks_uri)?)?;
        if keys.is_empty() {
            return Err("it has no key that tokens can be checked with".into());
        }
        Ok(keys)
    }

    fn document(&self, address: &str) -> Result<Vec<u8>, FetchError> {
        if !is_private(address) {
            return Err("the address of its keys is not https".into());
        }
        let document = self.fetch.fetch(address, DOCUMENT)?;
        if document.len() > DOCUMENT {
            return Err(format!("a document has more than {DOCUMENT} bytes").into());
        }
        Ok(document)
    }
}

impl Known {
    fn find(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        now: Instant,
        age: Duration,
    ) -> Option<PublicKey> {
        let (keys, since) = self.keys.as_ref()?;
        let is_young = now.saturating_duration_since(*since) < age;
        keys::find(keys, id, algorithm)
            .filter(|_| is_young)
            .cloned()
    }

    fn has_keys(&self, now: Instant) -> bool {
        self.keys
            .as_ref()
            .is_some_and(|(_, since)| now.saturating_duration_since(*since) < BELIEVED)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex as Lock;
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use serde_json::{Value, json};

    use super::*;

    const ISSUER: &str = "https://id.example.org";

    /// A provider in memory.
    #[derive(Clone, Default)]
    struct Fake(Arc<Inside>);

    #[derive(Default)]
    struct Inside {
        keys: Lock<Vec<&'static str>>,
        is_down: AtomicBool,
        asked: AtomicUsize,
        other_issuer: AtomicBool,
        open_keys: AtomicBool,
    }

    impl Fake {
        fn has(&self, keys: &[&'static str]) {
            *self.0.keys.lock().expect("a lock") = keys.to_vec();
        }

        fn is_down(&self, is_down: bool) {
            self.0.is_down.store(is_down, Ordering::SeqCst);
        }

        fn asked(&self) -> usize {
            self.0.asked.load(Ordering::SeqCst)
        }
    }

    impl Fetch for Fake {
        fn fetch(&self, address: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
            if self.0.is_down.load(Ordering::SeqCst) {
                self.0.asked.fetch_add(1, Ordering::SeqCst);
                return Err("no answer".into());
            }
            let document = match address {
                "https://id.example.org/.well-known/openid-configuration" => {
                    self.0.asked.fetch_add(1, Ordering::SeqCst);
                    let other = self.0.other_issuer.load(Ordering::SeqCst);
                    let open = self.0.open_keys.load(Ordering::SeqCst);
                    json!({
                        "issuer": if other { "https://other.example.org" } else { ISSUER },
                        "jwks_uri": if open { "http://id.example.org/keys" } else { "https://id.example.org/keys" },
                    })
                }
                "https://id.example.org/keys" => {
                    let keys = self.0.keys.lock().expect("a lock");
                    let key = |id: &&str| json!({"kty": "EC", "crv": "P-256", "kid": id, "x": "AA", "y": "AA"});
                    json!({"keys": keys.iter().map(key).collect::<Vec<Value>>()})
                }
                other => panic!("{other} is fetched"),
            };
            Ok(document.to_string().into_bytes())
        }
    }

    fn provider(fake: &Fake) -> IdentityProvider {
        let settings = IdentitySettings {
            issuer: ISSUER.to_owned(),
            name: String::new(),
            audiences: vec!["genie".to_owned()],
            algorithms: vec!["ES256".to_owned()],
            subject_claim: "sub".to_owned(),
            role_claims: Vec::new(),
            grants: Vec::new(),
            clock_skew: Duration::from_secs(60),
        };
        IdentityProvider::new(settings, fake.clone()).expect("sound settings")
    }

    async fn key(provider: &IdentityProvider, id: &str, now: Instant) -> Result<(), Refusal> {
        let found = provider.key(Some(id), Algorithm::ES256, now).await;
        found.map(|_| ())
    }

    #[tokio::test]
    async fn keys_are_asked_for_once_and_again_for_one_that_is_not_known() {
        let fake = Fake::default();
        fake.has(&["a"]);
        let provider = provider(&fake);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(key(&provider, "a", start).await, Ok(()));
        }
        assert_eq!(fake.asked(), 1);
        fake.has(&["b"]);
        // Too early to ask again, and then once for all who come.
        let early = start + PAUSE - Duration::from_secs(1);
        assert_eq!(key(&provider, "b", early).await, Err(Refusal::UnknownKey));
        assert_eq!(fake.asked(), 1);
        let later = start + PAUSE;
        assert_eq!(key(&provider, "b", later).await, Ok(()));
        for id in ["c", "d", "e"] {
            assert_eq!(key(&provider, id, later).await, Err(Refusal::UnknownKey));
        }
        assert_eq!(fake.asked(), 2);
        // The first one was withdrawn.
        assert_eq!(key(&provider, "a", later).await, Err(Refusal::UnknownKey));
    }

    #[tokio::test]
    async fn a_provider_that_is_down_is_believed_for_a_while() {
        let fake = Fake::default();
        fake.has(&["a"]);
        let provider = provider(&fake);
        let start = Instant::now();
        fake.is_down(true);
        assert_eq!(key(&provider, "a", start).await, Err(Refusal::Unavailable));
        fake.is_down(false);
        let up = start + PAUSE;
        assert_eq!(key(&provider, "a", up).await, Ok(()));
        fake.is_down(true);
        let stale = up + FRESH;
        assert_eq!(key(&provider, "a", stale).await, Ok(()));
        assert_eq!(key(&provider, "a", stale).await, Ok(()));
        assert_eq!(fake.asked(), 3, "asked once each time");
        // It may have a new one that nobody can ask it for.
        assert_eq!(key(&provider, "b", stale).await, Err(Refusal::Unavailable));
        let end = up + BELIEVED;
        assert_eq!(key(&provider, "a", end).await, Err(Refusal::Unavailable));
        fake.is_down(false);
        assert_eq!(key(&provider, "a", end + PAUSE).await, Ok(()));
    }

    #[tokio::test]
    async fn descriptions_of_others_and_open_addresses_are_not_believed() {
        let fake = Fake::default();
        fake.has(&["a"]);
        let provider = provider(&fake);
        let mut now = Instant::now();
        let flags = [&fake.0.other_issuer, &fake.0.open_keys];
        for flag in flags {
            flag.store(true, Ordering::SeqCst);
            assert_eq!(key(&provider, "a", now).await, Err(Refusal::Unavailable));
            flag.store(false, Ordering::SeqCst);
            now += PAUSE;
        }
        fake.has(&[]);
        assert_eq!(key(&provider, "a", now).await, Err(Refusal::Unavailable));
        fake.has(&["a"]);
        assert_eq!(key(&provider, "a", now + PAUSE).await, Ok(()));
    }
}
