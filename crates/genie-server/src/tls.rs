//! TLS 1.3 in front of a listener, with certificates that can be renewed while
//! the service runs.

mod clients;
mod lists;

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use axum::extract::{ConnectInfo, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use axum::serve::Listener;
use genie_state::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use self::clients::{Clients, Shown};
use crate::access::ClientCertificate;
use crate::serve::Introduced;

/// How often the files of a certificate are looked at.
const RELOAD: Duration = Duration::from_secs(10);
/// A client that takes longer to greet holds a connection and asks nothing.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// Clients that greet at a time.
const HANDSHAKES: usize = 256;
/// Connections that wait for the service.
const WAITING: usize = 64;
/// After an error of the listener itself, such as too many open files.
const PAUSE: Duration = Duration::from_millis(500);

/// A certificate chain with its key, both in PEM files.
#[derive(Debug)]
pub struct Certificate {
    chain: PathBuf,
    key: PathBuf,
    current: RwLock<Loaded>,
    /// Judges the certificates of clients, where they are asked for one.
    clients: Option<Arc<Clients>>,
}

#[derive(Debug)]
struct Loaded {
    certified: Arc<CertifiedKey>,
    /// When the files were changed, at the time they were read.
    changed: [SystemTime; 2],
}

/// A certificate can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file can't be read, or holds no PEM of its kind.
    #[error("{} holds no usable {what} in PEM", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Certificate and key don't belong together, or are of a kind that TLS
    /// does not know.
    #[error("the certificate in {} can't be used with its key", path.display())]
    Mismatch {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// More than is read of a file of revocation lists.
    #[error(
        "{} has more than {limit} bytes, the most that is read of revocation lists; keep those of \
         the authorities in it whose clients come here", path.display()
    )]
    TooLong {
        /// The file.
        path: PathBuf,
        /// In bytes.
        limit: u64,
    },
    /// A revocation list that its authority has replaced since.
    #[error(
        "list {number} in {} ended at {end}; put the newest one of its authority in its place",
        path.display()
    )]
    Ended {
        /// The file.
        path: PathBuf,
        /// Which list of the file, counted from one.
        number: usize,
        /// Its `nextUpdate`.
        end: Timestamp,
    },
}

impl Certificate {
    /// Reads a certificate chain and its key.
    ///
    /// # Errors
    ///
    /// Fails when a file can't be read or the two don't belong together.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self {
            current: RwLock::new(read(chain, key)?),
            chain: chain.to_owned(),
            key: key.to_owned(),
            clients: None,
        })
    }

    /// Asks clients for a certificate of one of the authorities in a PEM file.
    /// Those that have none are let in as before; one that is not of these
    /// authorities ends the connection, and so does, where there is a file of
    /// `revocation_lists` (PEM), one that was called back or that has an
    /// authority without a list there, on connections that are open already
    /// from the next request on. That file is read again when it changes; when
    /// a list in it ends, its authority's certificates are let in no more.
    ///
    /// # Errors
    ///
    /// Fails when a file can't be read or holds nothing of its kind, and where
    /// a revocation list has ended.
    pub fn asking_clients(
        mut self,
        authorities: &Path,
        revocation_lists: Option<&Path>,
    ) -> Result<Self, TlsError> {
        self.clients = Some(Arc::new(Clients::load(authorities, revocation_lists)?));
        Ok(self)
    }

    /// Takes a renewed certificate into use; one that can't be used leaves the
    /// earlier one in its place.
    pub(crate) fn reload(&self) {
        if let Some(clients) = &self.clients {
            clients.reload();
        }
        let known = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.changed
        };
        if changed(&self.chain, &self.key).is_ok_and(|now| now == known) {
            return;
        }
        match read(&self.chain, &self.key) {
            Ok(loaded) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
                tracing::info!("a renewed certificate is in use");
            }
            Err(error) => {
                tracing::warn!(%error, "the renewed certificate can't be used; the earlier one stays");
            }
        }
    }
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current.certified))
    }
}

