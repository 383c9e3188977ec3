//! Runs a parser that is not ours so that it can do no harm.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::time::Duration;

use crate::IngestError;

/// Parsers recurse by nesting depth; the default 2 MB of a thread are used up
/// by documents that 64 MB are ample for.
const STACK_BYTES: usize = 64 << 20;

/// Runs `parse` on a thread of its own. A panic and a missed deadline become
/// errors. The thread can't be stopped: after a missed deadline it runs on
/// until it finishes, and its result is dropped.
pub(crate) fn contained<T: Send + 'static>(
    uri: &str,
    deadline: Duration,
    parse: impl FnOnce() -> Result<T, IngestError> + Send + 'static,
) -> Result<T, IngestError> {
    let failed = |reason: String| IngestError::ParserFailed {
        uri: uri.to_owned(),
        reason,
    };
    let (send, receive) = sync_channel(1);
    let worker = std::thread::Builder::new()
        .name("genie-ingest-parser".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || {
            // The receiver is gone only after a missed deadline.
            let _ = send.send(catch_unwind(AssertUnwindSafe(parse)));
        })
        .map_err(|error| failed(format!("no thread could be started: {error}")))?;
    let result = match receive.recv_timeout(deadline) {
        Ok(result) => result,
        Err(RecvTimeoutError::Timeout) => {
            return Err(IngestError::TooSlow {
                uri: uri.to_owned(),
                seconds: deadline.as_secs(),
            });
        }
        Err(RecvTimeoutError::Disconnected) => return Err(failed("its thread died".to_owned())),
    };
    // The worker has sent its last message, so this does not wait.
    let _ = worker.join();
    result.unwrap_or_else(|panic| Err(failed(message(&*panic))))
}

fn message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason given".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_and_a_missed_deadline_are_errors() {
        let minute = Duration::from_secs(60);
        assert_eq!(contained("a", minute, || Ok(7)), Ok(7));
        let error = contained::<()>("a.pdf", minute, || panic!("index out of range"));
        assert_eq!(
            error,
            Err(IngestError::ParserFailed {
                uri: "a.pdf".to_owned(),
                reason: "index out of range".to_owned()
            })
        );
        // The parser waits for the test, so the deadline is missed for sure.
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let error = contained("a.pdf", Duration::from_millis(1), move || {
            let _ = wait.recv();
            Ok(())
        });
        assert!(matches!(error, Err(IngestError::TooSlow { .. })));
        drop(release);
    }
}
