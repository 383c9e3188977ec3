//! `/v1/files`: the documents of a workspace as files.
//!
//! A file is indexed when it is uploaded, and its text can be found from then
//! on. Its id is that of the document, so the same bytes are the same file.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::{DocumentId, DocumentRecord, StoreError};
use schemars::JsonSchema;
use serde_json::{Value, json};

use super::listing::ListQuery;
use super::now;
use crate::access::Access;
use crate::app::Service;
use crate::body::read;
use crate::bounds::Purpose;
use crate::conversations::IdPath;
use crate::documents::{
    ApiQuery, Original, UPLOAD, check_label, check_quota, erase, index, original, ready,
};
use crate::failure::Failure;
use crate::reading::whole;
use crate::work::with_engine;

const PREFIX: &str = "file-";
/// The one that files are told to be for.
const PURPOSE: &str = "assistants";
/// Those that documents to be found are uploaded for.
const PURPOSES: [&str; 2] = [PURPOSE, "user_data"];
/// As OpenAI's.
const USUAL: usize = 10_000;

/// The form of an upload.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[allow(dead_code, reason = "only its schema is used")]
pub(crate) struct FileForm {
    /// `assistants` or `user_data`.
    #[schemars(with = "Purpose")]
    purpose: String,
    #[schemars(with = "Bytes")]
    file: Vec<u8>,
}

struct Bytes;

impl JsonSchema for Bytes {
    fn schema_name() -> String {
        "Bytes".to_owned()
    }

    fn is_referenceable() -> bool {
        false
    }

    fn json_schema(_: &mut schemars::r#gen::SchemaGenerator) -> schemars::schema::Schema {
        schemars::schema::SchemaObject {
            instance_type: Some(schemars::schema::InstanceType::String.into()),
            format: Some("binary".to_owned()),
            ..Default::default()
        }
        .into()
    }
}

/// The id of a document as a file.
pub(super) fn file_id(id: &DocumentId) -> String {
    format!("{PREFIX}{id}")
}

/// The document that a file is.
pub(super) fn document_id(file: &str) -> Result<DocumentId, Failure> {
    // What can't be an id is no file either.
    file.strip_prefix(PREFIX)
        .and_then(|id| id.parse().ok())
        .ok_or_else(no_such_file)
}

pub(super) fn no_such_file() -> Failure {
    Failure::new(
        StatusCode::NOT_FOUND,
        "file_not_found",
        "the workspace has no file with this id",
    )
}

pub(crate) async fn upload(
    State(service): State<Arc<Service>>,
    access: Access,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Failure> {
    // Before the body is read: that many documents are held in memory.
    let permit = service.admit_document()?;
    let opened = ready(&service, &access).await?;
    let bytes = read(&headers, body, UPLOAD).await?;
    let (name, bytes) = form(&headers, bytes).await?;
    check_label(&name)?;
    check_quota(&service, &access.workspace, bytes.len() as u64).await?;
    let length = bytes.len();
    let added = index(&service, &access, permit, (opened, name, bytes)).await?;
    Ok(Json(json!({
        "id": format!("{PREFIX}{}", added.id),
        "object": "file",
        "bytes": length,
        "created_at": now(),
        "expires_at": null,
        "filename": added.uri,
        "purpose": PURPOSE,
        "status": "processed",
        "status_details": null,
    })))
}

pub(crate) async fn list(
    State(service): State<Arc<Service>>,
    access: Access,
    ApiQuery(query): ApiQuery<ListQuery>,
) -> Result<Json<Value>, Failure> {
    let is_wanted = query
        .purpose
        .as_deref()
        .is_none_or(|purpose| purpose == PURPOSE);
    let records = if is_wanted {
        with_engine(&service, &access, |engine| engine.store().documents()).await??
    } else {
        Vec::new()
    };
    let files = records.iter().map(object).collect();
    Ok(Json(query.page(files, USUAL)?))
}

pub(crate) async fn show(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(object(&known(&service, &access, &path.id).await?)))
}

