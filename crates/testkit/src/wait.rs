//! Waiting for a condition with a deadline, in place of a fixed sleep (L77).
//!
//! The condition is asked at once, then again after 1, 2, 4 and from then on every 5 ms, so a test
//! ends a few milliseconds after the thing it waits for. At the deadline it is asked a last time,
//! and then the answer is an error that says what was waited for.

use std::time::Duration;

const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(5);

/// The deadline went by.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("gave up after {waited:?} of waiting for {what}")]
pub struct TimedOut {
    /// What was waited for, in the caller's words.
    pub what: String,
    /// The deadline that was given.
    pub waited: Duration,
}

/// Waits until `condition` holds; answers how long that took.
///
/// `what` completes the sentence "waiting for …".
///
/// # Errors
///
/// [`TimedOut`] when `condition` does not hold within `deadline`.
pub fn until(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> bool,
) -> Result<Duration, TimedOut> {
    let start = now();
    some(deadline, what, || condition().then_some(()))?;
    Ok(start.elapsed())
}

/// Waits until `probe` answers with something, and hands that over.
///
/// # Errors
///
/// [`TimedOut`] when `probe` has nothing within `deadline`.
///
/// ```
/// use std::time::Duration;
///
/// let mut asked = 0;
/// let found = moorline_testkit::wait::some(Duration::from_secs(5), "the third question", || {
///     asked += 1;
///     (asked == 3).then_some("here")
/// })?;
/// assert_eq!(found, "here");
/// # Ok::<(), moorline_testkit::wait::TimedOut>(())
/// ```
pub fn some<T>(
    deadline: Duration,
    what: &str,
    mut probe: impl FnMut() -> Option<T>,
) -> Result<T, TimedOut> {
    let start = now();
    let mut pause = FIRST_PAUSE;
    loop {
        let late = start.elapsed() >= deadline;
        if let Some(found) = probe() {
            return Ok(found);
        }
        if late {
            return Err(TimedOut {
                what: what.to_owned(),
                waited: deadline,
            });
        }
        // L77: the pause between two questions, at most 5 ms.
        std::thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// [`until`] for asynchronous tests. It counts the runtime's time, so it also works on a paused
/// clock.
///
/// # Errors
///
/// [`TimedOut`] when `condition` does not hold within `deadline`.
#[cfg(feature = "tokio")]
pub async fn until_async<F>(
    deadline: Duration,
    what: &str,
    mut condition: impl FnMut() -> F,
) -> Result<(), TimedOut>
where
    F: Future<Output = bool>,
{
    let poll = async {
        let mut pause = FIRST_PAUSE;
        while !condition().await {
            // L77: the pause between two questions, at most 5 ms.
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    };
    tokio::time::timeout(deadline, poll)
        .await
        .map_err(|_| TimedOut {
            what: what.to_owned(),
            waited: deadline,
        })
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests wait for real processes, in real time"
)]
fn now() -> std::time::Instant {
    std::time::Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn asks_at_least_once_even_without_time() {
        assert_eq!(some(Duration::ZERO, "nothing", || Some(7)), Ok(7));
    }

    #[test]
    fn says_what_it_waited_for() {
        let error = until(Duration::from_millis(3), "a whale", || false).unwrap_err();
        assert_eq!(
            error.to_string(),
            "gave up after 3ms of waiting for a whale"
        );
    }

    /// L77: the wait ends with the event, not with the deadline.
    #[test]
    fn ends_soon_after_the_condition_holds() {
        let deadline = Duration::from_mins(1);
        let mut asked = 0;
        let waited = until(deadline, "the fifth question", || {
            asked += 1;
            asked == 5
        });
        assert!(waited.unwrap() < Duration::from_secs(5));
    }
}
