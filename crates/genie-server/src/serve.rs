//! Running a router on a listener until it is told to stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::middleware::from_fn_with_state;
use axum::serve::Listener;
use axum::{Extension, Router};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tower::{Layer as _, ServiceExt as _};

use crate::tls::{Certificate, Peer, TlsListener, introduce, renew};
use crate::work::Stop;

/// How long the service waits for others.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// For requests in work, after it was told to stop; whoever stops it
    /// usually kills it after 30 seconds.
    grace: Duration,
    /// For the head of the next request of a connection.
    head: Duration,
}

const PATIENCE: Patience = Patience {
    grace: Duration::from_secs(15),
    head: Duration::from_secs(30),
};
/// How long those that were then cut get to say so.
const LAST_WORDS: Duration = Duration::from_secs(2);
const MOST_HEADERS: usize = 100;
const LONGEST_HEAD: usize = 64 << 10;
/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 2048;

/// The service could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// Serves `app` until `shutdown` is done, then accepts nothing more, gives
/// requests in work 15 seconds, and cuts what is still there.
///
/// A model that was cut while it reads a prompt notices only at its next
/// token: end the runtime with a timeout.
///
/// # Errors
///
/// Fails when the listener does.
pub async fn serve(
    listener: TcpListener,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    serve_with_grace::<_, SocketAddr>(listener, app, shutdown, PATIENCE).await;
    Ok(())
}

/// As [`serve`] over TLS 1.3; a renewed certificate is taken into use within
/// seconds, and the certificates of clients that are asked for one are told to
/// `app`.
///
/// # Errors
///
/// Fails when the listener does, and where TLS can't be set up.
pub async fn serve_tls(
    listener: TcpListener,
    certificate: Arc<Certificate>,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ServeError> {
    let greeted = TlsListener::new(listener, &certificate)?;
    let app = app.layer(from_fn_with_state(Arc::clone(&certificate), introduce));
    let serving = serve_with_grace::<_, Peer>(greeted, app, shutdown, PATIENCE);
    tokio::select! {
        () = serving => Ok(()),
        () = renew(certificate) => Ok(()),
    }
}

/// What the service is told of each connection of a listener.
pub(crate) trait Introduced<L: Listener>: Clone + Send + Sync + 'static {
    fn of(io: &L::Io, address: &L::Addr) -> Self;
}

impl Introduced<TcpListener> for SocketAddr {
    fn of(_io: &TcpStream, address: &SocketAddr) -> Self {
        *address
    }
}

/// axum's own loop sets no limit of time for what comes before a handler, so a
/// client that sends a letter a minute could hold a connection for ever.
async fn serve_with_grace<L, P>(
    mut listener: L,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    patience: Patience,
) where
    L: Listener,
    P: Introduced<L>,
{
    let (cut, is_cut) = watch::channel(false);
    let app = app.layer(Extension(Stop::new(is_cut)));
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(patience.head)
        .max_headers(MOST_HEADERS)
        .max_header_size(LONGEST_HEAD);
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    let connections = GracefulShutdown::new();
    let mut shutdown = std::pin::pin!(shutdown);
    loop {
        let accepting = async {
            // Never closed, so there is always one in the end.
            let place = Arc::clone(&places).acquire_owned().await;
            (place, listener.accept().await)
        };
        let (place, (io, address)) = tokio::select! {
            accepted = accepting => accepted,
            () = &mut shutdown => break,
        };
        let peer = Extension(ConnectInfo(P::of(&io, &address)));
        let service = peer
            .layer(app.clone())
            .map_request(|request: hyper::Request<Incoming>| request.map(Body::new));
        let connection = http.serve_connection(TokioIo::new(io), TowerToHyperService::new(service));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::trace!(%error, "a connection ended early");
            }
            drop(place);
        });
    }
    tracing::info!("stopping: no more connections are accepted");
    drop(listener);
    let mut ending = std::pin::pin!(connections.shutdown());
    tokio::select! {
        () = &mut ending => return,
        () = tokio::time::sleep(patience.grace) => {}
    }
    tracing::warn!("requests that are still in work are cut");
    let _ = cut.send(true);
    // Connections that don't end by themselves end with the runtime.
    let _ = tokio::time::timeout(LAST_WORDS, ending).await;
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpStream;

    use axum::routing::get;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn work_that_outlasts_the_grace_is_cut() {
        let (entered, mut has_entered) = tokio::sync::mpsc::channel::<()>(1);
        let app = Router::new().route(
            "/",
            get(move |mut stop: Stop| {
                let entered = entered.clone();
                async move {
                    entered.send(()).await.ok();
                    stop.wait().await;
                    "cut"
                }
            }),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let patience = Patience {
            grace: Duration::from_millis(50),
            ..PATIENCE
        };
        let shutdown = async {
            stopped.await.expect("it is stopped");
        };
        let serving = tokio::spawn(serve_with_grace::<_, SocketAddr>(
            listener, app, shutdown, patience,
        ));
        let mut connection = TcpStream::connect(address).expect("a connection");
        connection
            .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            .expect("sent");
        has_entered.recv().await.expect("the work begins");
        stop.send(()).expect("it runs");
        let mut text = String::new();
        connection.read_to_string(&mut text).expect("a response");
        assert!(text.ends_with("cut"), "{text}");
        serving.await.expect("no panic");
    }

    /// What a service that is impatient with heads answers to this one.
    async fn answer_to(head: &str) -> String {
        let app = Router::new().route("/", get(|| async { "here" }));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let patience = Patience {
            head: Duration::from_millis(200),
            ..PATIENCE
        };
        let never = std::future::pending();
        let serving = tokio::spawn(serve_with_grace::<_, SocketAddr>(
            listener, app, never, patience,
        ));
        let mut connection = TcpStream::connect(address).expect("a connection");
        connection.write_all(head.as_bytes()).expect("sent");
        let mut text = String::new();
        // Ends when the service closes the connection.
        let read =
            tokio::task::spawn_blocking(move || connection.read_to_string(&mut text).map(|_| text));
        let text = read.await.expect("no panic").expect("a response");
        serving.abort();
        text
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_head_that_does_not_end_is_not_waited_for() {
        let half = answer_to("GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ").await;
        assert!(!half.contains("here"), "{half}");
        // Neither is a next request that does not come.
        let whole = answer_to("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
        assert!(whole.ends_with("here"), "{whole}");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn heads_have_a_size() {
        let many = "A: b\r\n".repeat(MOST_HEADERS + 1);
        let long = format!("A: {}\r\n", "b".repeat(LONGEST_HEAD));
        for headers in [many, long] {
            let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\n{headers}\r\n");
            let refused = answer_to(&head).await;
            assert!(refused.starts_with("HTTP/1.1 431"), "{refused}");
        }
    }
}
