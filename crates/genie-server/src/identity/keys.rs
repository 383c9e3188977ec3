//! The public keys of a provider.

use jsonwebtoken::jwk::{
    AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse,
};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// More keys than this are no provider's.
const MOST_KEYS: usize = 100;

const RSA: [Algorithm; 6] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
];

/// A key and what it may be used for.
#[derive(Debug, Clone)]
pub(super) struct PublicKey {
    id: Option<String>,
    algorithms: Vec<Algorithm>,
    pub(super) key: DecodingKey,
}

/// A JSON Web Key Set (RFC 7517, section 5).
#[derive(Debug, Deserialize)]
struct KeySet {
    keys: Vec<Value>,
}

/// The keys of a set that signatures of tokens can be checked with. What is
/// for something else, or of a kind that is not known, is left out, as the
/// standard asks.
pub(super) fn read(document: &[u8]) -> Result<Vec<PublicKey>, serde_json::Error> {
    let set: KeySet = serde_json::from_slice(document)?;
    let keys = set.keys.into_iter().take(MOST_KEYS);
    Ok(keys
        .filter_map(|key| PublicKey::of(&serde_json::from_value(key).ok()?))
        .collect())
}

/// The key of this id that the algorithm can be used with; without an id the
/// only one there is.
pub(super) fn find<'a>(
    keys: &'a [PublicKey],
    id: Option<&str>,
    algorithm: Algorithm,
) -> Option<&'a PublicKey> {
    let mut fitting = keys.iter().filter(|key| {
        key.algorithms.contains(&algorithm) && (id.is_none() || key.id.as_deref() == id)
    });
    let first = fitting.next()?;
    (id.is_some() || fitting.next().is_none()).then_some(first)
}

impl PublicKey {
    fn of(key: &Jwk) -> Option<Self> {
        let common = &key.common;
        let for_signatures = !matches!(
            common.public_key_use,
            Some(PublicKeyUse::Encryption | PublicKeyUse::Other(_))
        );
        let for_checking = common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !for_signatures || !for_checking {
            return None;
        }
        // The kind of key decides, never what a token says of it.
        let mut algorithms = match &key.algorithm {
            AlgorithmParameters::RSA(_) => RSA.to_vec(),
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => vec![Algorithm::ES256],
                EllipticCurve::P384 => vec![Algorithm::ES384],
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        if let Some(only) = common.key_algorithm {
            algorithms.retain(|algorithm| KeyAlgorithm::from(*algorithm) == only);
        }
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: common.key_id.clone(),
            algorithms,
            key: DecodingKey::from_jwk(key).ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keys(keys: Value) -> Vec<PublicKey> {
        read(json!({ "keys": keys }).to_string().as_bytes()).expect("a set")
    }

    #[test]
    fn a_key_is_used_for_what_it_is_and_nothing_else() {
        let rsa = json!({"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"});
        let point = json!({"kty": "EC", "crv": "P-256", "kid": "e", "x": "AA", "y": "AA"});
        let mut narrow = rsa.clone();
        narrow["alg"] = json!("PS256");
        narrow["kid"] = json!("n");
        let mut encrypts = rsa.clone();
        encrypts["use"] = json!("enc");
        let mut signs = rsa.clone();
        signs["key_ops"] = json!(["sign"]);
        let secret = json!({"kty": "oct", "kid": "s", "k": "AQAB"});
        let other = json!({"kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA"});
        let nonsense = json!({"kty": 7});
        let all = keys(json!([
            encrypts, signs, secret, other, nonsense, "text", rsa, point, narrow
        ]));
        assert_eq!(all.len(), 3);
        let finds = |id: Option<&str>, algorithm| find(&all, id, algorithm).is_some();
        assert!(finds(Some("r"), Algorithm::RS256) && finds(Some("r"), Algorithm::PS512));
        assert!(!finds(Some("r"), Algorithm::ES256));
        assert!(!finds(Some("r"), Algorithm::HS256) && !finds(Some("s"), Algorithm::HS256));
        assert!(finds(Some("e"), Algorithm::ES256) && !finds(Some("e"), Algorithm::ES384));
        assert!(finds(Some("n"), Algorithm::PS256) && !finds(Some("n"), Algorithm::RS256));
        assert!(!finds(Some("x"), Algorithm::RS256));
        // Without an id only where there is no choice.
        assert!(finds(None, Algorithm::ES256) && !finds(None, Algorithm::PS256));
    }

    #[test]
    fn what_is_no_set_is_an_error() {
        for document in ["", "[]", "{}", "{\"keys\": 1}", "{\"keys\": [}"] {
            assert!(read(document.as_bytes()).is_err(), "{document}");
        }
    }
}
