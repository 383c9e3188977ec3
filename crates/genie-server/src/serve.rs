//! Running a router on a listener until it is told to stop.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::middleware::from_fn_with_state;
use axum::serve::{IncomingStream, Listener};
use axum::{Extension, Router};
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::tls::{Certificate, Peer, TlsListener, introduce, renew};
use crate::work::Stop;

/// How long requests may go on after the service was told to stop; whoever
/// stops it usually kills it after 30 seconds.
const GRACE: Duration = Duration::from_secs(20);
/// How long those that were then cut get to say so.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// The service could not be run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The listener failed.
    #[error("the service can't accept connections")]
    Accept(#[source] io::Error),
    /// TLS can't be set up.
    #[error("TLS can't be set up")]
    Tls(#[from] rustls::Error),
}

/// Serves `app` until `shutdown` is done, then accepts nothing more, gives
/// requests in work 20 seconds, and cuts what is still there.
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
    serve_with_grace::<_, SocketAddr>(listener, app, shutdown, GRACE).await
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
    let serving = serve_with_grace::<_, Peer>(greeted, app, shutdown, GRACE);
    tokio::select! {
        ended = serving => ended,
        () = renew(certificate) => Ok(()),
    }
}

async fn serve_with_grace<L, P>(
    listener: L,
    app: Router,
    shutdown: impl Future<Output = ()> + Send + 'static,
    grace: Duration,
) -> Result<(), ServeError>
where
    L: Listener<Addr = SocketAddr>,
    P: for<'a> Connected<IncomingStream<'a, L>>,
{
    let (told, mut is_told) = watch::channel(false);
    let (cut, is_cut) = watch::channel(false);
    let app = app
        .layer(Extension(Stop::new(is_cut)))
        .into_make_service_with_connect_info::<P>();
    let serving = axum::serve(listener, app).with_graceful_shutdown(async move {
        shutdown.await;
        tracing::info!("stopping: no more connections are accepted");
        // Fails only when serving has ended, and then nobody waits for it.
        let _ = told.send(true);
    });
    let mut serving = std::pin::pin!(serving.into_future());
    let out_of_patience = async {
        if is_told.wait_for(|told| *told).await.is_err() {
            std::future::pending::<()>().await;
        }
        tokio::time::sleep(grace).await;
    };
    tokio::select! {
        ended = &mut serving => return ended.map_err(ServeError::Accept),
        () = out_of_patience => {}
    }
    tracing::warn!("requests that are still in work are cut");
    let _ = cut.send(true);
    match tokio::time::timeout(LAST_WORDS, serving).await {
        Ok(ended) => ended.map_err(ServeError::Accept),
        // Connections that don't end by themselves end with the runtime.
        Err(_) => Ok(()),
    }
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
        let grace = Duration::from_millis(50);
        let shutdown = async {
            stopped.await.expect("it is stopped");
        };
        let serving = tokio::spawn(serve_with_grace::<_, SocketAddr>(
            listener, app, shutdown, grace,
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
        serving.await.expect("no panic").expect("no error");
    }
}
