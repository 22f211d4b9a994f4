//! When a failed call is sent again, and after which wait: pure decisions, without a clock.

use std::time::Duration;

use prost::Message as _;
use tonic::{Code, Status};

use crate::rpc::Effect;

/// How calls are repeated. The defaults are those of the official clients where they have one.
///
/// Three budgets are counted apart: transient failures of a call that was sent (`max_retries`), attempts
/// that found no connection (`max_connect_wait`; nothing was sent, so they cost no retry), and waits that
/// the server asked for (`max_throttle_wait`). `total_timeout` bounds them all.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts after the first that follow a transient failure. Default 3.
    pub max_retries: u32,
    /// The wait before the first of them. Default 100 ms; doubled each time, with jitter.
    pub base_delay: Duration,
    /// The longest wait. Default 1 s.
    pub max_delay: Duration,
    /// The longest time of one attempt. Default 70 s, above every hold of a long poll.
    pub attempt_timeout: Duration,
    /// The longest time of the whole call, waits included. Default: none.
    pub total_timeout: Option<Duration>,
    /// How long a server may be unreachable before the call fails. Default 30 s.
    pub max_connect_wait: Duration,
    /// The longest time that server-directed waits may take together; zero ignores the server's wish.
    /// Default: none, as in the official clients (`MODAL_MAX_THROTTLE_WAIT` sets it).
    pub max_throttle_wait: Option<Duration>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            base_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(1),
            attempt_timeout: Duration::from_secs(70),
            total_timeout: None,
            max_connect_wait: Duration::from_secs(30),
            max_throttle_wait: None,
        }
    }
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    Connect,
    /// This client's deadline of the attempt passed.
    Timeout,
    /// A status of the server or of a broken connection.
    Status(Code),
    /// The server refused it and said when to come back.
    Throttled(Duration),
}

impl Failure {
    /// Reads a status.
    pub(crate) fn of(status: &Status) -> Self {
        if let Some(wait) = throttle(status) {
            return Self::Throttled(wait);
        }
        if status.code() == Code::Unavailable && is_connect(status) {
            return Self::Connect;
        }
        Self::Status(status.code())
    }

    /// Whether the effect may have taken place.
    pub(crate) fn is_ambiguous(self) -> bool {
        match self {
            Self::Connect | Self::Throttled(_) => false,
            Self::Timeout => true,
            Self::Status(code) => is_transient(code),
        }
    }
}

/// What was tried so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Tally {
    /// Attempts that failed in transit, and were repeated.
    pub(crate) retries: u32,
    /// Attempts that were throttled, and repeated.
    pub(crate) throttled: u32,
    /// Attempts that found no connection, since the last that did.
    pub(crate) unconnected: u32,
    /// Time in waits that the server asked for.
    pub(crate) throttle_wait: Duration,
    /// Time since the connection was lost.
    pub(crate) connect_wait: Duration,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Decision {
    /// Wait, then send it again.
    Again(Duration),
    /// Report the failure.
    GiveUp,
}

impl RetryPolicy {
    /// Decides after a failed attempt. `elapsed` counts from the call's begin, `jitter` is uniform in
    /// `0.0..1.0`. The tally is advanced when the answer is to try again.
    pub(crate) fn decide(
        &self,
        failure: Failure,
        effect: Effect,
        tally: &mut Tally,
        elapsed: Duration,
        jitter: f64,
    ) -> Decision {
        let wait = match failure {
            Failure::Throttled(wait) => {
                let total = tally.throttle_wait + wait;
                if self.max_throttle_wait.is_some_and(|limit| total > limit) {
                    return Decision::GiveUp;
                }
                wait
            }
            Failure::Connect => self.backoff(tally.unconnected, jitter),
            Failure::Timeout | Failure::Status(_) => self.backoff(tally.retries, jitter),
        };
        let out_of_time = self
            .total_timeout
            .is_some_and(|total| elapsed + wait >= total);
        let spent = match failure {
            Failure::Throttled(_) => false,
            Failure::Connect => tally.connect_wait + wait > self.max_connect_wait,
            Failure::Timeout | Failure::Status(_) => {
                effect == Effect::Once
                    || !failure.is_ambiguous()
                    || tally.retries >= self.max_retries
            }
        };
        if out_of_time || spent {
            return Decision::GiveUp;
        }
        match failure {
            Failure::Throttled(_) => {
                tally.throttled += 1;
                tally.throttle_wait += wait;
            }
            Failure::Connect => {
                tally.unconnected += 1;
                tally.connect_wait += wait;
            }
            Failure::Timeout | Failure::Status(_) => {
                tally.retries += 1;
                tally.unconnected = 0;
                tally.connect_wait = Duration::ZERO;
            }
        }
        Decision::Again(wait)
    }

