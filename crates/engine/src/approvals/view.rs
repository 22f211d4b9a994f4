//! Where a run stands in its workflow: for `runs show` and the pages, and as reasons for `explain run`.

use moorline_api::{ApiError, Fact, Point, WorkflowView};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};
use moorline_core::run::Run;
use moorline_core::workflow::{Flow, Workflow};
use moorline_store::StoreError;
use tracing::warn;

use crate::engine::Inner;

impl Inner {
    /// Where a run stands, with the graph and every request; `None` for a job without a workflow.
    pub(crate) async fn workflow_view(&self, run: &Run) -> Result<Option<WorkflowView>, ApiError> {
        let Some(flow) = &run.flow else {
            return Ok(None);
        };
        let graph = self.graph_of(run).await?;
        let mut approvals = self.requests_of(run.id).await?;
        approvals.reverse();
        Ok(graph.map(|graph| WorkflowView {
            graph,
            steps: run.steps.iter().map(|step| step.name.clone()).collect(),
            flow: (**flow).clone(),
            approvals,
        }))
    }

    /// The graph of a run. It is empty where the spec is in the store and can not be read: the run and what it
    /// waits for can be seen all the same, so that somebody can mend or end it (L42).
    async fn graph_of(&self, run: &Run) -> Result<Option<Workflow>, ApiError> {
        match self.spec_of(run).await {
            Ok(spec) => Ok(spec.workflow.clone()),
            Err(error) if error.source.as_ref().is_some_and(|e| e.is::<StoreError>()) => Err(error),
            Err(error) => {
                warn!(run = %run.id, %error, "a run is shown without its graph");
                Ok(Some(Workflow::default()))
            }
        }
    }

    /// The way that a run took and what was decided on it, for `explain run`. Empty without a workflow.
    pub(crate) async fn explain_gates(&self, run: &Run) -> Result<Vec<Point>, ApiError> {
        let Some(flow) = &run.flow else {
            return Ok(Vec::new());
        };
        let mut requests = self.requests_of(run.id).await?;
        requests.reverse();
        let mut points = vec![way(flow)];
        points.extend(requests.iter().map(gate));
        Ok(points)
    }
}

/// Node by node, with why it was the next one.
fn way(flow: &Flow) -> Point {
    let nodes: Vec<&str> = flow.path.iter().map(|p| p.node.as_str()).collect();
    let facts = flow.path.iter().filter_map(|passage| {
        let because = passage.because.as_ref()?;
        Some(Fact {
            source: format!("node/{}", passage.node),
            at: Some(passage.at),
            by: None,
            says: because.clone(),
        })
    });
    Point::new("way", nodes.join(" > "))
        .by_rule("D-FLOW-2")
        .since(flow.path.last().map(|passage| passage.at))
        .resting_on(facts)
}

fn gate(request: &ApprovalRequest) -> Point {
    let gate = &request.checkpoint;
    let says = match (&request.decision, request.status) {
        (Some(decision), status) => format!(
            "`{gate}` was decided: `{}`, {}; it led to `{}`",
            decision.option,
            status.as_str(),
            decision.next
        ),
        (None, ApprovalStatus::Pending) if request.overdue => format!(
            "`{gate}` waits for a decision, overdue since {}: {}",
            request.expires_at, request.title
        ),
        (None, ApprovalStatus::Pending) => format!(
            "`{gate}` waits for a decision until {}: {}",
            request.expires_at, request.title
        ),
        (None, status) => format!("`{gate}` is {}: nobody decided", status.as_str()),
    };
    let rule = match request.status {
        ApprovalStatus::Pending | ApprovalStatus::Withdrawn => "D-FLOW-3",
        ApprovalStatus::Expired => "D-FLOW-6",
        ApprovalStatus::AutoApproved => "D-FLOW-7",
        ApprovalStatus::Approved | ApprovalStatus::Rejected => "D-FLOW-4",
    };
    let decided = request.decision.as_ref();
    let point = Point::new("gate", says)
        .by_rule(rule)
        .since(Some(decided.map_or(request.opened_at, |d| d.at)))
        .resting_on(evidence(request).chain(decided.map(|decision| Fact {
            source: format!("approval/{}", request.id),
            at: Some(decision.at),
            by: Some(decision.by.to_string()),
            says: decision.feedback.clone().unwrap_or_default(),
        })));
    if request.status != ApprovalStatus::Pending {
        return point;
    }
    let options: Vec<&str> = request.options.iter().map(|o| o.name.as_str()).collect();
    point.that_holds(false).hint(format!(
        "`moorline approvals decide {} OPTION`, where OPTION is one of {}",
        request.id,
        options.join(", ")
    ))
}

/// What the rules of the gate read.
fn evidence(request: &ApprovalRequest) -> impl Iterator<Item = Fact> + '_ {
    request.evidence.iter().map(|reading| {
        let found = reading
            .found
            .as_ref()
            .map_or_else(|| "nothing".to_owned(), ToString::to_string);
        let holds = match reading.holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "can not be compared",
        };
        Fact {
            source: format!("state{}", reading.condition.evidence),
            at: Some(request.opened_at),
            by: None,
            says: format!("{found}: `{}` {holds}", reading.condition),
        }
    })
}
