//! Routes about one workspace. Most are there twice: under the workspace's
//! path, and alone for the workspace of the key or of `X-Genie-Workspace`.

use super::declare::{Doc, JSON, Route, both, under};
use crate::access::{Need, Permission};
use crate::conversations as talk;
use crate::paging::PageBody;
use crate::{answer, documents, jobs, keys, members, person, question, trail, wire, workspaces};

const JSON_OR_EVENTS: &[&str] = &["application/json", "text/event-stream"];
const DOCUMENT: &[&str] = &[
    "application/octet-stream",
    "multipart/form-data",
    "application/json",
];

/// The list.
pub(super) fn routes() -> Vec<Route> {
    [
        both!(
            post,
            "/answer",
            Answer,
            answer::answer,
            Doc::new("Answers a question with citations; with `Prefer: respond-async` as a job.")
                .takes::<question::AnswerRequest>()
                .gives_as::<wire::AnswerBody>(200, JSON_OR_EVENTS)
                .gives::<jobs::JobBody>(202)
        ),
        both!(
            post,
            "/search",
            Search,
            answer::search,
            Doc::new("Finds passages.")
                .takes::<question::SearchRequestBody>()
                .gives::<wire::SearchBody>(200)
        ),
        both!(
            get,
            "/documents",
            ReadDocuments,
            documents::list,
            Doc::paged("The documents.").gives::<documents::DocumentsBody>(200)
        ),
        both!(
            post,
            "/documents",
            WriteDocuments,
            documents::add,
            Doc::new("Indexes a document; with `Prefer: respond-async` as a job.")
                .asks::<documents::Label>()
                .takes_plain(DOCUMENT)
                .gives::<documents::AddedBody>(201)
                .gives::<documents::AddedBody>(200)
                .gives::<jobs::JobBody>(202)
        ),
        both!(
            get,
            "/documents/{id}",
            ReadDocuments,
            documents::read,
            Doc::new("What the index knows of a document.").gives::<documents::DocumentBody>(200)
        ),
        both!(
            get,
            "/jobs",
            ReadDocuments,
            jobs::list,
            Doc::paged("The jobs, newest first.").gives::<PageBody<jobs::JobBody>>(200)
        ),
        both!(
            get,
            "/jobs/{id}",
            ReadDocuments,
            jobs::show,
            Doc::new("How far a job is, as JSON or as events until it is over.")
                .gives_as::<jobs::JobBody>(200, JSON_OR_EVENTS)
        ),
        both!(
            delete,
            "/jobs/{id}",
            WriteDocuments,
            jobs::cancel,
            Doc::new("Calls a job off.").gives::<jobs::JobBody>(200)
        ),
        both!(
            get,
            "/conversations",
            Answer,
            talk::list,
            Doc::paged("The caller's conversations, latest first.")
                .gives::<PageBody<talk::ConversationBody>>(200)
        ),
        both!(
            post,
            "/conversations",
            Answer,
            talk::create,
            Doc::new("Opens a conversation.")
                .takes::<talk::OpeningBody>()
                .gives::<talk::ConversationBody>(201)
        ),
        both!(
            get,
            "/conversations/{id}",
            Answer,
            talk::show,
            Doc::new("A conversation.").gives::<talk::ConversationBody>(200)
        ),
        both!(
            patch,
            "/conversations/{id}",
            Answer,
            talk::rename,
            Doc::new("Renames a conversation.")
                .takes::<talk::TitleBody>()
                .gives::<talk::ConversationBody>(200)
        ),
        both!(
            get,
            "/conversations/{id}/messages",
            Answer,
            talk::messages,
            Doc::paged("The messages, oldest first.").gives::<PageBody<talk::MessageBody>>(200)
        ),
        both!(
            post,
            "/conversations/{id}/messages",
            Answer,
            talk::ask,
            Doc::new("Asks in a conversation; question and answer are kept.")
                .takes::<question::AnswerRequest>()
                .gives_as::<talk::ExchangeBody>(201, JSON)
                .gives_plain(200, &["text/event-stream"])
                .gives::<jobs::JobBody>(202)
        ),
        both!(
            put,
            "/messages/{id}/feedback",
            Answer,
            talk::give_feedback,
            Doc::new("Says what the caller thinks of an answer.")
                .takes::<talk::FeedbackRequest>()
                .gives::<talk::FeedbackBody>(200)
        ),
        both!(
            get,
            "/feedback",
            ReadFeedback,
            talk::feedback,
            Doc::paged("What was said of answers, newest first.")
                .gives::<PageBody<talk::FeedbackBody>>(200)
        ),
        both!(
            get,
            "/usage",
            ReadUsage,
            trail::usage,
            Doc::new("What was used, by day and caller.")
                .asks::<trail::Days>()
                .gives::<trail::UsageReport>(200)
        ),
        both!(
            get,
            "/audit",
            ReadAudit,
            trail::audit,
            Doc::paged("The audit trail, newest first.").gives::<PageBody<trail::AuditBody>>(200)
        ),
        both!(
            get,
            "/me/data",
            Answer,
            person::export,
            Doc::new("All that is kept of the caller.").gives::<person::ExportBody>(200)
        ),
        both!(
            delete,
            "/me/data",
            Answer,
            person::erase,
            Doc::new("Erases the caller's conversations and feedback.")
                .gives::<person::ErasedBody>(200)
        ),
        under!(
            get,
            "",
            ReadDocuments,
            workspaces::show,
            Doc::new("A workspace.").gives::<workspaces::WorkspaceBody>(200)
        ),
        under!(
            patch,
            "",
            Manage,
            workspaces::change,
            Doc::new("Changes name or settings.")
                .takes::<workspaces::WorkspaceChangeBody>()
                .gives::<workspaces::WorkspaceBody>(200)
        ),
        under!(
            get,
            "/settings/history",
            Manage,
            workspaces::history,
            Doc::paged("Earlier names and settings, newest first.")
                .gives::<PageBody<workspaces::VersionBody>>(200)
        ),
        under!(
            get,
            "/members",
            Manage,
            members::list,
            Doc::paged("The members.").gives::<PageBody<members::MemberBody>>(200)
        ),
        under!(
            put,
            "/members/{subject}",
            Manage,
            members::set,
            Doc::new("Makes somebody a member, or changes the role.")
                .takes::<members::MembershipBody>()
                .gives::<members::MemberBody>(200)
        ),
        under!(
            delete,
            "/members/{subject}",
            Manage,
            members::remove,
            Doc::new("Ends a membership.").gives_nothing(204)
        ),
        under!(
            get,
            "/keys",
            Manage,
            keys::list,
            Doc::paged("The workspace's keys.").gives::<PageBody<keys::KeyBody>>(200)
        ),
        under!(
            post,
            "/keys",
            Manage,
            keys::create,
            Doc::new("Makes a key; its secret is told this once.")
                .takes::<keys::NewKeyBody>()
                .gives::<keys::SecretBody>(201)
        ),
        under!(
            get,
            "/keys/{id}",
            Manage,
            keys::show,
            Doc::new("A key, without its secret.").gives::<keys::KeyBody>(200)
        ),
        under!(
            post,
            "/keys/{id}/rotate",
            Manage,
            keys::rotate,
            Doc::new("Gives a key a new secret; the old one ends at once.")
                .gives::<keys::SecretBody>(200)
        ),
        under!(
            delete,
            "/keys/{id}",
            Manage,
            keys::revoke,
            Doc::new("Revokes a key at once.").gives_nothing(204)
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}
