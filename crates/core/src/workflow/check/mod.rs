//! What is wrong with a graph, found when it is loaded (D-FLOW-1): everything at once, each with its place.
//!
//! | file | rules |
//! |---|---|
//! | `names` | D-FLOW-1a, D-FLOW-1b: names are unique, and what is named is there |
//! | `gates` | D-FLOW-1f, D-FLOW-5a, D-FLOW-6a, D-FLOW-7a: what a gate offers, and how it decides by itself |
//! | `ways` | D-FLOW-1c, D-FLOW-1d: each node is reached and can be brought to an end; no loop without a person |
//! | `keys` | D-FLOW-1e, D-FLOW-7b: what a step uses, and the approval that it needs, are there on every way |
//!
//! A graph that names what is not there is checked as far as it goes: what would only be an echo of that is
//! left out. A workflow without violations always ends under any decisions, but for a person who goes round a
//! loop by choice; the property tests of [`run`](crate::run) hold it to that.

mod gates;
mod graph;
mod keys;
mod names;
#[cfg(test)]
mod tests;
mod ways;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::document::Workflow;
use crate::spec::{JobSpec, Step, Violation};
use graph::Graph;

/// Everything that is wrong with the workflow of a job: names that lead nowhere, options that can not be
/// taken, ways without an end, keys that a step uses and that are not there on some way to it.
///
/// [`spec::load`](crate::spec::load) has called it for every spec that it returned.
pub fn check(spec: &JobSpec, workflow: &Workflow) -> Vec<Violation> {
    Subject::of(
        spec.steps(),
        Some(&spec.params),
        spec.params_schema.as_ref(),
        workflow,
    )
    .check()
}

/// A workflow with what it stands on.
pub(crate) struct Subject<'a> {
    /// The steps of the job, in order: the pointer of one is `/steps/` and its index.
    steps: Vec<&'a Step>,
    workflow: &'a Workflow,
    /// Keys that each run's parameters have.
    given: BTreeSet<&'a str>,
    /// Keys that a run's parameters may have.
    possible: BTreeSet<&'a str>,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(
        steps: impl IntoIterator<Item = &'a Step>,
        params: Option<&'a Map<String, Value>>,
        params_schema: Option<&'a Map<String, Value>>,
        workflow: &'a Workflow,
    ) -> Self {
        let defaults = params.into_iter().flatten();
        let initial = defaults.chain(&workflow.state);
        let mut given: BTreeSet<&str> = initial
            .filter(|(_, value)| !value.is_null())
            .map(|(key, _)| key.as_str())
            .collect();
        let mut possible: BTreeSet<&str> = params
            .into_iter()
            .flatten()
            .chain(&workflow.state)
            .map(|(key, _)| key.as_str())
            .collect();
        let member = |name| params_schema.and_then(|schema| schema.get(name));
        if let Some(Value::Array(required)) = member("required") {
            given.extend(required.iter().filter_map(Value::as_str));
        }
        if let Some(Value::Object(properties)) = member("properties") {
            possible.extend(properties.keys().map(String::as_str));
        }
        possible.extend(&given);
        Self {
            steps: steps.into_iter().collect(),
            workflow,
            given,
            possible,
        }
    }

    pub(crate) fn check(&self) -> Vec<Violation> {
        let mut found = Vec::new();
        names::check(self, &mut found);
        gates::check(self, &mut found);
        let graph = Graph::of(self, &mut found);
        ways::check(self, &graph, &mut found);
        keys::check(self, &graph, &mut found);
        found
    }
}
