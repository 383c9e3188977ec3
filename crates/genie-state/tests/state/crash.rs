//! A program that is killed while it writes.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use genie_state::{
    AuditVerdict, Database, NewConversation, NewMessage, Owner, State, Subject, WorkspaceId,
};

use crate::place::{run, whole};

/// Names the database in the program that gets killed.
const VICTIM: &str = "GENIE_STATE_TEST_VICTIM";

fn owner() -> Owner {
    Owner {
        workspace: WorkspaceId::default_workspace(),
        subject: Subject::local(),
    }
}

/// Writes until it is killed, and says after each write that it was
/// acknowledged. It is a test only so that this program can start itself.
#[test]
#[ignore = "is started and killed by the test below"]
fn victim() {
    let file = std::env::var_os(VICTIM).expect("the database to write into");
    run(async {
        let state = State::open(&Database::Sqlite(file.into()))
            .await
            .expect("opened");
        let new = NewConversation {
            owner: owner(),
            title: String::new(),
        };
        let id = state.create_conversation(new).await.expect("begun").id;
        for n in 0.. {
            let message = NewMessage {
                text: n.to_string(),
                language: None,
                answer: None,
            };
            let added = state
                .add_exchange(&owner(), &id, message.clone(), message)
                .await;
            added.expect("written").expect("there");
            state.audit(crate::audit::entry(n)).await.expect("recorded");
            println!("acknowledged {n}");
        }
    });
}

#[test]
fn what_was_acknowledged_survives_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let file: PathBuf = folder.path().join("genie.db");
    let mut acknowledged = 0;
    for round in 1..=5_u64 {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "crash::victim", "--nocapture"])
            .env(VICTIM, &file)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let mut written = lines
            .map_while(Result::ok)
            .filter(|line| line.contains("acknowledged"));
        for _ in 0..round * 7 {
            written.next().expect("a write");
        }
        child.kill().expect("killed");
        acknowledged += round * 7 + written.count() as u64;
        child.wait().expect("its end");
        run(async {
            let state = State::open(&Database::Sqlite(file.clone()))
                .await
                .expect("opened");
            let verdict = state.verify_audit().await.expect("a verdict");
            let AuditVerdict::Whole { records, .. } = verdict else {
                panic!("{verdict:?}");
            };
            assert!(records >= acknowledged, "{records} of {acknowledged}");
            // One more write than was told of may have come through each time.
            assert!(
                records <= acknowledged + round,
                "{records} of {acknowledged}"
            );
            let list = state
                .conversations(&owner(), whole())
                .await
                .expect("a list");
            let mut messages = 0;
            for conversation in list.results {
                let kept = state.messages(&owner(), &conversation.id, whole()).await;
                let kept = kept.expect("read").expect("there").results.len();
                assert_eq!(kept as u32, conversation.messages);
                assert_eq!(kept % 2, 0);
                messages += kept as u64;
            }
            assert!(messages >= 2 * acknowledged);
            state.close().await;
        });
    }
}
