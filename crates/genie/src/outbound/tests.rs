//! The way out, against servers of this machine.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread::JoinHandle;

use genie_core::{FetchConfig, HookSecret, MediaType};

use super::*;

/// Answers each connection in turn with what it is given, then stops. An
/// answer is written by a function of what was asked.
struct Server {
    port: u16,
    asked: mpsc::Receiver<String>,
    thread: JoinHandle<()>,
}

type Answer = Box<dyn FnOnce(&mut TcpStream, u16) + Send>;

impl Server {
    fn answering(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (tell, asked) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for answer in answers {
                let (mut stream, _) = listener.accept().unwrap();
                tell.send(request(&stream)).unwrap();
                answer(&mut stream, port);
            }
        });
        Self {
            port,
            asked,
            thread,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// All that was asked, once every answer was given.
    fn finish(self) -> Vec<String> {
        self.thread.join().unwrap();
        self.asked.iter().collect()
    }
}

/// Head and body of a request.
fn request(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).unwrap() > 0 {}
    let length = text
        .to_lowercase()
        .split("content-length: ")
        .nth(1)
        .and_then(|rest| rest.split("\r\n").next()?.parse::<usize>().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    Read::read_exact(&mut reader, &mut body).unwrap();
    text + &String::from_utf8(body).unwrap()
}

fn plain(status: &'static str, headers: &'static str, body: &'static str) -> Answer {
    Box::new(move |stream, port| {
        let headers = headers.replace("PORT", &port.to_string());
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).unwrap();
    })
}

fn moved(to: &'static str) -> Answer {
    Box::new(move |stream, port| {
        let to = to.replace("PORT", &port.to_string());
        let head = format!(
            "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
    })
}

fn reachable() -> Reachable {
    Reachable {
        hosts: vec!["127.0.0.1".parse().unwrap(), "localhost".parse().unwrap()],
        networks: vec!["127.0.0.1/32".parse().unwrap()],
    }
}

fn client(change: impl FnOnce(&mut FetchConfig)) -> Client {
    let mut fetch = FetchConfig {
        reachable: reachable(),
        ..FetchConfig::default()
    };
    change(&mut fetch);
    let relay = WebhookConfig {
        reachable: reachable(),
        secret: HookSecret::new("a secret of the relay").unwrap(),
        workspaces: vec!["health".to_owned()],
    };
    Client::new(OutboundConfig {
        fetch,
        webhooks: [("relay".to_owned(), relay)].into(),
    })
    .unwrap()
}

fn fetch(client: &Client, url: &str) -> Result<Fetched, OutboundError> {
    client.fetch(url, &Watch::default())
}

#[track_caller]
fn refusal<T: std::fmt::Debug>(result: Result<T, OutboundError>, part: &str) {
    match result {
        Err(OutboundError::Refused { reason }) => assert!(reason.contains(part), "{reason}"),
        other => panic!("{other:?}, but wanted: {part}"),
    }
}

#[test]
fn a_document_is_fetched_with_its_format() {
    let html = plain(
        "200 OK",
        "Content-Type: text/html; charset=utf-8\r\n",
        "<p>Law</p>",
    );
    let server = Server::answering(vec![html]);
    let fetched = fetch(&client(|_| {}), &server.url("/law")).unwrap();
    assert_eq!(fetched.bytes, b"<p>Law</p>");
    assert_eq!(fetched.media_type, Some(MediaType::Html));
    let asked = server.finish();
    assert!(asked[0].starts_with("GET /law HTTP/1.1"), "{asked:?}");
}

#[test]
fn only_named_hosts_at_admitted_addresses_are_reached() {
    let client = client(|_| {});
    for (url, part) in [
        ("https://example.org/a", "not among the hosts"),
        ("http://10.0.0.1/a", "not among the hosts"),
        ("ftp://127.0.0.1/a", "begins with ftp"),
        ("file:///etc/passwd", "begins with file"),
        ("http://name:word@127.0.0.1/", "name or a password"),
        ("nonsense", "no address"),
        // Other ways to write what is forbidden.
        ("http://0x7f.2/", "not among the hosts"),
        ("http://2130706434/", "not among the hosts"),
        ("http://[::1]/", "not among the hosts"),
        ("http://[::ffff:127.0.0.2]/", "not among the hosts"),
    ] {
        refusal(client.check_fetch(url), part);
        refusal(fetch(&client, url), part);
    }
}

#[test]
fn a_named_host_is_not_reached_at_a_forbidden_address() {
    // The names are allowed; where they are is not.
    let hidden = client(|fetch| fetch.reachable.networks.clear());
    refusal(
        fetch(&hidden, "https://127.0.0.1/a"),
        "not an address of the public",
    );
    refusal(fetch(&hidden, "https://localhost/a"), "not at an address");
    refusal(fetch(&hidden, "http://localhost/a"), "begins with http");
    let other = client(|fetch| {
        fetch.reachable.networks = vec!["127.0.0.9/32".parse().unwrap()];
    });
    refusal(fetch(&other, "http://localhost:1/a"), "not at an address");
}

#[test]
fn redirects_are_followed_three_times_and_checked_each_time() {
    let text = || plain("200 OK", "Content-Type: text/plain\r\n", "there");
    let ways = || vec![moved("/b"), moved("http://localhost:PORT/c"), moved("d")];
    let server = Server::answering(ways().into_iter().chain([text()]).collect());
    let fetched = fetch(&client(|_| {}), &server.url("/a/x")).unwrap();
    assert_eq!(fetched.bytes, b"there");
    assert!(server.finish()[3].starts_with("GET /d "));

    let server = Server::answering(ways().into_iter().chain([moved("/e")]).collect());
    refusal(
        fetch(&client(|_| {}), &server.url("/a")),
        "more than 3 times",
    );
    server.finish();

    for (to, part) in [
        (
            "http://169.254.169.254/latest/meta-data/",
            "not among the hosts",
        ),
        ("http://127.0.0.2:PORT/", "not among the hosts"),
        ("file:///etc/passwd", "begins with file"),
        ("//user@127.0.0.1/", "name or a password"),
    ] {
        let server = Server::answering(vec![moved(to)]);
        refusal(fetch(&client(|_| {}), &server.url("/a")), part);
        server.finish();
    }
}

#[test]
fn a_body_that_is_too_large_is_refused_however_it_comes() {
    let small = |fetch: &mut FetchConfig| fetch.max_bytes = 2000;
    let announced = Server::answering(vec![Box::new(|stream, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 9999\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
    })]);
    refusal(
        fetch(&client(small), &announced.url("/a")),
        "more than 2000 bytes",
    );
    announced.finish();
    // Without a length, and without an end: only the limit ends it.
    let endless = Server::answering(vec![Box::new(|stream, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n";
        stream.write_all(head.as_bytes()).unwrap();
        while stream.write_all(&[b'a'; 512]).is_ok() {}
    })]);
    refusal(
        fetch(&client(small), &endless.url("/a")),
        "more than 2000 bytes",
    );
    endless.finish();
}