fn read(chain: &Path, key: &Path) -> Result<Loaded, TlsError> {
    let file = |path: &Path, what: &'static str| {
        let path = path.to_owned();
        move |source: rustls::pki_types::pem::Error| TlsError::File {
            path,
            what,
            source: Box::new(source),
        }
    };
    let changed = changed(chain, key).map_err(|(path, source)| TlsError::File {
        path,
        what: "text",
        source: Box::new(source),
    })?;
    let certificates = CertificateDer::pem_file_iter(chain)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|all| match all.is_empty() {
            true => Err(rustls::pki_types::pem::Error::NoItemsFound),
            false => Ok(all),
        })
        .map_err(file(chain, "certificate"))?;
    let secret = PrivateKeyDer::from_pem_file(key).map_err(file(key, "private key"))?;
    let provider = rustls::crypto::ring::default_provider();
    let certified = CertifiedKey::from_der(certificates, secret, &provider).map_err(|source| {
        TlsError::Mismatch {
            path: chain.to_owned(),
            source,
        }
    })?;
    Ok(Loaded {
        certified: Arc::new(certified),
        changed,
    })
}

fn changed(chain: &Path, key: &Path) -> Result<[SystemTime; 2], (PathBuf, io::Error)> {
    let time = |path: &Path| {
        std::fs::metadata(path)
            .and_then(|metadata| metadata.modified())
            .map_err(|error| (path.to_owned(), error))
    };
    Ok([time(chain)?, time(key)?])
}

/// Connections whose handshake is done.
pub(crate) struct TlsListener {
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    address: io::Result<SocketAddr>,
}

impl TlsListener {
    /// Greets those who connect to `listener`, each in a task of its own: one
    /// who says nothing keeps nobody else out.
    pub(crate) fn new(
        listener: TcpListener,
        certificate: &Arc<Certificate>,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let resolver: Arc<dyn ResolvesServerCert> = certificate.clone();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(match &certificate.clients {
                Some(clients) => Arc::clone(clients) as Arc<dyn ClientCertVerifier>,
                None => WebPkiClientVerifier::no_client_auth(),
            })
            .with_cert_resolver(resolver);
        if certificate.clients.is_some() {
            // A session that is taken up again shows no certificate, and it
            // may have been called back since.
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.send_tls13_tickets = 0;
        }
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let address = listener.local_addr();
        let (sender, ready) = mpsc::channel(WAITING);
        // Not joined: it ends when the receiver is gone.
        tokio::spawn(greet(listener, TlsAcceptor::from(Arc::new(config)), sender));
        Ok(Self { ready, address })
    }
}

async fn greet(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    ready: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
    loop {
        // Never closed, so it is always there.
        let Ok(permit) = Arc::clone(&handshakes).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = ready.closed() => return,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection can't be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let (acceptor, ready) = (acceptor.clone(), ready.clone());
        tokio::spawn(async move {
            let greeting = tokio::time::timeout(HANDSHAKE, acceptor.accept(stream)).await;
            drop(permit);
            if let Ok(Ok(stream)) = greeting {
                // Fails only when the service has ended.
                let _ = ready.send((stream, peer)).await;
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(accepted) => accepted,
            // The task that greets never ends before this does.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(error.kind().into()),
        }
    }
}

/// Who is at the other end of an encrypted connection.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    address: SocketAddr,
    certificate: Option<(ClientCertificate, Arc<Shown>)>,
}

impl Introduced<TlsListener> for Peer {
    fn of(io: &TlsStream<TcpStream>, address: &SocketAddr) -> Self {
        let (_, connection) = io.get_ref();
        let certificates = connection.peer_certificates().unwrap_or_default();
        Self {
            address: *address,
            certificate: certificates.first().map(|own| {
                let shown = Arc::new(Shown::new(certificates));
                (ClientCertificate::new(own), shown)
            }),
        }
    }
}

/// Tells the layers behind it of the peer: its address, as on connections
/// without TLS, and its certificate, unless that was called back since.
pub(crate) async fn introduce(
    State(certificate): State<Arc<Certificate>>,
    ConnectInfo(peer): ConnectInfo<Peer>,
    mut request: Request,
    next: Next,
) -> Response {
    let extensions = request.extensions_mut();
    extensions.insert(ConnectInfo(peer.address));
    if let (Some((shown, chain)), Some(clients)) = (peer.certificate, &certificate.clients) {
        if clients.still_let_in(&chain, UnixTime::now()) {
            extensions.insert(shown);
        } else {
            tracing::warn!(
                security = true,
                "the certificate of an open connection was called back, or its list has ended"
            );
        }
    }
    next.run(request).await
}

/// Looks at the files again and again, until it is dropped.
pub(crate) async fn renew(certificate: Arc<Certificate>) {
    loop {
        tokio::time::sleep(RELOAD).await;
        let certificate = Arc::clone(&certificate);
        // Fails only by a panic, which its hook has told of.
        let _ = tokio::task::spawn_blocking(move || certificate.reload()).await;
    }
}
