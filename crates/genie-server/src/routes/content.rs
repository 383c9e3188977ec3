//! Routes about what is in a document, about work that goes on after its
//! request, and about how good answers are. Each is there twice, as those of
//! [`super::workspace`] are.

use super::declare::{Doc, JSON, Route, both};
use crate::access::{Need, Permission};
use crate::paging::PageBody;
use crate::{deferred, documents, evaluations, jobs, suggestions};

const JSON_OR_EVENTS: &[&str] = &["application/json", "text/event-stream"];
const SUITE: &[&str] = &["application/jsonl", "application/x-ndjson", "text/plain"];
/// What a document may have been sent as.
pub(super) const ANY: &[&str] = &[
    "text/plain",
    "text/markdown",
    "text/html",
    "application/pdf",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
];
const HTML: &[&str] = &["text/html"];

/// The list.
pub(super) fn routes() -> Vec<Route> {
    [
        both!(
            patch,
            "/documents/{id}",
            WriteDocuments,
            documents::change,
            Doc::new("Changes title or labels of a document.")
                .takes::<documents::ChangeBody>()
                .gives::<documents::DocumentBody>(200)
        ),
        both!(
            get,
            "/documents/{id}/text",
            ReadDocuments,
            documents::text,
            Doc::new("The text of a document or of a section, in passages.")
                .asks::<documents::TextQuery>()
                .gives::<PageBody<documents::PassageTextBody>>(200)
        ),
        both!(
            get,
            "/documents/{id}/pages/{page}",
            ReadDocuments,
            documents::page,
            Doc::new("The text of a page of a document.").gives::<documents::PageTextBody>(200)
        ),
        both!(
            get,
            "/documents/{id}/content",
            ReadDocuments,
            documents::content,
            Doc::new("The document as it was sent, to be saved.").gives_plain(200, ANY)
        ),
        both!(
            get,
            "/documents/{id}/certificate",
            ReadDocuments,
            documents::certify,
            Doc::new("A statement on what was indexed, whose hash is in the audit trail.")
                .gives::<documents::CertificateBody>(200)
        ),
        both!(
            post,
            "/documents/{id}/reindex",
            WriteDocuments,
            documents::reindex,
            Doc::new("Indexes what is kept of a document anew, as a job.")
                .gives::<jobs::JobBody>(202)
        ),
        both!(
            get,
            "/answers/{id}",
            Answer,
            deferred::show,
            Doc::new("An answer of the caller's that was asked for with `Prefer: respond-async`.")
                .gives_as::<jobs::JobBody>(200, JSON_OR_EVENTS)
        ),
        both!(
            delete,
            "/answers/{id}",
            Answer,
            deferred::cancel,
            Doc::new("Calls such an answer off.").gives::<jobs::JobBody>(200)
        ),
        both!(
            get,
            "/conversations/{id}/suggestions",
            Answer,
            suggestions::suggest,
            Doc::new("Questions to go on with, which the documents answer.")
                .asks::<suggestions::HowMany>()
                .gives::<suggestions::SuggestionsBody>(200)
        ),
        both!(
            post,
            "/evaluations",
            Evaluate,
            evaluations::start,
            Doc::new("Asks gold questions of the documents, as a job.")
                .asks::<evaluations::HowBody>()
                .takes_plain(SUITE)
                .gives_as::<jobs::JobBody>(202, JSON)
        ),
        both!(
            get,
            "/evaluations/{id}",
            Evaluate,
            evaluations::show,
            Doc::new("How far an evaluation is; its figures are in `result.run`.")
                .gives_as::<jobs::JobBody>(200, JSON_OR_EVENTS)
        ),
        both!(
            get,
            "/evaluations/{id}/report",
            Evaluate,
            evaluations::report,
            Doc::new("The report of an evaluation as a page.").gives_plain(200, HTML)
        ),
        both!(
            delete,
            "/evaluations/{id}",
            Evaluate,
            evaluations::cancel,
            Doc::new("Calls an evaluation off.").gives::<jobs::JobBody>(200)
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
