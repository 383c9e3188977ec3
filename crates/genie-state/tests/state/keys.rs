//! API keys.

crate::both!(
    a_secret_opens_until_it_is_taken_back,
    the_use_is_noted_once_a_minute,
    no_secret_is_stored,
    keys_are_listed_by_workspace,
);

mod cases {
    use std::time::Duration;

    use genie_state::{
        Database, NewKey, Quotas, Role, StateError, Subject, Timestamp, WorkspaceId,
    };

    use crate::place::{Place, whole};

    fn new(workspace: Option<&WorkspaceId>) -> NewKey {
        NewKey {
            name: "a key".to_owned(),
            workspace: workspace.cloned(),
            role: Role::Editor,
            scopes: vec!["search".to_owned(), "documents:read".to_owned()],
            expires: None,
            quotas: Quotas {
                answers_per_day: Some(500),
                ..Quotas::default()
            },
            by: Subject::local(),
        }
    }

    pub(crate) async fn a_secret_opens_until_it_is_taken_back(place: Place) {
        let state = &place.state;
        let id = place.workspace("health").await;
        let now = Timestamp::now();
        let hour = Duration::from_secs(3600);
        let (key, secret) = state
            .create_key(NewKey {
                expires: Some(now.after(hour)),
                ..new(Some(&id))
            })
            .await
            .expect("a key");
        assert!(secret.reveal().starts_with(&format!("{}_", key.prefix)));
        assert_eq!(key.scopes, ["search", "documents:read"]);
        assert_eq!(key.quotas.answers_per_day, Some(500));
        let opens = async |text: &str, at| {
            let found = state.authenticate(text, at).await.expect("read");
            found.map(|found| found.id)
        };
        assert_eq!(opens(secret.reveal(), now).await, Some(key.id));
        // One character of the random part is another one.
        let mut forged = secret.reveal().to_owned();
        let last = if forged.pop() == Some('A') { 'B' } else { 'A' };
        forged.push(last);
        for text in [
            forged.as_str(),
            "",
            "gk_00000000_short",
            &key.prefix,
            &secret.reveal().to_uppercase(),
            &format!("{} ", secret.reveal()),
        ] {
            assert_eq!(opens(text, now).await, None, "{text}");
        }
        // The hour ends the key exactly.
        let end = now.after(hour);
        let before = end.before(Duration::from_micros(1));
        assert_eq!(opens(secret.reveal(), before).await, Some(key.id));
        assert_eq!(opens(secret.reveal(), end).await, None);
        // Another secret takes over at once.
        let (rotated, second) = state.rotate_key(&key.id).await.expect("ok").expect("there");
        assert_eq!(
            (rotated.id, rotated.role, rotated.workspace),
            (key.id, key.role, key.workspace)
        );
        assert_eq!(opens(secret.reveal(), now).await, None);
        assert_eq!(opens(second.reveal(), now).await, Some(key.id));
        // Revoked, nothing opens and nothing brings it back.
        assert!(state.revoke_key(&key.id).await.expect("revoked"));
        assert!(!state.revoke_key(&key.id).await.expect("nothing"));
        assert_eq!(opens(second.reveal(), now).await, None);
        assert_eq!(
            state.rotate_key(&key.id).await.expect("read").map(|_| ()),
            None
        );
        let kept = state.key(&key.id).await.expect("read").expect("kept");
        assert!(kept.revoked.is_some());
        let nowhere: WorkspaceId = "nowhere".parse().expect("a name");
        assert!(matches!(
            state.create_key(new(Some(&nowhere))).await,
            Err(StateError::NotFound)
        ));
    }

    pub(crate) async fn the_use_is_noted_once_a_minute(place: Place) {
        let state = &place.state;
        let (key, secret) = state.create_key(new(None)).await.expect("a key");
        assert_eq!(key.last_used, None);
        let start = Timestamp::now();
        for (seconds, noted) in [(0, 0), (30, 0), (59, 0), (60, 60), (61, 60)] {
            let at = start.after(Duration::from_secs(seconds));
            let found = state.authenticate(secret.reveal(), at).await.expect("read");
            let noted = Some(start.after(Duration::from_secs(noted)));
            assert_eq!(found.expect("a key").last_used, noted, "{seconds}");
            let kept = state.key(&key.id).await.expect("read").expect("kept");
            assert_eq!(kept.last_used, noted, "{seconds}");
        }
    }

    pub(crate) async fn no_secret_is_stored(place: Place) {
        let (_, secret) = place.state.create_key(new(None)).await.expect("a key");
        let random = &secret.reveal()[12..];
        let rows = place.by_hand("SELECT * FROM api_keys").await;
        for row in rows {
            for column in sqlx::Row::columns(&row) {
                let name = sqlx::Column::name(column);
                let text: Option<String> = sqlx::Row::try_get(&row, name).unwrap_or_default();
                assert!(!text.unwrap_or_default().contains(random), "{name}");
            }
        }
        if let Database::Sqlite(file) = &place.database {
            let folder = file.parent().expect("a folder");
            assert!(!crate::files::any_holds(folder, random.as_bytes()));
        }
    }

    pub(crate) async fn keys_are_listed_by_workspace(place: Place) {
        let state = &place.state;
        let (health, roads) = (
            place.workspace("health").await,
            place.workspace("roads").await,
        );
        let (operator, _) = state.create_key(new(None)).await.expect("a key");
        let (first, _) = state.create_key(new(Some(&health))).await.expect("a key");
        let (second, _) = state.create_key(new(Some(&roads))).await.expect("a key");
        let ids = async |workspace| {
            let list = state.keys(workspace, whole()).await.expect("a list");
            assert_eq!(list.count, list.results.len() as u64);
            list.results.iter().map(|key| key.id).collect::<Vec<_>>()
        };
        assert_eq!(ids(None).await, [second.id, first.id, operator.id]);
        assert_eq!(ids(Some(&health)).await, [first.id]);
        assert_eq!(operator.workspace, None);
    }
}
