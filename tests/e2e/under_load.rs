//! What holds while many ask at once: nothing that was acknowledged is lost
//! when the process is killed, and no chat is lost, crossed or starved.

use std::io::{BufRead, BufReader};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use ureq::Agent;

use crate::genie::{Genie, LIMIT, MINILM, SMOLLM, alone, models};
use crate::material::Scratch;
use crate::service::Service;

/// Threads that write at the same time.
const WRITERS: usize = 4;

/// Times that it is killed.
const KILLS: usize = 50;

fn agent() -> Agent {
    Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(600)))
        .http_status_as_error(false)
        .proxy(None)
        .build()
        .into()
}

/// What a writer was told to be kept.
#[derive(Default)]
struct Acknowledged {
    messages: u64,
    documents: Vec<String>,
}

/// Asks and adds documents until the service is gone.
fn write(
    url: &str,
    conversation: &str,
    [writer, round]: [usize; 2],
    all: &AtomicU64,
) -> Acknowledged {
    let agent = agent();
    let mut kept = Acknowledged::default();
    for number in 0.. {
        let question = json!({"question": "What is an Internet exchange point?"});
        let messages = format!("{url}/api/v1/conversations/{conversation}/messages");
        let Ok(reply) = agent.post(messages).send_json(question) else {
            break;
        };
        assert_eq!(reply.status(), 201);
        kept.messages += 2;
        all.fetch_add(1, Ordering::Relaxed);
        let document = json!({
            "uri": format!("{writer}-{round}-{number}.md"),
            "text": format!("Station {writer} of round {round} counted {number} ships."),
        });
        let Ok(reply) = agent
            .post(format!("{url}/api/v1/documents"))
            .send_json(document)
        else {
            break;
        };
        assert_eq!(reply.status(), 201);
        // The head was an acknowledgement; the id is in the body, which may
        // not have come any more.
        let Ok(body) = reply.into_body().read_json::<Value>() else {
            break;
        };
        all.fetch_add(1, Ordering::Relaxed);
        kept.documents
            .push(body["id"].as_str().expect("an id").to_owned());
    }
    kept
}

#[test]
fn killed_again_and_again_under_load_it_loses_nothing() {
    let Some(models) = models(&[MINILM]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    scratch.write(
        "home/config.toml",
        "[retrieval]\nmin_similarity = 0.1\n[server]\nrequests_per_minute = 0\n",
    );
    let genie = Genie::quick(&scratch.home(), &models);
    scratch.articles();
    genie.run(&["ingest", "docs"]).ended(0);
    let mut service = Service::start(&genie);
    let conversations: Vec<String> = (0..WRITERS)
        .map(|_| {
            let made = service.post("/api/v1/conversations", &json!({"title": "kept"}));
            made.json()["id"].as_str().expect("an id").to_owned()
        })
        .collect();
    let mut messages = [0; WRITERS];
    let mut documents = Vec::new();
    let mut starts = Vec::new();
    for round in 0..KILLS {
        let url = service.url.clone();
        let all = AtomicU64::new(0);
        let kept: Vec<Acknowledged> = std::thread::scope(|scope| {
            let writers: Vec<_> = conversations
                .iter()
                .enumerate()
                .map(|(writer, conversation)| {
                    let (url, all) = (&url, &all);
                    scope.spawn(move || write(url, conversation, [writer, round], all))
                })
                .collect();
            // Moments that differ, so that it is hit in all kinds of work,
            // but only once it has something to lose.
            let deadline = Instant::now() + LIMIT;
            while all.load(Ordering::Relaxed) < 4 + round as u64 % 7 && Instant::now() < deadline {
                std::thread::sleep(Duration::from_millis(1));
            }
            std::thread::sleep(Duration::from_millis((round as u64 * 37) % 90));
            service.kill();
            writers
                .into_iter()
                .map(|writer| writer.join().expect("a writer does not panic"))
                .collect()
        });
        let begun = Instant::now();
        service = Service::start(&genie);
        starts.push(begun.elapsed().as_millis());
        for (writer, kept) in kept.into_iter().enumerate() {
            let conversation = &conversations[writer];
            let path = format!("/api/v1/conversations/{conversation}/messages?pageSize=1");
            let count = service.get(&path).ok().json()["count"].as_u64();
            let count = count.expect("a count");
            // One exchange may have been kept whose answer did not arrive.
            messages[writer] += kept.messages;
            assert!(
                count == messages[writer] || count == messages[writer] + 2,
                "{count} messages instead of {} after round {round}",
                messages[writer]
            );
            messages[writer] = count;
            documents.extend(kept.documents);
        }
        for id in &documents {
            service.get(&format!("/api/v1/documents/{id}")).ok();
        }
        let verdict = service.get("/api/v1/audit/verify").ok().json();
        assert_eq!(verdict["whole"], true, "{verdict}");
    }
    eprintln!(
        "{} messages and {} documents kept; milliseconds to ready after a kill: {starts:?}",
        messages.iter().sum::<u64>(),
        documents.len()
    );
    assert!(!documents.is_empty() && messages.iter().sum::<u64>() > 0);
    service.stop().ended(0);
}

/// How a reader behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reader {
    Usual,
    /// Takes its time with each line.
    Slow,
    /// Closes the connection at the first event.
    Leaves,
}