    /// The wait before attempt `n + 1`: doubled each time up to the maximum, then spread over its upper
    /// half, so that clients that failed together do not come back together.
    pub(crate) fn backoff(&self, n: u32, jitter: f64) -> Duration {
        let full = self
            .base_delay
            .saturating_mul(1 << n.min(16))
            .min(self.max_delay);
        full.mul_f64(0.5 + 0.5 * jitter.clamp(0.0, 1.0))
    }
}

/// The codes that say nothing about the request itself.
pub(crate) fn is_transient(code: Code) -> bool {
    matches!(
        code,
        Code::Unavailable
            | Code::DeadlineExceeded
            | Code::Cancelled
            | Code::Internal
            | Code::Unknown
    )
}

/// Shortest wait that a server can ask for.
const MIN_THROTTLE: f32 = 0.1;
/// Longest: a value beyond it is a server's mistake.
const MAX_THROTTLE: f32 = 3600.0;

/// The wait that an `RPCRetryPolicy` in the status details asks for.
fn throttle(status: &Status) -> Option<Duration> {
    if status.details().is_empty() {
        return None;
    }
    let details = RpcStatus::decode(status.details()).ok()?.details;
    // The prefix of the type's URL differs between servers; the name behind the last slash counts.
    let policy = details
        .iter()
        .find(|any| any.type_url.rsplit('/').next() == Some("modal.client.RPCRetryPolicy"))?;
    let seconds = moorline_modal_proto::client::RpcRetryPolicy::decode(policy.value.as_slice())
        .ok()?
        .retry_after_secs;
    let seconds = if seconds.is_nan() {
        MIN_THROTTLE
    } else {
        seconds.clamp(MIN_THROTTLE, MAX_THROTTLE)
    };
    Some(Duration::from_secs_f32(seconds))
}

/// `google.rpc.Status`, of which only the details matter here.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

