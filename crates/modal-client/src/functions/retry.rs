//! Whether a failed input is sent again: the policy that the function was deployed with, applied by the
//! caller as the official clients do.

use std::time::Duration;

use moorline_modal_proto::client as pb;
use pb::generic_result::GenericStatus;

/// No input is sent again sooner.
const MIN_DELAY_MS: f64 = 1000.0;
/// Nor later than a day.
const MAX_DELAY_MS: f64 = 24.0 * 3600.0 * 1000.0;
/// Failures of Modal itself cost the function's policy nothing; so many are forgiven.
const MAX_INTERNAL: u32 = 8;

/// The retries of one input.
#[derive(Clone, Debug)]
pub(super) struct InputRetries {
    policy: pb::FunctionRetryPolicy,
    /// The caller retries; otherwise the server does, and the first failure is final.
    by_client: bool,
    used: u32,
    internal: u32,
}

/// What to do with an output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Final,
    /// Send the input again after this.
    Again(Duration),
}

impl InputRetries {
    pub(super) fn new(policy: Option<pb::FunctionRetryPolicy>, by_client: bool) -> Self {
        Self {
            policy: policy.unwrap_or_default(),
            by_client,
            used: 0,
            internal: 0,
        }
    }

    /// Whether this output belongs to an attempt before the current one. Only told apart where the caller
    /// retries and so numbers the attempts.
    pub(super) fn is_stale(&self, retry_count: u32) -> bool {
        self.by_client && self.policy.retries > 0 && retry_count != self.count()
    }

    /// How often the input was sent again.
    pub(super) fn count(&self) -> u32 {
        self.used + self.internal
    }

    /// Judges an output, and counts the retry that it orders.
    pub(super) fn judge(&mut self, status: GenericStatus) -> Verdict {
        if !self.by_client || self.policy.retries == 0 {
            return Verdict::Final;
        }
        match status {
            GenericStatus::Success | GenericStatus::Terminated => Verdict::Final,
            GenericStatus::InternalFailure if self.internal < MAX_INTERNAL => {
                self.internal += 1;
                Verdict::Again(Duration::ZERO)
            }
            GenericStatus::InternalFailure => Verdict::Final,
            _ if self.used >= self.policy.retries => Verdict::Final,
            _ => {
                self.used += 1;
                Verdict::Again(self.delay())
            }
        }
    }

    fn delay(&self) -> Duration {
        let exponent = i32::try_from(self.used - 1).unwrap_or(i32::MAX);
        let factor = f64::from(self.policy.backoff_coefficient).powi(exponent);
        let delay = f64::from(self.policy.initial_delay_ms) * factor;
        let most = match self.policy.max_delay_ms {
            0 => MAX_DELAY_MS,
            set => f64::from(set).clamp(MIN_DELAY_MS, MAX_DELAY_MS),
        };
        // `max` and `min` in this order also turn a NaN of a strange policy into the floor.
        Duration::from_secs_f64(delay.max(MIN_DELAY_MS).min(most) / 1000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn retries(policy: pb::FunctionRetryPolicy) -> InputRetries {
        InputRetries::new(Some(policy), true)
    }

    fn policy(retries: u32) -> pb::FunctionRetryPolicy {
        pb::FunctionRetryPolicy {
            backoff_coefficient: 2.0,
            initial_delay_ms: 1500,
            max_delay_ms: 5000,
            retries,
        }
    }

    #[test]
    fn user_failures_back_off_until_the_policy_is_used_up() {
        let mut state = retries(policy(3));
        let mut judge = || state.judge(GenericStatus::Failure);
        assert_eq!(judge(), Verdict::Again(Duration::from_millis(1500)));
        assert_eq!(judge(), Verdict::Again(Duration::from_secs(3)));
        assert_eq!(judge(), Verdict::Again(Duration::from_secs(5)));
        assert_eq!(judge(), Verdict::Final);
        assert_eq!(state.count(), 3);
    }

    #[test]
    fn modals_own_failures_do_not_cost_the_policy() {
        let mut state = retries(policy(1));
        for _ in 0..MAX_INTERNAL {
            assert_eq!(
                state.judge(GenericStatus::InternalFailure),
                Verdict::Again(Duration::ZERO)
            );
        }
        assert_eq!(state.judge(GenericStatus::InternalFailure), Verdict::Final);
        assert!(matches!(
            state.judge(GenericStatus::Timeout),
            Verdict::Again(_)
        ));
    }

    #[test]
    fn success_and_termination_are_final_and_so_is_all_when_the_server_retries() {
        let mut state = retries(policy(3));
        assert_eq!(state.judge(GenericStatus::Success), Verdict::Final);
        assert_eq!(state.judge(GenericStatus::Terminated), Verdict::Final);
        let mut state = InputRetries::new(Some(policy(3)), false);
        assert_eq!(state.judge(GenericStatus::Failure), Verdict::Final);
    }

    proptest! {
        #[test]
        fn no_policy_makes_a_delay_out_of_bounds(
            coefficient in prop_oneof![any::<f32>(), 0.0..10.0f32],
            initial in any::<u32>(),
            max in any::<u32>(),
            n in 1..40u32,
        ) {
            let mut state = retries(pb::FunctionRetryPolicy {
                backoff_coefficient: coefficient,
                initial_delay_ms: initial,
                max_delay_ms: max,
                retries: n,
            });
            for _ in 0..n {
                let Verdict::Again(wait) = state.judge(GenericStatus::Failure) else {
                    return Err(TestCaseError::fail("final too early"));
                };
                prop_assert!(wait >= Duration::from_secs(1) && wait <= Duration::from_hours(24));
            }
            prop_assert_eq!(state.judge(GenericStatus::Failure), Verdict::Final);
        }
    }
}
