//! How a running service is watched, traces and logs; and whom it believes.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::mpsc;

use serde_json::{Value, json};
use ureq::Agent;

use crate::genie::with_articles;
use crate::service::Service;

const TRACE: u128 = 0x0af7_6519_16cd_43dd_8448_eb21_1c80_319c;
const QUESTION: &str = "Which quay did zanzibarite exchanges connect in marmalade?";

/// A collector that takes everything, and what it got.
fn collector() -> (String, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (sender, received) = mpsc::channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).unwrap() > 0 {
                head.push(byte[0]);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            assert!(head.starts_with("post /v1/traces "), "{head}");
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            connection.read_exact(&mut body).unwrap();
            // The test has ended where nobody wants it.
            let _ = sender.send(body);
            let _ = connection
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, received)
}

fn count(bytes: &[u8], part: &[u8]) -> usize {
    let found = bytes.windows(part.len()).filter(|found| *found == part);
    found.count()
}

/// The head of a span: in protobuf, field 5 is its name.
fn named(name: &str) -> Vec<u8> {
    let length = u8::try_from(name.len()).expect("a short name");
    [&[0x2a, length][..], name.as_bytes()].concat()
}

#[test]
fn a_question_is_one_trace_and_its_text_is_nowhere() {
    let Some((scratch, genie)) = with_articles() else {
        return;
    };
    let docs = scratch.path("docs").to_string_lossy().into_owned();
    genie.run(&["ingest", &docs]).ended(0);
    let made = genie.json(&["key", "create", "--operator", "--name", "test", "--json"]);
    let secret = made["secret"].as_str().expect("a secret").to_owned();
    let reader = genie.json(&["key", "create", "--name", "reader", "--json"]);
    let (address, received) = collector();
    let genie = genie
        .set("GENIE_OTLP_ENDPOINT", address)
        .set("GENIE_LOG", "debug")
        .set("GENIE_LOG_FORMAT", "json");
    let service = Service::start(&genie);
    let agent: Agent = Agent::config_builder().proxy(None).build().into();
    let mut response = agent
        .post(format!("{}/api/v1/answer", service.url))
        .header("Authorization", format!("Bearer {secret}"))
        .header(
            "traceparent",
            format!("00-{TRACE:032x}-b7ad6b7169203331-01"),
        )
        .send_json(json!({ "question": QUESTION }))
        .expect("an answer");
    let answer: Value = response.body_mut().read_json().expect("JSON");
    assert!(!answer["passages"].as_array().expect("passages").is_empty());
    // A key that is none is a secret as well.
    let wrong = format!("gk_00000000_{}", "wrongsecret");
    assert_eq!(service.get_with_key("/api/v1/me", &wrong).status, 401);
    let wrong_role = reader["secret"].as_str().expect("a secret");
    let refused = service.get_with_key("/api/v1/audit", wrong_role);
    assert_eq!(refused.status, 403, "{}", refused.text);
    let ended = service.stop().ended(0);
    let sent: Vec<u8> = received.try_iter().flatten().collect();
    let trace = [&[0x0a, 16][..], &TRACE.to_be_bytes()].concat();
    let names = [
        "request", "access", "answer", "retrieve", "embed", "find", "rank",
    ];
    for name in names {
        assert!(count(&sent, &named(name)) >= 1, "no span {name}");
    }
    assert_eq!(
        count(&sent, &trace),
        names.len(),
        "spans of the caller's trace"
    );
    assert_eq!(count(&sent, b"zanzibarite"), 0);
    assert_eq!(count(&sent, secret.as_bytes()), 0);
    let lines: Vec<Value> = ended
        .err
        .lines()
        .filter(|line| line.starts_with('{'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let said = |text: &str| lines.iter().any(|line| line["fields"]["message"] == text);
    assert!(said("answered a request"), "{}", ended.err);
    assert!(said("access denied: no valid credentials"), "{}", ended.err);
    // Who was let in where, and who was not and why.
    let decided = |text: &str, subject: &str, code: Option<&str>| {
        lines.iter().any(|line| {
            let fields = &line["fields"];
            fields["message"] == text
                && fields["security"] == true
                && fields["subject"] == subject
                && fields["method"].is_string()
                && fields["route"].is_string()
                && fields["code"].as_str() == code
        })
    };
    let operator = format!("key:{}", made["id"].as_str().expect("an id"));
    assert!(decided("access allowed", &operator, None), "{}", ended.err);
    let reader = format!("key:{}", reader["id"].as_str().expect("an id"));
    let code = Some("forbidden");
    assert!(decided("access denied", &reader, code), "{}", ended.err);
    let passage = answer["passages"][0]["text"].as_str().expect("a text");
    let sentence: String = passage.chars().take(40).collect();
    for text in [
        "zanzibarite",
        "marmalade",
        &secret,
        "wrongsecret",
        &sentence,
    ] {
        assert!(
            !ended.err.contains(text),
            "{text:?} is in the log:\n{}",
            ended.err
        );
    }
}

#[test]
fn a_provider_that_is_down_is_not_taken_for_a_wrong_token() {
    let Some((_scratch, genie)) = with_articles() else {
        return;
    };
    let closed = TcpListener::bind("127.0.0.1:0").unwrap();
    let issuer = format!("http://{}", closed.local_addr().unwrap());
    drop(closed);
    let genie = genie
        .set("GENIE_OIDC_ISSUER", issuer)
        .set("GENIE_OIDC_AUDIENCE", "genie");
    genie.run(&["config", "check"]).ended(0);
    let shown = genie.run(&["config", "show"]).ended(0);
    assert!(shown.out.contains("oidc.audience"), "{}", shown.out);
    let service = Service::start(&genie);
    // {"alg":"ES256","kid":"a"} and no claims.
    let token = "eyJhbGciOiJFUzI1NiIsImtpZCI6ImEifQ.e30.AAAA";
    let reply = service.get_with_key("/api/v1/me", token);
    assert_eq!(
        (reply.status, &reply.json()["code"]),
        (503, &json!("identity_unavailable"))
    );
    let none = "eyJhbGciOiJub25lIn0.e30.";
    assert_eq!(service.get_with_key("/api/v1/me", none).status, 401);
    service.stop().ended(0);
    let wrong = genie.set("GENIE_OIDC_ALGORITHMS", "HS256");
    wrong
        .run(&["config", "check"])
        .refused(&["[oidc]", "HS256"]);
}