fn is_connect(status: &Status) -> bool {
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn throttled(type_url: &str, seconds: f32) -> Status {
        let policy = moorline_modal_proto::client::RpcRetryPolicy {
            retry_after_secs: seconds,
        };
        let any = prost_types::Any {
            type_url: type_url.into(),
            value: policy.encode_to_vec(),
        };
        let details = RpcStatus { details: vec![any] }.encode_to_vec();
        Status::with_details(Code::ResourceExhausted, "slow down", details.into())
    }

    #[test]
    fn the_servers_wait_is_read_whatever_the_prefix_of_its_type() {
        let wait = |url: &str, seconds| Failure::of(&throttled(url, seconds));
        let name = "modal.client.RPCRetryPolicy";
        let half = Failure::Throttled(Duration::from_millis(500));
        assert_eq!(wait(&format!("type.modal.com/{name}"), 0.5), half);
        assert_eq!(wait(name, 0.5), half);
        assert_eq!(
            wait(name, f32::NAN),
            Failure::Throttled(Duration::from_secs_f32(0.1))
        );
        assert_eq!(
            wait(name, -3.0),
            Failure::Throttled(Duration::from_secs_f32(0.1))
        );
        assert_eq!(
            wait(name, f32::INFINITY),
            Failure::Throttled(Duration::from_hours(1))
        );
        assert_eq!(
            wait("x/modal.client.Other", 0.5),
            Failure::Status(Code::ResourceExhausted)
        );
    }

    #[test]
    fn throttling_costs_no_retry_and_is_bounded() {
        let policy = RetryPolicy {
            max_throttle_wait: Some(Duration::from_secs(5)),
            ..RetryPolicy::default()
        };
        let mut tally = Tally::default();
        let failure = Failure::Throttled(Duration::from_secs(2));
        let mut decide = || policy.decide(failure, Effect::Once, &mut tally, Duration::ZERO, 0.0);
        assert_eq!(decide(), Decision::Again(Duration::from_secs(2)));
        assert_eq!(decide(), Decision::Again(Duration::from_secs(2)));
        assert_eq!(decide(), Decision::GiveUp);
        assert_eq!((tally.retries, tally.throttled), (0, 2));
    }

    #[test]
    fn a_call_that_must_happen_once_is_repeated_only_when_it_was_never_sent() {
        let policy = RetryPolicy::default();
        let decide = |failure| {
            policy.decide(
                failure,
                Effect::Once,
                &mut Tally::default(),
                Duration::ZERO,
                0.0,
            )
        };
        assert_eq!(decide(Failure::Status(Code::Unavailable)), Decision::GiveUp);
        assert_eq!(decide(Failure::Timeout), Decision::GiveUp);
        assert!(matches!(decide(Failure::Connect), Decision::Again(_)));
    }

    #[test]
    fn a_verdict_about_the_request_is_final() {
        let policy = RetryPolicy::default();
        for code in [
            Code::NotFound,
            Code::InvalidArgument,
            Code::Unauthenticated,
            Code::ResourceExhausted,
        ] {
            let decision = policy.decide(
                Failure::Status(code),
                Effect::Read,
                &mut Tally::default(),
                Duration::ZERO,
                0.0,
            );
            assert_eq!(decision, Decision::GiveUp, "{code:?}");
        }
    }

    #[test]
    fn an_unreachable_server_is_given_up_after_its_own_budget() {
        let policy = RetryPolicy::default();
        let mut tally = Tally::default();
        let mut waited = Duration::ZERO;
        while let Decision::Again(wait) =
            policy.decide(Failure::Connect, Effect::Read, &mut tally, waited, 1.0)
        {
            waited += wait;
        }
        assert!(
            waited > Duration::from_secs(28) && waited <= policy.max_connect_wait,
            "{waited:?}"
        );
        assert_eq!(tally.retries, 0);
    }

    fn failure() -> impl Strategy<Value = Failure> {
        prop_oneof![
            Just(Failure::Timeout),
            Just(Failure::Connect),
            (0..17i32).prop_map(|code| Failure::Status(Code::from(code))),
            (1..5000u64).prop_map(|ms| Failure::Throttled(Duration::from_millis(ms))),
        ]
    }

    proptest! {
        #[test]
        fn no_budget_is_ever_overdrawn(
            failures in prop::collection::vec((failure(), 0.0..1.0f64), 0..60),
            total in 1..20u64,
            retries in 0..5u32,
        ) {
            let policy = RetryPolicy {
                max_retries: retries,
                total_timeout: Some(Duration::from_secs(total)),
                max_throttle_wait: Some(Duration::from_secs(6)),
                max_connect_wait: Duration::from_secs(3),
                ..RetryPolicy::default()
            };
            let mut tally = Tally::default();
            let mut waited = Duration::ZERO;
            for (failure, jitter) in failures {
                match policy.decide(failure, Effect::Keyed, &mut tally, waited, jitter) {
                    Decision::Again(wait) => waited += wait,
                    Decision::GiveUp => break,
                }
                prop_assert!(tally.retries <= retries);
                prop_assert!(waited < Duration::from_secs(total));
                prop_assert!(tally.throttle_wait <= Duration::from_secs(6));
                prop_assert!(tally.connect_wait <= Duration::from_secs(3));
            }
        }

        #[test]
        fn the_backoff_stays_within_its_bounds(n in 0..100u32, jitter in 0.0..1.0f64) {
            let wait = RetryPolicy::default().backoff(n, jitter);
            prop_assert!(wait >= Duration::from_millis(50) && wait <= Duration::from_secs(1));
        }
    }
}
