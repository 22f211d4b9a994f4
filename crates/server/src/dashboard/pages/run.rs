//! A run: where it stands, how it came there, what it said and left.

use std::collections::BTreeMap;

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    AttemptView, ControlPlane as _, EventsRequest, Operation, RunChangeRequest, RunRequest, RunView,
};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};
use moorline_core::attempt::Exit;
use moorline_core::error_code::RunStatus;
use moorline_core::event::{Event, EventKind};

use super::approvals::ApprovalLine;
use super::events::EventLine;
use super::log::Tail;
use super::{done, html, log, output};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::figures::timeline::Span;
use crate::dashboard::figures::{Chart, Graph, Timeline};
use crate::dashboard::parts::size::{bytes, duration};
use crate::dashboard::parts::time::{absolute, seconds_between};
use crate::dashboard::parts::{Badge, Countdown, Id, Moment, Tone, Tree};
use crate::dashboard::viewer::Viewer;

mod reports;

use reports::Progress;

/// An attempt, or a wait for a decision, in the table beside the timeline.
struct SpanLine {
    row: String,
    what: String,
    outcome: Badge,
    from: Moment,
    took: String,
    detail: String,
}

/// A line of the log.
struct Line {
    at: String,
    full: String,
    step: String,
    stream: String,
    text: String,
}

/// An output file.
struct Output {
    path: String,
    href: String,
    size: String,
    hash: Id,
    export: bool,
}

#[derive(Template)]
#[template(path = "run.html")]
struct Page {
    chrome: Chrome,
    id: Id,
    status: Badge,
    over: bool,
    job: String,
    job_href: String,
    lane: String,
    mode: String,
    source: Option<String>,
    trigger: &'static str,
    actor: String,
    executor: String,
    created: Moment,
    due: Option<Countdown>,
    took: String,
    cpu: String,
    memory: String,
    cost: String,
    transactions: Option<u64>,
    retry_of: Option<Id>,
    cancel_requested: Option<String>,
    failure: Option<Failure>,
    /// The command that says more about it.
    explain: String,
    open: Vec<ApprovalLine>,
    decided: Vec<ApprovalLine>,
    graph: Option<Graph>,
    state: Option<Tree>,
    path: Vec<Passage>,
    timeline: Timeline,
    spans: Vec<SpanLine>,
    progress: Vec<Progress>,
    metrics: Vec<Chart>,
    outputs: Vec<Output>,
    kept: Vec<(&'static str, String)>,
    lines: Vec<Line>,
    log_fault: Option<String>,
    lines_before: usize,
    last_line: u64,
    events: Vec<EventLine>,
    may_cancel: bool,
    may_retry: bool,
    may_read_log: bool,
}

/// Why a run failed.
struct Failure {
    class: String,
    code: &'static str,
    reason: String,
    step: Option<String>,
    hint: &'static str,
}

/// A node that the run came to.
struct Passage {
    node: String,
    at: Moment,
    because: String,
}

/// The page.
pub(super) async fn page(viewer: Viewer, Path(run): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::RunGet)?;
    let engine = viewer.engine();
    let view = engine.run_get(RunRequest { run }).await?;
    let id = view.summary.run_id.to_string();
    let tail = if viewer.may(Operation::RunLogs) {
        log::tail(&viewer, &id).await
    } else {
        Tail::default()
    };
    let may_see_events = viewer.may(Operation::EventList);
    let events = |kinds: &[EventKind], limit: u32| EventsRequest {
        kinds: kinds.to_vec(),
        run: Some(id.clone()),
        limit,
        newest: true,
        ..EventsRequest::default()
    };
    let (reported, told) = if may_see_events {
        let kinds = [EventKind::RunProgress, EventKind::RunMetric];
        let all: Vec<EventKind> = EventKind::ALL
            .iter()
            .copied()
            .filter(|kind| !kinds.contains(kind))
            .collect();
        (
            engine.event_list(events(&kinds, 1000)).await?,
            engine.event_list(events(&all, 100)).await?,
        )
    } else {
        (Vec::new(), Vec::new())
    };
    let chrome = Chrome::load(
        &viewer,
        Area::Runs,
        format!("Run of {}", view.summary.job_id),
    )
    .await?;
    let mut page = of(&viewer, chrome, &view, tail, &failed(&told));
    (page.progress, page.metrics) = reports::read(&viewer, &reported);
    page.events = told
        .into_iter()
        .rev()
        .map(|event| EventLine::of(&viewer, event))
        .collect();
    html(&page)
}

