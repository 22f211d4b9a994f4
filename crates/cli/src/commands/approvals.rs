//! `moorline approvals …`

use moorline_api::{
    ApiError, ApprovalDecideRequest, ApprovalDecided, ApprovalLinkRequest, ApprovalListRequest,
    ApprovalShowRequest, ControlPlane, RunRequest,
};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus, OfferedOption};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalError};
use serde_json::{Map, Value, json};

use super::run::pair;
use crate::args::{ApprovalDecideArgs, ApprovalsCommand};
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: ApprovalsCommand) -> Result<u8, ApiError> {
    match command {
        ApprovalsCommand::List {
            status,
            run,
            job,
            before,
            limit,
        } => {
            let request = ApprovalListRequest {
                status: status.as_deref().map(status_of).transpose()?,
                run,
                job_id: job,
                before: None,
                limit,
            };
            list(context, request, before)
        }
        ApprovalsCommand::Show { approval } => {
            let request = ApprovalShowRequest { approval };
            let found =
                context.with_plane(|plane| async move { plane.approval_show(request).await })?;
            if context.json() {
                output::json(&found);
            } else {
                show(&found);
            }
            Ok(0)
        }
        ApprovalsCommand::Decide(args) => decide(context, args),
        ApprovalsCommand::Link {
            approval,
            to,
            minutes,
        } => {
            let request = ApprovalLinkRequest {
                approval,
                principal: person(&to)?,
                minutes,
                actor: context.principal()?,
            };
            let link =
                context.with_plane(|plane| async move { plane.approval_link(request).await })?;
            if context.json() {
                output::json(&link);
            } else {
                output::line(&link.path);
                output::note(&format!(
                    "below the server's address; {} decides {} by it, once, until {}",
                    link.principal, link.approval, link.expires_at
                ));
            }
            Ok(0)
        }
    }
}

fn list(
    context: &Context<'_>,
    mut request: ApprovalListRequest,
    before: Option<String>,
) -> Result<u8, ApiError> {
    let found = context.with_plane(|plane| async move {
        if let Some(approval) = before {
            let show = ApprovalShowRequest { approval };
            request.before = Some(plane.approval_show(show).await?.id);
        }
        plane.approval_list(request).await
    })?;
    if context.json() {
        output::json(&found);
        return Ok(0);
    }
    if found.is_empty() {
        output::note("nothing was asked; runs of jobs with gates ask");
        return Ok(0);
    }
    let rows = found.iter().map(|request| {
        vec![
            request.id.to_string(),
            request.run_id.to_string(),
            request.job_id.clone(),
            request.checkpoint.clone(),
            state(request),
            until(request),
            request.title.clone(),
        ]
    });
    let header = [
        "REQUEST",
        "RUN",
        "JOB",
        "CHECKPOINT",
        "STATUS",
        "UNTIL",
        "TITLE",
    ];
    output::table(&header, rows.collect());
    Ok(0)
}

fn status_of(text: &str) -> Result<ApprovalStatus, ApiError> {
    ApprovalStatus::ALL
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| {
            let known = ApprovalStatus::ALL.map(ApprovalStatus::as_str).join(", ");
            let message = format!("`{text}` is not a status of a request");
            ApiError::new(ErrorCode::Usage, message).hint(format!("statuses are {known}"))
        })
}

fn person(text: &str) -> Result<Principal, ApiError> {
    text.parse()
        .map_err(|error: PrincipalError| ApiError::new(ErrorCode::Usage, error.to_string()))
}

/// `pending`, `approved (option)`, `pending, overdue`.
fn state(request: &ApprovalRequest) -> String {
    let status = request.status.as_str();
    match &request.decision {
        Some(decision) => format!("{status} ({})", decision.option),
        None if request.overdue => format!("{status}, overdue"),
        None => status.to_owned(),
    }
}

/// Until when it can be decided, while it waits.
fn until(request: &ApprovalRequest) -> String {
    if request.status == ApprovalStatus::Pending {
        request
            .expires_at
            .strftime("%Y-%m-%d %H:%M:%SZ")
            .to_string()
    } else {
        String::new()
    }
}

