//! The three routes that systems built on seed 003 call: `POST /kickoff`, `GET /status/{run_id}` and
//! `POST /hitl/approve`. The richer API is beside them, below `/v1`.

use std::sync::Arc;

use axum::extract::{FromRequest, Path, Query, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{HeaderMap, StatusCode};
use jiff::Timestamp;
use moorline_api::{
    ApiError, ApprovalDecideRequest, ApprovalOperations as _, ControlPlane as _, EventsRequest,
    Operation, RunRequest, RunView, SubmitRequest,
};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, DecisionOutcome, OfferedOption};
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::event::{Event, EventKind};
use moorline_core::ids::{ApprovalId, RunId};
use moorline_core::workflow::Workflow;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::access::Caller;
use crate::app::App;
use crate::call::{finish, in_time, known};
use crate::problem::Problem;
use crate::request;

/// Rows of progress in one answer.
const PAGE: u32 = 100;

/// The routes of the seed.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/kickoff", post(kickoff))
        .route("/status/{run_id}", get(status))
        .route("/hitl/approve", post(approve))
}

/// A JSON body, read as a whole.
struct Said<T>(T);

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Said<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let limit = request::mebibytes(app.server().body_limit_mb);
        let bytes = request::whole(request.into_body(), limit).await?;
        let said = serde_json::from_slice(&bytes).map_err(|error| {
            ApiError::new(
                ErrorCode::Usage,
                format!("the body can not be read: {error}"),
            )
            .hint("send a JSON object; `/openapi.json` has its schema")
        })?;
        Ok(Self(said))
    }
}

/// Start a validation.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Kickoff {
    /// The project of the caller's own system.
    project_id: Uuid,
    /// The user of the caller's own system.
    user_id: Uuid,
    /// The idea, at least 10 characters.
    #[schemars(length(min = 10))]
    entrepreneur_input: String,
    /// A session of the caller's own system.
    session_id: Option<String>,
    /// Anything that the job knows what to do with.
    hints: Option<Map<String, Value>>,
    /// More to know.
    additional_context: Option<String>,
}

/// A validation that was started.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Started {
    /// The run.
    run_id: RunId,
    /// Always `started`.
    status: &'static str,
    /// For people.
    message: String,
}

async fn kickoff(
    State(app): State<Arc<App>>,
    caller: Caller,
    headers: HeaderMap,
    Said(body): Said<Kickoff>,
) -> Result<Response, Problem> {
    caller.permit(Operation::RunSubmit)?;
    let job = app.server().kickoff_job.clone().ok_or_else(|| {
        ApiError::new(
            ErrorCode::Config,
            "no job is configured for `POST /kickoff`",
        )
        .hint("set `server.kickoff_job` to `live:JOB` or to a job directory of the server")
    })?;
    if body.entrepreneur_input.trim().chars().count() < 10 {
        let message = "`entrepreneur_input` has fewer than 10 characters";
        return Err(ApiError::new(ErrorCode::Inputs, message)
            .hint("describe the idea in a sentence")
            .into());
    }
    let mut params = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            params.insert(name.to_owned(), value);
        }
    };
    put("project_id", Some(json!(body.project_id)));
    put("user_id", Some(json!(body.user_id)));
    put("entrepreneur_input", Some(body.entrepreneur_input.into()));
    put("session_id", body.session_id.map(Value::from));
    put("hints", body.hints.map(Value::Object));
    put(
        "additional_context",
        body.additional_context.map(Value::from),
    );
    let key = headers.get("idempotency-key").map(|key| key.to_str());
    let idempotency_key = match key {
        None => None,
        Some(Ok(key)) => Some(key.to_owned()),
        Some(Err(_)) => {
            let message = "the header `Idempotency-Key` is not plain ASCII";
            return Err(ApiError::new(ErrorCode::Usage, message).into());
        }
    };
    let request = SubmitRequest {
        job: job.into(),
        params,
        idempotency_key,
        actor: caller.identity.principal.clone(),
        ..SubmitRequest::default()
    };
    let engine = caller.project.engine.clone();
    let route = known("run_submit")?;
    let submitting = finish(&app, route, async move { engine.run_submit(request).await });
    let run = in_time(&app, submitting).await?;
    let started = Started {
        run_id: run.run_id,
        status: "started",
        message: format!("validation started; follow it at /status/{}", run.run_id),
    };
    Ok((StatusCode::ACCEPTED, Json(started)).into_response())
}

