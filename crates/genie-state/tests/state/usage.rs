//! What people use.

crate::both!(
    usage_adds_up_by_day_and_subject,
    what_was_used_of_a_quota_is_of_this_day_and_month,
);

mod cases {
    use std::time::Duration;

    use genie_state::{StateError, Timestamp, UsageDelta, Used};

    use crate::place::{Place, subject};

    pub(crate) async fn what_was_used_of_a_quota_is_of_this_day_and_month(place: Place) {
        let (health, energy) = (
            place.workspace("health").await,
            place.workspace("energy").await,
        );
        let one = UsageDelta {
            searches: 7,
            answers: 1,
            prompt_tokens: 100,
            completion_tokens: 11,
            documents: 3,
        };
        let (ana, bo) = (subject("ana"), subject("bo"));
        let at = |text: &str| text.parse::<Timestamp>().expect("a time");
        for (workspace, who, time) in [
            (&health, &ana, "2026-04-30T23:59:59Z"),
            (&health, &ana, "2026-05-01T00:00:00Z"),
            (&health, &ana, "2026-05-17T00:00:00Z"),
            (&health, &bo, "2026-05-17T23:59:59Z"),
            (&energy, &ana, "2026-05-17T12:00:00Z"),
        ] {
            let counted = place.state.count_usage(workspace, who, one, at(time)).await;
            counted.expect("counted");
        }
        let used = |today: u64, month: u64| Used {
            answers_today: today,
            tokens_today: 111 * today,
            tokens_this_month: 111 * month,
        };
        let now = at("2026-05-17T23:59:59Z");
        let state = &place.state;
        assert_eq!(state.used_in(&health, now).await.expect("read"), used(2, 3));
        assert_eq!(state.used_in(&energy, now).await.expect("read"), used(1, 1));
        // In all workspaces.
        assert_eq!(state.used_by(&ana, now).await.expect("read"), used(2, 3));
        assert_eq!(state.used_by(&bo, now).await.expect("read"), used(1, 1));
        let next = now.after(Duration::from_secs(1));
        assert_eq!(
            state.used_in(&health, next).await.expect("read"),
            used(0, 3)
        );
        let june = at("2026-06-01T00:00:00Z");
        assert_eq!(
            state.used_in(&health, june).await.expect("read"),
            Used::default()
        );
    }

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
