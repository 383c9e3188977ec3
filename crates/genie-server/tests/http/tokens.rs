//! Tokens of an identity provider: which ones count, and what they allow.

use std::sync::Arc;

use genie_server::{Fetch, FetchError, IdentityProvider};
use genie_state::{Role, Subject};
use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::provider::{AUDIENCE, Provider, Signer, encoded, now, unsigned};
use crate::tenants::{Service, service, with_keys};

const RSA: &str = include_str!("material/rsa.json");

async fn served(provider: &Provider) -> Service {
    service(None, |state| {
        with_keys(state);
        provider.of(state);
    })
    .await
}

async fn status(service: &Service, token: &str) -> (u16, Value) {
    let reply = service.ask("GET", "/api/v1/me", token, None).await;
    if reply.status == 401 {
        assert_eq!(reply.header("www-authenticate"), "Bearer");
    }
    (reply.status.as_u16(), reply.json())
}

#[tokio::test]
async fn a_good_token_is_somebody() {
    let signers = [
        Signer::p256("p256"),
        Signer::p384("p384"),
        Signer::ed25519("ed"),
    ];
    let provider = Provider::start(&signers.each_ref().map(Signer::public));
    let service = served(&provider).await;
    for signer in &signers {
        let token = signer.token(&provider.claims("ana", &[]));
        let (status, me) = status(&service, &token).await;
        assert_eq!(status, 200, "{me}");
        assert_eq!(me["subject"], "user:gov:ana");
        assert_eq!((&me["role"], &me["scopes"]), (&Value::Null, &json!([])));
        assert_eq!(me["operator"], false);
    }
    assert_eq!(provider.asked(), 1, "the keys are kept");
    // Several audiences, one of them this service.
    let mut claims = provider.claims("ana", &[]);
    claims["aud"] = json!(["portal", AUDIENCE]);
    assert_eq!(status(&service, &signers[0].token(&claims)).await.0, 200);
    // A minute is forgiven.
    let mut claims = provider.claims("ana", &[]);
    (claims["exp"], claims["nbf"]) = (json!(now() - 5), json!(now() + 30));
    claims["iat"] = json!(now() + 30);
    assert_eq!(status(&service, &signers[0].token(&claims)).await.0, 200);
    // Access tokens say so.
    let head = json!({"alg": "ES256", "kid": "p256", "typ": "at+jwt"});
    let token = signers[0].token_with(&head, &provider.claims("ana", &[]));
    assert_eq!(status(&service, &token).await.0, 200);
}

