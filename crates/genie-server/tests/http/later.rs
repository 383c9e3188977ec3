//! Work that goes on after its request: progress as events, answers that come
//! later, webhooks, fetching, suggestions and evaluations.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use genie_core::Usage;
use genie_server::{
    AppState, Delivery, Evaluation, EvaluationError, EvaluationReport, Evaluator, Fetched,
    Outbound, OutboundError, Watch,
};
use genie_state::{JobId, JobState, NewMessage, Owner, Role, Subject, WorkspaceId};
use serde_json::{Value, json};

use crate::fixture::{ASKED, EXCHANGE, Gate, Talker};
use crate::provider::{Provider, Signer};
use crate::tenants::{Service, service, with_keys};

const LATER: [(&str, &str); 1] = [("prefer", "respond-async")];

/// Fetches what it was told to, keeps what it delivers, and fails first as
/// often as it was told to.
#[derive(Default)]
struct Post {
    fetched: Mutex<VecDeque<Result<Fetched, OutboundError>>>,
    failures: Mutex<usize>,
    delivered: Mutex<Vec<(String, String, Value)>>,
}

impl Outbound for Post {
    fn check_fetch(&self, url: &str) -> Result<(), OutboundError> {
        allowed(url)
    }

    fn fetch(&self, _url: &str, _watch: &Watch) -> Result<Fetched, OutboundError> {
        let mut fetched = self.fetched.lock().expect("nobody panics with it");
        fetched.pop_front().expect("something to be fetched")
    }

    fn check_delivery(
        &self,
        _workspace: &WorkspaceId,
        hook: &str,
        url: &str,
    ) -> Result<(), OutboundError> {
        assert_eq!(hook, "relay");
        allowed(url)
    }

    fn deliver(&self, delivery: &Delivery<'_>) -> Result<(), OutboundError> {
        let mut failures = self.failures.lock().expect("nobody panics with it");
        if *failures > 0 {
            *failures -= 1;
            return Err(OutboundError::Failed {
                reason: "the relay is away".to_owned(),
            });
        }
        let body = serde_json::from_slice(delivery.body).expect("JSON");
        let mut delivered = self.delivered.lock().expect("nobody panics with it");
        delivered.push((delivery.id.to_owned(), delivery.event.to_owned(), body));
        Ok(())
    }
}

fn allowed(url: &str) -> Result<(), OutboundError> {
    if url.starts_with("https://allowed.example/") {
        Ok(())
    } else {
        Err(OutboundError::Refused {
            reason: "it is not among the hosts".to_owned(),
        })
    }
}

/// With a talker, this way out, and no pauses between tries.
async fn with_post(post: &Arc<Post>, tries: usize) -> Service {
    let talker = Talker::saying(&["It connects 42 networks. "]);
    let post = Arc::clone(post);
    let service = service(Some(Arc::new(talker)), |state: &mut AppState| {
        with_keys(state);
        state.outbound = Some(post);
        state.delivery_pauses = vec![Duration::ZERO; tries - 1];
    })
    .await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let text = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let added = service
        .ask("POST", "/api/v1/documents", &editor, Some(text))
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
    service
}

