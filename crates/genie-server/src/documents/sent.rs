//! What a request brings: bytes as they are, a form, text in JSON, or an
//! address.

use axum::http::{HeaderMap, StatusCode, header};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::failure::Failure;

/// A document that is sent as text, or to be fetched.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TextBody {
    /// Path or URI to cite it by; its ending tells the format. The address
    /// itself where that is fetched.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    uri: Option<String>,
    /// The text itself.
    #[serde(default)]
    text: Option<String>,
    /// Where it is to be fetched from, as a job.
    #[serde(default)]
    #[schemars(length(min = 1, max = 2048))]
    url: Option<String>,
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
    let missing = || Failure::invalid("uri", "has to be given");
    if let Ok(boundary) = multer::parse_boundary(content_type) {
        let (uri, bytes) = form(boundary, label, bytes).await?;
        return Ok(Sent::Bytes { uri, bytes });
    }
    // A JSON document of its own comes with a label, text in JSON brings one.
    if label.is_none() && content_type.starts_with("application/json") {
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
            } => Ok(Sent::Address { uri, url }),
            TextBody {
                uri,
                text: Some(text),
                url: None,
            } => Ok(Sent::Bytes {
                uri: uri.ok_or_else(missing)?,
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
