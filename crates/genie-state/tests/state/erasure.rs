//! Everything of a person, given out and removed.

crate::both!(
    everything_of_a_person_is_given_out,
    what_is_erased_is_in_no_file,
    a_document_is_forgotten_in_the_answers_of_its_workspace_alone,
    what_is_forgotten_is_looked_for_beside_the_writes_of_others,
    documents_that_are_forgotten_together_leave_nothing_of_each_other,
);

mod cases {
    use genie_state::{
        Database, KeyId, NewConversation, NewFeedback, NewJob, NewMessage, Owner, StateError,
        Subject, Timestamp, UsageDelta,
    };

    use sqlx::{AnyConnection, Connection};

    use crate::files::any_holds;
    use crate::place::{Place, subject, whole};

    pub(crate) async fn what_is_forgotten_is_looked_for_beside_the_writes_of_others(place: Place) {
        let ana = owner(&place, "health").await;
        // More than are looked at together.
        let cited = serde_json::json!({
            "answer": "Ships splice cables [1].",
            "citations": [{"number": 1, "document": "a.md", "quote": "splice"}],
        });
        let text = "Ships splice cables [1].";
        let new = NewConversation {
            owner: ana.clone(),
            title: "ships".to_owned(),
        };
        let state = &place.state;
        let talk = state.create_conversation(new).await.expect("begun");
        let person = NewMessage {
            text: "What do ships do?".to_owned(),
            language: None,
            answer: None,
        };
        let assistant = NewMessage {
            text: text.to_owned(),
            language: None,
            answer: Some(cited.to_string()),
        };
        for _ in 0..130 {
            let kept = state
                .add_exchange(&ana, &talk.id, person.clone(), assistant.clone())
                .await;
            kept.expect("kept");
        }
        // Somebody writes and takes long.
        let mut writer = AnyConnection::connect(place.url()).await.expect("by hand");
        let begin = if place.is_sqlite() {
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN"
        };
        let by_hand = sqlx::raw_sql(begin).execute(&mut writer).await;
        by_hand.expect("begun");
        let touch = "UPDATE workspaces SET name = name";
        sqlx::query(touch).execute(&mut writer).await.expect("held");
        let none = state.forget_document(&ana.workspace, "b.md").await;
        assert_eq!(none.expect("nothing to write, so nobody to wait for"), 0);
        let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut writer).await;
        rolled_back.expect("ended");
        writer.close().await.expect("closed");
        let forgotten = state.forget_document(&ana.workspace, "a.md").await;
        assert_eq!(forgotten.expect("forgotten"), 130);
        let left = format!("SELECT COUNT(*) FROM messages WHERE body = '{text}'");
        assert_eq!(place.number_by_hand(&left).await, 0);
        let asked = "SELECT COUNT(*) FROM messages WHERE body = 'What do ships do?'";
        assert_eq!(place.number_by_hand(asked).await, 130);
    }

    /// Each of them changes answers that the others have looked at.
    pub(crate) async fn documents_that_are_forgotten_together_leave_nothing_of_each_other(
        place: Place,
    ) {
        let ana = owner(&place, "health").await;
        let names = ["a.md", "b.md", "c.md", "d.md"];
        let quotes: Vec<serde_json::Value> = names
            .iter()
            .map(|name| serde_json::json!({"document": name, "quote": format!("canary of {name}")}))
            .collect();
        let cited = serde_json::json!({"answer": "Four of them.", "citations": quotes});
        let new = NewConversation {
            owner: ana.clone(),
            title: "four".to_owned(),
        };
        let state = &place.state;
        let talk = state.create_conversation(new).await.expect("begun");
        let message = NewMessage {
            text: "Four of them.".to_owned(),
            language: None,
            answer: Some(cited.to_string()),
        };
        for _ in 0..40 {
            let kept = state
                .add_exchange(&ana, &talk.id, message.clone(), message.clone())
                .await;
            kept.expect("kept");
        }
        let [a, b, c, d] = names.map(|name| state.forget_document(&ana.workspace, name));
        let (a, b, c, d) = tokio::join!(a, b, c, d);
        for forgotten in [a, b, c, d] {
            match forgotten {
                Ok(changed) => assert!(changed > 0),
                // Another one was in the journal at that moment.
                Err(StateError::NotCleared) => {}
                Err(error) => panic!("{error}"),
            }
        }
        let left = "SELECT COUNT(*) FROM messages WHERE answer LIKE '%canary%'";
        assert_eq!(place.number_by_hand(left).await, 0);
    }

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
        // What was used is nobody's then, and used all the same.
        let now = Timestamp::now();
        let used = place.state.used_in(&ana.workspace, now).await;
        assert_eq!(used.expect("counted").answers_today, 4);
        // A key does not have its quota anew.
        let kiosk = Subject::key(&KeyId::random());
        let answers = UsageDelta {
            answers: 2,
            ..UsageDelta::default()
        };
        let counted = place
            .state
            .count_usage(&ana.workspace, &kiosk, answers, now);
        counted.await.expect("counted");
        let erased = place.state.erase_subject(&ana.workspace, &kiosk).await;
        assert_eq!(erased.expect("nothing to erase"), 0);
        let used = place.state.used_by(&kiosk, now).await;
        assert_eq!(used.expect("counted").answers_today, 2);
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

    /// A kept answer that cites one document and has read another.
    fn answer(cited: &str, read: &str) -> String {
        serde_json::json!({
            "answer": format!("It says so in {cited} [1]."),
            "citations": [{"number": 1, "document": cited, "quote": format!("quote of {cited}")}],
            "passages": [{"document": read, "text": format!("text of {read}")}],
        })
        .to_string()
    }

    pub(crate) async fn a_document_is_forgotten_in_the_answers_of_its_workspace_alone(
        place: Place,
    ) {
        let state = &place.state;
        let ana = owner(&place, "ana").await;
        let elsewhere = Owner {
            workspace: place.workspace("health").await,
            ..ana.clone()
        };
        let gone = "reports/50%_\"a\".md";
        let mut talks = Vec::new();
        for (owner, cited, read) in [
            (&ana, gone, "b.md"),
            (&ana, "b.md", gone),
            (&ana, "b.md", "reports/50xx\"a\".md"),
            (&elsewhere, gone, "b.md"),
        ] {
            let new = NewConversation {
                owner: owner.clone(),
                title: "t".to_owned(),
            };
            let id = state.create_conversation(new).await.expect("begun").id;
            let said = |text: &str, answer: Option<String>| NewMessage {
                text: text.to_owned(),
                language: None,
                answer,
            };
            let written = said("It says so.", Some(answer(cited, read)));
            let added = state.add_exchange(owner, &id, said("Who?", None), written);
            added.await.expect("written").expect("there");
            talks.push((owner, id));
        }
        let job = NewJob {
            workspace: ana.workspace.clone(),
            kind: "answer.delivery".to_owned(),
            subject: ana.subject.clone(),
            content: "c".to_owned(),
            payload: answer(gone, "b.md"),
        };
        let job = state.enqueue(job).await.expect("queued");

        let forgotten = state.forget_document(&ana.workspace, gone).await;
        assert_eq!(forgotten.expect("forgotten"), 3);
        let again = state.forget_document(&ana.workspace, gone).await;
        assert_eq!(again.expect("nothing"), 0);
        let mut left = Vec::new();
        for (owner, id) in talks {
            let messages = state.messages(owner, &id, whole()).await.expect("read");
            let [asked, answered] = messages.expect("there").results.try_into().expect("two");
            assert_eq!(asked.text, "Who?");
            left.push((answered.text, answered.answer.expect("an answer")));
        }
        assert_eq!(left[0].0, genie_state::ERASED);
        assert!(!left[0].1.contains("50%") && left[0].1.contains("text of b.md"));
        assert_eq!(left[1].0, "It says so.", "it does not rest on it");
        assert!(!left[1].1.contains("50%") && left[1].1.contains("quote of b.md"));
        assert!(left[2].1.contains("text of reports/50xx"), "{}", left[2].1);
        assert_eq!(left[3], ("It says so.".to_owned(), answer(gone, "b.md")));
        let job = state.job(&ana.workspace, &job.id).await.expect("read");
        let payload = job.expect("there").payload;
        assert!(
            !payload.contains("50%") && payload.contains("text of b.md"),
            "{payload}"
        );
    }
}
