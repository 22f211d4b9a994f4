//! The graph as people write it: part of the job spec, closed against unknown fields.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::condition::Condition;
use crate::principal::Role;
use crate::spec::NAME_PATTERN;

/// What comes after what in a job. Steps and gates share one space of names; `end` and `reject` are the two
/// nodes at which a run is over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Workflow {
    /// The phases that steps and gates belong to, in order; their numbers count from 0.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<Phase>,
    /// The step that a run begins with; the first one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<String>,
    /// The state that a run begins with, beside its parameters, which are there under their names.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub state: Map<String, Value>,
    /// What the graph knows of each step, by its name. A step that is not named here has no phase, reads
    /// nothing of the state, adds nothing to it, and goes on to the next one of the spec.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub steps: BTreeMap<String, StepFlow>,
    /// The gates.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<Gate>,
}

impl Workflow {
    /// A gate, by its name.
    pub fn gate(&self, name: &str) -> Option<&Gate> {
        self.gates.iter().find(|gate| gate.name == name)
    }

    /// The phase of a step or a gate, with its number; none for a node without one, and for `end` and
    /// `reject`.
    pub fn phase_of(&self, node: &str) -> Option<(u32, &Phase)> {
        let name = match (self.gate(node), self.steps.get(node)) {
            (Some(gate), _) => gate.phase.as_ref(),
            (None, Some(step)) => step.phase.as_ref(),
            (None, None) => None,
        }?;
        (0..)
            .zip(&self.phases)
            .find(|(_, phase)| phase.name == *name)
    }
}

impl Gate {
    /// One of its options, by its name.
    pub fn option(&self, name: &str) -> Option<&GateOption> {
        self.options.iter().find(|option| option.name == name)
    }
}

/// A part of a workflow, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// Its name: a lower-case letter, then at most 63 letters, digits, `_`, `-`.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// What the graph knows of a step.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct StepFlow {
    /// Its phase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Keys of the state that it reads: they are in its input file, and may stand as `{{key}}` in its `argv`
    /// and `env`. Each must be there on every way that leads to the step.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uses: Vec<String>,
    /// Keys that its result has; an attempt that leaves one out failed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub produces: Vec<String>,
    /// What comes next; the next step of the spec when absent, `end` after the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Then>,
    /// The gate whose approval it uses up, for a step that spends money or publishes: without a decision of
    /// that gate that was not used yet, it does not start (D-FLOW-7).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_approval: Option<String>,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Then {
    /// Always this node.
    To(String),
    /// The first route that holds.
    By(Routes),
}

/// Ways on, tried in order.
#[expect(
    clippy::struct_field_names,
    reason = "the names are those of the document"
)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Routes {
    /// The routes; the first whose conditions all hold is taken.
    #[schemars(length(min = 1))]
    pub routes: Vec<Route>,
    /// Where to go when none holds.
    pub otherwise: String,
    /// Where to go when evidence that a route asks for is not there; `otherwise` is not for that. The run
    /// fails when absent (L41).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_missing: Option<String>,
}

/// One way on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// What must hold, all of it.
    #[schemars(length(min = 1))]
    pub when: Vec<Condition>,
    /// Where it leads.
    pub to: String,
}

/// A point at which a run waits for a decision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Its name, also called checkpoint: a lower-case letter, then at most 63 letters, digits, `_`, `-`.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// Its phase.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The question, in one line.
    #[schemars(length(min = 1))]
    pub title: String,
    /// What the person who decides has to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Keys of the state that are shown with the question.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub context: Vec<String>,
    /// What can be chosen.
    #[schemars(length(min = 1))]
    pub options: Vec<GateOption>,
    /// Which option is recommended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Recommend>,
    /// When no person is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub automatic: Option<Automatic>,
    /// How often options that iterate may be chosen here, in one run; 3 when absent, at most 100.
    #[schemars(range(min = 1, max = 100))]
    #[serde(default = "iterations", skip_serializing_if = "is_iterations")]
    pub max_iterations: u32,
    /// Seconds until a request expires; 604800 (7 days) when absent, at most 10 years.
    #[schemars(range(min = 1, max = 315_360_000))]
    #[serde(default = "week", skip_serializing_if = "is_week")]
    pub expires_after_seconds: u64,
    /// What becomes of the run then.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub on_expiry: ExpiryPolicy,
    /// Seconds after which people are reminded, growing, before it expires; each reminder is louder than the
    /// one before.
    #[schemars(inner(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub reminders: Vec<u64>,
    /// The least role of who decides; `approver` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_role: Option<Role>,
    /// Who started the run may not decide.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub two_person: bool,
}

/// Something that can be chosen at a gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GateOption {
    /// What decisions call it, e.g. `approved`: a lower-case letter, then at most 63 letters, digits, `_`, `-`.
    #[schemars(regex(pattern = NAME_PATTERN))]
    pub name: String,
    /// What people see; the name when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What follows from it, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it leads: a step, a gate, `end` or `reject`.
    pub to: String,
    /// Whether it repeats what led here: the gate asks again, at most `max_iterations` times.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub iterate: bool,
    /// Whether it changes direction: what callers are told as `pivot`.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub pivot: bool,
    /// Keys of the state that it sets.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sets: BTreeMap<String, SetValue>,
    /// Keys of the state that do not hold any more and are removed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invalidates: Vec<String>,
    /// Keys of the state of which it must change at least one, by what it sets: else it is refused (L39).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub must_change: Vec<String>,
    /// Whether the decision must come with words.
    #[serde(default, skip_serializing_if = "crate::spec::is_default")]
    pub feedback: FeedbackRule,
    /// It is offered only when all of this holds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<Condition>,
}

/// Where a key of the state gets its value from when an option is chosen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, deny_unknown_fields)]
pub enum SetValue {
    /// From the state: a JSON pointer (RFC 6901). The option is offered only when something is there.
    From {
        /// The pointer, e.g. `/segments/0`.
        from: String,
    },
    /// From the decision: whoever decides gives it under the same key of `input`.
    Input {
        /// What it is, for people.
        input: String,
    },
    /// This value.
    Value {
        /// The value.
        value: Value,
    },
}

/// Whether a decision must come with words.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FeedbackRule {
    /// It may.
    #[default]
    Optional,
    /// It must.
    Required,
}

/// Which option is recommended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Recommend {
    /// Always this one.
    Option(String),
    /// By evidence: `to` names an option. None when evidence is missing.
    By(Routes),
}

/// When no person is asked: the first rule whose conditions all hold chooses. Where evidence is missing no
/// rule chooses, and a person is asked (D-FLOW-7). A policy that can not be read chooses nothing either.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Automatic {
    /// The rules, in order.
    #[schemars(length(min = 1))]
    pub rules: Vec<AutomaticRule>,
}

/// One rule of an automatic gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AutomaticRule {
    /// What must hold, all of it.
    #[schemars(length(min = 1))]
    pub when: Vec<Condition>,
    /// The option that it chooses: one that needs no words and no input.
    pub choose: String,
}

/// What becomes of a run whose request nobody decided in time (D-FLOW-6).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ExpiryPolicy {
    /// It fails.
    #[default]
    Fail,
    /// It goes on waiting; people are told that it is overdue.
    Hold,
    /// It is rejected.
    AutoReject,
}

const fn iterations() -> u32 {
    3
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_iterations(n: &u32) -> bool {
    *n == iterations()
}

const fn week() -> u64 {
    7 * 24 * 3600
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
const fn is_week(n: &u64) -> bool {
    *n == week()
}