#[tokio::test]
async fn a_job_is_told_as_events_until_it_is_over() {
    let mut service = service(None, with_keys).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Editor).await;
    let body = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let queued = service
        .ask_with("POST", "/api/v1/documents", &key, Some(body), &LATER)
        .await;
    let id = queued.json()["id"].as_str().expect("an id").to_owned();
    let events = [("accept", "text/event-stream")];
    let reply = service
        .ask_with("GET", &format!("/api/v1/jobs/{id}"), &key, None, &events)
        .await;
    assert_eq!(reply.header("content-type"), "text/event-stream");
    let told = reply.events();
    let (name, last) = told.last().expect("an event");
    let last: Value = serde_json::from_str(last).expect("JSON");
    assert_eq!((name.as_str(), &last["state"]), ("done", &json!("done")));
    assert_eq!(last["result"]["uri"], "exchange.txt");
    assert!(
        told[..told.len() - 1]
            .iter()
            .all(|(name, _)| name == "progress"),
        "{told:?}"
    );
    // One that is over is told at once.
    let again = service
        .ask_with("GET", &format!("/api/v1/jobs/{id}"), &key, None, &events)
        .await;
    assert_eq!(again.events().len(), 1);
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn an_answer_comes_later_and_is_nobody_elses() {
    let mut service = with_post(&Arc::default(), 1).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Reader).await;
    let question = json!({"question": ASKED});
    let queued = service
        .ask_with("POST", "/api/v1/answer", &key, Some(question), &LATER)
        .await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    assert_eq!(queued.header("preference-applied"), "respond-async");
    let place = queued.header("location").to_owned();
    let done = service.finished_at(&place, &key).await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["result"]["answered"], true, "{done}");
    assert!(
        done["result"]["answer"]
            .as_str()
            .expect("a text")
            .contains("42")
    );
    // It is a job of the caller's, and of nobody else's.
    let id = done["id"].as_str().expect("an id");
    let job = format!("/api/v1/jobs/{id}");
    assert_eq!(service.ask("GET", &job, &key, None).await.json(), done);
    let owner = service.key(Some("health"), Role::Owner).await;
    for path in [&place, &job] {
        for method in ["GET", "DELETE"] {
            let reply = service.ask(method, path, &owner, None).await;
            assert_eq!(reply.json()["code"], "job_not_found", "{method} {path}");
        }
    }
    let listed = service.ask("GET", "/api/v1/jobs", &owner, None).await;
    assert_eq!(listed.json()["count"], 0, "{}", listed.text);
    // It is exported with what is kept of the caller, and erased with it.
    let export = service.ask("GET", "/api/v1/me/data", &key, None).await;
    assert_eq!(export.json()["answers"][0]["id"], id);
    service.ask("DELETE", "/api/v1/me/data", &key, None).await;
    assert_eq!(service.ask("GET", &place, &key, None).await.status, 404);
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn a_message_is_answered_later_and_kept_in_its_conversation() {
    let mut service = with_post(&Arc::default(), 1).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Reader).await;
    let conversation = service
        .ask("POST", "/api/v1/conversations", &key, Some(json!({})))
        .await;
    let id = conversation.json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/api/v1/conversations/{id}/messages");
    let question = json!({"question": ASKED});
    let queued = service
        .ask_with("POST", &path, &key, Some(question), &LATER)
        .await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    let done = service.finished_at(queued.header("location"), &key).await;
    assert_eq!(done["result"]["question"]["text"], ASKED, "{done}");
    let messages = service.ask("GET", &path, &key, None).await.json();
    assert_eq!(messages["count"], 2);
    assert_eq!(messages["results"][1], done["result"]["answer"]);
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn a_message_that_a_crash_came_after_is_kept_once() {
    let mut service = with_post(&Arc::default(), 1).await;
    let (key, secret) = service
        .key_with(Some("health"), Role::Reader, &[], None)
        .await;
    let made = service
        .ask("POST", "/api/v1/conversations", &secret, Some(json!({})))
        .await;
    let made = made.json();
    let conversation = made["id"].as_str().expect("an id");
    let path = format!("/api/v1/conversations/{conversation}/messages");
    let question = json!({"question": ASKED});
    let queued = service
        .ask_with("POST", &path, &secret, Some(question), &LATER)
        .await;
    // What a worker has kept that did not get to end its job.
    let job = queued.json()["id"].as_str().expect("an id").to_owned();
    let job: JobId = job.parse().expect("an id");
    let owner = Owner {
        workspace: "health".parse().expect("an id"),
        subject: Subject::key(&key.id),
    };
    let says = |text: &str| NewMessage {
        text: text.to_owned(),
        language: None,
        answer: None,
    };
    let answer = (job.as_message(), says("Said before the crash."));
    let conversation = conversation.parse().expect("an id");
    let added = service
        .state
        .add_exchange_as(&owner, &conversation, says(ASKED), answer);
    added.await.expect("written").expect("there");

    let (stop, working) = service.work();
    let done = service
        .finished_at(queued.header("location"), &secret)
        .await;
    assert_eq!(done["result"]["answer"]["text"], "Said before the crash.");
    let messages = service.ask("GET", &path, &secret, None).await.json();
    assert_eq!(messages["count"], 2, "{messages}");
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn a_webhook_is_told_until_it_listens() {
    let post = Arc::new(Post::default());
    *post.failures.lock().expect("nobody panics with it") = 2;
    let mut service = with_post(&post, 3).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Reader).await;
    let ask = async |url: &str, headers: &[(&str, &str)]| {
        let body = json!({"question": ASKED, "webhook": {"url": url, "name": "relay"}});
        service
            .ask_with("POST", "/api/v1/answer", &key, Some(body), headers)
            .await
    };
    let refused = ask("https://elsewhere.example/", &LATER).await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (403, &json!("address_not_allowed"))
    );
    let at_once = ask("https://allowed.example/hook", &[]).await;
    assert_eq!(at_once.status, 422, "{}", at_once.text);
    let queued = ask("https://allowed.example/hook", &LATER).await;
    let done = service.finished_at(queued.header("location"), &key).await;
    let delivery = loop {
        let jobs = service.ask("GET", "/api/v1/jobs", &key, None).await.json();
        let jobs = jobs["results"].as_array().expect("a list").clone();
        let delivery = jobs
            .into_iter()
            .find(|job| job["kind"] == "answer.delivery");
        let delivery = delivery.expect("it is queued before the answer is told");
        if delivery["state"] == "done" {
            break delivery;
        }
        assert_ne!(delivery["state"], "failed", "{delivery}");
        // The queue is looked at every few seconds; this tells it earlier.
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(delivery["result"], json!({"delivered": true, "tries": 3}));
    let delivered = std::mem::take(&mut *post.delivered.lock().expect("nobody panics with it"));
    let (id, event, body) = &delivered[0];
    assert_eq!(delivered.len(), 1);
    assert_eq!(
        (id, event.as_str()),
        (
            &done["id"].as_str().expect("an id").to_owned(),
            "answer.done"
        )
    );
    assert_eq!(body["result"], done["result"]);
    assert_eq!(
        (&body["job"], &body["workspace"]),
        (&done["id"], &json!("health"))
    );
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn a_delivery_is_given_up_after_its_last_try() {
    let post = Arc::new(Post::default());
    *post.failures.lock().expect("nobody panics with it") = 9;
    let mut service = with_post(&post, 2).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Reader).await;
    let webhook = json!({"url": "https://allowed.example/hook", "name": "relay"});
    let body = json!({"question": ASKED, "webhook": webhook});
    let queued = service
        .ask_with("POST", "/api/v1/answer", &key, Some(body), &LATER)
        .await;
    let done = service.finished_at(queued.header("location"), &key).await;
    let failed = loop {
        let jobs = service.ask("GET", "/api/v1/jobs", &key, None).await.json();
        let job = jobs["results"][0].clone();
        if job["kind"] == "answer.delivery" && job["state"] == "failed" {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    let reason = failed["reason"].as_str().expect("a reason");
    assert!(
        reason.contains("2 tries") && reason.contains("the relay is away"),
        "{reason}"
    );
    // The answer is there for whoever asks for it.
    let kept = service
        .ask("GET", queued.header("location"), &key, None)
        .await;
    assert_eq!(kept.json(), done);
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn an_answer_that_is_called_off_is_not_given() {
    let gate = Arc::new(Gate::default());
    let talker = Talker::saying(&["It connects 42 networks. "]).behind(&gate);
    let mut service = service(Some(Arc::new(talker)), with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    let text = json!({"uri": "exchange.txt", "text": EXCHANGE});
    service
        .ask("POST", "/api/v1/documents", &key, Some(text))
        .await;
    let (stop, working) = service.work();
    let question = json!({"question": ASKED});
    let queued = service
        .ask_with("POST", "/api/v1/answer", &key, Some(question), &LATER)
        .await;
    let place = queued.header("location").to_owned();
    while !gate.was_reached.load(std::sync::atomic::Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let off = service.ask("DELETE", &place, &key, None).await;
    assert_eq!(off.json()["state"], "cancelled", "{}", off.text);
    gate.open();
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    let after = service.ask("GET", &place, &key, None).await.json();
    assert_eq!(
        (&after["state"], &after["result"]),
        (&json!("cancelled"), &Value::Null)
    );
}

#[tokio::test]
async fn a_revoked_key_gets_no_answer_later() {
    let mut service = with_post(&Arc::default(), 1).await;
    let (revoked, key) = service
        .key_with(Some("health"), Role::Reader, &[], None)
        .await;
    let question = json!({"question": ASKED});
    let queued = service
        .ask_with("POST", "/api/v1/answer", &key, Some(question), &LATER)
        .await;
    let id = queued.json()["id"]
        .as_str()
        .expect("an id")
        .parse()
        .expect("an id");
    service
        .state
        .revoke_key(&revoked.id)
        .await
        .expect("a state");
    let (stop, working) = service.work();
    let workspace = "health".parse().expect("an id");
    let job = loop {
        let job = service.state.job(&workspace, &id).await.expect("a state");
        let job = job.expect("the job");
        if job.state.is_finished() {
            break job;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!((job.state.as_str(), job.result), ("failed", None));
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn a_document_is_fetched_as_a_job() {
    let post = Arc::new(Post::default());
    let mut service = with_post(&post, 1).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Editor).await;
    let fetched = |text: &str| {
        Ok(Fetched {
            bytes: text.as_bytes().to_vec(),
            media_type: None,
        })
    };
    let send = async |url: &str, came: Result<Fetched, OutboundError>| {
        post.fetched
            .lock()
            .expect("nobody panics with it")
            .push_back(came);
        let body = json!({"url": url});
        service
            .ask("POST", "/api/v1/documents", &key, Some(body))
            .await
    };
    let url = "https://allowed.example/law.md";
    let queued = send(url, fetched("The law has 12 articles.")).await;
    assert_eq!(queued.status, 202, "{}", queued.text);
    assert_eq!(queued.json()["kind"], "document.fetch");
    let done = service.finished(&queued, &key).await;
    assert_eq!(
        (&done["state"], &done["result"]["uri"]),
        (&json!("done"), &json!(url)),
        "{done}"
    );
    let id = done["result"]["id"].as_str().expect("an id");
    let content = service
        .ask(
            "GET",
            &format!("/api/v1/documents/{id}/content"),
            &key,
            None,
        )
        .await;
    assert_eq!(content.text, "The law has 12 articles.");
    let refused = OutboundError::Refused {
        reason: "it leads on to elsewhere".to_owned(),
    };
    let failed = send("https://allowed.example/b", Err(refused)).await;
    let failed = service.finished(&failed, &key).await;
    assert_eq!(failed["reason"], "it leads on to elsewhere", "{failed}");
    for (body, status) in [
        (json!({"url": "https://elsewhere.example/"}), 403),
        (json!({"url": url, "text": "and text"}), 400),
        (json!({"uri": "a.md"}), 400),
        (json!({"url": url, "uri": ""}), 400),
        (json!({"url": url, "text": null}), 400),
        // As the description allows it, for the query may say it.
        (json!({"text": "and no name"}), 422),
    ] {
        let reply = service
            .ask("POST", "/api/v1/documents", &key, Some(body.clone()))
            .await;
        assert_eq!(reply.status, status, "{body}: {}", reply.text);
    }
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test]
async fn without_a_way_out_nothing_is_fetched() {
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    let body = json!({"url": "https://allowed.example/a"});
    let reply = service
        .ask("POST", "/api/v1/documents", &key, Some(body))
        .await;
    assert_eq!(
        (reply.status.as_u16(), &reply.json()["code"]),
        (403, &json!("no_outbound"))
    );
}

#[tokio::test]
async fn a_conversation_is_suggested_what_the_documents_answer() {
    let service = with_post(&Arc::default(), 1).await;
    let key = service.key(Some("health"), Role::Editor).await;
    // Another document that the answer finds and does not cite.
    let text = json!({
        "uri": "fees.md",
        "text": "Networks pay.",
    });
    service
        .ask("POST", "/api/v1/documents", &key, Some(text))
        .await;
    let conversation = service
        .ask("POST", "/api/v1/conversations", &key, Some(json!({})))
        .await;
    let id = conversation.json()["id"]
        .as_str()
        .expect("an id")
        .to_owned();
    let path = format!("/api/v1/conversations/{id}");
    let suggestions = format!("{path}/suggestions");
    let before = service.ask("GET", &suggestions, &key, None).await.json();
    assert_eq!(before, json!({"language": null, "results": []}));
    let question = json!({"question": ASKED});
    let asked = service
        .ask("POST", &format!("{path}/messages"), &key, Some(question))
        .await;
    let cited = &asked.json()["answer"]["answer"]["citations"][0]["document"];
    assert_eq!(cited, "exchange.txt", "{}", asked.text);
    let after = service.ask("GET", &suggestions, &key, None).await.json();
    assert_eq!(after["language"], "en");
    let results = after["results"].as_array().expect("a list");
    // Of the other document the answer was taken.
    assert_eq!(results.len(), 1, "{after}");
    assert_eq!(
        (&results[0]["document"], &results[0]["question"]),
        (
            &json!("fees.md"),
            &json!("What does “Sent” say about “Figures”?")
        ),
    );
    for wrong in ["0", "11", "x"] {
        let reply = service
            .ask("GET", &format!("{suggestions}?limit={wrong}"), &key, None)
            .await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    let stranger = service.key(Some("health"), Role::Owner).await;
    let reply = service.ask("GET", &suggestions, &stranger, None).await;
    assert_eq!(reply.json()["code"], "conversation_not_found");
}

/// Waits at a gate and then tells how many lines there were.
struct Judge {
    gate: Arc<Gate>,
}

impl Evaluator for Judge {
    fn check(&self, suite: &[u8]) -> Result<usize, EvaluationError> {
        if suite.starts_with(b"{") {
            return Ok(suite.split(|byte| *byte == b'\n').count());
        }
        Err(EvaluationError::Suite {
            reason: "suite.jsonl:1: this is no question".to_owned(),
        })
    }

    fn run(
        &self,
        evaluation: &Evaluation<'_>,
        watch: &Watch,
    ) -> Result<EvaluationReport, EvaluationError> {
        std::fs::create_dir_all(evaluation.folder).expect("a folder");
        std::fs::write(evaluation.folder.join("items"), evaluation.suite).expect("a file");
        let questions = self.check(evaluation.suite)?;
        assert!(watch.tell(0, questions as u64));
        for _ in 0..questions {
            watch.answered(Usage {
                prompt_tokens: 30,
                completion_tokens: 7,
            });
        }
        self.gate.wait();
        if !watch.tell(1, questions as u64) {
            return Err(EvaluationError::Stopped);
        }
        Ok(EvaluationReport {
            run: json!({"suite": evaluation.name, "items": questions}),
            html: "<!DOCTYPE html><p>Figures".to_owned(),
        })
    }
}

async fn with_judge(gate: &Arc<Gate>) -> Service {
    let judge = Arc::new(Judge {
        gate: Arc::clone(gate),
    });
    service(None, |state: &mut AppState| {
        with_keys(state);
        state.evaluator = Some(judge);
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_is_made_while_the_service_goes_on() {
    let gate = Arc::new(Gate::default());
    let mut service = with_judge(&gate).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Evaluator).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    let suite = json!({"id": "1"});
    let start = async |key: &str, body: Value| {
        service
            .ask("POST", "/api/v1/evaluations?name=gold", key, Some(body))
            .await
    };
    assert_eq!(start(&editor, suite.clone()).await.status, 403);
    let unreadable = start(&key, json!([])).await;
    assert_eq!(unreadable.json()["code"], "invalid_suite");
    let started = start(&key, suite.clone()).await;
    assert_eq!(started.status, 202, "{}", started.text);
    let place = started.header("location").to_owned();
    while !gate.was_reached.load(std::sync::atomic::Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let second = start(&key, suite).await;
    assert_eq!(
        second.json()["code"],
        "evaluation_running",
        "{}",
        second.text
    );
    let early = service
        .ask("GET", &format!("{place}/report"), &key, None)
        .await;
    assert_eq!(early.json()["code"], "evaluation_not_done");
    // Others index meanwhile, as a job too.
    let text = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let queued = service
        .ask_with("POST", "/api/v1/documents", &editor, Some(text), &LATER)
        .await;
    assert_eq!(service.finished(&queued, &editor).await["state"], "done");
    gate.open();
    let done = service.finished_at(&place, &key).await;
    assert_eq!(
        done["result"],
        json!({"run": {"suite": "gold", "items": 1}}),
        "{done}"
    );
    let report = service
        .ask("GET", &format!("{place}/report"), &key, None)
        .await;
    assert_eq!(report.header("content-type"), "text/html; charset=utf-8");
    assert!(
        report
            .header("content-security-policy")
            .starts_with("sandbox;")
    );
    assert!(report.text.ends_with("Figures"));
    assert_eq!(service.ask("GET", &place, &editor, None).await.status, 403);
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    let uploads = service.folder.path().join("uploads/health");
    assert_eq!(std::fs::read_dir(uploads).expect("a folder").count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_listed_no_more_gets_no_answer_later() {
    let signer = Signer::p256("p256");
    let provider = Provider::start(&[signer.public()]);
    let post = Arc::new(Post::default());
    let outbound = Arc::clone(&post);
    let talker = Talker::saying(&["It connects 42 networks. "]);
    let mut service = service(Some(Arc::new(talker)), |state: &mut AppState| {
        with_keys(state);
        provider.of(state);
        state.outbound = Some(outbound);
        state.delivery_pauses = vec![Duration::from_secs(1); 20];
    })
    .await;
    let upkeep = service.upkeep.take().expect("not taken yet");
    let editor = service.key(Some("health"), Role::Editor).await;
    let text = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let added = service
        .ask("POST", "/api/v1/documents", &editor, Some(text))
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
    let health: WorkspaceId = "health".parse().expect("an id");
    let who: Subject = "user:gov:ana".parse().expect("a subject");
    let listed = async |is: bool| {
        if is {
            let set = service.state.set_member(&health, &who, Role::Reader).await;
            set.expect("listed");
        } else {
            let removed = service.state.remove_member(&health, &who).await;
            assert!(removed.expect("removed"));
        }
    };
    listed(true).await;
    let token = signer.token(&provider.claims("ana", &[]));
    let path = "/api/v1/workspaces/health/answer";
    let webhook = json!({"name": "relay", "url": "https://allowed.example/hook"});
    let ask = async || {
        let body = json!({"question": ASKED, "webhook": webhook});
        let queued = service
            .ask_with("POST", path, &token, Some(body), &LATER)
            .await;
        assert_eq!(queued.status, 202, "{}", queued.text);
        queued.json()["id"].as_str().expect("an id").to_owned()
    };
    let job = async |id: &str| {
        let id = id.parse::<JobId>().expect("an id");
        for _ in 0..6000 {
            let job = service.state.job(&health, &id).await.expect("read");
            let job = job.expect("a job");
            if matches!(job.state, JobState::Done | JobState::Failed) {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the job {id} does not end");
    };
    // Nobody works yet, so the question waits.
    let early = ask().await;
    listed(false).await;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = tokio::spawn(upkeep.run(async {
        stopped.await.ok();
    }));
    let ended = job(&early).await;
    assert_eq!(ended.state, JobState::Failed, "{ended:?}");
    assert_eq!(ended.result, None);

    // Answered, and then it can't be delivered until the list has changed.
    listed(true).await;
    *post.failures.lock().expect("nobody panics with it") = usize::MAX;
    let late = ask().await;
    assert_eq!(job(&late).await.state, JobState::Done);
    listed(false).await;
    *post.failures.lock().expect("nobody panics with it") = 0;
    for _ in 0..6000 {
        let open = service.state.open_jobs(&health).await.expect("read");
        if open.is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    let delivered = post.delivered.lock().expect("nobody panics with it");
    let events: Vec<_> = delivered.iter().map(|(id, event, _)| (id, event)).collect();
    // That there is no answer is told; the answer is not.
    assert_eq!(events, [(&early, &"answer.failed".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_an_evaluation_are_used_like_others() {
    let gate = Arc::new(Gate::default());
    let mut service = with_judge(&gate).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Evaluator).await;
    let owner = service.key(Some("health"), Role::Owner).await;
    let start = async || {
        let suite = Some(json!({"id": "1"}));
        let started = service
            .ask("POST", "/api/v1/evaluations", &key, suite)
            .await;
        assert!(
            [202, 429].contains(&started.status.as_u16()),
            "{}",
            started.text
        );
        started
    };
    let used = async || {
        let usage = service.ask("GET", "/api/v1/usage", &key, None).await.json();
        let rows = usage["results"].as_array().expect("rows").clone();
        let sum = |what: &str| {
            rows.iter()
                .filter_map(|row| row[what].as_u64())
                .sum::<u64>()
        };
        (
            sum("answers"),
            sum("prompt_tokens"),
            sum("completion_tokens"),
        )
    };
    gate.open();
    let first = start().await;
    let done = service.finished_at(first.header("location"), &key).await;
    assert_eq!(done["state"], "done", "{done}");
    let second = start().await;
    let done = service.finished_at(second.header("location"), &key).await;
    assert_eq!(done["state"], "done", "{done}");
    // One answer of 30 and 7 tokens each.
    let settings = json!({"settings": {"answers_per_day": 2}});
    let path = "/api/v1/workspaces/health";
    let changed = service.ask("PATCH", path, &owner, Some(settings)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(start().await.json()["code"], "quota_used_up");
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    assert_eq!(used().await, (2, 60, 14));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_ends_where_a_quota_is_used_up() {
    let gate = Arc::new(Gate::default());
    let mut service = with_judge(&gate).await;
    let (stop, working) = service.work();
    let owner = service.key(Some("health"), Role::Owner).await;
    let settings = json!({"settings": {"tokens_per_day": 37}});
    let path = "/api/v1/workspaces/health";
    service.ask("PATCH", path, &owner, Some(settings)).await;
    let suite = Some(json!({"id": "1"}));
    let started = service
        .ask("POST", "/api/v1/evaluations", &owner, suite)
        .await;
    let place = started.header("location").to_owned();
    // The judge is told to stop while it waits.
    let opening = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        gate.open();
    };
    let (ended, ()) = tokio::join!(service.finished_at(&place, &owner), opening);
    assert_eq!(ended["state"], "failed", "{ended}");
    let reason = ended["reason"].as_str().expect("a reason");
    assert!(reason.contains("tokens_per_day"), "{reason}");
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_evaluation_that_is_called_off_leaves_nothing() {
    let gate = Arc::new(Gate::default());
    let mut service = with_judge(&gate).await;
    let (stop, working) = service.work();
    let key = service.key(Some("health"), Role::Evaluator).await;
    let started = service
        .ask(
            "POST",
            "/api/v1/evaluations",
            &key,
            Some(json!({"id": "1"})),
        )
        .await;
    let place = started.header("location").to_owned();
    while !gate.was_reached.load(std::sync::atomic::Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let off = service.ask("DELETE", &place, &key, None).await;
    assert_eq!(off.json()["state"], "cancelled", "{}", off.text);
    gate.open();
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    let uploads = service.folder.path().join("uploads/health");
    assert_eq!(std::fs::read_dir(uploads).expect("a folder").count(), 0);
}