#[tokio::test]
async fn every_other_token_is_nobody() {
    let signer = Signer::p256("p256");
    let rsa: Value = serde_json::from_str(RSA).expect("the file");
    let provider = Provider::start(&[signer.public(), rsa["key"].clone()]);
    let service = served(&provider).await;
    let good = provider.claims("ana", &[]);
    let with = |claim: &str, value: Value| {
        let mut claims = good.clone();
        claims[claim] = value;
        signer.token(&claims)
    };
    let without = |claim: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().expect("claims").remove(claim);
        signer.token(&claims)
    };
    let head = |change: (&str, Value)| {
        let mut head = json!({"alg": "ES256", "kid": "p256", "typ": "JWT"});
        head[change.0] = change.1;
        signer.token_with(&head, &good)
    };
    let token = signer.token(&good);
    assert_eq!(status(&service, &token).await.0, 200);
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let (first, _) = message.split_once('.').expect("claims");
    let mut richer = good.clone();
    richer["realm_access"]["roles"] = json!(["operators"]);
    let tampered = format!(
        "{first}.{}.{signature}",
        encoded(richer.to_string().as_bytes())
    );
    let none = |alg: &str| {
        let message = unsigned(&json!({"alg": alg, "kid": "p256"}), &good);
        [format!("{message}."), format!("{message}.{signature}")]
    };
    // The public key, which everybody has, as a secret that both would share.
    let modulus = rsa["key"]["n"].as_str().expect("a modulus").to_owned();
    let forged = [rsa["key"].to_string(), modulus].map(|secret| {
        let message = unsigned(&json!({"alg": "HS256", "kid": "rsa"}), &good);
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length");
        mac.update(message.as_bytes());
        format!("{message}.{}", encoded(&mac.finalize().into_bytes()))
    });
    let hour = 3600;
    let mut bad = vec![
        (
            "another issuer",
            with("iss", json!("https://id.example.org")),
        ),
        (
            "issuer",
            with("iss", json!([provider.issuer, "https://x.example.org"])),
        ),
        (
            "issuer",
            with("iss", json!(format!("{}/", provider.issuer))),
        ),
        ("iss", without("iss")),
        ("another audience", with("aud", json!("portal"))),
        ("audience", with("aud", json!([]))),
        ("aud", without("aud")),
        ("expired", with("exp", json!(now() - hour))),
        ("exp", with("exp", json!("never"))),
        ("exp", without("exp")),
        ("not come", with("nbf", json!(now() + hour))),
        ("nbf", with("nbf", json!("soon"))),
        ("not come", with("iat", json!(now() + hour))),
        ("iat", with("iat", json!("long ago"))),
        ("sub", without("sub")),
        ("sub", with("sub", json!(""))),
        ("algorithm", head(("alg", json!("PS256")))),
        ("no key", head(("alg", json!("ES384")))),
        ("no key", head(("alg", json!("RS256")))),
        ("no key", head(("kid", json!("other")))),
        ("signature", Signer::p256("p256").token(&good)),
        ("signature", tampered),
        ("signature", format!("{message}.{}", encoded(&[0; 64]))),
        ("signature", format!("{message}.")),
        ("extension", head(("crit", json!(["b64"])))),
        ("no ID token", head(("typ", json!("logout+jwt")))),
        ("16384 bytes", with("more", json!("x".repeat(13_000)))),
        ("can't be read", "a.b.c".to_owned()),
        (
            "can't be read",
            format!("{}.{}.", encoded(b"{}"), encoded(b"{}")),
        ),
    ];
    bad.extend(none("none").map(|token| ("can't be read", token)));
    bad.extend(none("nOnE").map(|token| ("can't be read", token)));
    bad.extend(forged.map(|token| ("algorithm", token)));
    for (reason, token) in bad {
        let (status, body) = status(&service, &token).await;
        assert_eq!(status, 401, "{reason}: {body}");
        let message = body["message"].as_str().expect("a message");
        assert!(message.contains(reason), "{reason}: {message}");
    }
    assert_eq!(provider.asked(), 1, "bad tokens make no requests");
}

/// A provider whose documents are in memory.
struct Kept(Value);

impl Fetch for Kept {
    fn fetch(&self, address: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
        let document = match address {
            "https://id.example.org/.well-known/openid-configuration" => json!({
                "issuer": "https://id.example.org",
                "jwks_uri": "https://id.example.org/certs",
            }),
            "https://id.example.org/certs" => json!({"keys": [self.0["key"]]}),
            other => panic!("{other} is fetched"),
        };
        Ok(document.to_string().into_bytes())
    }
}

#[tokio::test]
async fn signatures_by_rsa_are_checked_each_by_its_own_algorithm() {
    let rsa: Value = serde_json::from_str(RSA).expect("the file");
    let tokens = rsa["tokens"].as_object().expect("tokens").clone();
    assert_eq!(tokens.len(), 6);
    for (accepted, _) in &tokens {
        let mut settings = Provider::start(&[]).settings();
        settings.issuer = "https://id.example.org".to_owned();
        settings.algorithms = vec![accepted.clone()];
        let provider = IdentityProvider::new(settings, Kept(rsa.clone())).expect("sound");
        let service = service(None, |state| {
            with_keys(state);
            state.identity = Some(Arc::new(provider));
        })
        .await;
        for (algorithm, token) in &tokens {
            let token = token.as_str().expect("a token");
            let (status, body) = status(&service, token).await;
            let expected = if algorithm == accepted { 200 } else { 401 };
            assert_eq!(status, expected, "{algorithm} where {accepted} is: {body}");
        }
        let token = tokens[accepted].as_str().expect("a token");
        let mut other = token.to_owned();
        let last = if other.ends_with('A') { 'Q' } else { 'A' };
        other.pop();
        other.push(last);
        assert_eq!(status(&service, &other).await.0, 401, "{accepted}");
    }
}

