use crate::*;
use std::time::Duration;
type R<T> = Result<T, StateError>;
#[allow(
    missing_docs,
    unused_variables,
    clippy::todo,
    reason = "signatures first"
)]
impl State {
    pub async fn open(database: &Database) -> R<State> {
        todo!()
    }
    pub async fn ping(&self) -> R<()> {
        todo!()
    }
    pub async fn close(&self) {
        todo!()
    }
    pub async fn create_workspace(&self, new: NewWorkspace) -> R<Workspace> {
        todo!()
    }
    pub async fn workspace(&self, id: &WorkspaceId) -> R<Option<Workspace>> {
        todo!()
    }
    pub async fn workspaces(&self, page: Page) -> R<Paged<Workspace>> {
        todo!()
    }
    pub async fn workspaces_of(&self, subject: &Subject, page: Page) -> R<Paged<Workspace>> {
        todo!()
    }
    pub async fn change_workspace(
        &self,
        id: &WorkspaceId,
        change: WorkspaceChange,
        by: &Subject,
    ) -> R<Option<Workspace>> {
        todo!()
    }
    pub async fn settings_history(
        &self,
        id: &WorkspaceId,
        page: Page,
    ) -> R<Paged<SettingsVersion>> {
        todo!()
    }
    pub async fn delete_workspace(&self, id: &WorkspaceId) -> R<bool> {
        todo!()
    }
    pub async fn set_member(&self, id: &WorkspaceId, subject: &Subject, role: Role) -> R<Member> {
        todo!()
    }
    pub async fn remove_member(&self, id: &WorkspaceId, subject: &Subject) -> R<bool> {
        todo!()
    }
    pub async fn members(&self, id: &WorkspaceId, page: Page) -> R<Paged<Member>> {
        todo!()
    }
    pub async fn role_of(&self, id: &WorkspaceId, subject: &Subject) -> R<Option<Role>> {
        todo!()
    }
    pub async fn create_key(&self, new: NewKey) -> R<(ApiKey, Secret)> {
        todo!()
    }
    pub async fn authenticate(&self, secret: &str, now: Timestamp) -> R<Option<ApiKey>> {
        todo!()
    }
    pub async fn key(&self, id: &KeyId) -> R<Option<ApiKey>> {
        todo!()
    }
    pub async fn keys(&self, workspace: Option<&WorkspaceId>, page: Page) -> R<Paged<ApiKey>> {
        todo!()
    }
    pub async fn rotate_key(&self, id: &KeyId) -> R<Option<(ApiKey, Secret)>> {
        todo!()
    }
    pub async fn revoke_key(&self, id: &KeyId) -> R<bool> {
        todo!()
    }
    pub async fn create_conversation(&self, new: NewConversation) -> R<Conversation> {
        todo!()
    }
    pub async fn conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
    ) -> R<Option<Conversation>> {
        todo!()
    }
    pub async fn conversations(&self, owner: &Owner, page: Page) -> R<Paged<Conversation>> {
        todo!()
    }
    pub async fn rename_conversation(
        &self,
        owner: &Owner,
        id: &ConversationId,
        title: &str,
    ) -> R<Option<Conversation>> {
        todo!()
    }
    pub async fn delete_conversation(&self, owner: &Owner, id: &ConversationId) -> R<bool> {
        todo!()
    }
    pub async fn add_exchange(
        &self,
        owner: &Owner,
        id: &ConversationId,
        question: NewMessage,
        answer: NewMessage,
    ) -> R<Option<(Message, Message)>> {
        todo!()
    }
    pub async fn messages(
        &self,
        owner: &Owner,
        id: &ConversationId,
        page: Page,
    ) -> R<Option<Paged<Message>>> {
        todo!()
    }
    pub async fn last_messages(
        &self,
        owner: &Owner,
        id: &ConversationId,
        n: u32,
    ) -> R<Option<Vec<Message>>> {
        todo!()
    }
    pub async fn give_feedback(
        &self,
        owner: &Owner,
        message: &MessageId,
        feedback: NewFeedback,
    ) -> R<Option<Feedback>> {
        todo!()
    }
    pub async fn feedback(&self, workspace: &WorkspaceId, page: Page) -> R<Paged<Feedback>> {
        todo!()
    }
    pub async fn export_subject(
        &self,
        workspace: &WorkspaceId,
        subject: &Subject,
    ) -> R<SubjectData> {
        todo!()
    }
    pub async fn erase_subject(&self, workspace: &WorkspaceId, subject: &Subject) -> R<u64> {
        todo!()
    }
    pub async fn enqueue(&self, new: NewJob) -> R<Job> {
        todo!()
    }
    pub async fn claim(&self, worker: &str, lease: Duration, now: Timestamp) -> R<Option<Job>> {
        todo!()
    }
    pub async fn progress(
        &self,
        id: &JobId,
        worker: &str,
        done: u64,
        total: u64,
        lease: Duration,
        now: Timestamp,
    ) -> R<bool> {
        todo!()
    }
    pub async fn finish(&self, id: &JobId, worker: &str, outcome: JobOutcome) -> R<bool> {
        todo!()
    }
    pub async fn cancel_job(&self, workspace: &WorkspaceId, id: &JobId) -> R<Option<Job>> {
        todo!()
    }
    pub async fn job(&self, workspace: &WorkspaceId, id: &JobId) -> R<Option<Job>> {
        todo!()
    }
    pub async fn jobs(&self, workspace: &WorkspaceId, page: Page) -> R<Paged<Job>> {
        todo!()
    }
    pub async fn count_usage(
        &self,
        workspace: &WorkspaceId,
        subject: &Subject,
        usage: UsageDelta,
        now: Timestamp,
    ) -> R<()> {
        todo!()
    }
    pub async fn usage(&self, workspace: &WorkspaceId, from: &str, to: &str) -> R<Vec<UsageRow>> {
        todo!()
    }
    pub async fn audit(&self, entry: NewAudit) -> R<AuditRecord> {
        todo!()
    }
    pub async fn audit_page(
        &self,
        workspace: Option<&WorkspaceId>,
        page: Page,
    ) -> R<Paged<AuditRecord>> {
        todo!()
    }
    pub async fn verify_audit(&self) -> R<AuditVerdict> {
        todo!()
    }
    pub async fn export_audit(
        &self,
        on_record: &mut dyn FnMut(&AuditRecord) -> std::io::Result<()>,
    ) -> R<u64> {
        todo!()
    }
    pub async fn backup_to(&self, file: &std::path::Path) -> R<()> {
        todo!()
    }
}
impl State {
    pub async fn open_jobs(&self, workspace: &WorkspaceId) -> R<Vec<Job>> {
        todo!()
    }
    pub async fn erase_conversations_before(
        &self,
        workspace: &WorkspaceId,
        before: Timestamp,
    ) -> R<u64> {
        todo!()
    }
}
impl Workspace {
    pub fn alone() -> Self {
        todo!()
    }
}
