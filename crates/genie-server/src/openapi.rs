//! The description of the interface: OpenAPI 3.0, which security servers read
//! that don't know 3.1 yet.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use genie_core::Authentication;
use schemars::r#gen::{SchemaGenerator, SchemaSettings};
use schemars::schema::Schema;
use serde_json::{Map, Value, json};

use crate::access::Need;
use crate::app::Service;
use crate::bounds::{LINE_OR_NOTHING, bounded};
use crate::documents::text_schema;
use crate::failure::Failure;
use crate::routes::{Content, Route, routes};

/// What every route may answer beside its own statuses.
const FAILURES: [(u16, &str); 5] = [
    (
        400,
        "The request can't be read or says something that can't be done.",
    ),
    (413, "The body is too large."),
    (
        429,
        "Too many requests; `Retry-After` says when to come again.",
    ),
    (
        500,
        "The service failed; its log says more under the correlation id.",
    ),
    (503, "A part of the service can't be reached."),
];

/// The description of a service of this version.
#[must_use]
pub fn openapi(version: &str) -> Value {
    let mut generator = SchemaSettings::openapi3().into_generator();
    let mut paths: Map<String, Value> = Map::new();
    for route in routes() {
        let operation = operation(&route, &mut generator);
        // A wildcard takes slashes, which the description has no word for.
        let path = route.path.replace("{*", "{");
        let methods = paths.entry(path).or_insert_with(|| json!({}));
        methods[route.method.as_str().to_ascii_lowercase()] = operation;
    }
    let mut schemas: Map<String, Value> = generator
        .take_definitions()
        .into_iter()
        .map(|(name, schema)| (name, plain(schema)))
        .collect();
    schemas.insert("Error".to_owned(), error());
    schemas.insert("OpenAiError".to_owned(), openai_error());
    let mut description = json!({
        "openapi": "3.0.3",
        "info": {
            "title": "Genie Stack",
            "version": version,
            "description": "Answers questions about ICT infrastructure from trusted documents, \
                in the language of the question, and shows where every sentence comes from.",
            "license": {
                "name": "Apache-2.0",
                "url": "https://www.apache.org/licenses/LICENSE-2.0",
            },
        },
        "servers": [{"url": "/"}],
        "security": [{"key": []}],
        "tags": [
            {"name": "workspace", "description": "The interface of applications."},
            {"name": "openai", "description": "OpenAI's interface."},
            {"name": "operation", "description": "Health, measurements, description, page."},
        ],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"key": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key, `gk_…`, or a token of the identity provider where \
                    the service has one. A program on the service's own machine \
                    needs none while the service has no other users.",
            }},
        },
    });
    bounded(&mut description);
    description
}

pub(crate) async fn json(State(service): State<Arc<Service>>) -> Json<Value> {
    Json(described(&service))
}

/// The description of this very service: where this machine is its only user,
/// nobody needs a key.
fn described(service: &Service) -> Value {
    let mut description = openapi(&service.state.version);
    if service.state.server.authentication == Authentication::SingleUser {
        description["security"] = json!([{}, {"key": []}]);
    }
    description
}

pub(crate) async fn yaml(State(service): State<Arc<Service>>) -> Result<Response, Failure> {
    let text = serde_norway::to_string(&described(&service)).map_err(|_| Failure::internal())?;
    Ok(([(header::CONTENT_TYPE, "application/yaml")], text).into_response())
}

/// A schema as JSON, which it always is.
fn plain(schema: Schema) -> Value {
    serde_json::to_value(schema).unwrap_or_default()
}

fn operation(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let tag = match route.path {
        path if path.starts_with("/api/") || path == "/mcp" => "workspace",
        path if path.starts_with("/v1/") => "openai",
        _ => "operation",
    };
    let error = if tag == "openai" {
        "OpenAiError"
    } else {
        "Error"
    };
    let mut parameters = path_parameters(route.path);
    if let Some(query) = route.doc.query {
        let schema = query(generator);
        parameters.extend(query_parameters(&plain(schema)));
    }
    if route.need != Need::Public {
        parameters.extend(header_parameters(route.path));
    }
    let mut operation = json!({
        "operationId": operation_id(route),
        "summary": route.doc.summary,
        "tags": [tag],
        "parameters": parameters,
        "responses": responses(route, error, generator),
        "x-genie-needs": match route.need {
            Need::Public => "public",
            Need::Known => "known",
            Need::Operator => "operator",
            Need::May(permission) => permission.scope(),
        },
    });
    if route.need == Need::Public {
        operation["security"] = json!([]);
    }
    if let Some(content) = &route.doc.request {
        operation["requestBody"] = json!({
            "required": true,
            "content": body(content, generator),
        });
    }
    operation
}

