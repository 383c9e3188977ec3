//! Workspaces that are removed, restored and erased.

crate::both!(
    what_was_removed_is_found_nowhere_and_comes_back_whole,
    what_is_due_is_erased_and_nothing_else,
);

mod cases {
    use std::time::Duration;

    use genie_state::{NewJob, Role, StateError, Subject, Timestamp, WorkspaceChange, WorkspaceId};

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
}
