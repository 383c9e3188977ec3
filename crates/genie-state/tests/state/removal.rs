//! Workspaces and conversations that are removed, restored and erased.

crate::both!(
    what_was_removed_is_found_nowhere_and_comes_back_whole,
    what_is_due_is_erased_and_nothing_else,
    a_removed_conversation_is_found_nowhere_and_comes_back_whole,
    conversations_that_are_due_are_erased_and_no_others,
);

mod cases {
    use std::time::Duration;

    use genie_state::{
        Conversation, MessageId, NewConversation, NewFeedback, NewJob, NewMessage, Owner, Role,
        StateError, Subject, Timestamp, WorkspaceChange, WorkspaceId,
    };

    use crate::place::{Place, subject, whole};

    const DAY: Duration = Duration::from_secs(24 * 3600);

    async fn listed(place: &Place) -> Vec<String> {
        let all = place.state.workspaces(whole()).await.expect("a list");
        assert_eq!(all.count as usize, all.results.len());
        all.results.iter().map(|w| w.id.to_string()).collect()
    }

    async fn claimed(place: &Place) -> bool {
        let (lease, now) = (Duration::from_secs(60), Timestamp::now());
        let job = place.state.claim("worker", &["test"], lease, now).await;
        job.expect("read").is_some()
    }

    pub(crate) async fn what_was_removed_is_found_nowhere_and_comes_back_whole(place: Place) {
        let id = place.workspace("health").await;
        let state = &place.state;
        let ana = subject("user:1:ana");
        let member = state.set_member(&id, &ana, Role::Editor).await;
        member.expect("a member");
        let job = NewJob {
            workspace: id.clone(),
            kind: "test".to_owned(),
            subject: Subject::local(),
            content: "c".to_owned(),
            payload: "{}".to_owned(),
        };
        state.enqueue(job).await.expect("a job");
        let before = state.workspace(&id).await.expect("read").expect("there");
        let now = Timestamp::now();
        let until = now.after(DAY);

        assert!(state.remove_workspace(&id, until).await.expect("written"));
        assert_eq!(state.workspace(&id).await.expect("read"), None);
        assert_eq!(listed(&place).await, ["default"]);
        assert!(state.memberships(&ana).await.expect("read").is_empty());
        let of_ana = state.workspaces_of(&ana, whole()).await.expect("a list");
        assert_eq!((of_ana.count, of_ana.results.len()), (0, 0));
        let change = WorkspaceChange {
            name: Some("Other".to_owned()),
            settings: None,
        };
        let changed = state.change_workspace(&id, change, &ana).await;
        assert_eq!(changed.expect("read"), None);
        assert!(!claimed(&place).await, "its job waits");
        let again = genie_state::NewWorkspace {
            id: id.clone(),
            name: "Again".to_owned(),
            settings: genie_state::WorkspaceSettings::default(),
            by: Subject::local(),
        };
        let again = state.create_workspace(again).await;
        assert!(matches!(again, Err(StateError::Exists)));
        // It is removed already, and keeps its time.
        let sooner = state.remove_workspace(&id, now).await;
        assert!(!sooner.expect("read"));
        let removed = state.removed_workspaces(whole()).await.expect("a list");
        assert_eq!(removed.count, 1);
        assert_eq!(removed.results[0].workspace, before);
        assert_eq!(removed.results[0].erase_after, until);

        let restored = state.restore_workspace(&id, now).await.expect("written");
        assert_eq!(restored, Some(before.clone()));
        assert_eq!(state.workspace(&id).await.expect("read"), Some(before));
        assert_eq!(
            state.memberships(&ana).await.expect("read"),
            [(id.clone(), Role::Editor)]
        );
        assert!(claimed(&place).await);
        let twice = state.restore_workspace(&id, now).await;
        assert_eq!(twice.expect("read"), None);
        let none = state.removed_workspaces(whole()).await.expect("a list");
        assert_eq!(none.count, 0);
    }

    pub(crate) async fn what_is_due_is_erased_and_nothing_else(place: Place) {
        let (due, later) = (place.workspace("due").await, place.workspace("later").await);
        place.workspace("stays").await;
        let state = &place.state;
        let now = Timestamp::now();
        for (id, time) in [(&due, now), (&later, now.after(DAY))] {
            assert!(state.remove_workspace(id, time).await.expect("written"));
        }
        let to_erase = async |now| {
            let found = state.workspaces_to_erase(now).await.expect("a list");
            found.iter().map(|w| w.id.to_string()).collect::<Vec<_>>()
        };
        assert!(to_erase(now.before(DAY)).await.is_empty());
        assert_eq!(to_erase(now).await, ["due"]);
        assert_eq!(to_erase(now.after(DAY)).await, ["due", "later"]);
        // Whoever erases may be at it.
        let too_late = state.restore_workspace(&due, now).await;
        assert_eq!(too_late.expect("read"), None);
        assert!(state.delete_workspace(&due).await.expect("deleted"));
        assert_eq!(to_erase(now.after(DAY)).await, ["later"]);
        assert_eq!(listed(&place).await, ["default", "stays"]);
        let default = WorkspaceId::default_workspace();
        assert!(matches!(
            state.remove_workspace(&default, now).await,
            Err(StateError::Protected)
        ));
        let nowhere = "nowhere".parse().expect("a name");
        assert!(!state.remove_workspace(&nowhere, now).await.expect("read"));
    }

