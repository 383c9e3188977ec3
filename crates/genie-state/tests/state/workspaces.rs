//! Workspaces, their settings and members.

crate::both!(
    the_default_is_there_and_stays,
    a_workspace_is_made_once,
    lists_are_in_byte_order_and_paged,
    changes_are_kept_as_history,
    deleting_leaves_only_the_trail,
    members_have_one_role,
);

mod cases {
    use genie_state::{
        Database, Job, JobState, NewAudit, NewConversation, NewFeedback, NewJob, NewKey,
        NewMessage, Owner, Role, State, StateError, Subject, Timestamp, UsageDelta,
        WorkspaceChange, WorkspaceId, WorkspaceSettings,
    };

    use crate::place::{Place, page, subject, whole};

    pub(crate) async fn the_default_is_there_and_stays(place: Place) {
        let id = WorkspaceId::default_workspace();
        let first = place.state.workspace(&id).await.expect("read");
        assert_eq!(first.as_ref().map(|w| w.version), Some(1));
        assert!(matches!(
            place.state.delete_workspace(&id).await,
            Err(StateError::Protected)
        ));
        let again = State::open(&place.database).await.expect("opened again");
        assert_eq!(again.workspace(&id).await.expect("read"), first);
        again.close().await;
    }

    pub(crate) async fn a_workspace_is_made_once(place: Place) {
        let id = place.workspace("health").await;
        let other: WorkspaceId = "roads".parse().expect("a name");
        assert_eq!(place.state.workspace(&other).await.expect("read"), None);
        let again = genie_state::NewWorkspace {
            id: id.clone(),
            name: "Another".to_owned(),
            settings: WorkspaceSettings::default(),
            by: Subject::local(),
        };
        assert!(matches!(
            place.state.create_workspace(again).await,
            Err(StateError::Exists)
        ));
        let found = place.state.workspace(&id).await.expect("read");
        assert_eq!(found.map(|w| w.name).as_deref(), Some("HEALTH"));
    }

    pub(crate) async fn lists_are_in_byte_order_and_paged(place: Place) {
        for id in ["b", "a-z", "ab", "a0"] {
            place.workspace(id).await;
        }
        let names = async |number, size| {
            let list = place.state.workspaces(page(number, size)).await;
            let list = list.expect("a list");
            let names: Vec<_> = list.results.iter().map(|w| w.id.to_string()).collect();
            (list.count, names.join(" "))
        };
        assert_eq!(names(1, 10).await, (5, "a-z a0 ab b default".to_owned()));
        assert_eq!(names(2, 2).await, (5, "ab b".to_owned()));
        assert_eq!(names(9, 2).await, (5, String::new()));
    }

    pub(crate) async fn changes_are_kept_as_history(place: Place) {
        let id = place.workspace("health").await;
        let settings = WorkspaceSettings {
            languages: vec!["fr".to_owned()],
            top_k: Some(7),
            min_similarity: Some(0.25),
            ..WorkspaceSettings::default()
        };
        let ana = subject("user:1:ana");
        let change = WorkspaceChange {
            name: None,
            settings: Some(settings.clone()),
        };
        let changed = place.state.change_workspace(&id, change, &ana).await;
        let changed = changed.expect("written").expect("there");
        assert_eq!((changed.version, &changed.settings), (2, &settings));
        assert_eq!(changed.name, "HEALTH");
        let rename = WorkspaceChange {
            name: Some("Santé".to_owned()),
            settings: None,
        };
        let local = Subject::local();
        let renamed = place.state.change_workspace(&id, rename.clone(), &local);
        let renamed = renamed.await.expect("written").expect("there");
        assert_eq!(renamed.settings, settings);
        let history = place.state.settings_history(&id, whole()).await;
        let history = history.expect("a history");
        let told: Vec<_> = history
            .results
            .iter()
            .map(|v| (v.version, v.name.as_str(), v.settings.top_k, v.by.as_str()))
            .collect();
        assert_eq!(
            told,
            [
                (3, "Santé", Some(7), "local"),
                (2, "HEALTH", Some(7), "user:1:ana"),
                (1, "HEALTH", None, "local"),
            ]
        );
        let nowhere = "nowhere".parse().expect("a name");
        let none = place.state.change_workspace(&nowhere, rename, &ana).await;
        assert_eq!(none.expect("read"), None);
    }

    /// Fills every table for one workspace.
    async fn furnish(place: &Place, id: &WorkspaceId) -> Job {
        let state = &place.state;
        let owner = Owner {
            workspace: id.clone(),
            subject: subject("user:1:ana"),
        };
        let key = NewKey {
            quotas: Default::default(),
            name: "k".to_owned(),
            workspace: Some(id.clone()),
            role: Role::Reader,
            scopes: Vec::new(),
            expires: None,
            by: Subject::local(),
        };
        state.create_key(key).await.expect("a key");
        let member = state.set_member(id, &owner.subject, Role::Reader).await;
        member.expect("a member");
        let conversation = NewConversation {
            owner: owner.clone(),
            title: "t".to_owned(),
        };
        let conversation = state.create_conversation(conversation).await;
        let conversation = conversation.expect("a conversation");
        let message = NewMessage {
            text: "m".to_owned(),
            language: None,
            answer: None,
        };
        let exchange = state
            .add_exchange(&owner, &conversation.id, message.clone(), message)
            .await;
        let (_, answer) = exchange.expect("written").expect("there");
        let feedback = state.give_feedback(&owner, &answer.id, NewFeedback::default());
        feedback.await.expect("written").expect("an answer");
        let usage = UsageDelta {
            searches: 1,
            ..UsageDelta::default()
        };
        let counted = state.count_usage(id, &owner.subject, usage, Timestamp::now());
        counted.await.expect("counted");
        let audit = NewAudit {
            subject: owner.subject.clone(),
            workspace: Some(id.clone()),
            action: "test".to_owned(),
            object: None,
            outcome: "ok".to_owned(),
            correlation: String::new(),
            intent: None,
            model: None,
            logic: "1".to_owned(),
        };
        state.audit(audit).await.expect("recorded");
        let job = NewJob {
            workspace: id.clone(),
            kind: "test".to_owned(),
            subject: owner.subject,
            content: "c".to_owned(),
            payload: "{}".to_owned(),
        };
        state.enqueue(job).await.expect("a job")
    }