/// Where to go on in the list of progress.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct StatusQuery {
    /// Only progress behind this cursor: `next_cursor` of the answer before.
    cursor: u64,
}

/// Where a validation stands.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Standing {
    run_id: RunId,
    status: RunStatus,
    /// Number of the phase that it is in, from 0; absent for a job without phases.
    #[serde(skip_serializing_if = "Option::is_none")]
    current_phase: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase_name: Option<String>,
    /// What the steps said, oldest first.
    progress: Vec<ProgressRow>,
    /// The cursor of the next page of progress, also when there is none yet.
    next_cursor: u64,
    /// What a person has to decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    hitl_pending: Option<Pending>,
    started_at: Timestamp,
    updated_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<String>,
}

/// One row of progress.
#[derive(Debug, Serialize, JsonSchema)]
struct ProgressRow {
    #[serde(flatten)]
    said: Map<String, Value>,
    created_at: Timestamp,
}

/// A decision that the run waits for.
#[derive(Debug, Serialize, JsonSchema)]
struct Pending {
    request_id: ApprovalId,
    checkpoint: String,
    title: String,
    description: Option<String>,
    context: Map<String, Value>,
    options: Vec<OfferedOption>,
    recommended_option: Option<String>,
    version: u64,
    expires_at: Timestamp,
}

async fn status(
    caller: Caller,
    Path(run_id): Path<String>,
    Query(query): Query<StatusQuery>,
) -> Result<Json<Standing>, Problem> {
    caller.permit(Operation::RunGet)?;
    let run_id: RunId = run_id
        .parse()
        .map_err(|_| ApiError::new(ErrorCode::NotFound, format!("no run `{run_id}`")))?;
    let plane = &caller.project.engine;
    let view = plane
        .run_get(RunRequest {
            run: run_id.to_string(),
        })
        .await?;
    let events = |kinds: Vec<EventKind>, after, newest, limit| EventsRequest {
        after,
        kinds,
        run: Some(run_id.to_string()),
        limit,
        newest,
        ..EventsRequest::default()
    };
    let said = vec![EventKind::RunProgress];
    let rows = plane
        .event_list(events(said, query.cursor, false, PAGE))
        .await?;
    let newest = plane.event_list(events(Vec::new(), 0, true, 1)).await?;
    Ok(Json(describe(&view, rows, newest.first(), query.cursor)))
}

fn describe(view: &RunView, rows: Vec<Event>, newest: Option<&Event>, cursor: u64) -> Standing {
    let summary = &view.summary;
    let workflow = view.workflow.as_ref();
    let phase = workflow.and_then(|view| {
        let name = phase_of(&view.graph, &view.flow.at, view.approvals.last())?;
        let number = view
            .graph
            .phases
            .iter()
            .position(|phase| phase.name == name)?;
        Some((u32::try_from(number).ok()?, name))
    });
    let open = workflow.and_then(|view| {
        let open = |request: &&ApprovalRequest| request.status == ApprovalStatus::Pending;
        view.approvals.iter().find(open)
    });
    Standing {
        run_id: summary.run_id,
        status: summary.status,
        current_phase: phase.as_ref().map(|(number, _)| *number),
        phase_name: phase.map(|(_, name)| name),
        next_cursor: rows.last().map_or(cursor, |event| event.id),
        progress: rows
            .into_iter()
            .map(|event| ProgressRow {
                created_at: event.at,
                said: match event.data {
                    Value::Object(said) => said,
                    other => Map::from_iter([("output".to_owned(), other)]),
                },
            })
            .collect(),
        hitl_pending: open.cloned().map(Pending::from),
        started_at: summary.started_at.unwrap_or(view.created_at),
        updated_at: newest.map_or(view.created_at, |event| event.at),
        error_message: summary
            .failure
            .as_ref()
            .map(|failure| failure.reason.clone()),
    }
}

