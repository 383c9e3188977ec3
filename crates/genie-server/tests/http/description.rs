//! The description of the interface, and whether it says what is true.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::{get, silent};

const KEPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi/genie.json");

#[test]
fn the_kept_description_is_that_of_the_routes() {
    let kept = std::fs::read_to_string(KEPT).expect("docs/openapi/genie.json");
    let kept: Value = serde_json::from_str(&kept).expect("JSON");
    let made = genie_server::openapi(env!("CARGO_PKG_VERSION"));
    assert!(
        kept == made,
        "the interface has changed: `genie openapi > docs/openapi/genie.json`"
    );
}

#[test]
fn it_is_version_3_0_and_names_each_operation_once() {
    let description = genie_server::openapi("1.2.3");
    assert_eq!(description["openapi"], "3.0.3");
    assert_eq!(description["info"]["version"], "1.2.3");
    let mut ids = BTreeSet::new();
    for methods in description["paths"].as_object().expect("paths").values() {
        for operation in methods.as_object().expect("methods").values() {
            let id = operation["operationId"].as_str().expect("an id");
            assert!(ids.insert(id), "{id} is there twice");
        }
    }
    assert!(ids.len() > 60, "{}", ids.len());
    // Every reference leads somewhere.
    let mut references = Vec::new();
    collect(&description, &mut references);
    for reference in references {
        let pointer = reference.strip_prefix('#').expect("a reference inside");
        assert!(description.pointer(pointer).is_some(), "{reference}");
    }
}

fn collect<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(members) => {
            if let Some(Value::String(reference)) = members.get("$ref") {
                found.push(reference);
            }
            members.values().for_each(|value| collect(value, found));
        }
        Value::Array(items) => items.iter().for_each(|value| collect(value, found)),
        _ => {}
    }
}

#[tokio::test]
async fn it_is_served_as_json_and_as_yaml() {
    let app = silent();
    let json = get(&app, "/v3/api-docs").await;
    assert_eq!(json.json()["openapi"], "3.0.3");
    let yaml = get(&app, "/v3/api-docs.yaml").await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert!(yaml.text.contains("\nopenapi: 3.0.3\n") || yaml.text.starts_with("openapi: 3.0.3\n"));
}
