//! Faults on demand: which call of which RPC fails, and how.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use tokio::sync::Notify;

/// What goes wrong, and what there is little of. Written as a list it is the faults alone.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct FaultPlan {
    /// In order of precedence: the first that matches a call is applied.
    pub faults: Vec<Fault>,
    /// GPUs that there are. Empty: as many as anyone asks for, of every type.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gpus: Vec<GpuStock>,
    /// Containers that are taken away.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub preemptions: Vec<Preemption>,
    /// What the plan of the workspace allows.
    pub limits: PlanLimits,
}

/// The form of a plan that says more than faults.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Whole {
    faults: Vec<Fault>,
    gpus: Vec<GpuStock>,
    preemptions: Vec<Preemption>,
    limits: PlanLimits,
}

impl<'de> Deserialize<'de> for FaultPlan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Forms)
    }
}

/// Tells the two forms of a plan apart by how they begin, so that errors say what is wrong inside.
struct Forms;

impl<'de> Visitor<'de> for Forms {
    type Value = FaultPlan;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of faults, or an object with `faults`, `gpus`, `preemptions`, `limits`")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<FaultPlan, A::Error> {
        let faults = Vec::deserialize(SeqAccessDeserializer::new(list))?;
        Ok(FaultPlan {
            faults,
            ..FaultPlan::default()
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<FaultPlan, A::Error> {
        let Whole {
            faults,
            gpus,
            preemptions,
            limits,
        } = Whole::deserialize(MapAccessDeserializer::new(object))?;
        Ok(FaultPlan {
            faults,
            gpus,
            preemptions,
            limits,
        })
    }
}

/// GPUs of one type.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GpuStock {
    /// As users write it, e.g. `T4` or `A100-80GB`.
    pub gpu: String,
    /// How many containers can hold at one time.
    pub count: u32,
    /// Milliseconds from the request until one can be had.
    #[serde(default)]
    pub delay_ms: u64,
}

/// A container that is taken away while it runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preemption {
    /// Which of the sandboxes that are started from now on, counted from 1.
    pub sandbox: u64,
    /// Milliseconds after its container started.
    #[serde(default)]
    pub after_ms: u64,
}

/// What the plan of the workspace allows. Absent is without limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlanLimits {
    /// Sandboxes that run or wait at one time; one more is refused with `RESOURCE_EXHAUSTED`.
    pub sandboxes: Option<usize>,
    /// US dollars a month; when they are spent, a new sandbox is refused with `RESOURCE_EXHAUSTED`.
    pub spend_dollars: Option<f64>,
    /// What things cost.
    pub rates: Rates,
}

/// Prices in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rates {
    /// A second of a container, whatever it is given.
    pub container_second: f64,
    /// A second of one GPU, of whatever type.
    pub gpu_second: f64,
}

impl Default for Rates {
    /// Of the order of real prices: about 5 cents an hour for a container, and a dollar for a GPU.
    fn default() -> Self {
        Self {
            container_second: 0.000_014,
            gpu_second: 0.000_3,
        }
    }
}

/// One fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Name of the RPC, e.g. `SandboxCreateV2`; for HTTP `PUT /blobs`, `GET /blobs`, `PUT /volumes` or
    /// `GET /volumes`; `*` for all.
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
// Also for the fields of `Fault`, which can not refuse any itself for being flattened.
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
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
    /// Wakes who waits for something of which there may be more now.
    pub(crate) changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    calls: HashMap<String, u64>,
    sandboxes: u64,
}

impl Faults {
    /// Puts a plan in force; counting starts anew.
    pub(crate) fn set(&self, plan: FaultPlan) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State {
            plan,
            calls: HashMap::new(),
            sandboxes: 0,
        };
        self.changed.notify_waiters();
    }

    /// Counts a call, and tells what is to happen to it.
    pub(crate) fn strike(&self, rpc: &str) -> Option<FaultKind> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.plan.faults.is_empty() {
            return None;
        }
        let State { plan, calls, .. } = &mut *state;
        let n = calls.entry(rpc.to_owned()).or_default();
        *n += 1;
        let hit = |fault: &&Fault| {
            (fault.rpc == "*" || fault.rpc == rpc)
                && *n >= fault.nth
                && *n - fault.nth < fault.times
        };
        plan.faults.iter().find(hit).map(|fault| fault.kind.clone())
    }

    /// Counts a sandbox that starts, and tells after which time it is taken away.
    pub(crate) fn preemption(&self) -> Option<Duration> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.sandboxes += 1;
        let State {
            plan, sandboxes, ..
        } = &*state;
        let hit = plan
            .preemptions
            .iter()
            .find(|preemption| preemption.sandbox == *sandboxes);
        hit.map(|preemption| millis(preemption.after_ms))
    }

    /// What there is of a type of GPU: `None` is as many as anyone asks for.
    pub(crate) fn gpus(&self, gpu: &str) -> Option<GpuStock> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let gpus = &state.plan.gpus;
        let stock = gpus
            .iter()
            .find(|stock| stock.gpu.eq_ignore_ascii_case(gpu))
            .cloned();
        let none = || GpuStock {
            gpu: gpu.to_owned(),
            count: 0,
            delay_ms: 0,
        };
        (!gpus.is_empty()).then(|| stock.unwrap_or_else(none))
    }

    /// What the plan of the workspace allows.
    pub(crate) fn limits(&self) -> PlanLimits {
        self.state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .plan
            .limits
            .clone()
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

    #[test]
    fn a_plan_is_a_list_of_faults_or_says_what_there_is_too() {
        let text = r#"{"gpus":[{"gpu":"T4","count":1}],"preemptions":[{"sandbox":2}],
            "limits":{"sandboxes":3}}"#;
        let plan: FaultPlan = serde_json::from_str(text).unwrap();
        let written = serde_json::to_string(&plan).unwrap();
        assert_eq!(serde_json::from_str::<FaultPlan>(&written).unwrap(), plan);
        let faults = Faults::default();
        assert_eq!(faults.gpus("T4"), None);
        faults.set(plan);
        assert_eq!(faults.gpus("t4").unwrap().count, 1);
        assert_eq!(faults.gpus("H100").unwrap().count, 0);
        assert_eq!(faults.limits().sandboxes, Some(3));
        assert_eq!(
            [faults.preemption(), faults.preemption()],
            [None, Some(Duration::ZERO)]
        );
    }
}
