//! What only shows on real connections: clients that leave, and stopping.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use genie_core::Generate;
use genie_server::{app, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::fixture::{ASKED, Gate, Talker, state};

/// Long enough for any machine; only a failing test waits for it.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    address: std::net::SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), genie_server::ServeError>>,
}

async fn running(generate: impl Generate + 'static) -> Running {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let (stop, stopped) = oneshot::channel::<()>();
    let app = app(state(Some(Arc::new(generate))));
    let serving = tokio::spawn(serve(listener, app, async {
        // Either way the test is done with it.
        let _ = stopped.await;
    }));
    Running {
        address,
        stop,
        serving,
    }
}

// The connection blocks, which only this thread does: requests are served on
// the runtime's own.
fn ask(running: &Running, path: &str, body: &Value) -> TcpStream {
    let mut connection = TcpStream::connect(running.address).expect("a connection");
    connection
        .set_read_timeout(Some(PATIENCE))
        .expect("a timeout");
    let body = body.to_string();
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n",
        running.address,
        body.len()
    );
    connection
        .write_all(format!("{head}{body}").as_bytes())
        .expect("sent");
    connection
}

async fn until(flag: &AtomicBool) {
    let waiting = async {
        while !flag.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting)
        .await
        .expect("it does not happen: the generation goes on for nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_leaves_stops_its_generation() {
    for path in ["/api/v1/answer", "/v1/chat/completions"] {
        let gate = Arc::new(Gate::default());
        let talker = Talker::endless()
            .pausing(Duration::from_millis(1))
            .behind(&gate);
        let was_stopped = Arc::clone(&talker.was_stopped);
        let running = running(talker).await;
        let body = match path {
            "/api/v1/answer" => json!({"question": ASKED, "stream": true}),
            _ => json!({"messages": [{"role": "user", "content": ASKED}], "stream": true}),
        };
        let mut connection = ask(&running, path, &body);
        // The head of the answer comes before the model is asked, and a reader
        // who leaves by then leaves nothing to stop.
        let mut some = [0; 100];
        connection.read_exact(&mut some).expect("some text");
        until(&gate.was_reached).await;
        assert!(!was_stopped.load(Ordering::SeqCst), "it is being read");
        drop(connection);
        gate.open();
        until(&was_stopped).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_client_that_leaves_stops_its_generation() {
    let gate = Arc::new(Gate::default());
    let talker = Talker::endless()
        .pausing(Duration::from_millis(1))
        .behind(&gate);
    let was_stopped = Arc::clone(&talker.was_stopped);
    let running = running(talker).await;
    let connection = ask(&running, "/api/v1/answer", &json!({"question": ASKED}));
    until(&gate.was_reached).await;
    drop(connection);
    gate.open();
    until(&was_stopped).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stopping_lets_work_finish_and_accepts_no_more() {
    let gate = Arc::new(Gate::default());
    let running = running(Talker::saying(&["It connects 42 networks. "]).behind(&gate)).await;
    let body = json!({"question": ASKED, "stream": true});
    let mut connection = ask(&running, "/api/v1/answer", &body);
    let mut text = vec![0; 100];
    connection.read_exact(&mut text).expect("the head");
    running.stop.send(()).expect("it runs");
    let refused = async {
        while TcpStream::connect(running.address).is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, refused)
        .await
        .expect("connections are still accepted");
    gate.open();
    connection.read_to_end(&mut text).expect("the whole answer");
    assert!(String::from_utf8_lossy(&text).contains("event: done"));
    tokio::time::timeout(PATIENCE, running.serving)
        .await
        .expect("it ends with its last request")
        .expect("no panic")
        .expect("no error");
}
