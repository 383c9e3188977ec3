//! How tokens of a provider are judged, checked once.

use std::time::Duration;

use genie_state::{Role, Subject, WorkspaceId};
use jsonwebtoken::{Algorithm, AlgorithmFamily};

use super::address::is_private;

/// Clocks that differ by more than this are to be set, not forgiven.
const MOST_SKEW: Duration = Duration::from_secs(300);

/// A provider and what its tokens mean here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdentitySettings {
    /// The provider's issuer, exactly as in its tokens.
    pub issuer: String,
    /// What the issuer is called in subjects, `user:<name>:<claim>`; the
    /// issuer itself where it is empty.
    pub name: String,
    /// A token is for this service where it names one of these.
    pub audiences: Vec<String>,
    /// The algorithms that are accepted, as in RFC 7518: `RS256`, `ES256`, ….
    pub algorithms: Vec<String>,
    /// The claim that tells people apart, `sub` or another that the provider
    /// never gives to a second person.
    pub subject_claim: String,
    /// The claims whose values are compared with `grants`: names, or paths
    /// such as `realm_access.roles`.
    pub role_claims: Vec<String>,
    /// What values of those claims allow. In a workspace the first that fits
    /// counts; where none does, the workspace's list of members.
    pub grants: Vec<Grant>,
    /// How far the provider's clock may be from this one, five minutes at
    /// most.
    pub clock_skew: Duration,
}

/// What a value of a claim allows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The value.
    pub value: String,
    /// Where; `None` is every workspace.
    pub workspace: Option<WorkspaceId>,
    /// As what. An owner of every workspace is an operator.
    pub role: Role,
}

/// The settings of a provider can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// The issuer is no address that may be fetched from.
    #[error(
        "the issuer {0} is no https:// address without user and fragment (http:// is for this \
         machine alone)"
    )]
    Issuer(String),
    /// Nothing says which tokens are for this service.
    #[error("an audience is needed: the name that the provider's tokens for this service carry")]
    NoAudience,
    /// An algorithm that is not checked with a public key, or is not known.
    #[error(
        "{0} is no algorithm that is accepted here; known are RS256, RS384, RS512, PS256, PS384, \
         PS512, ES256, ES384 and EdDSA"
    )]
    Algorithm(String),
    /// No algorithm at all.
    #[error("at least one algorithm is needed, such as RS256")]
    NoAlgorithm,
    /// A claim without a name.
    #[error("the claim that names people and those that hold roles must not be empty")]
    NoClaim,
    /// Grants without a claim to compare them with.
    #[error("there are grants, but no claim whose values they are compared with")]
    NoRoleClaim,
    /// Clocks too far apart.
    #[error("a clock skew of {0} s is more than the 300 s that are forgiven; set the clocks")]
    Skew(u64),
    /// The issuer's name leaves no room for people's.
    #[error(
        "the issuer's name {0} is too long to be part of a subject; give it a short one of its own"
    )]
    Name(String),
}

/// Settings that were checked.
#[derive(Debug, Clone)]
pub(super) struct Checked {
    pub(super) settings: IdentitySettings,
    pub(super) algorithms: Vec<Algorithm>,
}

impl IdentitySettings {
    /// Whether a provider can be made of them.
    ///
    /// # Errors
    ///
    /// Names the first setting that makes no sense.
    pub fn check(&self) -> Result<(), IdentityError> {
        self.clone().checked().map(|_| ())
    }

    pub(super) fn checked(self) -> Result<Checked, IdentityError> {
        if !is_private(&self.issuer) || self.issuer.contains('?') {
            return Err(IdentityError::Issuer(self.issuer));
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return Err(IdentityError::NoAudience);
        }
        if self.algorithms.is_empty() {
            return Err(IdentityError::NoAlgorithm);
        }
        let algorithms = self
            .algorithms
            .iter()
            .map(|name| {
                name.parse::<Algorithm>()
                    .ok()
                    // A secret shared with the provider is no public key.
                    .filter(|algorithm| algorithm.family() != AlgorithmFamily::Hmac)
                    .ok_or_else(|| IdentityError::Algorithm(name.clone()))
            })
            .collect::<Result<_, _>>()?;
        if self.subject_claim.is_empty() || self.role_claims.iter().any(String::is_empty) {
            return Err(IdentityError::NoClaim);
        }
        if !self.grants.is_empty() && self.role_claims.is_empty() {
            return Err(IdentityError::NoRoleClaim);
        }
        if self.clock_skew > MOST_SKEW {
            return Err(IdentityError::Skew(self.clock_skew.as_secs()));
        }
        let name = self.issuer_name();
        // A name of 64 characters has to fit behind it.
        if name.chars().count() + "user::".len() + 64 > Subject::MAX_LENGTH
            || name.chars().any(char::is_control)
        {
            return Err(IdentityError::Name(name.to_owned()));
        }
        Ok(Checked {
            settings: self,
            algorithms,
        })
    }

    /// What the issuer is called in subjects.
    pub(super) fn issuer_name(&self) -> &str {
        if self.name.is_empty() {
            &self.issuer
        } else {
            &self.name
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> IdentitySettings {
        IdentitySettings {
            issuer: "https://id.example.org/realms/gov".to_owned(),
            name: String::new(),
            audiences: vec!["genie".to_owned()],
            algorithms: vec!["RS256".to_owned(), "ES256".to_owned()],
            subject_claim: "sub".to_owned(),
            role_claims: Vec::new(),
            grants: Vec::new(),
            clock_skew: Duration::from_secs(60),
        }
    }

    #[test]
    fn settings_that_make_no_sense_are_named() {
        assert_eq!(settings().check(), Ok(()));
        type Change = fn(&mut IdentitySettings);
        let changes: [(Change, &str); 9] = [
            (
                |s| s.issuer = "http://id.example.org".to_owned(),
                "https://",
            ),
            (|s| s.issuer.push_str("?x=1"), "https://"),
            (|s| s.audiences.clear(), "audience"),
            (|s| s.algorithms = vec!["HS256".to_owned()], "HS256"),
            (|s| s.algorithms = vec!["none".to_owned()], "none"),
            (|s| s.algorithms.clear(), "algorithm"),
            (|s| s.subject_claim.clear(), "claim"),
            (|s| s.clock_skew = Duration::from_secs(301), "301 s"),
            (|s| s.name = "x".repeat(150), "short"),
        ];
        for (change, expected) in changes {
            let mut wrong = settings();
            change(&mut wrong);
            let error = wrong.check().expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
        }
        let mut wrong = settings();
        wrong.grants.push(Grant {
            value: "staff".to_owned(),
            workspace: None,
            role: Role::Reader,
        });
        assert_eq!(wrong.check(), Err(IdentityError::NoRoleClaim));
    }
}
