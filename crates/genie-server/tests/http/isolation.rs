//! Every route with every kind of credentials.

use std::collections::BTreeMap;
use std::time::Duration;

use genie_state::{Role, Timestamp};
use serde_json::{Value, json};

use crate::Reply;
use crate::provider::{Provider, Signer};
use crate::tenants::{Service, service, with_keys};

const ROLES: [Role; 5] = [
    Role::Owner,
    Role::Editor,
    Role::Reader,
    Role::Evaluator,
    Role::Auditor,
];

/// What each scope is allowed to, written down a second time: a mistake in the
/// table of the service is one here only if it is made twice.
fn has(role: Role, scope: &str) -> bool {
    match scope {
        "search" | "answer" | "documents.read" => role != Role::Auditor,
        "documents.write" => matches!(role, Role::Owner | Role::Editor),
        "evaluate" | "feedback.read" => matches!(role, Role::Owner | Role::Evaluator),
        "usage.read" => matches!(role, Role::Owner | Role::Evaluator | Role::Auditor),
        "audit.read" => matches!(role, Role::Owner | Role::Auditor),
        "manage" => role == Role::Owner,
        other => panic!("{other} is no scope"),
    }
}

/// Method, path with made-up ids, and what it needs, of every route.
fn routes() -> Vec<(String, String, String)> {
    let description = genie_server::openapi("0");
    let mut all = Vec::new();
    for (path, methods) in description["paths"].as_object().expect("paths") {
        for (method, operation) in methods.as_object().expect("methods") {
            let needs = operation["x-genie-needs"].as_str().expect("a need");
            all.push((method.to_uppercase(), path.clone(), needs.to_owned()));
        }
    }
    all
}

/// The path in a workspace, with ids that nothing has.
fn filled(path: &str, workspace: &str) -> String {
    path.replace("{workspace}", workspace)
        .replace("{id}", "6e1b1f9e-8d2c-4a53-9c5c-0e9f6b1d2a3c")
        .replace("{subject}", "user:somebody")
        .replace("{model}", "genie")
        .replace("{file}", "file-none")
        .replace("{page}", "1")
}

/// Whether the layer in front let it through, whatever became of it then.
fn was_let_in(reply: &Reply) -> bool {
    let is_foreign = reply.text.contains("workspace_not_found");
    !matches!(reply.status.as_u16(), 401 | 403) && !is_foreign
}

/// Owner, editor and so on of a workspace, once by each kind of credentials:
/// a key, a person on the list of members, a person whose token says so.
async fn of_role(people: &People, workspace: &str, role: Role) -> [String; 3] {
    let subject = format!("user:gov:{workspace}-{role}");
    let id = workspace.parse().expect("an id");
    people
        .service
        .state
        .set_member(&id, &subject.parse().expect("a subject"), role)
        .await
        .expect("a member");
    [
        people.service.key(Some(workspace), role).await,
        people.token(&format!("{workspace}-{role}"), &[]),
        people.token("ana", &[&format!("{workspace}-{role}")]),
    ]
}

/// A service with keys that also takes tokens.
struct People {
    service: Service,
    provider: Provider,
    signer: Signer,
}

impl People {
    async fn new() -> Self {
        let signer = Signer::p256("a");
        let provider = Provider::start(&[signer.public()]);
        let service = service(None, |state| {
            with_keys(state);
            provider.of(state);
        })
        .await;
        Self {
            service,
            provider,
            signer,
        }
    }

    fn token(&self, name: &str, roles: &[&str]) -> String {
        self.signer.token(&self.provider.claims(name, roles))
    }
}

async fn walk(
    service: &Service,
    key: &str,
    workspace: &str,
    headers: &[(&str, &str)],
) -> BTreeMap<String, Reply> {
    let mut replies = BTreeMap::new();
    for (method, path, _) in routes() {
        // It would end the workspace that the others are about.
        if method == "DELETE" && path.ends_with("/{workspace}") {
            continue;
        }
        let body = matches!(method.as_str(), "POST" | "PUT" | "PATCH").then(|| json!({}));
        let reply = service
            .ask_with(&method, &filled(&path, workspace), key, body, headers)
            .await;
        assert_ne!(reply.status, 500, "{method} {path}: {}", reply.text);
        replies.insert(format!("{method} {path}"), reply);
    }
    replies
}

