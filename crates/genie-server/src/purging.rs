//! Deleted texts leave the files of the indexes soon after they were deleted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::app::Service;
use crate::failure::log;
use crate::jobs::Lane;

/// Deletions that follow each other closely are purged together.
const TOGETHER: Duration = Duration::from_secs(1);
/// A changed file replaces its earlier version without anybody saying so, and
/// a crash may have left something.
const LOOK: Duration = Duration::from_secs(20);
/// Indexes are written anew for at most a tenth of the time.
const REST: u32 = 9;
/// How long documents that wait to be indexed may keep an index that is slow to
/// write anew from it, and how often is looked whether they still do.
const LONGEST: Duration = Duration::from_secs(600);
const LOOK_AGAIN: Duration = Duration::from_secs(5);
/// A service that is being stopped waits for an index that was quick so far;
/// else the next start does it.
const QUICK: Duration = Duration::from_secs(2);

/// Purges until the service stops, and once more then.
pub(crate) async fn purge_when_due(service: &Arc<Service>, mut is_stopping: watch::Receiver<bool>) {
    let mut took = Duration::ZERO;
    while !*is_stopping.borrow() {
        took = purge(service).await;
        if !wait(took * REST, &mut is_stopping).await {
            break;
        }
        tokio::select! {
            () = service.removed.notified() => {}
            () = tokio::time::sleep(LOOK) => {}
            _ = is_stopping.changed() => {}
        }
        wait(TOGETHER, &mut is_stopping).await;
        if took >= QUICK {
            let until = Instant::now() + LONGEST;
            while documents_wait(service).await
                && Instant::now() < until
                && wait(LOOK_AGAIN, &mut is_stopping).await
            {}
        }
    }
    if took < QUICK {
        purge(service).await;
    }
}

/// Waits for a while; `false` where the service stops meanwhile.
async fn wait(pause: Duration, is_stopping: &mut watch::Receiver<bool>) -> bool {
    if *is_stopping.borrow() {
        return false;
    }
    tokio::select! {
        () = tokio::time::sleep(pause) => true,
        _ = is_stopping.changed() => false,
    }
}

/// Whether writing an index anew would hold up documents that wait.
async fn documents_wait(service: &Service) -> bool {
    let Ok(state) = service.accounts() else {
        return false;
    };
    // A state that does not answer is no reason to keep what was deleted.
    state
        .has_open_jobs(Lane::Documents.kinds())
        .await
        .is_ok_and(|open| open)
}

/// How long it took.
async fn purge(service: &Arc<Service>) -> Duration {
    let Ok(accounts) = service.with_accounts() else {
        return Duration::ZERO;
    };
    let workspaces = Arc::clone(&accounts.workspaces);
    let purging = tokio::task::spawn_blocking(move || {
        let begin = Instant::now();
        (workspaces.purge(), begin.elapsed())
    });
    match purging.await {
        Ok((Ok(purged), took)) => {
            if purged {
                tracing::info!(?took, "took deleted texts off the disk");
            }
            took
        }
        Ok((Err(error), took)) => {
            log(&error);
            took
        }
        // The engine reports its own panics as errors.
        Err(_) => Duration::ZERO,
    }
}