/// A request for people: the question first, then what it rests on, then what can be chosen.
fn show(request: &ApprovalRequest) {
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    text("request", &request.id.to_string());
    text("run", &format!("{} of {}", request.run_id, request.job_id));
    let phase = request.phase_name.as_ref();
    let phase = phase.map_or_else(String::new, |phase| format!(" in {phase}"));
    text("checkpoint", &format!("{}{phase}", request.checkpoint));
    text("status", &state(request));
    text("title", &request.title);
    if let Some(description) = &request.description {
        text("", description);
    }
    for (key, value) in &request.context {
        text("context", &format!("{key}: {}", plain(value)));
    }
    for reading in &request.evidence {
        let found = reading.found.as_ref();
        let found = found.map_or_else(|| "nothing".to_owned(), plain);
        let holds = match reading.holds {
            Some(true) => "holds",
            Some(false) => "does not hold",
            None => "can not be compared",
        };
        text(
            "evidence",
            &format!("{} {holds}: {found}", reading.condition),
        );
    }
    for option in &request.options {
        offered(request, option);
    }
    text(
        "decided by",
        &format!("a person with the role {}", request.least_role),
    );
    if let Some(principal) = &request.not_by {
        text("", &format!("not by {principal}, who started the run"));
    }
    text("opened", &request.opened_at.to_string());
    if request.status == ApprovalStatus::Pending {
        let policy = json!(request.on_expiry);
        let policy = policy.as_str().unwrap_or_default();
        text("expires", &format!("{} ({policy})", request.expires_at));
    }
    text("version", &request.version.to_string());
    if let Some(decision) = &request.decision {
        text(
            "decision",
            &format!("{} by {} at {}", decision.option, decision.by, decision.at),
        );
        if let Some(feedback) = &decision.feedback {
            text("feedback", feedback);
        }
        for (key, value) in &decision.input {
            text("input", &format!("{key}: {}", plain(value)));
        }
        text("led to", &decision.next);
    }
}

fn offered(request: &ApprovalRequest, option: &OfferedOption) {
    let text = |label: &str, value: &str| output::line(&format!("{label:<14}{value}"));
    let mut notes = Vec::new();
    if request.recommended.as_ref() == Some(&option.name) {
        notes.push("recommended");
    }
    if option.iterate {
        notes.push("asks again");
    }
    if option.pivot {
        notes.push("another direction");
    }
    if option.feedback == moorline_core::workflow::FeedbackRule::Required {
        notes.push("needs --feedback");
    }
    let notes = if notes.is_empty() {
        String::new()
    } else {
        format!(" ({})", notes.join(", "))
    };
    let label = if option.label == option.name {
        String::new()
    } else {
        format!(": {}", option.label)
    };
    text(
        "option",
        &format!("{}{label}, leads to {}{notes}", option.name, option.to),
    );
    if let Some(description) = &option.description {
        text("", description);
    }
    for input in &option.inputs {
        text(
            "",
            &format!("needs --input {}=JSON: {}", input.key, input.title),
        );
    }
}

/// Text as it is, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn decide(context: &Context<'_>, args: ApprovalDecideArgs) -> Result<u8, ApiError> {
    let mut input = Map::new();
    for text in &args.inputs {
        let (key, value) = pair("--input", text, "KEY=JSON")?;
        // What is no JSON is text, so that a word needs no quotes inside quotes.
        let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
        input.insert(key, value);
    }
    let mut request = ApprovalDecideRequest {
        checkpoint: args.checkpoint,
        option: args.option,
        feedback: args.feedback,
        input,
        version: args.version,
        idempotency_key: args.key,
        actor: context.principal()?,
        ..ApprovalDecideRequest::default()
    };
    let decided = context.with_plane(|plane| async move {
        match meant(&*plane, &args.subject).await? {
            Meant::Request(id) => request.approval = Some(id),
            Meant::Run(id) => request.run = Some(id),
        }
        plane.approval_decide(request).await
    })?;
    if context.json() {
        output::json(&decided);
    } else {
        told(&decided);
    }
    Ok(0)
}

/// What somebody means by an id.
enum Meant {
    Request(String),
    Run(String),
}

/// A request, or a run that waits for one. A short text that could be either is neither: what is decided is not
/// guessed.
async fn meant(plane: &dyn ControlPlane, text: &str) -> Result<Meant, ApiError> {
    let show = ApprovalShowRequest {
        approval: text.to_owned(),
    };
    let request = plane.approval_show(show).await;
    let whole = text == "latest" || text.len() == 36;
    if whole && let Ok(request) = &request {
        return Ok(Meant::Request(request.id.to_string()));
    }
    let get = RunRequest {
        run: text.to_owned(),
    };
    let run = plane.run_get(get).await.map(|view| view.summary.run_id);
    match (request, run) {
        (Ok(request), Ok(run)) if request.run_id != run => {
            let message = format!(
                "`{text}` is the beginning of request {} and of run {run}",
                request.id
            );
            Err(ApiError::new(ErrorCode::Usage, message).hint("give more of the id"))
        }
        (Ok(request), _) => Ok(Meant::Request(request.id.to_string())),
        (Err(_), Ok(run)) => Ok(Meant::Run(run.to_string())),
        // Neither: the decision itself says so, to whoever may decide at all.
        (Err(_), Err(_)) => Ok(Meant::Request(text.to_owned())),
    }
}

fn told(decided: &ApprovalDecided) {
    let request = &decided.request;
    let outcome = json!(decided.outcome);
    let outcome = outcome.as_str().unwrap_or_default();
    let option = request.decision.as_ref().map_or("", |d| d.option.as_str());
    output::line(&format!(
        "{}: {option}, {outcome}; run {} goes to `{}`",
        request.checkpoint, request.run_id, decided.next
    ));
    if !decided.applied {
        output::note("it was decided so before; nothing changed");
    } else if !["end", "reject"].contains(&decided.next.as_str()) {
        output::note(&format!(
            "a worker goes on with it; without one, `moorline runs wait {}` does",
            request.run_id
        ));
    }
}