fn needs() -> BTreeMap<String, String> {
    routes()
        .into_iter()
        .map(|(method, path, needs)| (format!("{method} {path}"), needs))
        .collect()
}

#[tokio::test]
async fn without_valid_credentials_only_public_routes_answer() {
    let people = People::new().await;
    let service = &people.service;
    let past = Timestamp::now().before(Duration::from_secs(1));
    let (_, expired) = service
        .key_with(Some("health"), Role::Owner, &[], Some(past))
        .await;
    let (revoked, secret) = service.key_with(None, Role::Owner, &[], None).await;
    assert!(
        service
            .state
            .revoke_key(&revoked.id)
            .await
            .expect("a state")
    );
    let (rotated, old) = service.key_with(None, Role::Owner, &[], None).await;
    service
        .state
        .rotate_key(&rotated.id)
        .await
        .expect("a state");
    // Tokens that would open everything if they were in order.
    let token = |claim: &str, value: Value| {
        let mut claims = people.provider.claims("ana", &["operators"]);
        claims[claim] = value;
        people.signer.token(&claims)
    };
    let tokens = [
        token("exp", (crate::provider::now() - 3600).into()),
        token("nbf", (crate::provider::now() + 3600).into()),
        token("aud", "another".into()),
        token("iss", "https://id.example.org".into()),
        Signer::p256("a").token(&people.provider.claims("ana", &["operators"])),
    ];
    let keys = ["", "gk_00000000_no", "nonsense", &expired, &secret, &old];
    let needs = needs();
    for key in keys.into_iter().chain(tokens.iter().map(String::as_str)) {
        for (route, reply) in walk(service, key, "health", &[]).await {
            let expected = needs[&route] == "public";
            assert_eq!(was_let_in(&reply), expected, "{route} with {key:?}");
            if !expected {
                assert_eq!(reply.status, 401, "{route} with {key:?}");
                assert_eq!(reply.header("www-authenticate"), "Bearer");
            }
        }
    }
}

