//! The audit trail.

crate::both!(
    records_are_chained,
    appending_at_once_keeps_the_chain,
    every_change_is_found_and_named,
    missing_records_are_found,
    the_trail_refuses_changes,
    all_records_are_exported_in_order,
);

mod cases {
    use std::io;

    use genie_state::{AuditVerdict, NewAudit, StateError, Subject};

    use crate::place::{Place, page, whole};

    pub(crate) fn entry(n: usize) -> NewAudit {
        NewAudit {
            subject: Subject::local(),
            workspace: n
                .is_multiple_of(2)
                .then(|| "health".parse().expect("a name")),
            action: "document.add".to_owned(),
            object: Some(format!("object {n}")),
            outcome: "ok".to_owned(),
            correlation: format!("c{n}"),
            intent: None,
            model: Some("modèle".to_owned()),
            logic: "1".to_owned(),
        }
    }

    async fn fill(place: &Place, records: usize) {
        for n in 1..=records {
            place.state.audit(entry(n)).await.expect("recorded");
        }
    }

    async fn broken_at(place: &Place) -> (u64, String) {
        match place.state.verify_audit().await.expect("a verdict") {
            AuditVerdict::Broken { sequence, reason } => (sequence, reason),
            whole @ AuditVerdict::Whole { .. } => panic!("{whole:?}"),
        }
    }

    pub(crate) async fn records_are_chained(place: Place) {
        let state = &place.state;
        assert_eq!(
            state.verify_audit().await.expect("a verdict"),
            AuditVerdict::Whole {
                records: 0,
                head: "0".repeat(64)
            }
        );
        let first = state.audit(entry(1)).await.expect("recorded");
        let second = state.audit(entry(2)).await.expect("recorded");
        assert_eq!((first.sequence, second.sequence), (1, 2));
        assert_eq!(first.previous, "0".repeat(64));
        assert_eq!(second.previous, first.hash);
        assert_eq!(
            state.verify_audit().await.expect("a verdict"),
            AuditVerdict::Whole {
                records: 2,
                head: second.hash.clone()
            }
        );
        let all = state.audit_page(None, page(1, 10)).await.expect("read");
        assert_eq!((all.count, all.results), (2, vec![second.clone(), first]));
        let health = "health".parse().expect("a name");
        let some = state
            .audit_page(Some(&health), whole())
            .await
            .expect("read");
        assert_eq!(some.results, [second]);
    }

    pub(crate) async fn appending_at_once_keeps_the_chain(place: Place) {
        let tasks: Vec<_> = (0..8)
            .map(|task| {
                let state = place.state.clone();
                tokio::spawn(async move {
                    for n in 0..10 {
                        state.audit(entry(task * 10 + n)).await.expect("recorded");
                    }
                })
            })
            .collect();
        // Looking while it grows finds nothing wrong either.
        for _ in 0..5 {
            let verdict = place.state.verify_audit().await.expect("a verdict");
            assert!(matches!(verdict, AuditVerdict::Whole { .. }), "{verdict:?}");
        }
        for task in tasks {
            task.await.expect("a task");
        }
        let verdict = place.state.verify_audit().await.expect("a verdict");
        assert!(
            matches!(verdict, AuditVerdict::Whole { records: 80, .. }),
            "{verdict:?}"
        );
    }

    pub(crate) async fn every_change_is_found_and_named(place: Place) {
        fill(&place, 6).await;
        place.unlock_trail().await;
        for (change, undo) in [
            ("at = at + 1", "at = at - 1"),
            ("subject = 'locaL'", "subject = 'local'"),
            ("subject = ''", "subject = 'local'"),
            ("workspace = NULL", "workspace = 'health'"),
            ("action = 'document.adD'", "action = 'document.add'"),
            ("object = 'object 5'", "object = 'object 4'"),
            ("object = NULL", "object = 'object 4'"),
            ("outcome = 'oK'", "outcome = 'ok'"),
            ("correlation = ''", "correlation = 'c4'"),
            ("intent = ''", "intent = NULL"),
            ("model = 'modele'", "model = 'modèle'"),
            ("logic = '2'", "logic = '1'"),
            (
                "previous = hash",
                "previous = (SELECT b.hash FROM audit b WHERE b.sequence = 3)",
            ),
            ("hash = previous", ""),
        ] {
            place
                .by_hand(&format!("UPDATE audit SET {change} WHERE sequence = 4"))
                .await;
            let (sequence, reason) = broken_at(&place).await;
            assert_eq!(sequence, 4, "{change}: {reason}");
            let kind = if change.starts_with("previous") {
                "link"
            } else {
                "hash"
            };
            assert!(reason.starts_with(kind), "{change}: {reason}");
            if !undo.is_empty() {
                place
                    .by_hand(&format!("UPDATE audit SET {undo} WHERE sequence = 4"))
                    .await;
                let verdict = place.state.verify_audit().await.expect("a verdict");
                assert!(
                    matches!(verdict, AuditVerdict::Whole { .. }),
                    "{undo}: {verdict:?}"
                );
            }
        }
        if place.is_sqlite() {
            // A byte that is no text at all.
            place
                .by_hand("UPDATE audit SET action = CAST(X'64FF' AS TEXT) WHERE sequence = 2")
                .await;
            let (sequence, reason) = broken_at(&place).await;
            assert_eq!(sequence, 2, "{reason}");
        }
    }

    pub(crate) async fn missing_records_are_found(place: Place) {
        fill(&place, 6).await;
        place.unlock_trail().await;
        place.by_hand("DELETE FROM audit WHERE sequence = 6").await;
        let (sequence, reason) = broken_at(&place).await;
        assert_eq!(sequence, 6);
        assert!(reason.starts_with("gap"), "{reason}");
        place.by_hand("DELETE FROM audit WHERE sequence = 3").await;
        let (sequence, reason) = broken_at(&place).await;
        assert_eq!(sequence, 3);
        assert!(reason.starts_with("gap"), "{reason}");
        // Closing the gap breaks the link.
        place
            .by_hand("UPDATE audit SET sequence = sequence - 1 WHERE sequence > 3")
            .await;
        let (sequence, reason) = broken_at(&place).await;
        assert_eq!(sequence, 3);
        assert!(reason.starts_with("link"), "{reason}");
        place.by_hand("DELETE FROM audit").await;
        let (_, reason) = broken_at(&place).await;
        assert!(reason.starts_with("gap"), "{reason}");
    }

    pub(crate) async fn the_trail_refuses_changes(place: Place) {
        use sqlx::{AnyConnection, Connection};
        fill(&place, 1).await;
        let mut connection = AnyConnection::connect(place.url()).await.expect("by hand");
        for change in ["UPDATE audit SET outcome = 'denied'", "DELETE FROM audit"] {
            let refused = sqlx::query(change).execute(&mut connection).await;
            let error = refused.expect_err("refused").to_string();
            assert!(error.contains("append-only"), "{error}");
        }
    }

    pub(crate) async fn all_records_are_exported_in_order(place: Place) {
        fill(&place, 5).await;
        let mut given = Vec::new();
        let count = place
            .state
            .export_audit(&mut |record| {
                given.push(record.sequence);
                Ok(())
            })
            .await;
        assert_eq!(count.expect("exported"), 5);
        assert_eq!(given, [1, 2, 3, 4, 5]);
        let stopped = place
            .state
            .export_audit(&mut |_| Err(io::Error::from(io::ErrorKind::BrokenPipe)))
            .await;
        assert!(matches!(stopped, Err(StateError::Output(_))));
    }
}

pub(crate) use cases::entry;
