//! What an attempt of a workflow's step is given: keys of the state, the decision that permits it, and its
//! command line and environment with what `{{key}}` stands for.

use std::collections::BTreeMap;

use moorline_api::ApiError;
use moorline_core::attempt::{StepApproval, WorkflowInput};
use moorline_core::error_code::ErrorCode;
use moorline_core::run::Run;
use moorline_core::spec::{Arg, JobSpec, Step};
use moorline_core::workflow::{Flow, Grant, RenderError, render};
use serde_json::{Map, Value};

use crate::engine::Inner;
use crate::error::store_error;

/// What a step is started with, filled in.
pub(crate) struct Filled {
    pub(crate) argv: Vec<Arg>,
    pub(crate) env: BTreeMap<String, String>,
    /// None for a job without a workflow, whose braces are its own.
    pub(crate) workflow: Option<Box<WorkflowInput>>,
}

impl Inner {
    /// Fills in a step of a run. The same claim gives the same: neither the state of a run nor a decision
    /// changes while an attempt of it is alive.
    pub(crate) async fn fill_in(
        &self,
        run: &Run,
        spec: &JobSpec,
        step: &Step,
    ) -> Result<Filled, ApiError> {
        let (Some(workflow), Some(flow)) = (&spec.workflow, &run.flow) else {
            return Ok(Filled {
                argv: step.argv.clone(),
                env: step.env.clone(),
                workflow: None,
            });
        };
        let state = flow.input_of(workflow, &step.name);
        let approval = match &flow.permit {
            Some(permit) => Some(self.approval_of(permit).await?),
            None => None,
        };
        Ok(Filled {
            argv: argv(step, &state)?,
            env: env(step, &state)?,
            workflow: Some(Box::new(WorkflowInput {
                visit: visit(flow, step),
                state,
                approval,
            })),
        })
    }

    async fn approval_of(&self, permit: &Grant) -> Result<StepApproval, ApiError> {
        let request = self.store.approval_get(permit.request).await;
        let decision = request
            .map_err(store_error)?
            .and_then(|request| request.decision)
            .ok_or_else(|| {
                let message = format!(
                    "the decision of request {} that permits this step is not in the store (D-FLOW-7)",
                    permit.request
                );
                ApiError::new(ErrorCode::Policy, message)
            })?;
        Ok(StepApproval {
            gate: permit.gate.clone(),
            request: permit.request,
            option: decision.option,
            by: permit.by.clone(),
            at: decision.at,
        })
    }
}

fn visit(flow: &Flow, step: &Step) -> u32 {
    flow.visits.get(&step.name).copied().unwrap_or(1)
}

fn argv(step: &Step, state: &Map<String, Value>) -> Result<Vec<Arg>, ApiError> {
    let filled = step.argv.iter().map(|arg| render(arg.as_bytes(), state));
    filled
        .map(|filled| filled.map(Arg::from).map_err(|error| unfilled(&error)))
        .collect()
}

fn env(step: &Step, state: &Map<String, Value>) -> Result<BTreeMap<String, String>, ApiError> {
    step.env
        .iter()
        .map(|(name, value)| {
            let filled = render(value.as_bytes(), state).map_err(|error| unfilled(&error))?;
            // Text into text is text.
            Ok((name.clone(), String::from_utf8_lossy(&filled).into_owned()))
        })
        .collect()
}

/// A step that can not be filled in is not started: a command line with holes is nobody's wish.
fn unfilled(error: &RenderError) -> ApiError {
    ApiError::new(ErrorCode::Inputs, error.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(step: Value) -> Step {
        serde_json::from_value(step).unwrap()
    }

    fn state() -> Map<String, Value> {
        json!({"name": "a b; $(rm) \"x\"", "ratio": 0.0, "list": [1]})
            .as_object()
            .unwrap()
            .clone()
    }

    #[test]
    fn a_value_stays_inside_its_element() {
        let step = step(json!({
            "name": "s",
            "argv": ["./run", "--name={{name}}", "{{ratio}}{{list}}", "{x}"],
            "env": {"WHO": "<{{name}}>", "PLAIN": "{{}}"},
        }));
        let argv = argv(&step, &state()).unwrap();
        let argv: Vec<&str> = argv.iter().filter_map(Arg::as_str).collect();
        assert_eq!(argv, ["./run", "--name=a b; $(rm) \"x\"", "0.0[1]", "{x}"]);
        let env = env(&step, &state()).unwrap();
        let expected = [("PLAIN", "{{}}"), ("WHO", "<a b; $(rm) \"x\">")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(env, BTreeMap::from(expected));
    }

    #[test]
    fn a_step_with_a_hole_is_not_started() {
        let step = step(json!({"name": "s", "argv": ["./run", "{{absent}}"]}));
        let error = argv(&step, &state()).unwrap_err();
        assert_eq!(error.code, ErrorCode::Inputs);
        assert!(error.message.contains("`{{absent}}`"), "{}", error.message);
    }
}
