//! What an attempt says while it runs: which of it is still to be recorded.

use super::{Refusal, Run};

/// Records that a live attempt said `count` more things, the first of which is number `from` of the attempt
/// (from 0). Returns the run afterwards, and how many of them were recorded before: those come first, and are
/// to be left out. So a driver that does not know whether a record was kept repeats it, and one that took the
/// attempt over goes on where the other was.
///
/// # Errors
/// [`Refusal::Stale`] when the attempt is over or another driver has it (D-RUN-4), and when something before
/// `from` is missing: whoever asks then knows another past.
pub fn tell(run: &Run, token: u64, from: u64, count: u64) -> Result<(Run, u64), Refusal> {
    let mut next = run.clone();
    let live = next.attempt.as_mut().filter(|_| run.token == token);
    let Some(live) = live.filter(|live| from <= live.told) else {
        return Err(Refusal::Stale);
    };
    let known = (live.told - from).min(count);
    live.told += count - known;
    Ok((next, known))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;
    use crate::ids::{AttemptId, DriverId};
    use crate::run::tests::queued;
    use crate::run::{Command, apply};

    fn running() -> Run {
        let claim = Command::Claim {
            attempt_id: AttemptId::new(Uuid::from_u128(1)),
            driver: DriverId::new(Uuid::from_u128(2)),
        };
        apply(&queued(1, 0), claim, Timestamp::MAX).unwrap().run
    }

    #[test]
    fn another_token_no_attempt_and_a_gap_are_stale() {
        let run = running();
        assert_eq!(tell(&run, run.token + 1, 0, 1), Err(Refusal::Stale));
        assert_eq!(tell(&run, run.token, 1, 1), Err(Refusal::Stale));
        let waiting = queued(1, 0);
        assert_eq!(tell(&waiting, waiting.token, 0, 1), Err(Refusal::Stale));
    }

    proptest! {
        /// L45: whatever is repeated after whichever answer was lost, each thing is recorded once.
        #[test]
        fn each_thing_is_recorded_once(batches in prop::collection::vec((0_u64..20, 1_u64..8), 0..40)) {
            let mut run = running();
            let mut recorded = Vec::new();
            for (back, count) in batches {
                let from = u64::try_from(recorded.len()).unwrap().saturating_sub(back);
                let (next, known) = tell(&run, run.token, from, count).unwrap();
                recorded.extend(from + known..from + count);
                run = next;
            }
            let told = run.attempt.unwrap().told;
            prop_assert_eq!(recorded, (0..told).collect::<Vec<_>>());
        }
    }
}