/// The bytes as they were sent; of a document whose bytes are not kept the
/// text that the index holds.
pub(crate) async fn content(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Response, Failure> {
    let id = document_id(&path.id)?;
    match original(&service, &access, id).await? {
        Original::Kept(response) => return Ok(response),
        Original::NotKept => {}
        Original::Unknown => return Err(no_such_file()),
    }
    let text = text(&service, &access, &path.id).await?;
    let kind = [(header::CONTENT_TYPE, "text/plain; charset=utf-8")];
    Ok((kind, text).into_response())
}

pub(crate) async fn remove(
    State(service): State<Arc<Service>>,
    access: Access,
    Path(path): Path<IdPath>,
) -> Result<Json<Value>, Failure> {
    let id = remove_file(&service, &access, &path.id).await?;
    Ok(Json(
        json!({"id": file_id(&id), "object": "file", "deleted": true}),
    ))
}

/// Removes the document with all that was made of it.
pub(super) async fn remove_file(
    service: &Arc<Service>,
    access: &Access,
    file: &str,
) -> Result<DocumentId, Failure> {
    let id = document_id(file)?;
    if erase(service, access, id).await? {
        Ok(id)
    } else {
        Err(no_such_file())
    }
}

/// What the index knows of a file.
pub(super) async fn known(
    service: &Arc<Service>,
    access: &Access,
    file: &str,
) -> Result<DocumentRecord, Failure> {
    let id = document_id(file)?;
    with_engine(service, access, move |engine| engine.store().document(&id))
        .await??
        .ok_or_else(no_such_file)
}

/// The text of a file.
pub(super) async fn text(
    service: &Arc<Service>,
    access: &Access,
    file: &str,
) -> Result<String, Failure> {
    let id = document_id(file)?;
    with_engine(service, access, move |engine| {
        if engine.store().document(&id)?.is_none() {
            return Ok::<_, StoreError>(None);
        }
        Ok(Some(whole(&engine.store().chunks(&id)?)))
    })
    .await??
    .ok_or_else(no_such_file)
}

/// The index does not keep when a document came, which 0 stands for.
fn object(record: &DocumentRecord) -> Value {
    json!({
        "id": file_id(&record.id),
        "object": "file",
        "bytes": record.bytes,
        "created_at": 0,
        "expires_at": null,
        "filename": record.uri,
        "purpose": PURPOSE,
        "status": "processed",
        "status_details": null,
    })
}

/// Name and bytes of the one file of a form that says what it is for.
async fn form(headers: &HeaderMap, bytes: Vec<u8>) -> Result<(String, Vec<u8>), Failure> {
    let unreadable = |reason: String| Failure::new(StatusCode::BAD_REQUEST, "invalid_form", reason);
    let boundary = headers
        .get(header::CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| multer::parse_boundary(value).ok())
        .ok_or_else(|| {
            Failure::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "the body has to be a form with a file, multipart/form-data",
            )
        })?;
    let stream = futures_util::stream::iter([Ok::<_, std::convert::Infallible>(bytes)]);
    let mut form = multer::Multipart::new(stream, boundary);
    let (mut file, mut purpose) = (None, None);
    while let Some(field) = form
        .next_field()
        .await
        .map_err(|error| unreadable(error.to_string()))?
    {
        let field_name = field.name().unwrap_or_default().to_owned();
        let name = field.file_name().map(str::to_owned);
        let bytes = field
            .bytes()
            .await
            .map_err(|error| unreadable(error.to_string()))?;
        match (field_name.as_str(), name) {
            ("file", Some(name)) if file.is_none() => file = Some((name, bytes.to_vec())),
            ("purpose", None) if purpose.is_none() => purpose = Some(bytes),
            _ => {
                return Err(unreadable(
                    "the form has to have one file, one purpose and nothing else; files here do \
                     not expire"
                        .to_owned(),
                ));
            }
        }
    }
    let purpose = purpose.ok_or_else(|| Failure::invalid("purpose", "has to be given"))?;
    if !PURPOSES.iter().any(|known| known.as_bytes() == purpose) {
        return Err(Failure::invalid(
            "purpose",
            "has to be assistants or user_data: files are documents to answer from",
        ));
    }
    file.ok_or_else(|| Failure::invalid("file", "has to be given"))
}
