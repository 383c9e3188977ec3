//! The queue of jobs.

crate::both!(
    open_jobs_are_seen_by_kind,
    a_job_goes_its_way,
    the_same_job_is_queued_once,
    no_two_workers_get_a_job,
    a_lease_that_ends_hands_the_job_on,
    a_job_that_fails_three_times_is_set_aside,
    a_job_handed_back_keeps_its_attempts,
    a_cancelled_job_is_taken_from_its_worker,
    a_job_is_postponed_as_often_as_its_worker_wants,
    a_worker_takes_only_its_kinds,
    an_answer_is_seen_by_its_subject_alone,
    old_jobs_are_erased_and_open_ones_stay,
);

mod cases {
    use std::collections::BTreeSet;
    use std::time::Duration;

    use genie_state::{Job, JobOutcome, JobState, NewJob, Subject, Timestamp, WorkspaceId};

    use crate::place::{Place, whole};

    const LEASE: Duration = Duration::from_secs(30);
    const HOUR: Duration = Duration::from_secs(3600);

    fn new(workspace: &WorkspaceId, content: &str) -> NewJob {
        NewJob {
            workspace: workspace.clone(),
            kind: "ingest".to_owned(),
            subject: Subject::local(),
            content: content.to_owned(),
            payload: format!("{{\"file\":\"{content}\"}}"),
        }
    }

    async fn queued(place: &Place, content: &str) -> Job {
        let id = WorkspaceId::default_workspace();
        place.state.enqueue(new(&id, content)).await.expect(content)
    }

    async fn take(place: &Place, worker: &str, now: Timestamp) -> Option<Job> {
        place
            .state
            .claim(worker, &[], LEASE, now)
            .await
            .expect("read")
    }

    async fn now_is(place: &Place, job: &Job) -> Job {
        let found = place.state.job(&job.workspace, &job.id).await;
        found.expect("read").expect("there")
    }

    pub(crate) async fn open_jobs_are_seen_by_kind(place: Place) {
        let state = &place.state;
        let has = async |kinds: &[&str]| state.has_open_jobs(kinds).await.expect("read");
        assert!(!has(&["ingest"]).await && !has(&[]).await);
        let job = queued(&place, "a").await;
        assert!(has(&["other", "ingest"]).await && has(&[]).await);
        assert!(!has(&["other"]).await);
        let now = Timestamp::now();
        assert!(take(&place, "worker", now).await.is_some());
        assert!(has(&["ingest"]).await, "it is worked on");
        let done = JobOutcome::Failed {
            reason: "no".to_owned(),
        };
        assert!(
            state
                .finish(&job.id, "worker", done)
                .await
                .expect("written")
        );
        assert!(!has(&["ingest"]).await);
        assert!(
            state
                .has_open_jobs(&["a", "b", "c", "d", "e"])
                .await
                .is_err()
        );
    }