#[tokio::test]
async fn a_rotated_key_is_not_asked_for_with_each_token() {
    let (old, new) = (Signer::p256("old"), Signer::p256("new"));
    let provider = Provider::start(&[old.public()]);
    let service = served(&provider).await;
    let claims = provider.claims("ana", &[]);
    assert_eq!(status(&service, &old.token(&claims)).await.0, 200);
    provider.has(&[new.public()]);
    for _ in 0..5 {
        assert_eq!(status(&service, &new.token(&claims)).await.0, 401);
    }
    assert_eq!(provider.asked(), 1);
}

#[tokio::test]
async fn without_its_provider_nobody_is_told_that_a_token_is_wrong() {
    let signer = Signer::p256("p256");
    let provider = Provider::start(&[]);
    let service = served(&provider).await;
    let reply = service
        .ask(
            "GET",
            "/api/v1/me",
            &signer.token(&provider.claims("ana", &[])),
            None,
        )
        .await;
    assert_eq!(reply.status, 503, "{}", reply.text);
    assert_eq!(reply.json()["code"], "identity_unavailable");
    // Keys need nobody else.
    let key = service.key(Some("health"), Role::Reader).await;
    assert_eq!(status(&service, &key).await.0, 200);
}

#[tokio::test]
async fn members_and_claims_give_roles_and_losing_them_takes_them_away() {
    let signer = Signer::p256("p256");
    let provider = Provider::start(&[signer.public()]);
    let service = served(&provider).await;
    let ana: Subject = "user:gov:ana".parse().expect("a subject");
    let health = "health".parse().expect("an id");
    let documents = "/api/v1/workspaces/health/documents";
    let plain = signer.token(&provider.claims("ana", &[]));
    let ask = async |token: &str, path: &str| {
        let reply = service.ask("GET", path, token, None).await;
        reply.status.as_u16()
    };
    assert_eq!(ask(&plain, documents).await, 404);
    let set = service.state.set_member(&health, &ana, Role::Auditor).await;
    set.expect("a member");
    assert_eq!(ask(&plain, documents).await, 403);
    assert_eq!(ask(&plain, "/api/v1/workspaces/health/audit").await, 200);
    let list = service.ask("GET", "/api/v1/workspaces", &plain, None).await;
    assert_eq!(
        (&list.json()["count"], &list.json()["results"][0]["id"]),
        (&json!(1), &json!("health"))
    );
    // What the provider says goes before the list of members.
    let reader = signer.token(&provider.claims("ana", &["health-reader", "energy-reader"]));
    assert_eq!(ask(&reader, documents).await, 200);
    assert_eq!(ask(&reader, "/api/v1/workspaces/health/audit").await, 403);
    let list = service
        .ask("GET", "/api/v1/workspaces", &reader, None)
        .await;
    assert_eq!(list.json()["count"], 2);
    let models = service.ask("GET", "/v1/models", &reader, None).await;
    assert!(models.text.contains("genie/energy") && !models.text.contains("genie/default"));
    service
        .state
        .remove_member(&health, &ana)
        .await
        .expect("removed");
    assert_eq!(ask(&plain, documents).await, 404);
    // Conversations are a person's, however the person came to the role.
    let made = service
        .ask(
            "POST",
            "/api/v1/workspaces/health/conversations",
            &reader,
            Some(json!({})),
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.text);
    let bo = signer.token(&provider.claims("bo", &["health-owner"]));
    let id = made.json()["id"].as_str().expect("an id").to_owned();
    let path = format!("/api/v1/workspaces/health/conversations/{id}");
    assert_eq!(ask(&bo, &path).await, 404);
    assert_eq!(ask(&reader, &path).await, 200);
}