/// The phase of a node; at the end, that of the gate which was decided last.
fn phase_of(graph: &Workflow, node: &str, last: Option<&ApprovalRequest>) -> Option<String> {
    let step = graph.steps.get(node).and_then(|step| step.phase.clone());
    let gate = graph.gates.iter().find(|gate| gate.name == node);
    step.or_else(|| gate.and_then(|gate| gate.phase.clone()))
        .or_else(|| last.and_then(|request| request.phase_name.clone()))
}

impl From<ApprovalRequest> for Pending {
    fn from(request: ApprovalRequest) -> Self {
        Self {
            request_id: request.id,
            checkpoint: request.checkpoint,
            title: request.title,
            description: request.description,
            context: request.context,
            options: request.options,
            recommended_option: request.recommended,
            version: request.version,
            expires_at: request.expires_at,
        }
    }
}

/// Decide.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approve {
    run_id: RunId,
    checkpoint: String,
    /// The option that is chosen.
    decision: String,
    /// Words; for an option that asks for one thing to be given, that thing, unless `input` gives it.
    feedback: Option<String>,
    /// What the option asks for, by key.
    #[serde(default)]
    input: Map<String, Value>,
    /// The request; the one open request of run and checkpoint when absent.
    request_id: Option<ApprovalId>,
    version: Option<u64>,
    idempotency_key: Option<String>,
}

/// What a decision came to.
#[derive(Debug, Serialize, JsonSchema)]
pub(crate) struct Decided {
    status: DecisionOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_phase: Option<u32>,
    /// The option by which the run changed direction.
    #[serde(skip_serializing_if = "Option::is_none")]
    pivot_type: Option<String>,
    message: String,
}

async fn approve(caller: Caller, Said(body): Said<Approve>) -> Result<Json<Decided>, Problem> {
    caller.permit(Operation::ApprovalDecide)?;
    let plane = &caller.project.engine;
    let mut request = ApprovalDecideRequest {
        approval: body.request_id.map(|id| id.to_string()),
        run: Some(body.run_id.to_string()),
        checkpoint: Some(body.checkpoint),
        option: body.decision,
        feedback: body.feedback,
        input: body.input,
        version: body.version,
        idempotency_key: body.idempotency_key,
        actor: caller.identity.principal.clone(),
    };
    if request.input.is_empty()
        && let Some(given) = request.feedback.clone()
        && let Some(key) = only_input(&caller, &request).await?
    {
        request.input.insert(key, given.into());
    }
    let decided = plane.approval_decide(request).await?;
    let decision = decided.request.decision.as_ref();
    let option = decision.map(|decision| decision.option.clone());
    Ok(Json(Decided {
        status: decided.outcome,
        next_phase: decision.and_then(|decision| decision.next_phase),
        pivot_type: option.filter(|_| decided.outcome == DecisionOutcome::Pivot),
        message: match decided.outcome {
            DecisionOutcome::Rejected => "the run is rejected, for good".to_owned(),
            _ => format!("the run goes on with `{}`", decided.next),
        },
    }))
}

/// The one thing that the chosen option asks for, if it is one. Callers that know only the seed's body say it
/// in `feedback`.
async fn only_input(
    caller: &Caller,
    request: &ApprovalDecideRequest,
) -> Result<Option<String>, ApiError> {
    let view = caller
        .project
        .engine
        .run_get(RunRequest {
            run: request.run.clone().unwrap_or_default(),
        })
        .await?;
    let approvals = view.workflow.map(|workflow| workflow.approvals);
    let asked = approvals
        .unwrap_or_default()
        .into_iter()
        .rev()
        .find(|asked| {
            Some(&asked.checkpoint) == request.checkpoint.as_ref()
                && request
                    .approval
                    .as_ref()
                    .is_none_or(|id| *id == asked.id.to_string())
        });
    let option = asked.and_then(|asked| {
        asked
            .options
            .into_iter()
            .find(|option| option.name == request.option)
    });
    Ok(match option.map(|option| option.inputs).as_deref() {
        Some([one]) => Some(one.key.clone()),
        _ => None,
    })
}