fn responses(route: &Route, error: &str, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    for (status, content) in &route.doc.responses {
        let description = if *status < 400 {
            "As asked."
        } else {
            "As the protocol says."
        };
        let mut response = json!({"description": description});
        if let Some(content) = content {
            response["content"] = body(content, generator);
        }
        responses.insert(status.to_string(), response);
    }
    let mut failures = FAILURES.to_vec();
    if route.need != Need::Public {
        failures.push((401, "There are no valid credentials."));
        failures.push((403, "The caller may not do this."));
        failures.push((404, "There is no such thing, or it is somebody else's."));
    }
    if route.doc.request.is_some() {
        failures.extend([
            (408, "The body did not arrive in time."),
            (409, "It is there already, or may not be there."),
            (415, "The body is of another type."),
            (422, "The body is no readable document."),
            (501, "This service does not do that."),
            (504, "The work took too long."),
            (507, "The disk is full."),
        ]);
    }
    if route.path.contains('{') || route.method == axum::http::Method::DELETE {
        failures.extend([
            (409, "It can't be removed."),
            (501, "This service does not do that."),
        ]);
    }
    for (status, description) in failures {
        let content = json!({"application/json": {
            "schema": {"$ref": format!("#/components/schemas/{error}")},
        }});
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({"description": description, "content": content}));
    }
    Value::Object(responses)
}

fn body(content: &Content, generator: &mut SchemaGenerator) -> Value {
    let mut body = Map::new();
    for kind in content.types {
        let schema = match content.schema {
            // Events are lines of text, whatever their data is.
            Some(schema) if *kind != "text/event-stream" => plain(schema(generator)),
            _ if *kind == "multipart/form-data" => json!({
                "type": "object",
                "properties": {"file": {"type": "string", "format": "binary"}},
                "required": ["file"],
                "additionalProperties": false,
            }),
            _ if *kind == "application/octet-stream" => {
                json!({"type": "string", "format": "binary"})
            }
            // A document as text, or where it is to be fetched from.
            _ if *kind == "application/json" => text_schema(),
            // Each event has a name and data of its own; `docs/api.md` says which.
            _ if *kind == "text/event-stream" => {
                json!({"description": "Server-sent events."})
            }
            _ if *kind == "application/yaml" => json!({"type": "object"}),
            _ => json!({"type": "string"}),
        };
        body.insert((*kind).to_owned(), json!({"schema": schema}));
    }
    Value::Object(body)
}

/// `getWorkspacesByWorkspaceKeys`: unique, as a method and a path are.
fn operation_id(route: &Route) -> String {
    let mut id = route.method.as_str().to_ascii_lowercase();
    for part in route.path.split('/').filter(|part| !part.is_empty()) {
        let name = part.trim_matches(['{', '}', '*']);
        if name.len() < part.len() {
            id.push_str("By");
        }
        for word in name.split(['-', '.', '_']) {
            let mut letters = word.chars();
            id.extend(letters.next().map(|first| first.to_ascii_uppercase()));
            id.push_str(letters.as_str());
        }
    }
    id
}

fn path_parameters(path: &str) -> Vec<Value> {
    path.split('/')
        .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        .map(|name| {
            let name = name.trim_start_matches('*');
            let mut schema = json!({"type": "string", "minLength": 1});
            // An id that is none is one that is not found; a member is made
            // by naming one.
            if name == "subject" {
                schema["maxLength"] = json!(200);
                schema["pattern"] = json!(LINE_OR_NOTHING);
            }
            json!({"name": name, "in": "path", "required": true, "schema": schema})
        })
        .collect()
}

fn query_parameters(schema: &Value) -> Vec<Value> {
    let required = schema["required"].as_array().cloned().unwrap_or_default();
    let Some(properties) = schema["properties"].as_object() else {
        return Vec::new();
    };
    properties
        .iter()
        .map(|(name, property)| {
            let mut property = property.clone();
            let description = property["description"].clone();
            if let Some(property) = property.as_object_mut() {
                // A query string has no null, only nothing.
                property.remove("nullable");
                property.remove("default");
                property.remove("description");
            }
            let mut parameter = json!({
                "name": name,
                "in": "query",
                "required": required.contains(&json!(name)),
                "schema": property,
            });
            if description.is_string() {
                parameter["description"] = description;
            }
            parameter
        })
        .collect()
}

fn header_parameters(path: &str) -> Vec<Value> {
    let mut parameters = vec![json!({
        "name": "X-Correlation-ID",
        "in": "header",
        "required": false,
        "description": "Up to 128 letters, digits and `_.:/+=-`: echoed, logged and kept in the \
            audit trail. Anything else is replaced by a new one.",
        // What is none of it is replaced and not refused: it decides nothing.
        "schema": {"type": "string"},
    })];
    if !path.contains("{workspace}") {
        parameters.push(json!({
            "name": "X-Genie-Workspace",
            "in": "header",
            "required": false,
            "description": "The workspace that the request is about; the key's own unless said.",
            "schema": {"type": "string", "maxLength": 63, "pattern": "^[a-z0-9][a-z0-9-]*$"},
        }));
    }
    parameters
}

/// TM Forum's TMF630 error.
fn error() -> Value {
    let text = || json!({"type": "string"});
    json!({
        "type": "object",
        "description": "What went wrong, as TM Forum's TMF630 shapes it.",
        "required": ["code", "reason", "message", "status", "referenceError"],
        "properties": {
            "code": text(),
            "reason": text(),
            "message": text(),
            "status": text(),
            "referenceError": text(),
            "errors": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["field", "reason"],
                    "properties": {"field": text(), "reason": text()},
                },
            },
        },
    })
}

fn openai_error() -> Value {
    json!({
        "type": "object",
        "description": "What went wrong, as OpenAI shapes it.",
        "required": ["error"],
        "properties": {"error": {
            "type": "object",
            "required": ["message", "type", "param", "code"],
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": "string", "nullable": true},
                "code": {"type": "string", "nullable": true},
            },
        }},
    })
}