#[test]
fn a_body_that_never_ends_is_given_up() {
    let (end, ended) = mpsc::channel::<()>();
    let silent = Server::answering(vec![Box::new(move |stream, _| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\nbegun";
        stream.write_all(head.as_bytes()).unwrap();
        // Says nothing more, as long as anybody listens.
        ended.recv().ok();
    })]);
    let hasty = client(|fetch| fetch.max_seconds = 1);
    refusal(
        fetch(&hasty, &silent.url("/a")),
        "longer than the 1 seconds",
    );
    drop(end);
    silent.finish();
}

#[test]
fn a_fetch_that_is_called_off_stops() {
    let watch = Watch::default();
    watch.stop();
    // Nobody listens there, and nobody is asked.
    let stopped = client(|_| {}).fetch("http://127.0.0.1:1/a", &watch);
    assert_eq!(stopped, Err(OutboundError::Stopped));
}

#[test]
fn what_is_no_document_is_refused_and_what_may_change_is_tried_again() {
    for (status, headers, part) in [
        (
            "200 OK",
            "Content-Type: image/png\r\n",
            "no format of documents",
        ),
        ("404 Not Found", "", "answered 404"),
        ("302 Found", "", "leads on to nowhere"),
    ] {
        let server = Server::answering(vec![plain(status, headers, "x")]);
        refusal(fetch(&client(|_| {}), &server.url("/a")), part);
        server.finish();
    }
    for status in ["503 Service Unavailable", "429 Too Many Requests"] {
        let server = Server::answering(vec![plain(status, "", "x")]);
        let failed = fetch(&client(|_| {}), &server.url("/a"));
        assert!(
            matches!(failed, Err(OutboundError::Failed { .. })),
            "{failed:?}"
        );
        server.finish();
    }
}

fn deliver(client: &Client, workspace: &str, hook: &str, url: &str) -> Result<(), OutboundError> {
    client.deliver(&Delivery {
        workspace: &workspace.parse().unwrap(),
        hook,
        url,
        id: "6e1b1f9e",
        event: "answer.done",
        body: br#"{"event":"answer.done"}"#,
    })
}

#[test]
fn a_delivery_is_signed_and_taken() {
    let server = Server::answering(vec![plain("204 No Content", "", "")]);
    deliver(&client(|_| {}), "health", "relay", &server.url("/hook")).unwrap();
    let asked = server.finish().remove(0);
    let (head, body) = asked.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("POST /hook HTTP/1.1"), "{head}");
    let header = |name: &str| {
        let line = head
            .lines()
            .find(|line| line.to_lowercase().starts_with(name));
        line.unwrap().split_once(": ").unwrap().1.to_owned()
    };
    assert_eq!(header("x-genie-event"), "answer.done");
    assert_eq!(header("x-genie-delivery"), "6e1b1f9e");
    let signed = header("x-genie-signature");
    let seconds = signed
        .strip_prefix("t=")
        .and_then(|rest| rest.split_once(',')?.0.parse().ok());
    assert_eq!(
        signed,
        signature(b"a secret of the relay", seconds.unwrap(), body.as_bytes())
    );
}

#[test]
fn a_delivery_goes_where_the_webhook_may_and_is_not_led_on() {
    let client = client(|_| {});
    refusal(
        client.check_delivery(&"energy".parse().unwrap(), "relay", "http://127.0.0.1/"),
        "no webhook",
    );
    refusal(
        deliver(&client, "health", "other", "http://127.0.0.1/"),
        "no webhook",
    );
    refusal(
        deliver(&client, "health", "relay", "https://example.org/"),
        "not among the hosts",
    );
    let server = Server::answering(vec![
        moved("http://169.254.169.254/"),
        plain("410 Gone", "", ""),
    ]);
    let led_on = deliver(&client, "health", "relay", &server.url("/a"));
    assert!(
        matches!(led_on, Err(OutboundError::Failed { .. })),
        "{led_on:?}"
    );
    refusal(
        deliver(&client, "health", "relay", &server.url("/a")),
        "answered 410",
    );
    server.finish();
}
