//! What a request is told when it fails, in the shape of its interface.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use genie_core::{EmbedError, GenerateError, StoreError};
use genie_rag::RagError;
use genie_state::StateError;
use serde_json::{Value, json};

/// Seconds that a client which found the service full is asked to wait.
const RETRY_AFTER_SECONDS: u64 = 2;

/// A request failed. What is in here is told to the client, so it must speak
/// of the request and of nothing inside.
///
/// It travels to [`crate::envelope`] as an extension of an empty response and
/// becomes a body there, where the interface is known.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) status: StatusCode,
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) fields: Vec<Field>,
    /// Seconds until another try makes sense, where that is known.
    pub(crate) retry_after: Option<u64>,
}

/// What is wrong with one field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    pub(crate) field: &'static str,
    pub(crate) reason: String,
}

/// The two shapes of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surface {
    /// OpenAI's `{error: {message, type, param, code}}`.
    OpenAi,
    /// TM Forum's TMF630 `{code, reason, message, status, referenceError}`.
    Tmf,
}

impl Surface {
    pub(crate) fn of(path: &str) -> Self {
        if path == "/v1" || path.starts_with("/v1/") {
            Self::OpenAi
        } else {
            Self::Tmf
        }
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            fields: Vec::new(),
            retry_after: None,
        }
    }

    /// The request says something that can't be done.
    pub(crate) fn invalid(field: &'static str, reason: impl Into<String>) -> Self {
        Self::fields(vec![Field {
            field,
            reason: reason.into(),
        }])
    }

    /// As [`Failure::invalid`] for several fields, of which there is at least
    /// one.
    pub(crate) fn fields(fields: Vec<Field>) -> Self {
        let message = fields
            .iter()
            .map(|field| format!("{}: {}", field.field, field.reason))
            .collect::<Vec<_>>()
            .join("; ");
        Self {
            fields,
            ..Self::new(StatusCode::BAD_REQUEST, "invalid_request", message)
        }
    }

    /// The request keeps to the description and still makes no sense: its parts
    /// contradict each other, or what the installation has.
    pub(crate) fn senseless(field: &'static str, reason: impl Into<String>) -> Self {
        Self::invalid(field, reason).into_senseless()
    }

    /// Fails where something is wrong, and tells all of it: with 400 where
    /// any of it is outside of the description.
    pub(crate) fn none_or(wrong: Vec<Field>, senseless: Vec<Field>) -> Result<(), Self> {
        let keeps_to_description = wrong.is_empty();
        let all = [wrong, senseless].concat();
        if all.is_empty() {
            return Ok(());
        }
        let failure = Self::fields(all);
        Err(if keeps_to_description {
            failure.into_senseless()
        } else {
            failure
        })
    }

    fn into_senseless(self) -> Self {
        Self {
            status: StatusCode::UNPROCESSABLE_ENTITY,
            ..self
        }
    }

    pub(crate) fn busy() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "busy",
            "the service is working on as many requests as it accepts; try again in a moment",
        )
    }

    /// There are no valid credentials; which ones were wrong is not told.
    pub(crate) fn unauthorized() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "this needs a valid key, as in `Authorization: Bearer gk_…`",
        )
    }

    /// The caller is known and may not do this.
    pub(crate) fn forbidden() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "the caller's role and scopes do not allow this",
        )
    }

    /// Something could not be kept on disk.
    pub(crate) fn storage(error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "the disk of the service is full",
            )
        } else {
            Self::internal()
        }
    }

    pub(crate) fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "the service failed on this request; its log says more under the correlation id",
        )
    }

    pub(crate) fn stopping() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "stopping",
            "the service is being stopped",
        )
    }

    pub(crate) fn too_slow() -> Self {
        Self::new(
            StatusCode::GATEWAY_TIMEOUT,
            "timeout",
            "the work took longer than a request may; ask for a shorter answer",
        )
    }

    /// What a failed pipeline tells; `field` names what was asked.
    pub(crate) fn of_engine(error: RagError, field: &'static str) -> Self {
        match error {
            RagError::EmptyQuestion => Self::invalid(field, "must not be empty"),
            RagError::QuestionTooLong { length, limit } => Self::invalid(
                field,
                format!("has {length} characters, but at most {limit} are accepted"),
            ),
            RagError::Embed(error) => error.into(),
            RagError::Store(error) => error.into(),
            RagError::Generate(error) => error.into(),
            RagError::FormWithoutModel => Self::invalid(
                "response_format",
                "needs a language model, and none is at hand",
            ),
            // Only seen when the service itself breaks off; a receiver that
            // left reads nothing any more.
            RagError::Cancelled => Self::stopping(),
        }
    }

    /// The body in the shape of an interface.
    pub(crate) fn body(&self, surface: Surface) -> Value {
        match surface {
            Surface::OpenAi => json!({"error": {
                "message": self.message,
                "type": match self.status {
                    StatusCode::TOO_MANY_REQUESTS => "rate_limit_error",
                    StatusCode::UNAUTHORIZED => "authentication_error",
                    StatusCode::FORBIDDEN => "permission_error",
                    status if status.is_server_error() => "server_error",
                    _ => "invalid_request_error",
                },
                "param": self.fields.first().map(|field| field.field),
                "code": self.code,
            }}),
            Surface::Tmf => {
                let mut body = json!({
                    "code": self.code,
                    "reason": self.status.canonical_reason().unwrap_or("Error"),
                    "message": self.message,
                    "status": self.status.as_str(),
                    "referenceError": reference(self.status),
                });
                if !self.fields.is_empty() {
                    body["errors"] = self
                        .fields
                        .iter()
                        .map(|field| json!({"field": field.field, "reason": field.reason}))
                        .collect();
                }
                body
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            let seconds = self.retry_after.unwrap_or(RETRY_AFTER_SECONDS);
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        log(&error);
        match error {
            StoreError::Unreachable { .. } | StoreError::Locked { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "index_unavailable",
                "the index can't be reached at the moment",
            ),
            StoreError::DiskFull { .. } => Self::new(
                StatusCode::INSUFFICIENT_STORAGE,
                "disk_full",
                "the disk that holds the index is full",
            ),
            StoreError::IdentityMismatch { .. }
            | StoreError::Io { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Backend { .. } => Self::internal(),
        }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        match error {
            StateError::Exists => Self::new(StatusCode::CONFLICT, "exists", "it is there already"),
            StateError::NotFound => {
                Self::new(StatusCode::NOT_FOUND, "not_found", "there is no such thing")
            }
            StateError::Protected => {
                Self::new(StatusCode::CONFLICT, "protected", "it can't be removed")
            }
            StateError::Unavailable(_) => {
                log(&error);
                Self::new(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "state_unavailable",
                    "the state of the service can't be reached at the moment",
                )
            }
            StateError::DiskFull => {
                log(&error);
                Self::new(
                    StatusCode::INSUFFICIENT_STORAGE,
                    "disk_full",
                    "the disk that holds the state is full",
                )
            }
            _ => {
                log(&error);
                Self::internal()
            }
        }
    }
}

impl From<EmbedError> for Failure {
    fn from(error: EmbedError) -> Self {
        match error {
            EmbedError::Busy => Self::busy(),
            EmbedError::Stopped => Self::stopping(),
            EmbedError::Backend(_) => {
                log(&error);
                Self::internal()
            }
        }
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Self {
        match error {
            GenerateError::Busy { retry_after } => Self {
                retry_after: Some(retry_after.as_secs_f64().ceil() as u64),
                ..Self::busy()
            },
            // Whoever asked has left, or the service is told to stop.
            GenerateError::Stopped | GenerateError::Cancelled => Self::stopping(),
            GenerateError::ContextOverflow { .. } => Self::new(
                StatusCode::BAD_REQUEST,
                "context_length_exceeded",
                error.to_string(),
            ),
            GenerateError::Constraint { .. } => Self::invalid("response_format", error.to_string()),
            GenerateError::NoTools { .. } => Self::invalid("tools", error.to_string()),
            GenerateError::Backend(_) => {
                log(&error);
                Self::internal()
            }
        }
    }
}

/// Logs an error with its causes; the client gets none of it.
pub(crate) fn log(error: &dyn std::error::Error) {
    let mut chain = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        chain.push_str(": ");
        chain.push_str(&error.to_string());
        cause = error.source();
    }
    tracing::error!(error = chain, "a request failed");
}

/// Where the status is explained.
fn reference(status: StatusCode) -> String {
    let section = match status.as_u16() {
        429 => return "https://www.rfc-editor.org/rfc/rfc6585#section-4".to_owned(),
        507 => return "https://www.rfc-editor.org/rfc/rfc4918#section-11.5".to_owned(),
        // RFC 9110 numbers its sections as the codes, with the unused ones
        // counted.
        code @ 400..=417 => format!("15.5.{}", code - 399),
        421 => "15.5.20".to_owned(),
        422 => "15.5.21".to_owned(),
        code @ 500..=505 => format!("15.6.{}", code - 499),
        _ => "15".to_owned(),
    };
    format!("https://www.rfc-editor.org/rfc/rfc9110#section-{section}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_says_when_to_come_again() {
        let retry_after = std::time::Duration::from_millis(7200);
        let response = Failure::from(GenerateError::Busy { retry_after }).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[header::RETRY_AFTER], "8");
        let response = Failure::busy().into_response();
        assert_eq!(response.headers()[header::RETRY_AFTER], "2");
    }

    #[test]
    fn both_shapes_name_the_field() {
        let failure = Failure::invalid("top_k", "is 0, but has to be from 1 to 50");
        assert_eq!(
            failure.body(Surface::OpenAi),
            json!({"error": {
                "message": "top_k: is 0, but has to be from 1 to 50",
                "type": "invalid_request_error",
                "param": "top_k",
                "code": "invalid_request",
            }})
        );
        assert_eq!(
            failure.body(Surface::Tmf),
            json!({
                "code": "invalid_request",
                "reason": "Bad Request",
                "message": "top_k: is 0, but has to be from 1 to 50",
                "status": "400",
                "referenceError": "https://www.rfc-editor.org/rfc/rfc9110#section-15.5.1",
                "errors": [{"field": "top_k", "reason": "is 0, but has to be from 1 to 50"}],
            })
        );
    }

    #[test]
    fn a_failed_index_tells_nothing_of_its_place() {
        let failure = Failure::from(StoreError::DiskFull {
            location: "/srv/secret".to_owned(),
        });
        assert!(!failure.body(Surface::Tmf).to_string().contains("secret"));
    }

    #[test]
    fn only_v1_speaks_openai() {
        assert_eq!(Surface::of("/v1/models"), Surface::OpenAi);
        assert_eq!(Surface::of("/v1x"), Surface::Tmf);
        assert_eq!(Surface::of("/api/v1/answer"), Surface::Tmf);
    }
}