#[test]
fn many_chats_at_once_are_neither_lost_nor_crossed_nor_starved() {
    let Some(models) = models(&[MINILM, SMOLLM]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    scratch.write(
        "home/config.toml",
        "[retrieval]\nmin_similarity = 0.1\ntop_k = 1\n[answer]\nmax_tokens = 24\n\
         [server]\nrequests_per_minute = 0\n",
    );
    let genie = Genie::quick(&scratch.home(), &models).set("GENIE_CHAT_MODEL", SMOLLM);
    let service = Service::start(&genie);
    // As many as the service takes on as it is installed, and far more than
    // the model's slots, so that the large one has a line.
    let large = 48;
    let chats: Vec<(&str, usize)> = (0..large)
        .map(|number| ("fisheries", number))
        .chain((0..large / 3).map(|number| ("harbours", number)))
        .collect();
    for (workspace, text) in [
        (
            "fisheries",
            "The fisheries office counts herring in the northern bay.",
        ),
        (
            "harbours",
            "The harbour office measures the depth of the southern basin.",
        ),
    ] {
        let made = service.post("/api/v1/workspaces", &json!({"id": workspace}));
        assert_eq!(made.status, 201, "{}", made.text);
        let path = format!("/api/v1/workspaces/{workspace}/documents");
        let document = json!({"uri": format!("{workspace}.md"), "text": text});
        assert_eq!(service.post(&path, &document).status, 201);
    }
    let finished = Mutex::new(Vec::new());
    let wave = || {
        std::thread::scope(|scope| {
            for (workspace, number) in &chats {
                let (url, finished) = (&service.url, &finished);
                scope.spawn(move || {
                    let reader = match number % 4 {
                        1 => Reader::Slow,
                        3 => Reader::Leaves,
                        _ => Reader::Usual,
                    };
                    chat(url, workspace, *number, reader);
                    if reader == Reader::Usual {
                        finished.lock().expect("no panic").push(*workspace);
                    }
                });
            }
        });
    };
    wave();
    let first = service.resident();
    let order = std::mem::take(&mut *finished.lock().expect("no panic"));
    // The small workspace does not wait for the large one's line: who is in
    // the middle of its own is not at the end of both. Turns themselves are
    // tested where nothing else has a say in the order.
    let small: Vec<usize> = (0..order.len())
        .filter(|at| order[*at] == "harbours")
        .collect();
    let middle = small[small.len() / 2];
    let of_large = |from: usize| {
        order[from..]
            .iter()
            .filter(|it| **it == "fisheries")
            .count()
    };
    assert!(of_large(middle) >= of_large(0) / 6, "{order:?}");
    wave();
    let second = service.resident();
    // Pages that a second wave of the same leaves behind would be a leak; an
    // allocator's own swings are less than a tenth.
    assert!(
        second < first + first / 10 + (32 << 20),
        "{first} bytes after the first wave, {second} after the second"
    );
    // Those who left are noticed: nothing is in work any more.
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let metrics = service.get("/metrics").ok().text;
        let in_work = metrics
            .lines()
            .find_map(|line| line.strip_prefix("genie_requests_in_work "))
            .expect("a gauge of requests in work");
        if in_work.trim() == "0" {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{in_work} requests still in work"
        );
        std::thread::sleep(Duration::from_millis(100));
    }
    service.stop().ended(0);
}

/// One chat with one question; what comes back has to be its own.
fn chat(url: &str, workspace: &str, number: usize, reader: Reader) {
    let agent = agent();
    let base = format!("{url}/api/v1/workspaces/{workspace}/conversations");
    let title = json!({"title": format!("{workspace} {number}")});
    let made = agent.post(&base).send_json(title).expect("an answer");
    let made: Value = made.into_body().read_json().expect("a conversation");
    let messages = format!("{base}/{}/messages", made["id"].as_str().expect("an id"));
    let question = format!("What does the office number {number} do in the {workspace}?");
    let asked = agent
        .post(&messages)
        .header("Accept", "text/event-stream")
        .send_json(json!({"question": question}))
        .expect("an answer");
    assert_eq!(asked.status(), 200);
    let mut done = false;
    for line in BufReader::new(asked.into_body().into_reader()).lines() {
        let line = line.expect("a line");
        if reader == Reader::Leaves && line.starts_with("data:") {
            return;
        }
        if reader == Reader::Slow {
            std::thread::sleep(Duration::from_millis(50));
        }
        assert!(
            line != "event: error",
            "chat {number} of {workspace} failed"
        );
        done |= line == "event: done";
    }
    assert!(done, "chat {number} of {workspace} was lost");
    let kept = agent.get(&messages).call().expect("an answer");
    let kept: Value = kept.into_body().read_json().expect("messages");
    let kept = kept["results"].as_array().expect("a list");
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(kept[0]["text"], question.as_str());
    let own = format!("{workspace}.md");
    for citation in kept[1]["answer"]["citations"]
        .as_array()
        .into_iter()
        .flatten()
    {
        assert_eq!(citation["document"], own.as_str(), "of another workspace");
    }
}