    pub(crate) async fn a_job_goes_its_way(place: Place) {
        let state = &place.state;
        let (first, second) = (queued(&place, "a").await, queued(&place, "b").await);
        assert_eq!((first.state, first.attempts), (JobState::Queued, 0));
        let now = Timestamp::now();
        let taken = take(&place, "w1", now).await.expect("the oldest");
        assert_eq!(
            (
                taken.id,
                taken.state,
                taken.attempts,
                taken.payload.as_str()
            ),
            (first.id, JobState::Running, 1, "{\"file\":\"a\"}")
        );
        assert_eq!(
            take(&place, "w2", now).await.map(|job| job.id),
            Some(second.id)
        );
        assert_eq!(take(&place, "w3", now).await, None);
        assert!(
            state
                .progress(&first.id, "w1", 3, 9, LEASE, now)
                .await
                .expect("ok")
        );
        assert!(
            !state
                .progress(&first.id, "w2", 3, 9, LEASE, now)
                .await
                .expect("ok")
        );
        let half = now_is(&place, &first).await;
        assert_eq!((half.done, half.total), (3, 9));
        let done = JobOutcome::Done {
            result: "{}".to_owned(),
        };
        assert!(
            !state
                .finish(&first.id, "w2", done.clone())
                .await
                .expect("ok")
        );
        assert!(
            state
                .finish(&first.id, "w1", done.clone())
                .await
                .expect("ok")
        );
        assert!(!state.finish(&first.id, "w1", done).await.expect("ok"));
        let end = now_is(&place, &first).await;
        assert_eq!(
            (end.state, end.result.as_deref()),
            (JobState::Done, Some("{}"))
        );
        let other = place.workspace("other").await;
        assert_eq!(state.job(&other, &first.id).await.expect("read"), None);
        assert_eq!(
            state.cancel_job(&other, &second.id).await.expect("read"),
            None
        );
        let list = state.jobs(&first.workspace, whole()).await.expect("a list");
        let ids: Vec<_> = list.results.iter().map(|job| job.id).collect();
        assert_eq!((list.count, ids), (2, vec![second.id, first.id]));
        // Failed is failed, without another try.
        let failed = JobOutcome::Failed {
            reason: "no text".to_owned(),
        };
        assert!(state.finish(&second.id, "w2", failed).await.expect("ok"));
        let end = now_is(&place, &second).await;
        assert_eq!(
            (end.state, end.reason.as_deref()),
            (JobState::Failed, Some("no text"))
        );
        assert_eq!(take(&place, "w3", now.after(HOUR)).await, None);
    }

    pub(crate) async fn the_same_job_is_queued_once(place: Place) {
        let id = WorkspaceId::default_workspace();
        let tasks: Vec<_> = (0..8)
            .map(|_| {
                let (state, new) = (place.state.clone(), new(&id, "a"));
                tokio::spawn(async move { state.enqueue(new).await.expect("queued").id })
            })
            .collect();
        let mut ids = BTreeSet::new();
        for task in tasks {
            ids.insert(task.await.expect("a task"));
        }
        assert_eq!(ids.len(), 1);
        let other = place.workspace("other").await;
        let elsewhere = place.state.enqueue(new(&other, "a")).await.expect("queued");
        assert!(ids.insert(elsewhere.id), "another workspace has its own");
        let now = Timestamp::now();
        let running = take(&place, "w", now).await.expect("a job");
        assert_eq!(queued(&place, "a").await.id, running.id);
        let done = JobOutcome::Done {
            result: String::new(),
        };
        assert!(
            place
                .state
                .finish(&running.id, "w", done)
                .await
                .expect("ok")
        );
        assert!(
            ids.insert(queued(&place, "a").await.id),
            "finished is finished"
        );
    }

    pub(crate) async fn no_two_workers_get_a_job(place: Place) {
        for n in 0..50 {
            queued(&place, &n.to_string()).await;
        }
        let now = Timestamp::now();
        let tasks: Vec<_> = (0..8)
            .map(|worker| {
                let state = place.state.clone();
                tokio::spawn(async move {
                    let worker = format!("w{worker}");
                    let mut taken = Vec::new();
                    while let Some(job) = state.claim(&worker, &[], LEASE, now).await.expect("read")
                    {
                        assert_eq!(job.attempts, 1);
                        taken.push(job.id);
                    }
                    taken
                })
            })
            .collect();
        let mut taken = Vec::new();
        for task in tasks {
            taken.extend(task.await.expect("a task"));
        }
        assert_eq!(taken.len(), 50);
        assert_eq!(taken.into_iter().collect::<BTreeSet<_>>().len(), 50);
    }

