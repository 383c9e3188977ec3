//! From nothing to a cited answer, and the starter corpus in six languages.

use serde_json::json;

use crate::genie::{E5, Genie, QWEN, alone, models};
use crate::material::{Scratch, copy_folder};
use crate::service::Service;

#[test]
fn quickstart_ends_with_a_cited_answer() {
    let Some(models) = models(&[E5, QWEN]) else {
        return;
    };
    let _turn = alone();
    let scratch = Scratch::new();
    let genie = Genie::default_models(&scratch.home(), &models);
    let done = genie
        .start(&["quickstart", "--no-serve"])
        .wait(std::time::Duration::from_secs(900))
        .ended(0);
    for part in [
        "1. Models",
        "2. The starter corpus",
        "0 skipped",
        "3. A question",
        "[1]",
        "starter/en/",
        QWEN,
    ] {
        assert!(done.out.contains(part), "no {part:?} in:\n{}", done.out);
    }
    let index = genie.index();
    assert!(index.len() >= 70, "{} articles", index.len());

    // A copy of the home works elsewhere, and finds things in every language.
    let elsewhere = scratch.path("elsewhere");
    copy_folder(genie.home(), &elsewhere);
    let genie = Genie::default_models(&elsewhere, &models).set("GENIE_CHAT_MODEL", "none");
    let service = Service::start(&genie);
    for (language, query) in [
        ("en", "What is an Internet exchange point?"),
        ("fr", "Qu'est-ce qu'un point d'échange Internet ?"),
        (
            "es",
            "¿Qué es un punto de intercambio de tráfico de Internet?",
        ),
        ("ru", "Что такое точка обмена интернет-трафиком?"),
        ("zh", "什么是互联网交换中心？"),
        ("ar", "ما هي نقطة تبادل الإنترنت؟"),
    ] {
        let found = service
            .post("/api/v1/search", &json!({"query": query}))
            .ok()
            .json();
        assert_eq!(found["language"], language, "{found}");
        assert!(
            !found["passages"].as_array().unwrap().is_empty(),
            "nothing found in {language}"
        );
    }
    let body = json!({"question": "What is an Internet exchange point?"});
    let answer = service.post("/api/v1/answer", &body).ok().json();
    assert_eq!(answer["degraded"], true, "{answer}");
    assert_eq!(answer["answered"], true, "{answer}");
    assert!(!answer["citations"].as_array().unwrap().is_empty());
    service.stop().ended(0);
}
