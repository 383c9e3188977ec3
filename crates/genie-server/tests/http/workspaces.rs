//! Workspaces, keys, conversations, jobs and the trail, as applications use
//! them.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use genie_state::Role;
use serde_json::{Value, json};

use crate::Reply;
use crate::fixture::Talker;
use crate::tenants::{Service, service, with_keys};

async fn with_talker() -> Service {
    let talker = Talker::saying(&["It connects 42 networks. ", "It was painted in 1999."]);
    service(Some(Arc::new(talker)), with_keys).await
}

const EXCHANGE: &str = "The exchange opened in 2019. It connects 42 networks. \
    Members pay one fee a year.";
const QUESTION: &str = "How many networks does the exchange connect since it opened?";

async fn filled(service: &Service, key: &str) {
    let text = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let added = service
        .ask("POST", "/api/v1/documents", key, Some(text))
        .await;
    assert_eq!(added.status, 201, "{}", added.text);
}

#[tokio::test]
async fn a_workspace_is_made_changed_and_erased() {
    let service = service(None, with_keys).await;
    let operator = service.key(None, Role::Owner).await;
    let ask = async |method: &str, path: &str, body: Option<Value>| {
        service.ask(method, path, &operator, body).await
    };
    let new = json!({"id": "transport", "name": "Ministry of Transport", "settings": {"top_k": 3}});
    let made = ask("POST", "/api/v1/workspaces", Some(new.clone())).await;
    assert_eq!(made.status, 201, "{}", made.text);
    assert_eq!(made.header("location"), "/api/v1/workspaces/transport");
    assert_eq!(made.json()["settings"]["top_k"], 3);
    assert_eq!(
        ask("POST", "/api/v1/workspaces", Some(new)).await.status,
        409
    );
    for wrong in [
        json!({"id": "Transport"}),
        json!({"id": ""}),
        json!({"id": "a".repeat(64)}),
        json!({"id": "x", "settings": {"top_k": 0}}),
        json!({"id": "x", "settings": {"languages": ["de"]}}),
        json!({"id": "x", "settings": {"colour": "red"}}),
        json!({"id": "x", "settings": {"style": "ornate"}}),
        json!({"id": "x", "name": " "}),
    ] {
        let reply = ask("POST", "/api/v1/workspaces", Some(wrong.clone())).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    // What models there are stands in no description.
    let model = json!({"id": "x", "settings": {"model": "not-offered"}});
    let refused = ask("POST", "/api/v1/workspaces", Some(model)).await;
    assert_eq!(refused.status, 422, "{}", refused.text);
    let changed = ask(
        "PATCH",
        "/api/v1/workspaces/transport",
        Some(json!({"settings": {
            "top_k": 7, "answers": "quoted", "model": "offered", "style": "list"
        }})),
    )
    .await;
    assert_eq!(changed.json()["settings"]["model"], "offered");
    assert_eq!(changed.json()["settings"]["style"], "list");
    assert_eq!(changed.json()["version"], 2, "{}", changed.text);
    assert_eq!(changed.json()["name"], "Ministry of Transport");
    let history = ask("GET", "/api/v1/workspaces/transport/settings/history", None).await;
    assert_eq!(
        history.json()["results"][0]["settings"]["top_k"],
        7,
        "{}",
        history.text
    );
    let all = ask("GET", "/api/v1/workspaces?pageSize=2", None)
        .await
        .json();
    assert_eq!(all["count"], 4);
    assert_eq!(all["next"], "/api/v1/workspaces?page=2&pageSize=2");
    assert_eq!(
        ask("DELETE", "/api/v1/workspaces/transport", None)
            .await
            .status,
        204
    );
    assert_eq!(
        ask("GET", "/api/v1/workspaces/transport", None)
            .await
            .status,
        404
    );
    assert_eq!(
        ask("DELETE", "/api/v1/workspaces/default", None)
            .await
            .status,
        409
    );
}

#[tokio::test]
async fn keys_are_made_rotated_and_revoked() {
    let service = service(None, with_keys).await;
    let owner = service.key(Some("health"), Role::Owner).await;
    let path = "/api/v1/workspaces/health/keys";
    let new = json!({"name": "the portal", "role": "reader", "scopes": ["search"], "expires": "2099-01-01T00:00:00Z"});
    let made = service.ask("POST", path, &owner, Some(new)).await;
    assert_eq!(made.status, 201, "{}", made.text);
    let made = made.json();
    let (id, secret) = (
        made["id"].as_str().expect("an id"),
        made["secret"].as_str().expect("a secret"),
    );
    assert!(secret.starts_with(made["prefix"].as_str().expect("a prefix")));
    let me = service.ask("GET", "/api/v1/me", secret, None).await.json();
    assert_eq!(me["workspace"], "health");
    assert_eq!(me["scopes"], json!(["search"]));
    let listed = service.ask("GET", path, &owner, None).await;
    assert_eq!(listed.json()["count"], 2);
    assert!(!listed.text.contains(secret), "secrets are told once");
    let rotated = service
        .ask("POST", &format!("{path}/{id}/rotate"), &owner, None)
        .await
        .json();
    let newer = rotated["secret"].as_str().expect("a secret");
    assert_eq!(
        service.ask("GET", "/api/v1/me", secret, None).await.status,
        401
    );
    assert_eq!(
        service.ask("GET", "/api/v1/me", newer, None).await.status,
        200
    );
    assert_eq!(
        service
            .ask("DELETE", &format!("{path}/{id}"), &owner, None)
            .await
            .status,
        204
    );
    assert_eq!(
        service.ask("GET", "/api/v1/me", newer, None).await.status,
        401
    );
    for wrong in [
        json!({"name": "", "role": "reader"}),
        json!({"name": "x", "role": "king"}),
        json!({"name": "x", "role": "reader", "scopes": ["fly"]}),
        json!({"name": "x", "role": "reader", "expires": "soon"}),
    ] {
        let reply = service.ask("POST", path, &owner, Some(wrong.clone())).await;
        assert_eq!(reply.status, 400, "{wrong}");
    }
    // As the description has it, and of no use.
    for senseless in [
        json!({"name": "x", "role": "reader", "scopes": ["manage"]}),
        json!({"name": "x", "role": "reader", "expires": "2001-01-01T00:00:00Z"}),
    ] {
        let reply = service
            .ask("POST", path, &owner, Some(senseless.clone()))
            .await;
        assert_eq!(reply.status, 422, "{senseless}");
    }
}

#[tokio::test]
async fn nobody_hands_out_more_than_they_have() {
    let service = service(None, with_keys).await;
    let (_, manager) = service
        .key_with(Some("health"), Role::Owner, &["manage"], None)
        .await;
    let path = "/api/v1/workspaces/health/keys";
    let wide = json!({"name": "x", "role": "reader"});
    assert_eq!(
        service.ask("POST", path, &manager, Some(wide)).await.status,
        403
    );
    let same = json!({"name": "x", "role": "owner", "scopes": ["manage"]});
    assert_eq!(
        service.ask("POST", path, &manager, Some(same)).await.status,
        201
    );
    // Nor do they by rotating one that has more.
    let (other, _) = service
        .key_with(Some("health"), Role::Owner, &[], None)
        .await;
    let rotate = format!("{path}/{}/rotate", other.id);
    assert_eq!(
        service.ask("POST", &rotate, &manager, None).await.status,
        403
    );
}

#[tokio::test]
async fn a_conversation_is_kept_rated_exported_and_erased() {
    let service = with_talker().await;
    let key = service.key(Some("health"), Role::Editor).await;
    filled(&service, &key).await;
    let opened = service
        .ask("POST", "/api/v1/conversations", &key, Some(json!({})))
        .await;
    let id = opened.json()["id"].as_str().expect("an id").to_owned();
    let messages = format!("/api/v1/conversations/{id}/messages");
    let asked = service
        .ask("POST", &messages, &key, Some(json!({"question": QUESTION})))
        .await;
    assert_eq!(asked.status, 201, "{}", asked.text);
    let exchange = asked.json();
    assert_eq!(exchange["question"]["text"], QUESTION);
    assert_eq!(
        exchange["answer"]["answer"]["citations"][0]["document"],
        "exchange.txt"
    );
    let streamed = service
        .ask_with(
            "POST",
            &messages,
            &key,
            Some(json!({"question": QUESTION})),
            &[("accept", "text/event-stream")],
        )
        .await;
    let events: Vec<String> = streamed
        .events()
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(
        events.first().map(String::as_str),
        Some("sources"),
        "{}",
        streamed.text
    );
    assert_eq!(&events[events.len() - 2..], ["citations", "done"]);
    assert!(events.contains(&"sentence".to_owned()));
    let kept = service.ask("GET", &messages, &key, None).await.json();
    assert_eq!(kept["count"], 4);
    assert_eq!(kept["results"][3]["author"], "assistant");
    let named = service
        .ask("GET", &format!("/api/v1/conversations/{id}"), &key, None)
        .await
        .json();
    assert_eq!(named["title"], QUESTION);
    let answer = kept["results"][1]["id"].as_str().expect("an id");
    let question = kept["results"][0]["id"].as_str().expect("an id");
    let rate = async |id: &str, body: Value| {
        service
            .ask(
                "PUT",
                &format!("/api/v1/messages/{id}/feedback"),
                &key,
                Some(body),
            )
            .await
    };
    assert_eq!(rate(answer, json!({"rating": 6})).await.status, 400);
    assert_eq!(rate(answer, json!({})).await.status, 422);
    assert_eq!(rate(question, json!({"rating": 5})).await.status, 404);
    assert_eq!(
        rate(answer, json!({"rating": 5, "wrong_citation": 1}))
            .await
            .status,
        200
    );
    let owner = service.key(Some("health"), Role::Owner).await;
    let said = service
        .ask("GET", "/api/v1/feedback", &owner, None)
        .await
        .json();
    assert_eq!(said["results"][0]["wrong_citation"], 1);
    let export = service
        .ask("GET", "/api/v1/me/data", &key, None)
        .await
        .json();
    assert_eq!(
        export["conversations"][0]["history"]
            .as_array()
            .map(Vec::len),
        Some(4)
    );
    let erased = service.ask("DELETE", "/api/v1/me/data", &key, None).await;
    assert_eq!(erased.json()["conversations"], 1);
    assert_eq!(service.ask("GET", &messages, &key, None).await.status, 404);
}

#[tokio::test]
async fn what_was_done_is_in_the_trail_without_content() {
    let service = with_talker().await;
    let key = service.key(Some("health"), Role::Editor).await;
    filled(&service, &key).await;
    let headers = [
        ("x-correlation-id", "case-17"),
        ("x-road-issue", "permit-4711"),
    ];
    let answered = service
        .ask_with(
            "POST",
            "/api/v1/answer",
            &key,
            Some(json!({"question": QUESTION})),
            &headers,
        )
        .await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    assert_eq!(
        service.ask("GET", "/api/v1/keys", &key, None).await.status,
        403
    );
    let auditor = service.key(Some("health"), Role::Auditor).await;
    let trail = service.ask("GET", "/api/v1/audit", &auditor, None).await;
    let records = trail.json();
    let newest = &records["results"][0];
    assert_eq!(newest["action"], "answer", "{}", trail.text);
    assert_eq!(newest["correlation"], "case-17");
    assert_eq!(newest["intent"], "permit-4711");
    assert_eq!(newest["model"], "fake-chat");
    assert!(!trail.text.contains("networks"), "no content in the trail");
    let operator = service.key(None, Role::Owner).await;
    let verdict = service
        .ask("GET", "/api/v1/audit/verify", &operator, None)
        .await
        .json();
    assert_eq!(verdict["whole"], true);
    assert_eq!(verdict["records"], 3, "added, answered, denied");
}

#[tokio::test]
async fn what_failed_is_in_the_trail_and_what_only_read_is_not() {
    let service = with_talker().await;
    let key = service.key(Some("health"), Role::Editor).await;
    let asked = |method: &'static str, path: &'static str, body: Option<Value>| {
        service.ask(method, path, &key, body)
    };
    let unknown = "/api/v1/documents/00000000000000000000000000000000";
    assert_eq!(asked("GET", unknown, None).await.status, 404);
    assert_eq!(asked("DELETE", unknown, None).await.status, 404);
    let empty = json!({"question": ""});
    let refused = asked("POST", "/api/v1/answer", Some(empty)).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    let auditor = service.key(Some("health"), Role::Auditor).await;
    let trail = service.ask("GET", "/api/v1/audit", &auditor, None).await;
    let records = trail.json()["results"].clone();
    let told: Vec<_> = records
        .as_array()
        .expect("a list")
        .iter()
        .map(|record| (record["object"].clone(), record["outcome"].clone()))
        .collect();
    assert_eq!(
        told,
        [
            (json!("POST /api/v1/answer"), json!("failed 400")),
            (json!("DELETE /api/v1/documents/{id}"), json!("failed 404")),
        ]
    );
}

#[tokio::test]
async fn a_document_is_indexed_as_a_job() {
    let mut service = service(None, with_keys).await;
    let upkeep = service.upkeep.take().expect("not taken yet");
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let working = tokio::spawn(upkeep.run(async {
        stopped.await.expect("it is stopped");
    }));
    let key = service.key(Some("health"), Role::Editor).await;
    let queue = async |text: &str| {
        let body = json!({"uri": "exchange.txt", "text": text});
        let reply = service
            .ask_with(
                "POST",
                "/api/v1/documents",
                &key,
                Some(body),
                &[("prefer", "respond-async")],
            )
            .await;
        assert_eq!(reply.status, 202, "{}", reply.text);
        let path = format!(
            "/api/v1/jobs/{}",
            reply.json()["id"].as_str().expect("an id")
        );
        for _ in 0..500 {
            let job = service.ask("GET", &path, &key, None).await.json();
            if job["state"] != "queued" && job["state"] != "running" {
                return job;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("the job does not end");
    };
    let done = queue(EXCHANGE).await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["result"]["uri"], "exchange.txt");
    let listed = service
        .ask("GET", "/api/v1/documents", &key, None)
        .await
        .json();
    assert_eq!(listed["count"], 1);
    // What no try can read is set aside at once, with the reason.
    let failed = queue("bad").await;
    assert_eq!(
        (&failed["state"], &failed["attempts"]),
        (&json!("failed"), &json!(1)),
        "{failed}"
    );
    assert_eq!(failed["reason"], "this is no document");
    stop.send(()).expect("it runs");
    working.await.expect("no panic");
    let waiting =
        std::fs::read_dir(service.folder.path().join("uploads/health")).expect("a folder");
    assert_eq!(waiting.count(), 0, "bytes of finished jobs are gone");
}

#[tokio::test]
async fn usage_is_counted_by_day_and_caller() {
    let mut service = with_talker().await;
    let key = service.key(Some("health"), Role::Owner).await;
    filled(&service, &key).await;
    for _ in 0..3 {
        service
            .ask(
                "POST",
                "/api/v1/search",
                &key,
                Some(json!({"query": "networks"})),
            )
            .await;
    }
    service
        .ask(
            "POST",
            "/api/v1/answer",
            &key,
            Some(json!({"question": QUESTION})),
        )
        .await;
    // Written down at the latest when the service ends.
    let upkeep = service.upkeep.take().expect("not taken yet");
    upkeep.run(std::future::ready(())).await;
    let usage = service.ask("GET", "/api/v1/usage", &key, None).await.json();
    let day = &usage["results"][0];
    assert_eq!(
        (&day["searches"], &day["answers"], &day["documents"]),
        (&json!(3), &json!(1), &json!(1)),
        "{usage}"
    );
    assert!(day["completion_tokens"].as_u64() > Some(0));
    assert_eq!(
        service
            .ask("GET", "/api/v1/usage?from=yesterday", &key, None)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn what_a_reader_leaves_counts_as_far_as_it_went() {
    let talker = Talker::endless().pausing(Duration::from_millis(1));
    let mut service = service(Some(Arc::new(talker)), |state| {
        with_keys(state);
        state.server.direct_model = true;
    })
    .await;
    let key = service.key(Some("health"), Role::Owner).await;
    let body = json!({
        "grounding": "none",
        "messages": [{"role": "user", "content": "Tell me of networks."}],
        "stream": true,
    });
    let reply = service.begin("/v1/chat/completions", &key, &body).await;
    let mut chunks = reply.into_body().into_data_stream();
    let mut read = String::new();
    while read.matches("networks").count() < 3 {
        let chunk = chunks.next().await.expect("it goes on").expect("a body");
        read.push_str(&String::from_utf8_lossy(&chunk));
    }
    drop(chunks);
    let tokens = async {
        loop {
            let upkeep = service.upkeep.take();
            if let Some(upkeep) = upkeep {
                tokio::time::sleep(Duration::from_millis(300)).await;
                upkeep.run(std::future::ready(())).await;
            }
            let usage = service.ask("GET", "/api/v1/usage", &key, None).await.json();
            let tokens = usage["results"][0]["completion_tokens"].as_u64();
            if tokens > Some(0) {
                break tokens;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let tokens = tokio::time::timeout(Duration::from_secs(20), tokens).await;
    assert!(tokens.expect("it is counted") >= Some(3));
}

#[tokio::test]
async fn a_workspace_is_a_model() {
    let service = with_talker().await;
    let key = service.key(Some("health"), Role::Editor).await;
    filled(&service, &key).await;
    let models = service.ask("GET", "/v1/models", &key, None).await.json();
    let ids: Vec<&str> = models["data"]
        .as_array()
        .expect("models")
        .iter()
        .filter_map(|model| model["id"].as_str())
        .collect();
    assert!(
        ids.contains(&"genie/health") && !ids.contains(&"genie/energy"),
        "{ids:?}"
    );
    let chat = async |key: &str, model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": QUESTION}]});
        service
            .ask("POST", "/v1/chat/completions", key, Some(body))
            .await
    };
    let answered = chat(&key, "genie/health").await;
    assert_eq!(
        answered.json()["citations"][0]["document"],
        "exchange.txt",
        "{}",
        answered.text
    );
    assert_eq!(chat(&key, "genie/energy").await.status, 404);
    let operator = service.key(None, Role::Owner).await;
    let answered = chat(&operator, "genie/health").await;
    assert_eq!(
        answered.json()["citations"][0]["document"],
        "exchange.txt",
        "{}",
        answered.text
    );
}

#[tokio::test]
async fn limits_and_quotas_end_a_caller_not_the_others() {
    let service = service(None, |state| {
        with_keys(state);
        state.server.requests_per_minute = 5;
    })
    .await;
    let key = service.key(Some("health"), Role::Editor).await;
    let mut statuses = Vec::new();
    for _ in 0..8 {
        let reply = service.ask("GET", "/api/v1/me", &key, None).await;
        if reply.status == 429 {
            let wait: u64 = reply.header("retry-after").parse().expect("seconds");
            assert!((1..=13).contains(&wait), "{wait}");
        }
        statuses.push(reply.status.as_u16());
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        3,
        "{statuses:?}"
    );
    let other = service.key(Some("health"), Role::Editor).await;
    assert_eq!(
        service.ask("GET", "/api/v1/me", &other, None).await.status,
        200
    );
    // A workspace that is full says so.
    let operator = service.key(None, Role::Owner).await;
    let full = json!({"settings": {"max_documents": 1}});
    service
        .ask("PATCH", "/api/v1/workspaces/health", &operator, Some(full))
        .await;
    filled(&service, &other).await;
    let more = json!({"uri": "more.txt", "text": "Nobody has seen more."});
    let refused = service
        .ask("POST", "/api/v1/documents", &other, Some(more))
        .await;
    assert_eq!(
        (refused.status.as_u16(), &refused.json()["code"]),
        (409, &json!("quota_reached"))
    );
}

#[tokio::test]
async fn quotas_of_answers_and_tokens_end_for_the_key_or_the_workspace() {
    let talker = Talker::saying(&["It connects 42 networks. "]);
    let service = service(Some(Arc::new(talker)), with_keys).await;
    let operator = service.key(None, Role::Owner).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    filled(&service, &editor).await;
    let made = async |quotas: Value| {
        let body = json!({"name": "kiosk", "role": "owner", "quotas": quotas});
        let path = "/api/v1/workspaces/health/keys";
        service.ask("POST", path, &operator, Some(body)).await
    };
    let answer = async |key: &str| {
        let body = json!({"question": QUESTION});
        service.ask("POST", "/api/v1/answer", key, Some(body)).await
    };
    let is_used_up = |reply: &Reply, quota: &str| {
        assert_eq!(reply.status, 429, "{}", reply.text);
        let body = reply.json();
        assert_eq!(
            (&body["code"], &body["errors"][0]["field"]),
            (&json!("quota_used_up"), &json!(quota))
        );
        let wait: u64 = reply.header("retry-after").parse().expect("seconds");
        assert!((1..=31 * 86_400 + 1).contains(&wait), "{wait}");
    };
    let nothing = made(json!({"tokens_per_day": 0})).await;
    assert_eq!(nothing.status, 400, "{}", nothing.text);
    assert_eq!(
        nothing.json()["errors"][0]["field"],
        "quotas.tokens_per_day"
    );

    // Answers of a key.
    let two = made(json!({"answers_per_day": 2})).await;
    assert_eq!(two.status, 201, "{}", two.text);
    assert_eq!(two.json()["quotas"]["answers_per_day"], 2);
    let kiosk = two.json()["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(answer(&kiosk).await.status, 200);
    assert_eq!(answer(&kiosk).await.status, 200);
    is_used_up(&answer(&kiosk).await, "answers_per_day");
    let chat = json!({"messages": [{"role": "user", "content": QUESTION}]});
    let refused = service
        .ask("POST", "/v1/chat/completions", &kiosk, Some(chat))
        .await;
    assert_eq!(refused.status, 429);
    assert_eq!(refused.json()["error"]["param"], "answers_per_day");
    let later = json!({"question": QUESTION});
    let prefer = [("prefer", "respond-async")];
    let refused = service
        .ask_with("POST", "/api/v1/answer", &kiosk, Some(later), &prefer)
        .await;
    is_used_up(&refused, "answers_per_day");
    // It can search, does not end others, and makes no second key.
    let search = json!({"query": "networks"});
    let found = service
        .ask("POST", "/api/v1/search", &kiosk, Some(search))
        .await;
    assert_eq!(found.status, 200, "{}", found.text);
    assert_eq!(answer(&editor).await.status, 200);
    let another = json!({"name": "another", "role": "reader"});
    let path = "/api/v1/workspaces/health/keys";
    let another = service.ask("POST", path, &kiosk, Some(another)).await;
    assert_eq!(another.status, 403, "{}", another.text);

    // Tokens of a key; the first answer goes over.
    let one = made(json!({"tokens_per_month": 1})).await;
    let one = one.json()["secret"].as_str().expect("a secret").to_owned();
    assert_eq!(answer(&one).await.status, 200);
    is_used_up(&answer(&one).await, "tokens_per_month");

    // Requests of a key.
    let few = made(json!({"requests_per_minute": 3})).await;
    let few = few.json()["secret"].as_str().expect("a secret").to_owned();
    let mut refused = 0;
    for _ in 0..5 {
        let reply = service.ask("GET", "/api/v1/me", &few, None).await;
        refused += u32::from(reply.status == 429);
    }
    assert_eq!(refused, 2);

    // All of a workspace, by what was written down and what was not.
    let settings = json!({"settings": {"answers_per_day": 5}});
    let path = "/api/v1/workspaces/health";
    let changed = service.ask("PATCH", path, &operator, Some(settings)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(answer(&editor).await.status, 200);
    is_used_up(&answer(&editor).await, "answers_per_day");
    // The kiosk has used up two, whichever is told.
    is_used_up(&answer(&kiosk).await, "answers_per_day");
    let elsewhere = service.key(Some("energy"), Role::Editor).await;
    filled(&service, &elsewhere).await;
    assert_eq!(answer(&elsewhere).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_at_the_same_time_do_not_go_over_a_quota() {
    let talker = Talker::saying(&["It connects 42 networks. "]).pausing(Duration::from_millis(20));
    let service = service(Some(Arc::new(talker)), with_keys).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    filled(&service, &editor).await;
    let owner = service.key(Some("health"), Role::Owner).await;
    let made = async |quotas: Value| {
        let body = json!({"name": "kiosk", "role": "reader", "quotas": quotas});
        let path = "/api/v1/workspaces/health/keys";
        let made = service.ask("POST", path, &owner, Some(body)).await;
        made.json()["secret"].as_str().expect("a secret").to_owned()
    };
    let answers_of = async |key: &str, number: usize, most: Option<usize>| {
        let asked = (0..number).map(|at| {
            let body = json!({"question": QUESTION, "stream": at % 2 == 1, "max_tokens": most});
            service.ask("POST", "/api/v1/answer", key, Some(body))
        });
        let replies = futures_util::future::join_all(asked).await;
        for reply in &replies {
            // Refused while the others are answered, or when they are.
            let told: &[&str] = if reply.status == 429 {
                &["may use up the quota", "quota_used_up"]
            } else {
                &["42 networks"]
            };
            let is_told = told.iter().any(|told| reply.text.contains(told));
            assert!(is_told, "{}", reply.text);
        }
        replies.iter().filter(|reply| reply.status == 200).count()
    };
    let answers = async |key: &str, number: usize| answers_of(key, number, None).await;

    // Of a key, all at once, and with some before.
    let four = made(json!({"answers_per_day": 4})).await;
    assert_eq!(answers(&four, 12).await, 4);
    assert_eq!(answers(&four, 3).await, 0);
    let four = made(json!({"answers_per_day": 4})).await;
    assert_eq!(answers(&four, 1).await, 1);
    assert_eq!(answers(&four, 12).await, 3);

    // An answer counts as so many tokens as it may have until it has ended,
    // with far fewer.
    let two = made(json!({"tokens_per_day": 10_000})).await;
    assert_eq!(answers_of(&two, 6, Some(5000)).await, 2);
    assert_eq!(answers_of(&two, 6, Some(5000)).await, 2);

    // Of a workspace, by whoever.
    let settings = json!({"settings": {"answers_per_day": 17}});
    let path = "/api/v1/workspaces/health";
    let changed = service.ask("PATCH", path, &owner, Some(settings)).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    let (one, other) = tokio::join!(answers(&editor, 6), answers(&owner, 6));
    assert_eq!(one + other, 17 - 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_erased_at_the_same_time_is_counted_once() {
    let talker = Talker::saying(&["It connects 42 networks. "]);
    let service = service(Some(Arc::new(talker)), with_keys).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    filled(&service, &editor).await;
    let owner = service.key(Some("health"), Role::Owner).await;
    for _ in 0..3 {
        for _ in 0..2 {
            let body = json!({"question": QUESTION});
            let reply = service
                .ask("POST", "/api/v1/answer", &editor, Some(body))
                .await;
            assert_eq!(reply.status, 200, "{}", reply.text);
        }
        let erasing = (0..8).map(|_| service.ask("DELETE", "/api/v1/me/data", &editor, None));
        for reply in futures_util::future::join_all(erasing).await {
            assert_eq!(reply.status, 200, "{}", reply.text);
        }
    }
    let usage = service
        .ask("GET", "/api/v1/usage", &owner, None)
        .await
        .json();
    let rows = usage["results"].as_array().expect("rows");
    let answers: u64 = rows.iter().filter_map(|row| row["answers"].as_u64()).sum();
    assert_eq!(answers, 6, "{usage}");
}

#[tokio::test]
async fn an_answer_that_fails_gives_its_place_in_a_quota_back() {
    let service = service(Some(Arc::new(Talker::failing())), with_keys).await;
    let editor = service.key(Some("health"), Role::Editor).await;
    filled(&service, &editor).await;
    let owner = service.key(Some("health"), Role::Owner).await;
    let settings = json!({"settings": {"answers_per_day": 1}});
    let path = "/api/v1/workspaces/health";
    service.ask("PATCH", path, &owner, Some(settings)).await;
    for _ in 0..3 {
        let body = json!({"question": QUESTION});
        let reply = service
            .ask("POST", "/api/v1/answer", &editor, Some(body))
            .await;
        assert_eq!(reply.status, 503, "{}", reply.text);
    }
}

#[tokio::test]
async fn a_job_that_is_called_off_leaves_no_bytes() {
    // Nobody works here, so the job waits.
    let service = service(None, with_keys).await;
    let key = service.key(Some("health"), Role::Editor).await;
    let body = json!({"uri": "exchange.txt", "text": EXCHANGE});
    let prefer = [("prefer", "respond-async")];
    let queued = service
        .ask_with("POST", "/api/v1/documents", &key, Some(body), &prefer)
        .await;
    let path = format!(
        "/api/v1/jobs/{}",
        queued.json()["id"].as_str().expect("an id")
    );
    let uploads = service.folder.path().join("uploads/health");
    let waiting = || std::fs::read_dir(&uploads).expect("a folder").count();
    assert_eq!(waiting(), 1);
    for _ in 0..2 {
        let called_off = service.ask("DELETE", &path, &key, None).await;
        assert_eq!(called_off.json()["state"], "cancelled");
        assert_eq!(waiting(), 0);
    }
}