fn of(
    viewer: &Viewer,
    chrome: Chrome,
    view: &RunView,
    tail: Tail,
    failed: &BTreeMap<String, String>,
) -> Page {
    let summary = &view.summary;
    let status = Badge::from(summary.status);
    let over = summary.status.is_terminal();
    let spans = spans(view, failed);
    let timeline = Timeline {
        from: spans
            .iter()
            .map(|span| span.from)
            .min()
            .unwrap_or(view.created_at),
        to: summary.ended_at.unwrap_or(viewer.now),
        spans,
    };
    let approvals = view
        .workflow
        .as_ref()
        .map_or(&[][..], |workflow| &workflow.approvals);
    let (open, decided): (Vec<_>, Vec<_>) = approvals
        .iter()
        .cloned()
        .partition(|request| request.status == ApprovalStatus::Pending);
    let shown =
        |path: &Option<std::path::PathBuf>| path.as_ref().map(|path| path.display().to_string());
    let kept = [
        ("exported to", shown(&view.exported_to)),
        ("archived to", shown(&view.archived_to)),
        ("quarantined in", shown(&view.quarantined_in)),
        ("kept in", Some(view.kept_in.display().to_string())),
    ];
    let started = summary.started_at.unwrap_or(view.created_at);
    Page {
        chrome,
        id: Id::plain(summary.run_id),
        explain: format!("moorline explain run {}", summary.run_id),
        graph: view
            .workflow
            .as_ref()
            .map(|workflow| Graph::of(workflow, status.tone)),
        state: view
            .workflow
            .as_ref()
            .map(|workflow| Tree::of(&workflow.flow.state))
            .filter(|tree| !tree.is_empty()),
        path: view.workflow.as_ref().map_or_else(Vec::new, |workflow| {
            let passage = |passage: &moorline_core::workflow::Passage| Passage {
                node: passage.node.clone(),
                at: viewer.moment(passage.at),
                because: passage.because.clone().unwrap_or_default(),
            };
            workflow.flow.path.iter().map(passage).collect()
        }),
        status,
        over,
        job_href: super::jobs::href(&summary.job_id),
        job: summary.job_id.clone(),
        lane: summary.lane.clone(),
        mode: summary.mode.to_string(),
        source: summary.source_id.clone(),
        trigger: super::runs::trigger(summary.trigger),
        actor: view.actor.clone(),
        executor: summary.executor.clone(),
        created: viewer.moment(view.created_at),
        due: view
            .due_at
            .filter(|_| !over)
            .map(|due| viewer.countdown(due)),
        took: duration(seconds_between(
            started,
            summary.ended_at.unwrap_or(viewer.now),
        )),
        cpu: duration(summary.resources.cpu_seconds),
        memory: bytes(summary.resources.peak_memory_bytes),
        cost: summary.cost.to_string(),
        transactions: summary.transaction_count,
        retry_of: view.retry_of.map(|run| Id::below("/runs", run)),
        cancel_requested: view.cancel_requested.clone(),
        failure: summary.failure.as_ref().map(|failure| Failure {
            class: failure.class.as_str().replace('_', " "),
            code: failure.code.as_str(),
            reason: failure.reason.clone(),
            step: failure.step.clone(),
            hint: failure.code.info().hint,
        }),
        spans: timeline
            .spans
            .iter()
            .map(|span| line(viewer, span, &view.attempts))
            .collect(),
        timeline,
        open: ApprovalLine::all(viewer, open),
        decided: ApprovalLine::all(viewer, decided),
        progress: Vec::new(),
        metrics: Vec::new(),
        outputs: summary
            .outputs
            .iter()
            .map(|output| Output {
                path: output.path.clone(),
                href: output::href(
                    &summary.run_id.to_string(),
                    &output.path,
                    &output.hash.to_string(),
                ),
                size: bytes(output.size),
                hash: Id::plain(output.hash),
                export: output.export,
            })
            .collect(),
        kept: kept
            .into_iter()
            .filter_map(|(what, path)| Some((what, path?)))
            .collect(),
        log_fault: tail.fault,
        lines_before: tail.before,
        last_line: tail.last,
        lines: tail
            .lines
            .into_iter()
            .map(|line| Line {
                at: line.at.strftime("%H:%M:%S").to_string(),
                full: absolute(line.at),
                step: format!("{}/{}", line.step, line.attempt),
                stream: line.stream,
                text: line.text,
            })
            .collect(),
        events: Vec::new(),
        may_cancel: !over && viewer.may(Operation::RunCancel),
        may_retry: over && viewer.may(Operation::RunRetry),
        may_read_log: viewer.may(Operation::RunLogs),
    }
}

/// Attempts that failed, and as what: an attempt can exit with 0 and fail, by what it answered.
fn failed(events: &[Event]) -> BTreeMap<String, String> {
    events
        .iter()
        .filter(|event| event.kind == EventKind::AttemptEnded)
        .filter_map(|event| {
            let text = |member: &str| event.data.get(member)?.as_str();
            Some((text("attempt_id")?.to_owned(), text("class")?.to_owned()))
        })
        .collect()
}

