//! Everything of a person, given out and removed.

crate::both!(
    everything_of_a_person_is_given_out,
    what_is_erased_is_in_no_file,
);

mod cases {
    use genie_state::{
        Database, NewConversation, NewFeedback, NewJob, NewMessage, Owner, Timestamp, UsageDelta,
    };

    use crate::files::any_holds;
    use crate::place::{Place, subject, whole};

    async fn speak(place: &Place, owner: &Owner, text: &str) {
        let state = &place.state;
        let new = NewConversation {
            owner: owner.clone(),
            title: format!("title {text}"),
        };
        let conversation = state.create_conversation(new).await.expect("begun");
        let message = NewMessage {
            text: text.to_owned(),
            language: None,
            answer: Some(format!("{{\"text\":\"{text}\"}}")),
        };
        let added = state
            .add_exchange(owner, &conversation.id, message.clone(), message)
            .await;
        let (_, answer) = added.expect("written").expect("there");
        let said = NewFeedback {
            rating: Some(4),
            comment: Some(text.to_owned()),
            wrong_citation: None,
        };
        let said = state.give_feedback(owner, &answer.id, said).await;
        said.expect("written").expect("an answer");
        let usage = UsageDelta {
            answers: 1,
            ..UsageDelta::default()
        };
        let counted = state.count_usage(&owner.workspace, &owner.subject, usage, Timestamp::now());
        counted.await.expect("counted");
        let job = NewJob {
            workspace: owner.workspace.clone(),
            kind: "answer".to_owned(),
            subject: owner.subject.clone(),
            content: text.to_owned(),
            payload: format!("{{\"question\":\"{text}\"}}"),
        };
        state.enqueue(job).await.expect("queued");
    }

    async fn owner(place: &Place, name: &str) -> Owner {
        Owner {
            workspace: genie_state::WorkspaceId::default_workspace(),
            subject: subject(&format!("user:{}:{name}", place.is_sqlite())),
        }
    }

    pub(crate) async fn everything_of_a_person_is_given_out(place: Place) {
        let (ana, bo) = (owner(&place, "ana").await, owner(&place, "bo").await);
        for (who, text) in [(&ana, "one"), (&bo, "other"), (&ana, "two")] {
            speak(&place, who, text).await;
        }
        let data = place.state.export_subject(&ana.workspace, &ana.subject);
        let data = data.await.expect("given out");
        let texts: Vec<_> = data
            .conversations
            .iter()
            .flat_map(|(_, messages)| messages)
            .map(|message| message.text.as_str())
            .collect();
        assert_eq!(texts, ["one", "one", "two", "two"]);
        let said: Vec<_> = data.feedback.iter().map(|f| f.comment.as_deref()).collect();
        assert_eq!(said, [Some("one"), Some("two")]);
        assert_eq!(data.usage.iter().map(|day| day.answers).sum::<u64>(), 2);
    }

    pub(crate) async fn what_is_erased_is_in_no_file(place: Place) {
        let (ana, bo) = (owner(&place, "ana").await, owner(&place, "bo").await);
        let canary = "the canary sings at 4711";
        let long = format!("{canary} {}", "and on ".repeat(3000));
        for text in ["before", canary, &long] {
            speak(&place, &ana, text).await;
        }
        speak(&place, &bo, "what bo says").await;
        let holds = |text: &str| match &place.database {
            Database::Sqlite(file) => any_holds(file.parent().expect("a folder"), text.as_bytes()),
            Database::Postgres(_) => false,
        };
        assert_eq!(holds(canary), place.is_sqlite(), "the search finds it");
        let erased = place.state.erase_subject(&ana.workspace, &ana.subject);
        assert_eq!(erased.await.expect("erased"), 3);
        assert!(!holds(canary));
        assert_eq!(holds("what bo says"), place.is_sqlite());
        let again = place.state.erase_subject(&ana.workspace, &ana.subject);
        assert_eq!(again.await.expect("nothing"), 0);
        let data = place.state.export_subject(&ana.workspace, &ana.subject);
        let data = data.await.expect("read");
        assert!(data.conversations.is_empty() && data.feedback.is_empty());
        assert!(data.usage.is_empty());
        let jobs = place
            .state
            .jobs(&ana.workspace, whole())
            .await
            .expect("a list");
        assert_eq!(jobs.count, 1);
        let left = place.state.feedback(&bo.workspace, whole()).await;
        assert_eq!(left.expect("a list").count, 1);
        assert!(
            place
                .state
                .delete_workspace(&place.workspace("gone").await)
                .await
                .expect("ok")
        );
    }
}