    pub(crate) async fn a_lease_that_ends_hands_the_job_on(place: Place) {
        let job = queued(&place, "a").await;
        let start = Timestamp::now();
        take(&place, "w1", start).await.expect("a job");
        let end = start.after(LEASE);
        assert_eq!(
            take(&place, "w2", end.before(Duration::from_micros(1))).await,
            None
        );
        // A renewal moves the end.
        let half = start.after(LEASE / 2);
        assert!(
            place
                .state
                .progress(&job.id, "w1", 1, 2, LEASE, half)
                .await
                .expect("ok")
        );
        assert_eq!(take(&place, "w2", end).await, None);
        let taken = take(&place, "w2", half.after(LEASE))
            .await
            .expect("the job");
        assert_eq!((taken.id, taken.attempts), (job.id, 2));
        assert!(
            !place
                .state
                .progress(&job.id, "w1", 2, 2, LEASE, end)
                .await
                .expect("ok")
        );
        let done = JobOutcome::Done {
            result: String::new(),
        };
        assert!(
            !place
                .state
                .finish(&job.id, "w1", done.clone())
                .await
                .expect("ok")
        );
        assert!(place.state.finish(&job.id, "w2", done).await.expect("ok"));
    }

    pub(crate) async fn a_job_that_fails_three_times_is_set_aside(place: Place) {
        let job = queued(&place, "poison").await;
        let mut now = Timestamp::now();
        for attempt in 1..=3 {
            let taken = take(&place, "w", now).await.expect("the job");
            assert_eq!(taken.attempts, attempt);
            let retry = JobOutcome::Retry {
                reason: format!("page {attempt}"),
            };
            assert!(place.state.finish(&job.id, "w", retry).await.expect("ok"));
            if attempt < 3 {
                assert_eq!(take(&place, "w", Timestamp::now()).await, None, "it pauses");
            }
            now = now.after(HOUR);
        }
        let end = now_is(&place, &job).await;
        assert_eq!(
            (end.state, end.reason.as_deref()),
            (JobState::Failed, Some("page 3"))
        );
        assert_eq!(take(&place, "w", now.after(HOUR)).await, None);
        // A worker that dies each time says nothing, and the next job is not
        // kept waiting by it.
        let killer = queued(&place, "killer").await;
        let next = queued(&place, "next").await;
        now = now.after(HOUR);
        for _ in 0..3 {
            assert_eq!(
                take(&place, "w", now).await.map(|job| job.id),
                Some(killer.id)
            );
            now = now.after(LEASE);
        }
        assert_eq!(
            take(&place, "w", now).await.map(|job| job.id),
            Some(next.id)
        );
        let end = now_is(&place, &killer).await;
        assert_eq!((end.state, end.attempts), (JobState::Failed, 3));
        assert!(end.reason.is_some());
    }

    pub(crate) async fn a_job_handed_back_keeps_its_attempts(place: Place) {
        let job = queued(&place, "a").await;
        let now = Timestamp::now();
        for _ in 0..5 {
            let taken = take(&place, "w", now.after(HOUR)).await.expect("the job");
            assert_eq!(taken.attempts, 1);
            let back = JobOutcome::HandedBack;
            assert!(place.state.finish(&job.id, "w", back).await.expect("ok"));
        }
        // It waits for nobody.
        assert!(take(&place, "w", Timestamp::now()).await.is_some());
    }

    pub(crate) async fn a_cancelled_job_is_taken_from_its_worker(place: Place) {
        let state = &place.state;
        let job = queued(&place, "a").await;
        let now = Timestamp::now();
        take(&place, "w", now).await.expect("the job");
        let cancelled = state.cancel_job(&job.workspace, &job.id).await;
        let cancelled = cancelled.expect("ok").expect("there");
        assert_eq!(cancelled.state, JobState::Cancelled);
        assert!(
            !state
                .progress(&job.id, "w", 1, 1, LEASE, now)
                .await
                .expect("ok")
        );
        let done = JobOutcome::Done {
            result: "late".to_owned(),
        };
        assert!(!state.finish(&job.id, "w", done).await.expect("ok"));
        assert_eq!(now_is(&place, &job).await.result, None);
        assert_eq!(take(&place, "w", now.after(HOUR)).await, None);
    }

