//! How a document arrives: as bytes, in a form, as text, or as the address of
//! one.

use axum::http::{HeaderMap, StatusCode, header};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};

use super::LONGEST_URI;
use crate::bounds::LINE;
use crate::failure::Failure;

/// A document that is sent as text, or to be fetched.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TextBody {
    #[serde(default)]
    uri: Option<String>,
    #[serde(default, deserialize_with = "given")]
    text: Option<String>,
    #[serde(default, deserialize_with = "given")]
    url: Option<String>,
}

/// A field that may be left out and must not be null.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    String::deserialize(from).map(Some)
}

/// The two forms that such a body has.
pub(crate) fn text_schema() -> Value {
    let uri = json!({
        "type": "string",
        "description": "Path or URI to cite it by; its ending tells the format. The address \
            itself where that is fetched. `uri` in the query goes before it.",
        "nullable": true,
        "minLength": 1,
        "maxLength": LONGEST_URI,
        "pattern": LINE,
    });
    let form = |name: &str, of: Value| {
        json!({
            "type": "object",
            "properties": {"uri": uri, name: of},
            "required": [name],
            "additionalProperties": false,
        })
    };
    json!({"oneOf": [
        form("text", json!({"type": "string", "minLength": 1, "description": "The text itself."})),
        form("url", json!({
            "type": "string",
            "minLength": 1,
            "maxLength": LONGEST_URI,
            "description": "Where it is to be fetched from, as a job.",
        })),
    ]})
}

/// What was sent.
pub(super) enum Sent {
    Bytes { uri: String, bytes: Vec<u8> },
    Address { uri: Option<String>, url: String },
}

/// What was sent and what it is called.
pub(super) async fn sent(
    headers: &HeaderMap,
    label: Option<String>,
    bytes: Vec<u8>,
) -> Result<Sent, Failure> {
    let content_type = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    // Only a body that does not name the document itself needs it, which the
    // description of a parameter can't say.
    let missing = || Failure::senseless("uri", "has to be given");
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        let (uri, bytes) = form(boundary, label, bytes).await?;
        return Ok(Sent::Bytes { uri, bytes });
    }
    // `application/jsonl` and the like are formats of documents.
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/json") {
        let body: TextBody = serde_json::from_slice(&bytes).map_err(|error| {
            Failure::new(
                StatusCode::BAD_REQUEST,
                "invalid_json",
                format!("the body can't be read: {error}"),
            )
        })?;
        return match body {
            TextBody {
                uri,
                text: None,
                url: Some(url),
            } => Ok(Sent::Address {
                uri: label.or(uri),
                url,
            }),
            TextBody {
                uri,
                text: Some(text),
                url: None,
            } => Ok(Sent::Bytes {
                uri: label.or(uri).ok_or_else(missing)?,
                bytes: text.into_bytes(),
            }),
            TextBody { .. } => Err(Failure::invalid(
                "text",
                "has to be given, or `url` in its place",
            )),
        };
    }
    let uri = label.ok_or_else(missing)?;
    Ok(Sent::Bytes { uri, bytes })
}

/// The one file of a form.
async fn form(
    boundary: String,
    label: Option<String>,
    bytes: Vec<u8>,
) -> Result<(String, Vec<u8>), Failure> {
    let unreadable = |reason: String| Failure::new(StatusCode::BAD_REQUEST, "invalid_form", reason);
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let mut found = None;
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| unreadable(error.to_string()))?
    {
        let Some(name) = field.file_name().map(str::to_owned) else {
            return Err(unreadable("a field of the form is no file".to_owned()));
        };
        if found.is_some() {
            return Err(unreadable("the form has more than one file".to_owned()));
        }
        let file = field
            .bytes()
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        found = Some((name, file.to_vec()));
    }
    let (name, file) = found.ok_or_else(|| unreadable("the form has no file".to_owned()))?;
    Ok((label.unwrap_or(name), file))
}

/// RFC 7240: the client would rather be told at once and look later.
pub(crate) fn prefers_job(headers: &HeaderMap) -> bool {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .any(|preference| preference.trim().eq_ignore_ascii_case("respond-async"))
}