/// Attempts and waits, oldest first.
fn spans(view: &RunView, failed: &BTreeMap<String, String>) -> Vec<Span> {
    let attempts = view.attempts.iter().map(|attempt| {
        let (mut tone, mut outcome) = outcome(attempt);
        if let Some(class) = failed
            .get(&attempt.id.to_string())
            .filter(|_| tone == Tone::Good)
        {
            (tone, outcome) = (Tone::Bad, format!("{class}, {outcome}"));
        }
        Span {
            row: attempt.step.clone(),
            what: format!("attempt {}", attempt.number),
            outcome,
            tone,
            from: attempt.claimed_at,
            to: attempt.ended_at.or(view.summary.ended_at),
        }
    });
    let approvals = view
        .workflow
        .as_ref()
        .map_or(&[][..], |workflow| &workflow.approvals);
    let mut spans: Vec<Span> = attempts
        .chain(approvals.iter().map(|request| wait(request, view)))
        .collect();
    spans.sort_by_key(|span| span.from);
    spans
}

fn wait(request: &ApprovalRequest, view: &RunView) -> Span {
    let badge = Badge::from(request.status);
    let decision = request.decision.as_ref();
    let to = match request.status {
        ApprovalStatus::Pending => None,
        ApprovalStatus::Expired => Some(request.expires_at),
        _ => decision
            .map(|decision| decision.at)
            .or(view.summary.ended_at),
    };
    Span {
        row: request.checkpoint.clone(),
        what: "waits for a decision".to_owned(),
        outcome: decision.map_or(badge.text, |decision| decision.option.clone()),
        tone: badge.tone,
        from: request.opened_at,
        to,
    }
}

fn outcome(attempt: &AttemptView) -> (Tone, String) {
    match &attempt.exit {
        None if attempt.ended_at.is_none() => (Tone::Busy, "running".to_owned()),
        None => (Tone::Idle, "over".to_owned()),
        Some(Exit::Exited { code: 0 }) => (Tone::Good, "exit 0".to_owned()),
        Some(Exit::Exited { code }) => (Tone::Bad, format!("exit {code}")),
        Some(Exit::Signaled { signal }) => (Tone::Bad, format!("signal {signal}")),
        Some(Exit::TimedOut) => (Tone::Bad, "timed out".to_owned()),
        Some(Exit::Cancelled) => (Tone::Idle, "cancelled".to_owned()),
        Some(Exit::NotStarted { .. }) => (Tone::Bad, "not started".to_owned()),
        Some(Exit::Lost { .. }) => (Tone::Warn, "lost".to_owned()),
        Some(Exit::Preempted { .. }) => (Tone::Warn, "preempted".to_owned()),
    }
}

fn line(viewer: &Viewer, span: &Span, attempts: &[AttemptView]) -> SpanLine {
    let attempt = attempts.iter().find(|attempt| {
        attempt.step == span.row && format!("attempt {}", attempt.number) == span.what
    });
    let mut detail: Vec<String> = Vec::new();
    if let Some(attempt) = attempt {
        if let Some(
            Exit::NotStarted { reason } | Exit::Lost { reason } | Exit::Preempted { reason },
        ) = &attempt.exit
        {
            detail.push(reason.clone());
        }
        detail.extend(attempt.limits_hit.iter().map(|limit| limit.detail.clone()));
        if let Some(usage) = &attempt.usage {
            detail.push(format!(
                "cpu {}, peak {}",
                duration(usage.cpu_seconds),
                bytes(usage.peak_memory_bytes)
            ));
        }
    }
    SpanLine {
        row: span.row.clone(),
        what: span.what.clone(),
        outcome: Badge::new(span.tone, &span.outcome),
        from: viewer.moment(span.from),
        took: span.took(viewer.now),
        detail: detail.join(" · "),
    }
}

/// Cancels the run.
pub(super) async fn cancel(
    viewer: Viewer,
    Path(run): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    let subject = format!("run/{run}");
    viewer.admit(Operation::RunCancel, &subject).await?;
    let request = change(&viewer, run, &fields, "cancelled from the dashboard");
    let summary = viewer.engine().run_cancel(request).await?;
    let word = if summary.status == RunStatus::Cancelled {
        "cancelled"
    } else {
        ""
    };
    Ok(done(&format!("/runs/{}", summary.run_id), word))
}

/// Starts a new run of the same job.
pub(super) async fn retry(
    viewer: Viewer,
    Path(run): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    let subject = format!("run/{run}");
    viewer.admit(Operation::RunRetry, &subject).await?;
    let request = change(&viewer, run, &fields, "retried from the dashboard");
    let row = viewer.engine().run_retry(request).await?;
    Ok(done(&format!("/runs/{}", row.run_id), "retried"))
}

fn change(viewer: &Viewer, run: String, fields: &Fields, reason: &str) -> RunChangeRequest {
    RunChangeRequest {
        run,
        actor: viewer.actor(),
        reason: fields.text("reason").unwrap_or_else(|| reason.to_owned()),
        grace_seconds: None,
    }
}
