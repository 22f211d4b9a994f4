//! Where a run stands in its workflow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::ApprovalId;

/// Where a run stands: persisted with the run, so that any machine can go on (D-FLOW-2).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// The node that it is at: a step that runs or is due, a gate that waits, `end` or `reject`.
    pub at: String,
    /// What the steps left and the decisions set.
    pub state: Map<String, Value>,
    /// How often each step was entered.
    pub visits: BTreeMap<String, u32>,
    /// How often an option that iterates was chosen, by gate.
    pub iterations: BTreeMap<String, u32>,
    /// The request that waits for a decision.
    pub open: Option<ApprovalId>,
    /// Requests that were opened so far.
    pub requests: u32,
    /// Decisions that permit a step, not used yet.
    pub grants: Vec<Grant>,
    /// The way that it took, oldest first.
    pub path: Vec<Passage>,
}

/// A decision that permits a step once (D-FLOW-7).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The gate.
    pub gate: String,
    /// The request that was decided.
    pub request: ApprovalId,
    /// Who decided.
    pub by: String,
}

/// A node that a run came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Passage {
    /// The node.
    pub node: String,
    /// When.
    pub at: Timestamp,
    /// Why: the option that was chosen, or the evidence that a route rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}
