//! Clients with certificates: a security server that says for whom it asks.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use genie_core::Authentication;
use genie_server::{Certificate, RoadClient, SecurityServer, TlsError, serve_tls};
use genie_state::Role;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tenants::{Service, service};

const CLIENT: &str = "X-Road-Client: EE/GOV/1/portal\r\n";

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    let mut made = CertificateParams::new(Vec::new()).expect("parameters");
    made.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(made, key).expect("an authority")
}

/// What a client shows of itself.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

/// A list of the authority that names these numbers.
fn revocation_list(authority: &Authority, numbers: &[u64]) -> String {
    let revoked = numbers.iter().map(|number| RevokedCertParams {
        serial_number: SerialNumber::from(*number),
        revocation_time: date_time_ymd(2024, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let list = CertificateRevocationListParams {
        this_update: date_time_ymd(2024, 1, 1),
        next_update: date_time_ymd(2999, 1, 1),
        crl_number: SerialNumber::from(1_u64),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = list.signed_by(authority).expect("a list");
    list.pem().expect("a text")
}

impl Identity {
    fn of(authority: &Authority, name: &str) -> Self {
        Self::numbered(authority, name, 1)
    }

    fn numbered(authority: &Authority, name: &str, number: u64) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut made = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        made.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        made.serial_number = Some(SerialNumber::from(number));
        let certificate = made.signed_by(&key, authority).expect("a certificate");
        Self {
            certificate: certificate.der().clone(),
            key,
        }
    }
}

/// A service on a port that asks for certificates.
struct Running {
    service: Service,
    address: SocketAddr,
    trusted: CertificateDer<'static>,
    stop: tokio::sync::oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), genie_server::ServeError>>,
}

impl Running {
    async fn start(authorities: Option<&Path>, server: Option<SecurityServer>) -> Self {
        Self::start_with_lists(authorities, None, server).await
    }

    async fn start_with_lists(
        authorities: Option<&Path>,
        lists: Option<&Path>,
        server: Option<SecurityServer>,
    ) -> Self {
        let service = service(None, |state| {
            state.server.authentication = Authentication::Required;
            state.security_server = server;
        })
        .await;
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
        let [chain, key] = ["chain.pem", "key.pem"].map(|name| service.folder.path().join(name));
        std::fs::write(&chain, made.cert.pem()).expect("a file");
        std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
        let mut loaded = Certificate::load(&chain, &key).expect("a certificate");
        if let Some(authorities) = authorities {
            loaded = loaded
                .asking_clients(authorities, lists)
                .expect("authorities");
        }
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = serve_tls(listener, Arc::new(loaded), service.app.clone(), async {
            // Either way the test is done with it.
            let _ = stopped.await;
        });
        Self {
            address,
            trusted: made.cert.der().clone(),
            stop,
            serving: tokio::spawn(serving),
            service,
        }
    }

    async fn connect(&self, identity: Option<&Identity>) -> io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            None => config.with_no_client_auth(),
            Some(identity) => {
                let key = PrivateKeyDer::try_from(identity.key.serialize_der()).expect("a key");
                config
                    .with_client_auth_cert(vec![identity.certificate.clone()], key)
                    .expect("they belong together")
            }
        };
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TcpStream::connect(self.address).await?;
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// Status and body of `GET /api/v1/me` with these lines in its head.
    async fn me(&self, identity: Option<&Identity>, head: &str) -> io::Result<(u16, Value)> {
        me(&mut self.connect(identity).await?, head).await
    }

    async fn end(self) {
        self.stop.send(()).expect("it runs");
        self.serving.await.expect("no panic").expect("no error");
    }
}

/// Asks on a connection that stays open.
async fn me(stream: &mut TlsStream<TcpStream>, head: &str) -> io::Result<(u16, Value)> {
    let request = format!("GET /api/v1/me HTTP/1.1\r\nHost: localhost\r\n{head}\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    let (head, begin) = loop {
        let end = reply.windows(4).position(|four| four == b"\r\n\r\n");
        if let Some(end) = end {
            let head = String::from_utf8(reply[..end].to_vec()).expect("a text");
            break (head.to_lowercase(), end + 4);
        }
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    };
    let (_, length) = head.split_once("content-length: ").expect("a length");
    let length = length.lines().next().and_then(|digits| digits.parse().ok());
    let end = begin + length.unwrap_or(0_usize);
    while reply.len() < end {
        if stream.read_buf(&mut reply).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = serde_json::from_slice(&reply[begin..end]).expect("JSON");
    Ok((status.expect("a status"), body))
}

fn trusting(certificate: &str) -> SecurityServer {
    SecurityServer {
        certificates: vec![certificate.parse().expect("a certificate's name")],
        clients: vec![RoadClient {
            client: "EE/GOV/1/portal".to_owned(),
            workspace: "health".parse().expect("an id"),
            role: Role::Editor,
            names_people: true,
        }],
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_security_server_says_for_whom_it_asks() {
    let authority = authority();
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let own = Identity::of(&authority, "ss1.gov.example");
    let other = Identity::of(&authority, "ss2.gov.example");
    let stranger = Identity::of(&crate::mutual::authority(), "ss1.gov.example");
    let fingerprint: String = Sha256::digest(&own.certificate)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    for named in ["ss1.gov.example", &format!("sha256:{fingerprint}")] {
        let running = Running::start(Some(&file), Some(trusting(named))).await;
        let me = async |identity: Option<&Identity>, head: &str| {
            running.me(identity, head).await.expect("a reply")
        };
        let (status, body) = me(Some(&own), CLIENT).await;
        assert_eq!(status, 200, "{body}");
        assert_eq!(body["subject"], "xroad:EE/GOV/1/portal");
        assert_eq!(
            (&body["workspace"], &body["role"]),
            (&"health".into(), &"editor".into())
        );
        let user = format!("{CLIENT}X-Road-UserId: EE38\r\n");
        let (_, body) = me(Some(&own), &user).await;
        assert_eq!(body["subject"], "xroad:EE/GOV/1/portal:EE38");
        // It has to say, and something that is configured.
        assert_eq!(me(Some(&own), "").await.0, 401);
        let elsewhere = "X-Road-Client: EE/GOV/2/portal\r\n";
        assert_eq!(me(Some(&own), elsewhere).await.0, 401);
        // Neither another's certificate nor a header alone does it.
        assert_eq!(me(Some(&other), CLIENT).await.0, 401);
        assert_eq!(me(None, CLIENT).await.0, 401);
        // One of another authority ends the connection.
        assert!(running.me(Some(&stranger), CLIENT).await.is_err());
        // A key is who it is, whoever brings it.
        let key = running.service.key(Some("energy"), Role::Reader).await;
        let with_key = format!("{CLIENT}Authorization: Bearer {key}\r\n");
        for identity in [None, Some(&own), Some(&other)] {
            let (status, body) = me(identity, &with_key).await;
            assert_eq!((status, &body["workspace"]), (200, &"energy".into()));
        }
        let wrong = format!("{CLIENT}Authorization: Bearer gk_00000000_no\r\n");
        assert_eq!(me(Some(&own), &wrong).await.0, 401);
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_called_back_meanwhile_counts_no_more() {
    let authority = authority();
    let folder = tempfile::tempdir().expect("a folder");
    let [file, lists] = ["clients.pem", "lists.pem"].map(|name| folder.path().join(name));
    std::fs::write(&file, authority.pem()).expect("a file");
    std::fs::write(&lists, revocation_list(&authority, &[3])).expect("a file");
    let server = trusting("ss1.gov.example");
    let running = Running::start_with_lists(Some(&file), Some(&lists), Some(server)).await;
    let [stays, goes, gone] =
        [1, 2, 3].map(|number| Identity::numbered(&authority, "ss1.gov.example", number));
    for identity in [&stays, &goes] {
        let (status, body) = running.me(Some(identity), CLIENT).await.expect("a reply");
        assert_eq!(status, 200, "{body}");
    }
    assert!(running.me(Some(&gone), CLIENT).await.is_err());
    let mut open = running.connect(Some(&goes)).await.expect("a connection");
    assert_eq!(me(&mut open, CLIENT).await.expect("a reply").0, 200);
    std::fs::write(&lists, revocation_list(&authority, &[2, 3])).expect("a file");
    let mut refused = false;
    for _ in 0..600 {
        if running.me(Some(&goes), CLIENT).await.is_err() {
            refused = true;
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert!(refused, "the renewed list is never used");
    // One that greeted before is nobody now, but a key is still a key.
    assert_eq!(me(&mut open, CLIENT).await.expect("a reply").0, 401);
    let key = running.service.key(Some("energy"), Role::Reader).await;
    let with_key = format!("{CLIENT}Authorization: Bearer {key}\r\n");
    assert_eq!(me(&mut open, &with_key).await.expect("a reply").0, 200);
    let (status, _) = running.me(Some(&stays), CLIENT).await.expect("a reply");
    assert_eq!(status, 200);
    drop(open);
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_setting_a_certificate_says_nothing() {
    let authority = authority();
    let own = Identity::of(&authority, "ss1.gov.example");
    // Not asked for one, a client sends none.
    let running = Running::start(None, Some(trusting("ss1.gov.example"))).await;
    let (status, _) = running.me(Some(&own), CLIENT).await.expect("a reply");
    assert_eq!(status, 401);
    running.end().await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("clients.pem");
    std::fs::write(&file, authority.pem()).expect("a file");
    let running = Running::start(Some(&file), None).await;
    let (status, _) = running.me(Some(&own), CLIENT).await.expect("a reply");
    assert_eq!(status, 401);
    running.end().await;
}

#[test]
fn a_file_without_authorities_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let [chain, key, none] =
        ["chain.pem", "key.pem", "none.pem"].map(|name| folder.path().join(name));
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    std::fs::write(&chain, made.cert.pem()).expect("a file");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("a file");
    let asking = |file: &Path| -> Result<Certificate, TlsError> {
        Certificate::load(&chain, &key)
            .expect("a certificate")
            .asking_clients(file, None)
    };
    for text in [
        None,
        Some(""),
        Some("no certificate"),
        Some("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
    ] {
        if let Some(text) = text {
            std::fs::write(&none, text).expect("a file");
        }
        let error = asking(&none).expect_err("no authority").to_string();
        assert!(error.contains("none.pem"), "{error}");
    }
}
