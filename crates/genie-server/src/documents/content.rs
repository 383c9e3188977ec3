//! The bytes of a document as they were sent.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::{DocumentId, MediaType};

use super::{DocumentPath, known_form, no_such_document};
use crate::access::{Access, Done};
use crate::app::Service;
use crate::failure::Failure;
use crate::work::blocking;

/// Characters of a file name that browsers and file systems take.
const LONGEST_NAME: usize = 120;

pub(crate) async fn content(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<DocumentPath>,
) -> Result<Response, Failure> {
    let id = known_form(&path.id)?;
    match original(&service, &access, id).await? {
        Original::Kept(response) => Ok(response),
        Original::NotKept => Err(not_kept()),
        Original::Unknown => Err(no_such_document()),
    }
}

/// What a workspace has of the bytes of a document.
pub(crate) enum Original {
    /// The bytes, as a response that is saved and never shown.
    Kept(Response),
    /// The document, but not its bytes.
    NotKept,
    /// No such document.
    Unknown,
}

/// The bytes of a document; that they were read is recorded.
pub(crate) async fn original(
    service: &Arc<Service>,
    access: &Access,
    id: DocumentId,
) -> Result<Original, Failure> {
    // That many documents are held in memory.
    let permit = service.admit_document()?;
    let opened = access.open(service).await?;
    let found = blocking(service, permit, move |_| {
        let record = opened.engine.store().document(&id)?;
        let bytes = match &opened.originals {
            Some(originals) => originals.read(&id)?,
            None => None,
        };
        Ok::<_, Failure>(record.map(|record| (record, bytes)))
    })
    .await??;
    let (record, bytes) = match found {
        Some((record, Some(bytes))) => (record, bytes),
        Some((_, None)) => return Ok(Original::NotKept),
        None => return Ok(Original::Unknown),
    };
    if let Some(accounts) = &service.state.accounts {
        access
            .record(&accounts.state, Done::to("document.download", id))
            .await?;
    }
    let mut response = bytes.into_response();
    let headers = response.headers_mut();
    let media_type = HeaderValue::from_static(record.media_type.as_str());
    headers.insert(header::CONTENT_TYPE, media_type);
    if let Ok(disposition) = HeaderValue::from_str(&disposition(&record.uri, record.media_type)) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    // Whatever a browser makes of it, it runs nothing and loads nothing.
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("sandbox; default-src 'none'; frame-ancestors 'none'"),
    );
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{id}\"")) {
        headers.insert(header::ETAG, tag);
    }
    Ok(Original::Kept(response))
}

pub(crate) fn not_kept() -> Failure {
    Failure::new(
        StatusCode::CONFLICT,
        "original_not_kept",
        "the bytes of this document are not kept here: it was ingested by an earlier \
         version; send the document again",
    )
}

/// `Content-Disposition` of RFC 6266: saved under a name, never shown. The
/// name is the last part of what the document is called, without anything that
/// leads elsewhere, hides an ending or ends the header.
fn disposition(uri: &str, media_type: MediaType) -> String {
    let last = uri.split(['?', '#']).next().unwrap_or_default();
    let last = last.trim_end_matches(['/', '\\']);
    let last = last.rsplit(['/', '\\', ':']).next().unwrap_or_default();
    let name: String = last
        .chars()
        .filter(|c| is_harmless(*c))
        .take(LONGEST_NAME)
        .collect();
    let name = name.trim_matches(['.', ' ']);
    let name = if name.is_empty() { "document" } else { name };
    let ending = match media_type {
        MediaType::Text => ".txt",
        MediaType::Markdown => ".md",
        MediaType::Html => ".html",
        MediaType::Pdf => ".pdf",
        MediaType::Docx => ".docx",
    };
    // What is opened is told by the ending, so that is ours.
    let name = if name.to_lowercase().ends_with(ending) {
        name.to_owned()
    } else {
        format!("{name}{ending}")
    };
    let plain: String = name
        .chars()
        .map(|c| if c.is_ascii() { c } else { '_' })
        .collect();
    let encoded = encoded(&name);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

/// Everything but letters, digits and a little more as `%XX` (RFC 3986).
pub(super) fn encoded(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'.' | b'-' | b'_' => {
                char::from(byte).to_string()
            }
            byte => format!("%{byte:02X}"),
        })
        .collect()
}

/// Letters, digits and a little more; no control characters and none that
/// change the direction of text, which could show another ending.
fn is_harmless(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ' ' | '(' | ')' | ',' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(uri: &str, media_type: MediaType) -> String {
        let whole = disposition(uri, media_type);
        let name = whole
            .split("filename=\"")
            .nth(1)
            .and_then(|rest| rest.split_once('"'));
        name.map(|(name, _)| name.to_owned()).unwrap_or_default()
    }

    #[test]
    fn a_name_leads_nowhere_and_ends_as_what_it_is() {
        for (uri, media_type, expected) in [
            ("reports/a.pdf", MediaType::Pdf, "a.pdf"),
            ("reports/A.PDF", MediaType::Pdf, "A.PDF"),
            ("../../etc/passwd", MediaType::Text, "passwd.txt"),
            ("C:\\temp\\x.exe", MediaType::Markdown, "x.exe.md"),
            ("https://example.org/law/?a=/b", MediaType::Html, "law.html"),
            ("..", MediaType::Text, "document.txt"),
            ("a\"; x=\"b.txt", MediaType::Text, "a xb.txt"),
            ("a\u{202e}fdp.txt", MediaType::Text, "afdp.txt"),
            ("a\r\nSet-Cookie: b=c", MediaType::Text, "bc.txt"),
            ("", MediaType::Docx, "document.docx"),
        ] {
            let given = plain(uri, media_type);
            // Between the colon and the name there may be a space.
            assert_eq!(given.trim(), expected, "{uri:?}");
        }
    }

    #[test]
    fn a_name_in_any_script_is_told_in_full() {
        let given = disposition("закон о связи.md", MediaType::Markdown);
        assert!(given.ends_with(".md") && given.is_ascii(), "{given}");
        assert!(given.contains("filename*=UTF-8''%D0%B7"), "{given}");
    }

    #[test]
    fn a_long_name_is_cut_before_its_ending() {
        let given = plain(&"a".repeat(5000), MediaType::Pdf);
        assert_eq!(given.len(), LONGEST_NAME + 4);
    }
}
