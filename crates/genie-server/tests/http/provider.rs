//! An identity provider on this machine: plain HTTP, and keys that are made
//! when it starts.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use genie_server::{AppState, Fetch, FetchError, Grant, IdentityProvider, IdentitySettings};
use genie_state::Role;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _,
};
use serde_json::{Value, json};

pub(crate) const AUDIENCE: &str = "genie";

/// The provider.
pub(crate) struct Provider {
    pub(crate) issuer: String,
    keys: Arc<Mutex<Vec<Value>>>,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    /// Runs until the tests end.
    pub(crate) fn start(keys: &[Value]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let provider = Self {
            issuer: format!("http://{address}/realms/gov"),
            keys: Arc::new(Mutex::new(keys.to_vec())),
            asked: Arc::default(),
        };
        let (issuer, keys) = (provider.issuer.clone(), Arc::clone(&provider.keys));
        let asked = Arc::clone(&provider.asked);
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let keys = keys.lock().expect("nobody panics with it").clone();
                answer(connection.expect("a connection"), &issuer, &keys, &asked);
            }
        });
        provider
    }

    /// From now on it has these keys.
    pub(crate) fn has(&self, keys: &[Value]) {
        *self.keys.lock().expect("nobody panics with it") = keys.to_vec();
    }

    /// How often it was asked for its keys.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    pub(crate) fn settings(&self) -> IdentitySettings {
        let mut grants = vec![Grant {
            value: "operators".to_owned(),
            workspace: None,
            role: Role::Owner,
        }];
        for workspace in ["health", "energy"] {
            grants.extend(Role::ALL.map(|role| Grant {
                value: format!("{workspace}-{role}"),
                workspace: Some(workspace.parse().expect("an id")),
                role,
            }));
        }
        IdentitySettings {
            issuer: self.issuer.clone(),
            name: "gov".to_owned(),
            audiences: vec![AUDIENCE.to_owned(), "other-name".to_owned()],
            algorithms: ["RS256", "ES256", "ES384", "EdDSA"]
                .map(str::to_owned)
                .into(),
            subject_claim: "sub".to_owned(),
            role_claims: vec!["realm_access.roles".to_owned()],
            grants,
            clock_skew: Duration::from_secs(60),
        }
    }

    /// Makes the service accept its tokens.
    pub(crate) fn of(&self, service: &mut AppState) {
        let provider = IdentityProvider::new(self.settings(), Http).expect("sound settings");
        service.identity = Some(Arc::new(provider));
    }

    /// Claims of a good token for somebody with these roles.
    pub(crate) fn claims(&self, name: &str, roles: &[&str]) -> Value {
        json!({
            "iss": self.issuer,
            "aud": AUDIENCE,
            "sub": name,
            "iat": now(),
            "exp": now() + 600,
            "realm_access": {"roles": roles},
        })
    }
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs()
}

fn answer(mut connection: TcpStream, issuer: &str, keys: &[Value], asked: &AtomicUsize) {
    let mut request = Vec::new();
    let mut byte = [0];
    while !request.ends_with(b"\r\n\r\n") && connection.read(&mut byte).expect("a request") > 0 {
        request.push(byte[0]);
    }
    let request = String::from_utf8_lossy(&request);
    let body = match request.split(' ').nth(1).unwrap_or_default() {
        "/realms/gov/.well-known/openid-configuration" => json!({
            "issuer": issuer,
            "jwks_uri": format!("{issuer}/certs"),
            "authorization_endpoint": format!("{issuer}/auth"),
        }),
        "/realms/gov/certs" => {
            asked.fetch_add(1, Ordering::SeqCst);
            json!({ "keys": keys })
        }
        other => panic!("{other} is fetched"),
    };
    let body = body.to_string();
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever left needs none.
    let _ = connection.write_all(reply.as_bytes());
}

/// A client of a few lines, for addresses of this machine.
struct Http;

impl Fetch for Http {
    fn fetch(&self, address: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
        let rest = address.strip_prefix("http://").ok_or("not plain")?;
        let (host, path) = rest.split_once('/').ok_or("no path")?;
        let mut connection = TcpStream::connect(host)?;
        write!(
            connection,
            "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        )?;
        let mut reply = String::new();
        connection.read_to_string(&mut reply)?;
        let (_, body) = reply.split_once("\r\n\r\n").ok_or("no body")?;
        Ok(body.as_bytes().to_vec())
    }
}

/// A key of the provider.
pub(crate) struct Signer {
    id: &'static str,
    pair: Pair,
}

enum Pair {
    P256(EcdsaKeyPair),
    P384(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn p256(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random);
        let made = made.expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.as_ref(), &random);
        Self {
            id,
            pair: Pair::P256(pair.expect("a key")),
        }
    }

    pub(crate) fn p384(id: &'static str) -> Self {
        let random = SystemRandom::new();
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, &random);
        let made = made.expect("a key");
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, made.as_ref(), &random);
        Self {
            id,
            pair: Pair::P384(pair.expect("a key")),
        }
    }

    pub(crate) fn ed25519(id: &'static str) -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        let pair = Ed25519KeyPair::from_pkcs8(made.as_ref()).expect("a key");
        Self {
            id,
            pair: Pair::Ed25519(pair),
        }
    }

    /// The public part, as the provider shows it.
    pub(crate) fn public(&self) -> Value {
        let point = |bytes: &[u8], curve: &str| {
            let (x, y) = bytes[1..].split_at(bytes.len() / 2);
            json!({
                "kty": "EC", "crv": curve, "use": "sig", "kid": self.id,
                "x": encoded(x), "y": encoded(y),
            })
        };
        match &self.pair {
            Pair::P256(pair) => point(pair.public_key().as_ref(), "P-256"),
            Pair::P384(pair) => point(pair.public_key().as_ref(), "P-384"),
            Pair::Ed25519(pair) => json!({
                "kty": "OKP", "crv": "Ed25519", "kid": self.id,
                "x": encoded(pair.public_key().as_ref()),
            }),
        }
    }

    fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::P256(_) => "ES256",
            Pair::P384(_) => "ES384",
            Pair::Ed25519(_) => "EdDSA",
        }
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let head = json!({"alg": self.algorithm(), "kid": self.id, "typ": "JWT"});
        self.token_with(&head, claims)
    }

    /// Signed, whatever its head says.
    pub(crate) fn token_with(&self, head: &Value, claims: &Value) -> String {
        let message = unsigned(head, claims);
        let signature = match &self.pair {
            Pair::P256(pair) | Pair::P384(pair) => {
                let signed = pair.sign(&SystemRandom::new(), message.as_bytes());
                signed.expect("a signature").as_ref().to_vec()
            }
            Pair::Ed25519(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(&signature))
    }
}

/// Head and claims of a token.
pub(crate) fn unsigned(head: &Value, claims: &Value) -> String {
    let [head, claims] = [head, claims].map(|part| encoded(part.to_string().as_bytes()));
    format!("{head}.{claims}")
}

pub(crate) fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