    pub(crate) async fn a_job_is_postponed_as_often_as_its_worker_wants(place: Place) {
        let job = queued(&place, "a").await;
        let mut now = Timestamp::now();
        for round in 0..5 {
            let taken = take(&place, "w", now).await.expect("the job");
            assert_eq!(taken.attempts, 1);
            let later = JobOutcome::Postponed {
                reason: "the relay is away".to_owned(),
                payload: format!("{{\"tries\":{round}}}"),
                pause: HOUR,
            };
            assert!(place.state.finish(&job.id, "w", later).await.expect("ok"));
            assert_eq!(take(&place, "w", Timestamp::now()).await, None, "it waits");
            let waiting = now_is(&place, &job).await;
            assert_eq!(waiting.payload, format!("{{\"tries\":{round}}}"));
            assert_eq!(waiting.reason.as_deref(), Some("the relay is away"));
            now = now.after(HOUR).after(HOUR);
        }
    }

    pub(crate) async fn a_worker_takes_only_its_kinds(place: Place) {
        let id = WorkspaceId::default_workspace();
        let of_kind = async |kind: &str| {
            let job = NewJob {
                kind: kind.to_owned(),
                ..new(&id, "a")
            };
            place.state.enqueue(job).await.expect("queued").id
        };
        let slow = of_kind("evaluation").await;
        let quick = of_kind("answer").await;
        let now = Timestamp::now();
        let claim = async |kinds: &[&str]| {
            let claimed = place.state.claim("w", kinds, LEASE, now).await;
            claimed.expect("read").map(|job| job.id)
        };
        assert_eq!(claim(&["document.add", "document.fetch"]).await, None);
        assert_eq!(claim(&["answer", "answer.message"]).await, Some(quick));
        assert_eq!(claim(&["answer"]).await, None);
        assert_eq!(claim(&["a", "b", "c", "evaluation"]).await, Some(slow));
        let five = ["a", "b", "c", "d", "e"];
        assert!(place.state.claim("w", &five, LEASE, now).await.is_err());
    }

    pub(crate) async fn an_answer_is_seen_by_its_subject_alone(place: Place) {
        let id = WorkspaceId::default_workspace();
        let state = &place.state;
        let somebody: Subject = "user:somebody".parse().expect("a subject");
        for (kind, subject) in [
            ("answer", &somebody),
            ("answer.delivery", &somebody),
            ("document.add", &somebody),
        ] {
            let job = NewJob {
                kind: kind.to_owned(),
                subject: subject.clone(),
                ..new(&id, kind)
            };
            state.enqueue(job).await.expect("queued");
        }
        let page = genie_state::Page::new(1, 10).expect("a page");
        let own = state.jobs_seen_by(&id, &somebody, page).await.expect("ok");
        assert_eq!((own.count, own.results.len()), (3, 3));
        let local = Subject::local();
        let others = state.jobs_seen_by(&id, &local, page).await.expect("ok");
        assert_eq!((others.count, others.results.len()), (1, 1));
        assert_eq!(others.results[0].kind, "document.add");
        let data = state.export_subject(&id, &somebody).await.expect("ok");
        assert_eq!(data.answers.len(), 2);
    }

    pub(crate) async fn old_jobs_are_erased_and_open_ones_stay(place: Place) {
        let state = &place.state;
        let (old, open) = (queued(&place, "a").await, queued(&place, "b").await);
        let now = Timestamp::now();
        take(&place, "w", now).await.expect("the oldest");
        let done = JobOutcome::Done {
            result: "\"the sentence of the canary\"".to_owned(),
        };
        assert!(state.finish(&old.id, "w", done).await.expect("ok"));
        let id = &old.workspace;
        let before = Timestamp::now().before(HOUR);
        assert_eq!(state.erase_jobs_before(id, before).await.expect("ok"), 0);
        let later = Timestamp::now().after(HOUR);
        assert_eq!(state.erase_jobs_before(id, later).await.expect("ok"), 1);
        assert_eq!(state.job(id, &old.id).await.expect("read"), None);
        assert_eq!(now_is(&place, &open).await.state, JobState::Queued);
    }
}
