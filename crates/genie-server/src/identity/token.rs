//! One token: whether it counts, and whom it names.

use std::collections::HashSet;

use axum::http::StatusCode;
use genie_state::{Role, Subject, WorkspaceId};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

use super::settings::Checked;
use crate::failure::Failure;

/// A token with hundreds of groups has some 8 KiB.
const LONGEST: usize = 16 << 10;
/// Claims whose text is a list of words (RFC 8693, section 4.2).
const LISTS_OF_WORDS: [&str; 2] = ["scope", "scp"];
/// What a token calls itself that is made to be shown: an ID token or an
/// access token. One that ends a session (`logout+jwt`) is neither.
const TYPES: [&str; 3] = ["jwt", "at+jwt", "application/at+jwt"];

/// Why a token does not count. None of it is a secret of this service, so
/// callers are told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("it has more than {LONGEST} bytes")]
    TooLong,
    #[error("it can't be read")]
    Unreadable,
    #[error("its algorithm is not accepted here")]
    Algorithm,
    #[error("it is no ID token and no access token")]
    Type,
    #[error("it asks for an extension that is not known here")]
    Extension,
    #[error("the provider has no key of that id for its algorithm")]
    UnknownKey,
    #[error("its signature is wrong")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("its time has not come yet")]
    NotYet,
    #[error("it is from another issuer")]
    Issuer,
    #[error("it is for another audience")]
    Audience,
    #[error("its claim `{0}` is missing or unusable")]
    Claim(String),
    #[error(
        "the identity provider can't be reached, and no key of it is known that is fresh enough"
    )]
    Unavailable,
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        if refusal == Refusal::Unavailable {
            return Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "identity_unavailable",
                format!("{refusal}; try again in a minute"),
            );
        }
        Self {
            message: format!("the token is not accepted: {refusal}"),
            ..Self::unauthorized()
        }
    }
}

/// Somebody whom a token named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identified {
    pub(crate) subject: Subject,
    /// What the token's claims allow, in the order in which they count; a
    /// place of `None` is every workspace.
    pub(crate) grants: Vec<(Option<WorkspaceId>, Role)>,
}

/// Whether a secret is meant to be a signed token: three parts with dots.
pub(crate) fn looks_like_token(secret: &str) -> bool {
    secret.split('.').count() == 3
}

/// The head of a token that may be looked at further: of an accepted size,
/// kind and algorithm.
pub(super) fn head(token: &str, accepted: &[Algorithm]) -> Result<Header, Refusal> {
    if token.len() > LONGEST {
        return Err(Refusal::TooLong);
    }
    // `none` and whatever else is no known algorithm can't be read.
    let head = decode_header(token).map_err(|_| Refusal::Unreadable)?;
    if !accepted.contains(&head.alg) {
        return Err(Refusal::Algorithm);
    }
    if head.crit.is_some() {
        return Err(Refusal::Extension);
    }
    let is_known = head.typ.as_ref().is_none_or(|typ| {
        TYPES
            .iter()
            .any(|known| typ.trim().eq_ignore_ascii_case(known))
    });
    if is_known {
        Ok(head)
    } else {
        Err(Refusal::Type)
    }
}

/// The claims of a token whose signature, issuer, audience and times are
/// right.
pub(super) fn claims(
    token: &str,
    algorithm: Algorithm,
    key: &DecodingKey,
    checked: &Checked,
) -> Result<Map<String, Value>, Refusal> {
    let settings = &checked.settings;
    // The one algorithm that the key was chosen for.
    let mut validation = Validation::new(algorithm);
    validation.leeway = settings.clock_skew.as_secs();
    validation.validate_nbf = true;
    validation.set_issuer(&[&settings.issuer]);
    validation.set_audience(&settings.audiences);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    let claims = decode::<Map<String, Value>>(token, key, &validation)
        .map_err(|error| refusal(error.into_kind()))?
        .claims;
    // A list of issuers, of which one is right, is no issuer.
    if claims.get("iss").and_then(Value::as_str) != Some(settings.issuer.as_str()) {
        return Err(Refusal::Issuer);
    }
    let issued = claims.get("iat");
    let latest = jsonwebtoken::get_current_timestamp().saturating_add(validation.leeway);
    match issued.map(|at| at.as_f64().filter(|at| at.is_finite())) {
        None => {}
        #[allow(clippy::cast_precision_loss, reason = "seconds, not identities")]
        Some(Some(at)) if at <= latest as f64 => {}
        Some(Some(_)) => return Err(Refusal::NotYet),
        Some(None) => return Err(Refusal::Claim("iat".to_owned())),
    }
    Ok(claims)
}

fn refusal(kind: ErrorKind) -> Refusal {
    match kind {
        ErrorKind::InvalidSignature => Refusal::Signature,
        ErrorKind::ExpiredSignature => Refusal::Expired,
        ErrorKind::ImmatureSignature => Refusal::NotYet,
        ErrorKind::InvalidIssuer => Refusal::Issuer,
        ErrorKind::InvalidAudience => Refusal::Audience,
        ErrorKind::InvalidAlgorithm => Refusal::Algorithm,
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            Refusal::Claim(claim)
        }
        _ => Refusal::Unreadable,
    }
}

