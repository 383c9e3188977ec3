//! What people use.

crate::both!(usage_adds_up_by_day_and_subject);

mod cases {
    use std::time::Duration;

    use genie_state::{StateError, Timestamp, UsageDelta};

    use crate::place::{Place, subject};

    pub(crate) async fn usage_adds_up_by_day_and_subject(place: Place) {
        let id = place.workspace("health").await;
        // Ten seconds before the end of a day.
        let night: Timestamp = "2026-05-17T23:59:50Z".parse().expect("a time");
        let morning = night.after(Duration::from_secs(10));
        let one = UsageDelta {
            searches: 1,
            answers: 2,
            prompt_tokens: 300,
            completion_tokens: 40,
            documents: 5,
        };
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (state, id) = (place.state.clone(), id.clone());
                tokio::spawn(async move {
                    for at in [night, morning, night] {
                        let counted = state.count_usage(&id, &subject("ana"), one, at).await;
                        counted.expect("counted");
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("a task");
        }
        let bo = subject("bo");
        let counted = place.state.count_usage(&id, &bo, one, night).await;
        counted.expect("counted");
        let told = async |from, to| {
            let rows = place.state.usage(&id, from, to).await.expect("read");
            rows.into_iter()
                .map(|r| {
                    (
                        r.day,
                        r.subject.to_string(),
                        r.searches,
                        r.prompt_tokens,
                        r.documents,
                    )
                })
                .collect::<Vec<_>>()
        };
        let row =
            |day: &str, name: &str, n: u64| (day.to_owned(), name.to_owned(), n, 300 * n, 5 * n);
        assert_eq!(
            told("2026-05-01", "2026-05-31").await,
            [
                row("2026-05-17", "ana", 16),
                row("2026-05-17", "bo", 1),
                row("2026-05-18", "ana", 8),
            ]
        );
        assert_eq!(
            told("2026-05-18", "2026-05-18").await,
            [row("2026-05-18", "ana", 8)]
        );
        let nowhere = "nowhere".parse().expect("a name");
        let lost = place.state.count_usage(&nowhere, &bo, one, night).await;
        assert!(matches!(lost, Err(StateError::NotFound)));
    }
}