#[tokio::test]
async fn each_role_is_let_in_where_it_may_and_nowhere_else() {
    let people = People::new().await;
    let service = &people.service;
    let needs = needs();
    for role in ROLES {
        for (kind, credentials) in of_role(&people, "health", role).await.iter().enumerate() {
            let named = [("x-genie-workspace", "health")];
            for (route, reply) in walk(service, credentials, "health", &named).await {
                let expected = match needs[&route].as_str() {
                    "public" | "known" => true,
                    "operator" => false,
                    scope => has(role, scope),
                };
                assert_eq!(
                    was_let_in(&reply),
                    expected,
                    "{route} as {role} ({kind}): {}",
                    reply.text
                );
                if !expected {
                    assert_eq!(reply.status, 403, "{route} as {role} ({kind})");
                }
            }
        }
    }
    let operators = [
        service.key(None, Role::Owner).await,
        people.token("ana", &["operators"]),
    ];
    for operator in &operators {
        for (route, reply) in walk(service, operator, "health", &[]).await {
            assert!(was_let_in(&reply), "{route} as operator: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_stranger_is_let_in_nowhere() {
    let people = People::new().await;
    let stranger = people.token("nobody", &["staff", "health"]);
    let needs = needs();
    for (route, reply) in walk(&people.service, &stranger, "health", &[]).await {
        match needs[&route].as_str() {
            "public" | "known" => assert!(was_let_in(&reply), "{route}: {}", reply.text),
            "operator" => assert_eq!(reply.status, 403, "{route}"),
            _ => {
                assert_eq!(reply.status, 404, "{route}: {}", reply.text);
                assert!(!was_let_in(&reply), "{route}: {}", reply.text);
            }
        }
    }
}

#[tokio::test]
async fn credentials_of_one_workspace_find_no_other() {
    let people = People::new().await;
    let service = &people.service;
    let needs = needs();
    for role in ROLES {
        for key in of_role(&people, "energy", role).await {
            for (route, reply) in walk(service, &key, "health", &[]).await {
                if route.contains("{workspace}") {
                    assert!(
                        reply.status == 404 || needs[&route] == "operator",
                        "{route}"
                    );
                    assert!(!was_let_in(&reply), "{route}: {}", reply.text);
                }
            }
            let other = [("x-genie-workspace", "health")];
            for (route, reply) in walk(service, &key, "energy", &other).await {
                if needs[&route] != "public"
                    && needs[&route] != "known"
                    && !route.contains("{workspace}")
                {
                    assert!(!was_let_in(&reply), "{route}: {}", reply.text);
                }
            }
        }
    }
    // One that is there and one that is not can't be told apart.
    let key = service.key(Some("energy"), Role::Owner).await;
    let foreign = service
        .ask("GET", "/api/v1/workspaces/health", &key, None)
        .await;
    let unknown = service
        .ask("GET", "/api/v1/workspaces/nowhere", &key, None)
        .await;
    assert_eq!(
        (foreign.status, &foreign.text),
        (unknown.status, &unknown.text)
    );
    // Not even where nothing of it is asked for.
    for (route, needs) in &needs {
        let Some((method, path)) = route.split_once(' ').filter(|_| needs == "known") else {
            continue;
        };
        let path = filled(path, "energy");
        for named in ["health", "nowhere"] {
            let named = [("x-genie-workspace", named)];
            let reply = service.ask_with(method, &path, &key, None, &named).await;
            let told = reply.text.contains("workspace_not_found");
            assert!(reply.status == 404 && told, "{route}: {}", reply.text);
        }
    }
}

#[tokio::test]
async fn a_scope_allows_only_what_it_names() {
    let service = service(None, with_keys).await;
    let needs = needs();
    for scope in genie_server::scopes() {
        let (_, key) = service
            .key_with(Some("health"), Role::Owner, &[scope], None)
            .await;
        for (route, reply) in walk(&service, &key, "health", &[]).await {
            let expected =
                matches!(needs[&route].as_str(), "public" | "known") || needs[&route] == scope;
            assert_eq!(
                was_let_in(&reply),
                expected,
                "{route} with {scope}: {}",
                reply.text
            );
        }
    }
}

#[tokio::test]
async fn an_operator_with_scopes_is_none() {
    let service = service(None, with_keys).await;
    let (_, key) = service.key_with(None, Role::Owner, &["search"], None).await;
    let reply = service.ask("GET", "/api/v1/keys", &key, None).await;
    assert_eq!(reply.status, 403);
}

#[tokio::test]
async fn this_machine_alone_needs_no_key_and_a_proxy_is_not_this_machine() {
    let service = service(None, |_| {}).await;
    let local = crate::get(&service.app, "/api/v1/me").await;
    assert_eq!(local.json()["subject"], "local");
    assert_eq!(local.json()["operator"], true);
    assert_eq!(service.ask("GET", "/api/v1/me", "", None).await.status, 401);
    for header in ["x-forwarded-for", "forwarded", "x-real-ip"] {
        let request = crate::request("GET", "/api/v1/me")
            .header(header, "192.0.2.1")
            .body(axum::body::Body::empty())
            .expect("a request");
        assert_eq!(
            crate::send(&service.app, request).await.status,
            401,
            "{header}"
        );
    }
    // A wrong key is never overlooked.
    let request = crate::request("GET", "/api/v1/me")
        .header("x-api-key", "gk_00000000_no")
        .body(axum::body::Body::empty())
        .expect("a request");
    assert_eq!(crate::send(&service.app, request).await.status, 401);
    // What is no key at all is what clients send that have to send something.
    let request = crate::request("GET", "/api/v1/me")
        .header("authorization", "Bearer none")
        .body(axum::body::Body::empty())
        .expect("a request");
    assert_eq!(crate::send(&service.app, request).await.status, 200);
}

#[tokio::test]
async fn objects_of_another_workspace_are_unknown() {
    let service = service(None, with_keys).await;
    let health = service.key(Some("health"), Role::Owner).await;
    let energy = service.key(Some("energy"), Role::Owner).await;
    let created = |reply: Reply| -> String {
        assert!(reply.status.is_success(), "{}", reply.text);
        reply.json()["id"].as_str().expect("an id").to_owned()
    };
    let text = json!({"uri": "clinics.txt", "text": "The clinic of Port Louis has 12 beds."});
    let document = created(
        service
            .ask("POST", "/api/v1/documents", &health, Some(text))
            .await,
    );
    let conversation = created(
        service
            .ask("POST", "/api/v1/conversations", &health, Some(json!({})))
            .await,
    );
    let key = json!({"name": "k", "role": "reader"});
    let key = created(
        service
            .ask("POST", "/api/v1/workspaces/health/keys", &health, Some(key))
            .await,
    );
    for path in [
        format!("/api/v1/documents/{document}"),
        format!("/api/v1/conversations/{conversation}"),
        format!("/api/v1/workspaces/{{}}/keys/{key}"),
    ] {
        let own = service
            .ask("GET", &path.replace("{}", "health"), &health, None)
            .await;
        assert_eq!(own.status, 200, "{path}: {}", own.text);
        for method in ["GET", "DELETE"] {
            let foreign = service
                .ask(method, &path.replace("{}", "energy"), &energy, None)
                .await;
            assert_eq!(foreign.status, 404, "{method} {path}: {}", foreign.text);
        }
        let own = service
            .ask("GET", &path.replace("{}", "health"), &health, None)
            .await;
        assert_eq!(own.status, 200, "{path} was removed by a stranger");
    }
    // The ids of one workspace on every route of another.
    let removed = created(
        service
            .ask(
                "POST",
                "/api/v1/documents",
                &health,
                Some(json!({"uri": "removed.txt", "text": "The clinic has a garden."})),
            )
            .await,
    );
    let path = format!("/api/v1/documents/{removed}?keep_days=3");
    assert_eq!(
        service.ask("DELETE", &path, &health, None).await.status,
        204
    );
    let aside = created(
        service
            .ask("POST", "/api/v1/conversations", &health, Some(json!({})))
            .await,
    );
    let path = format!("/api/v1/conversations/{aside}?keep_days=3");
    assert_eq!(
        service.ask("DELETE", &path, &health, None).await.status,
        204
    );
    let later = [("prefer", "respond-async")];
    let question = json!({"question": "How many beds has the clinic of Port Louis?"});
    let answer = service
        .ask_with(
            "POST",
            "/api/v1/answer",
            &health,
            Some(question.clone()),
            &later,
        )
        .await;
    let answer = created(answer);
    let ids = [
        ("/documents/{id}", &document),
        ("/conversations/{id}", &conversation),
        ("/keys/{id}", &key),
        ("/removed-documents/{id}", &removed),
        ("/removed-conversations/{id}", &aside),
        ("/jobs/{id}", &answer),
        ("/answers/{id}", &answer),
    ];
    let mut walked = 0;
    for (method, route, needs) in routes() {
        // Those are of the installation, and their walk is above.
        if needs == "operator" {
            continue;
        }
        let Some((_, id)) = ids.iter().find(|(part, _)| route.contains(*part)) else {
            continue;
        };
        let path = filled(&route.replace("{id}", id), "energy");
        let body = match route.as_str() {
            "/api/v1/conversations/{id}/messages" => Some(question.clone()),
            _ => matches!(method.as_str(), "POST" | "PUT" | "PATCH")
                .then(|| json!({"title": "Taken"})),
        };
        let foreign = service.ask(&method, &path, &energy, body).await;
        let refused = matches!(foreign.status.as_u16(), 400 | 404);
        let is_read = matches!(method.as_str(), "GET" | "DELETE");
        assert!(
            refused && (!is_read || foreign.status == 404),
            "{method} {path}: {} {}",
            foreign.status,
            foreign.text
        );
        walked += 1;
    }
    assert!(walked > 30, "{walked} routes have such ids");
    for path in ["/api/v1/removed-documents", "/api/v1/removed-conversations"] {
        let own = service.ask("GET", path, &health, None).await.json();
        assert_eq!(own["count"], 1, "{path}: {own}");
    }
    let path = format!("/api/v1/documents/{document}");
    let own = service.ask("GET", &path, &health, None).await.json();
    assert_ne!(own["title"], "Taken", "{own}");
    // Another caller of the same workspace is a stranger to conversations.
    let colleague = service.key(Some("health"), Role::Owner).await;
    let path = format!("/api/v1/conversations/{conversation}");
    assert_eq!(
        service.ask("GET", &path, &colleague, None).await.status,
        404
    );
    // The search of one never finds what the other has.
    let query = json!({"query": "How many beds has the clinic of Port Louis?"});
    let own = service
        .ask("POST", "/api/v1/search", &health, Some(query.clone()))
        .await;
    assert_eq!(own.json()["passages"][0]["document"], "clinics.txt");
    let foreign = service
        .ask("POST", "/api/v1/search", &energy, Some(query))
        .await;
    assert_eq!(
        foreign.json()["passages"],
        Value::Array(Vec::new()),
        "{}",
        foreign.text
    );
}