/// Whom the claims name, and what they allow.
pub(super) fn person(
    claims: &Map<String, Value>,
    checked: &Checked,
) -> Result<Identified, Refusal> {
    let settings = &checked.settings;
    let claim = settings.subject_claim.as_str();
    let unusable = || Refusal::Claim(claim.to_owned());
    let name = at(claims, claim)
        .and_then(Value::as_str)
        .filter(|name| !name.is_empty())
        .ok_or_else(unusable)?;
    // An address that anybody can claim is nobody's name.
    if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        return Err(Refusal::Claim("email_verified".to_owned()));
    }
    let subject = format!("user:{}:{name}", settings.issuer_name());
    let held: HashSet<&str> = settings
        .role_claims
        .iter()
        .filter_map(|claim| Some((claim, at(claims, claim)?)))
        .flat_map(|(claim, value)| values(claim, value))
        .collect();
    let grants = settings
        .grants
        .iter()
        .filter(|grant| held.contains(grant.value.as_str()))
        .map(|grant| (grant.workspace.clone(), grant.role))
        .collect();
    Ok(Identified {
        subject: subject.parse().map_err(|_| unusable())?,
        grants,
    })
}

/// The claim of this name, or else at this path: names may have dots.
fn at<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    at(claims.get(first)?.as_object()?, rest)
}

fn values<'a>(claim: &str, value: &'a Value) -> Vec<&'a str> {
    match value {
        Value::String(text) if LISTS_OF_WORDS.contains(&claim) => {
            text.split_ascii_whitespace().collect()
        }
        Value::String(text) => vec![text],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;
    use crate::identity::settings::{Grant, IdentitySettings};

    fn checked(change: impl FnOnce(&mut IdentitySettings)) -> Checked {
        let mut settings = IdentitySettings {
            issuer: "https://id.example.org".to_owned(),
            name: "gov".to_owned(),
            audiences: vec!["genie".to_owned()],
            algorithms: vec!["ES256".to_owned()],
            subject_claim: "sub".to_owned(),
            role_claims: vec![
                "realm_access.roles".to_owned(),
                "https://example.org/groups".to_owned(),
                "scope".to_owned(),
            ],
            grants: Vec::new(),
            clock_skew: Duration::from_secs(60),
        };
        for (value, workspace, role) in [
            ("editors", Some("health"), Role::Editor),
            ("staff", Some("health"), Role::Reader),
            ("genie:read", None, Role::Reader),
        ] {
            settings.grants.push(Grant {
                value: value.to_owned(),
                workspace: workspace.map(|id| id.parse().expect("an id")),
                role,
            });
        }
        change(&mut settings);
        settings.checked().expect("sound settings")
    }

    fn who(claims: &Value, checked: &Checked) -> Result<Identified, Refusal> {
        person(claims.as_object().expect("claims"), checked)
    }

    #[test]
    fn values_of_claims_become_grants_in_the_order_of_the_settings() {
        let checked = checked(|_| {});
        let health = || Some("health".parse().expect("an id"));
        let check = |claims: Value, expected: &[(Option<WorkspaceId>, Role)]| {
            let found = who(&claims, &checked).expect("a person");
            assert_eq!(found.subject.as_str(), "user:gov:ana");
            assert_eq!(found.grants, expected, "{claims}");
        };
        check(json!({"sub": "ana"}), &[]);
        check(
            json!({"sub": "ana", "realm_access": {"roles": ["staff", "editors", 7, "other"]}}),
            &[(health(), Role::Editor), (health(), Role::Reader)],
        );
        check(
            json!({"sub": "ana", "https://example.org/groups": "staff"}),
            &[(health(), Role::Reader)],
        );
        check(
            json!({"sub": "ana", "scope": "openid genie:read"}),
            &[(None, Role::Reader)],
        );
        // A group's name is one name, whatever is in it.
        check(
            json!({"sub": "ana", "https://example.org/groups": "staff editors"}),
            &[],
        );
        check(json!({"sub": "ana", "realm_access": "editors"}), &[]);
        check(json!({"sub": "ana", "roles": ["editors"]}), &[]);
    }

    #[test]
    fn a_name_has_to_be_one() {
        let by_sub = checked(|_| {});
        for claims in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 7}),
            json!({"sub": "a\nb"}),
            json!({"sub": "x".repeat(300)}),
        ] {
            assert_eq!(
                who(&claims, &by_sub),
                Err(Refusal::Claim("sub".to_owned())),
                "{claims}"
            );
        }
        let by_mail = checked(|settings| settings.subject_claim = "email".to_owned());
        let mail = |verified: Value| {
            let claims =
                json!({"sub": "1", "email": "ana@example.org", "email_verified": verified});
            who(&claims, &by_mail)
        };
        assert!(mail(json!(true)).is_ok());
        for unverified in [json!(false), json!("true"), Value::Null] {
            assert!(mail(unverified).is_err());
        }
    }
}
