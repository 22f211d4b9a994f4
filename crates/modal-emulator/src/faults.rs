//! Faults on demand: which call of which RPC fails, and how.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A list of faults. The first that matches a call is applied.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultPlan {
    /// In order of precedence.
    pub faults: Vec<Fault>,
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// Name of the RPC, e.g. `SandboxCreateV2`; for HTTP `PUT /blobs` or `GET /blobs`; `*` for all.
    pub rpc: String,
    /// The first call that it strikes, counted from 1 for each RPC.
    #[serde(default = "one")]
    pub nth: u64,
    /// How many calls in a row it strikes. One by default.
    #[serde(default = "one")]
    pub times: u64,
    /// What happens.
    #[serde(flatten)]
    pub kind: FaultKind,
}

fn one() -> u64 {
    1
}

/// What a fault does to a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FaultKind {
    /// Answers with an error, and nothing happened.
    FailBefore {
        /// A gRPC status code, e.g. 14 for UNAVAILABLE.
        code: i32,
    },
    /// Does what was asked, then answers with an error.
    FailAfter {
        /// A gRPC status code.
        code: i32,
    },
    /// Waits before anything else.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// A stream goes silent after some messages, for good (the connection stays).
    Stall {
        /// Messages that still come.
        after: u64,
    },
    /// The stream of the call is reset: before anything for unary calls, for streams after some messages.
    Reset {
        /// Messages that still come.
        #[serde(default)]
        after: u64,
    },
    /// `RESOURCE_EXHAUSTED` with the server's own delay (`RPCRetryPolicy`).
    Throttle {
        /// Seconds.
        retry_after_secs: f32,
    },
}

/// A plan in force, with the calls counted so far.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    calls: HashMap<String, u64>,
}

impl Faults {
    /// Puts a plan in force; counting starts anew.
    pub(crate) fn set(&self, plan: FaultPlan) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { plan, calls: HashMap::new() };
    }

    /// Counts a call, and tells what is to happen to it.
    pub(crate) fn strike(&self, rpc: &str) -> Option<FaultKind> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.plan.faults.is_empty() {
            return None;
        }
        let State { plan, calls } = &mut *state;
        let n = calls.entry(rpc.to_owned()).or_default();
        *n += 1;
        let hit = |fault: &&Fault| {
            (fault.rpc == "*" || fault.rpc == rpc)
                && *n >= fault.nth
                && *n - fault.nth < fault.times
        };
        plan.faults.iter().find(hit).map(|fault| fault.kind.clone())
    }
}

/// The delay of a fault, as time.
pub(crate) fn millis(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nth_call_is_struck_and_as_many_as_asked_for() {
        let text = r#"[{"rpc":"A","nth":2,"times":2,"kind":"fail_before","code":14}]"#;
        let faults = Faults::default();
        faults.set(serde_json::from_str(text).unwrap());
        let seen: Vec<bool> = (0..5).map(|_| faults.strike("A").is_some()).collect();
        assert_eq!(seen, [false, true, true, false, false]);
        assert_eq!(faults.strike("B"), None);
    }
}
