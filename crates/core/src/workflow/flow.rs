//! Where a run stands in its workflow.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::document::Workflow;
use crate::ids::ApprovalId;
use crate::spec::JobSpec;

/// Where a run stands: persisted with the run, so that any machine can go on (D-FLOW-2).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Flow {
    /// The node that it is at: a step that runs or is due, a gate that waits, `end` or `reject`.
    pub at: String,
    /// What the steps left and the decisions set.
    pub state: Map<String, Value>,
    /// How often the run came to each node, steps and gates.
    pub visits: BTreeMap<String, u32>,
    /// How often an option that iterates was chosen, by gate.
    pub iterations: BTreeMap<String, u32>,
    /// The request that waits for a decision.
    pub open: Option<ApprovalId>,
    /// Requests that were opened so far.
    pub requests: u32,
    /// Decisions that permit a step, not used yet; of each gate at most its latest.
    pub grants: Vec<Grant>,
    /// The decision that permits the step that the run is at, where the step needs one. It was taken from
    /// `grants` when the run came to the step, and goes when the run leaves it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permit: Option<Grant>,
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

impl Flow {
    /// Where a run of a job begins, with the index of its first step in `run.steps`; `None` for a job without
    /// a workflow.
    ///
    /// The state is that of the workflow, and over it the parameters of the run, defaults filled in. Null is
    /// the same as nothing, and is left out.
    ///
    /// ```
    /// use moorline_core::{spec, workflow::Flow};
    /// use serde_json::json;
    ///
    /// let spec = spec::load(br#"{"job_id": "j", "params": {"region": "eu"},
    ///     "steps": [{"name": "load", "argv": ["./load", "{{region}}"]}],
    ///     "workflow": {"steps": {"load": {"uses": ["region"]}}}}"#)?;
    /// let (flow, step) = Flow::start(&spec, &spec.params, jiff::Timestamp::UNIX_EPOCH).unwrap();
    /// assert_eq!((flow.at.as_str(), step), ("load", 0));
    /// assert_eq!(flow.state["region"], json!("eu"));
    /// # Ok::<(), moorline_core::spec::Violations>(())
    /// ```
    pub fn start(
        spec: &JobSpec,
        params: &Map<String, Value>,
        now: Timestamp,
    ) -> Option<(Self, usize)> {
        let workflow = spec.workflow.as_ref()?;
        let named = |name: &String| spec.steps().iter().position(|step| step.name == *name);
        let index = workflow.start.as_ref().and_then(named).unwrap_or(0);
        let at = spec.steps().get(index)?.name.clone();
        let mut flow = Self {
            visits: BTreeMap::from([(at.clone(), 1)]),
            path: vec![Passage {
                node: at.clone(),
                at: now,
                because: None,
            }],
            at,
            ..Self::default()
        };
        flow.merge(&workflow.state);
        flow.merge(params);
        Some((flow, index))
    }

    /// Adds members to the state, over those that are there. Null takes one away.
    pub(crate) fn merge(&mut self, members: &Map<String, Value>) {
        for (key, value) in members {
            if value.is_null() {
                self.state.remove(key);
            } else {
                self.state.insert(key.clone(), value.clone());
            }
        }
    }

    /// What of the state a step reads, by what the workflow says of it: a part of its input file.
    pub fn input_of(&self, workflow: &Workflow, step: &str) -> Map<String, Value> {
        let uses = workflow
            .steps
            .get(step)
            .map_or(&[][..], |flow| flow.uses.as_slice());
        uses.iter()
            .filter_map(|key| Some((key.clone(), self.state.get(key)?.clone())))
            .collect()
    }
}
