//! Rules on the workflow of a job: see [`workflow::check`](crate::workflow::check).

use crate::spec::parts::Parts;
use crate::spec::violation::Violation;
use crate::workflow::Subject;

/// Where a step can not be read, its index would not hold, and what is said of the graph would be an echo.
pub(super) fn check(parts: &Parts, found: &mut Vec<Violation>) {
    let Some(workflow) = parts.workflow.get() else {
        return;
    };
    if parts.steps.complete {
        let steps = parts.steps.iter().map(|(_, step)| step);
        let (params, schema) = (parts.params.get(), parts.params_schema.get());
        found.extend(Subject::of(steps, params, schema, workflow).check());
    }
}