    pub(crate) async fn deleting_leaves_only_the_trail(place: Place) {
        let gone = place.workspace("gone").await;
        let kept = place.workspace("kept").await;
        let job = furnish(&place, &gone).await;
        let kept_job = furnish(&place, &kept).await;
        assert!(place.state.delete_workspace(&gone).await.expect("deleted"));
        assert!(!place.state.delete_workspace(&gone).await.expect("nothing"));
        assert_eq!(place.state.workspace(&gone).await.expect("read"), None);
        assert_eq!(place.state.job(&gone, &job.id).await.expect("read"), None);
        for (table, left) in [
            ("members", 1),
            ("api_keys", 1),
            ("conversations", 1),
            ("messages", 2),
            ("feedback", 1),
            ("jobs", 1),
            ("usage_days", 1),
            ("settings_history", 2),
            ("audit", 2),
        ] {
            let sql = format!("SELECT COUNT(*) FROM {table}");
            assert_eq!(place.number_by_hand(&sql).await, left, "{table}");
        }
        let of_gone = place.state.audit_page(Some(&gone), whole()).await;
        assert_eq!(of_gone.expect("read").count, 1);
        let kept_job = place.state.job(&kept, &kept_job.id).await.expect("read");
        assert_eq!(kept_job.map(|job| job.state), Some(JobState::Queued));
        // Its name is not given to another one.
        let again = genie_state::NewWorkspace {
            id: gone.clone(),
            name: "Again".to_owned(),
            settings: WorkspaceSettings::default(),
            by: Subject::local(),
        };
        assert!(matches!(
            place.state.create_workspace(again).await,
            Err(StateError::Exists)
        ));
        // Nothing can be put into what is gone.
        let late = NewJob {
            workspace: gone.clone(),
            kind: "test".to_owned(),
            subject: Subject::local(),
            content: "c".to_owned(),
            payload: "{}".to_owned(),
        };
        assert!(matches!(
            place.state.enqueue(late).await,
            Err(StateError::NotFound)
        ));
        if let Database::Sqlite(file) = &place.database {
            assert!(file.exists());
        }
    }

    pub(crate) async fn members_have_one_role(place: Place) {
        let (health, roads) = (
            place.workspace("health").await,
            place.workspace("roads").await,
        );
        let (ana, bo) = (subject("user:1:ana"), subject("user:1:bo"));
        let state = &place.state;
        let first = state.set_member(&health, &ana, Role::Reader).await;
        let first = first.expect("a member");
        let same = state.set_member(&health, &ana, Role::Reader).await;
        assert_eq!(same.expect("a member").since, first.since);
        let raised = state.set_member(&health, &ana, Role::Owner).await;
        let raised = raised.expect("a member");
        assert!(raised.since > first.since);
        state
            .set_member(&health, &bo, Role::Auditor)
            .await
            .expect("bo");
        state
            .set_member(&roads, &ana, Role::Editor)
            .await
            .expect("ana");
        let members = state.members(&health, whole()).await.expect("a list");
        let told: Vec<_> = members
            .results
            .iter()
            .map(|m| (m.subject.as_str(), m.role))
            .collect();
        assert_eq!(
            told,
            [("user:1:ana", Role::Owner), ("user:1:bo", Role::Auditor)]
        );
        let of_ana = state.workspaces_of(&ana, whole()).await.expect("a list");
        let of_ana: Vec<_> = of_ana.results.iter().map(|w| w.id.as_str()).collect();
        assert_eq!(of_ana, ["health", "roads"]);
        let roles = state.memberships(&ana).await.expect("a list");
        assert_eq!(
            roles,
            [(health.clone(), Role::Owner), (roads.clone(), Role::Editor)]
        );
        assert_eq!(state.role_of(&roads, &bo).await.expect("read"), None);
        assert_eq!(
            state.role_of(&health, &ana).await.expect("read"),
            Some(Role::Owner)
        );
        assert!(state.remove_member(&health, &ana).await.expect("removed"));
        assert!(!state.remove_member(&health, &ana).await.expect("nothing"));
        assert_eq!(state.role_of(&health, &ana).await.expect("read"), None);
        let nowhere = "nowhere".parse().expect("a name");
        assert!(matches!(
            state.set_member(&nowhere, &ana, Role::Reader).await,
            Err(StateError::NotFound)
        ));
    }
}