    fn owner(name: &str) -> Owner {
        Owner {
            workspace: WorkspaceId::default_workspace(),
            subject: subject(name),
        }
    }

    /// A conversation with one exchange, and the answer in it.
    async fn spoken(place: &Place, owner: &Owner, text: &str) -> (Conversation, MessageId) {
        let state = &place.state;
        let new = NewConversation {
            owner: owner.clone(),
            title: format!("title {text}"),
        };
        let id = state.create_conversation(new).await.expect("begun").id;
        let said = NewMessage {
            text: text.to_owned(),
            language: None,
            answer: None,
        };
        let added = state.add_exchange(owner, &id, said.clone(), said).await;
        let (_, answer) = added.expect("written").expect("there");
        let found = state.conversation(owner, &id).await.expect("read");
        (found.expect("there"), answer.id)
    }

    pub(crate) async fn a_removed_conversation_is_found_nowhere_and_comes_back_whole(place: Place) {
        let state = &place.state;
        let (ana, bo) = (owner("user:1:ana"), owner("user:1:bo"));
        let (before, answer) = spoken(&place, &ana, "one").await;
        let (other, _) = spoken(&place, &ana, "two").await;
        let id = before.id;
        let now = Timestamp::now();
        let until = now.after(DAY);
        let removed = state.remove_conversation(&bo, &id, until).await;
        assert!(!removed.expect("read"), "it is another's");
        let removed = state.remove_conversation(&ana, &id, until).await;
        assert!(removed.expect("written"));
        let sooner = state.remove_conversation(&ana, &id, now).await;
        assert!(!sooner.expect("read"), "it keeps its time");

        assert_eq!(state.conversation(&ana, &id).await.expect("read"), None);
        let listed = state.conversations(&ana, whole()).await.expect("a list");
        assert_eq!((listed.count, &listed.results[..]), (1, &[other][..]));
        let messages = state.messages(&ana, &id, whole()).await.expect("read");
        assert_eq!(messages, None);
        let renamed = state.rename_conversation(&ana, &id, "new").await;
        assert_eq!(renamed.expect("read"), None);
        let said = NewMessage {
            text: "more".to_owned(),
            language: None,
            answer: None,
        };
        let added = state.add_exchange(&ana, &id, said.clone(), said).await;
        assert_eq!(added.expect("read"), None);
        assert_eq!(state.exchange(&ana, &answer).await.expect("read"), None);
        assert!(!state.delete_exchange(&ana, &answer).await.expect("read"));
        let said = NewFeedback {
            rating: Some(4),
            comment: None,
            wrong_citation: None,
        };
        let said = state.give_feedback(&ana, &answer, said).await;
        assert_eq!(said.expect("read"), None);
        let data = state.export_subject(&ana.workspace, &ana.subject).await;
        assert_eq!(
            data.expect("given out").conversations.len(),
            2,
            "it is kept"
        );

        let of_bo = state.removed_conversations(&bo, whole()).await;
        assert_eq!(of_bo.expect("a list").count, 0);
        let of_ana = state.removed_conversations(&ana, whole()).await;
        let of_ana = of_ana.expect("a list");
        assert_eq!(of_ana.count, 1);
        assert_eq!(of_ana.results[0].conversation, before);
        assert_eq!(of_ana.results[0].erase_after, until);
        for (who, at) in [(&bo, now), (&ana, until)] {
            let restored = state.restore_conversation(who, &id, at).await;
            assert_eq!(restored.expect("read"), None);
        }
        let restored = state.restore_conversation(&ana, &id, now).await;
        assert_eq!(restored.expect("written"), Some(before));
        let messages = state.messages(&ana, &id, whole()).await.expect("read");
        assert_eq!(messages.expect("there").count, 2);
        let again = state.restore_conversation(&ana, &id, now).await;
        assert_eq!(again.expect("read"), None, "it is not removed any more");

        let removed = state.remove_conversation(&ana, &id, until).await;
        assert!(removed.expect("written"));
        assert!(state.delete_conversation(&ana, &id).await.expect("erased"));
        let left = state.removed_conversations(&ana, whole()).await;
        assert_eq!(left.expect("a list").count, 0);
    }

    pub(crate) async fn conversations_that_are_due_are_erased_and_no_others(place: Place) {
        let state = &place.state;
        let ana = owner("user:1:ana");
        let now = Timestamp::now();
        let (stays, _) = spoken(&place, &ana, "stays").await;
        let (due, _) = spoken(&place, &ana, "due").await;
        let (later, _) = spoken(&place, &ana, "later").await;
        for (one, until) in [(&due, now), (&later, now.after(DAY))] {
            let removed = state.remove_conversation(&ana, &one.id, until).await;
            assert!(removed.expect("written"));
        }
        let erased = state.erase_conversations_due(now).await.expect("erased");
        assert_eq!(erased, [(ana.workspace.clone(), due.id)]);
        let again = state.erase_conversations_due(now).await.expect("erased");
        assert_eq!(again, []);
        let left = state.removed_conversations(&ana, whole()).await;
        assert_eq!(left.expect("a list").results[0].conversation, later);
        let found = state.conversation(&ana, &stays.id).await.expect("read");
        assert_eq!(found, Some(stays));
        let messages = place.number_by_hand("SELECT COUNT(*) AS n FROM messages");
        assert_eq!(messages.await, 4, "two of each that is left");
    }
}
