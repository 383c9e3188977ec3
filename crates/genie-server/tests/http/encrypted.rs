//! TLS: what is spoken, and what happens when a certificate is renewed.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use genie_server::{Certificate, TlsError, serve_tls};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

use crate::silent;

/// Writes a new certificate for `localhost` and gives it.
fn certificate(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    std::fs::write(folder.join("chain.pem"), made.cert.pem()).expect("a file");
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).expect("a file");
    made.cert.der().clone()
}

async fn ask(
    address: SocketAddr,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let stream = TcpStream::connect(address).await?;
    let mut stream = TlsConnector::from(Arc::new(config))
        .connect(name, stream)
        .await?;
    let request =
        "GET /actuator/health/liveness HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    match stream.read_to_string(&mut reply).await {
        // Some of it came, and then the connection without its last words.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && !reply.is_empty() => {}
        other => {
            other?;
        }
    }
    Ok(reply)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tls_1_3_is_spoken_and_a_renewed_certificate_is_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = certificate(folder.path());
    let loaded = Certificate::load(
        &folder.path().join("chain.pem"),
        &folder.path().join("key.pem"),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(serve_tls(
        listener,
        Arc::new(loaded.expect("a certificate")),
        silent(),
        async {
            stopped.await.expect("it is stopped");
        },
    ));
    // One who connects and says nothing keeps nobody out.
    let mute = TcpStream::connect(address).await.expect("a connection");
    let modern = [&rustls::version::TLS13];
    let reply = ask(address, &first, &modern).await.expect("a reply");
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    let old = ask(address, &first, &[&rustls::version::TLS12]).await;
    assert!(old.is_err(), "TLS 1.2 is spoken: {old:?}");
    let second = certificate(folder.path());
    let mut taken = false;
    for _ in 0..150 {
        if ask(address, &second, &modern).await.is_ok() {
            taken = true;
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(taken, "the renewed certificate is never used");
    drop(mute);
    stop.send(()).expect("it runs");
    serving.await.expect("no panic").expect("no error");
}

#[test]
fn files_that_are_no_certificate_are_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let (chain, key) = (
        folder.path().join("chain.pem"),
        folder.path().join("key.pem"),
    );
    let message =
        |result: Result<Certificate, TlsError>| result.expect_err("no certificate").to_string();
    assert!(message(Certificate::load(&chain, &key)).contains("chain.pem"));
    certificate(folder.path());
    std::fs::write(&key, "no key").expect("a file");
    assert!(message(Certificate::load(&chain, &key)).contains("key.pem"));
    let other = tempfile::tempdir().expect("a folder");
    certificate(other.path());
    let foreign = other.path().join("key.pem");
    assert!(message(Certificate::load(&chain, &foreign)).contains("can't be used with its key"));
}
