//! Schedules: when what starts next, and what is missing before it may.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    NextTime, Operation, RunRow, ScheduleChangeRequest, ScheduleDisableRequest,
    ScheduleListRequest, ScheduleNextRequest, ScheduleOperations as _, ScheduleRequest,
    ScheduleView,
};
use moorline_core::gate::{Gate, GateState};
use moorline_core::schedule::{ScheduleId, ScheduleState};
use moorline_core::stop::StopScope;

use super::{done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::{Fields, encoded};
use crate::dashboard::parts::{Badge, Id, Moment, Prose};
use crate::dashboard::viewer::Viewer;

/// A schedule in a list.
pub(super) struct ScheduleLine {
    pub(super) name: String,
    pub(super) href: String,
    pub(super) state: Badge,
    pub(super) cadence: String,
    pub(super) next: Option<Moment>,
    pub(super) last: Option<Id>,
    pub(super) source: Option<String>,
    pub(super) stopped: bool,
    pub(super) failed: u32,
}

impl ScheduleLine {
    fn of(viewer: &Viewer, view: ScheduleView) -> Self {
        Self {
            href: href(&view.schedule),
            name: view.schedule.to_string(),
            state: view.state.into(),
            cadence: cadence(&view),
            next: view.next_at.map(|at| viewer.moment(at)),
            last: view.last_run.map(|run| Id::below("/runs", run)),
            source: view.source_id,
            stopped: view.stop.is_some(),
            failed: view.failed_in_a_row,
        }
    }

    /// Schedules, as the viewer sees them.
    pub(super) fn all(viewer: &Viewer, views: Vec<ScheduleView>) -> Vec<Self> {
        views
            .into_iter()
            .map(|view| Self::of(viewer, view))
            .collect()
    }
}

/// The path of a schedule's page.
pub(super) fn href(schedule: &ScheduleId) -> String {
    format!(
        "/schedules/{}/{}",
        schedule.lane(),
        encoded(schedule.job_id())
    )
}

fn cadence(view: &ScheduleView) -> String {
    let document = &view.document;
    match (&document.expr, document.period_seconds) {
        (Some(expr), _) => format!("{expr} ({})", document.time_zone),
        (None, Some(seconds)) => {
            #[expect(clippy::cast_precision_loss, reason = "it is read by people")]
            let period = crate::dashboard::parts::size::duration(seconds as f64);
            format!("every {period}")
        }
        (None, None) => "–".to_owned(),
    }
}

#[derive(Template)]
#[template(path = "schedules.html")]
struct ListPage {
    chrome: Chrome,
    schedules: Vec<ScheduleLine>,
}

/// All schedules.
pub(super) async fn list(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::ScheduleList)?;
    let views = viewer
        .engine()
        .schedule_list(ScheduleListRequest::default())
        .await?;
    let page = ListPage {
        chrome: Chrome::load(&viewer, Area::Schedules, "Schedules").await?,
        schedules: ScheduleLine::all(&viewer, views),
    };
    html(&page)
}

/// A gate, as shown.
struct GateLine {
    name: String,
    met: Badge,
    why: Prose,
    hint: Option<Prose>,
    command: Option<String>,
    by: Option<String>,
    at: Option<Moment>,
}

/// A time at which it is due.
struct NextLine {
    local: String,
    start: Moment,
}

#[derive(Template)]
#[template(path = "schedule.html")]
struct Page {
    chrome: Chrome,
    href: String,
    line: ScheduleLine,
    since: Moment,
    by: String,
    reason: Prose,
    artifact: Id,
    skipped: u32,
    next: Vec<NextLine>,
    gates: Vec<GateLine>,
    all_met: bool,
    may_enable: bool,
    may_disable: bool,
    may_resume: bool,
    may_run: bool,
}

fn named(lane: &str, job: &str) -> Result<ScheduleId, Fault> {
    format!("{lane}/{job}")
        .parse()
        .map_err(|_| Fault::not_found(format!("there is no schedule `{lane}/{job}`")))
}

/// One schedule.
pub(super) async fn page(
    viewer: Viewer,
    Path((lane, job)): Path<(String, String)>,
) -> Result<Response, Fault> {
    viewer.permit(Operation::ScheduleShow)?;
    let schedule = named(&lane, &job)?;
    let engine = viewer.engine();
    let request = ScheduleRequest {
        schedule: schedule.clone(),
    };
    let view = engine.schedule_show(request.clone()).await?;
    let next = if viewer.may(Operation::ScheduleNext) {
        let next = ScheduleNextRequest {
            schedule: schedule.clone(),
            count: 5,
            after: None,
        };
        engine.schedule_next(next).await?
    } else {
        Vec::new()
    };
    let gates = if viewer.may(Operation::GateShow) {
        Some(engine.gate_show(request).await?)
    } else {
        None
    };
    let all_met = gates.as_ref().is_some_and(|gates| gates.met);
    let state = view.state;
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Schedules, view.schedule.to_string()).await?,
        href: href(&schedule),
        since: viewer.moment(view.since),
        by: view.by.to_string(),
        reason: Prose(view.reason.clone()),
        artifact: Id::below("/artifacts", view.artifact),
        skipped: view.skipped_in_a_row,
        line: ScheduleLine::of(&viewer, view),
        next: next
            .into_iter()
            .map(|next| next_line(&viewer, next))
            .collect(),
        gates: gates.map_or_else(Vec::new, |gates| {
            gates
                .gates
                .into_iter()
                .map(|gate| gate_line(&viewer, &schedule, gate))
                .collect()
        }),
        all_met,
        may_enable: state == ScheduleState::Disabled && viewer.may(Operation::ScheduleEnable),
        may_disable: state != ScheduleState::Disabled && viewer.may(Operation::ScheduleDisable),
        may_resume: state == ScheduleState::Paused && viewer.may(Operation::ScheduleResume),
        may_run: viewer.may(Operation::ScheduleRunNow),
    };
    html(&page)
}

fn next_line(viewer: &Viewer, next: NextTime) -> NextLine {
    NextLine {
        local: next.local,
        start: viewer.moment(next.start_at),
    }
}

fn gate_line(viewer: &Viewer, schedule: &ScheduleId, gate: GateState) -> GateLine {
    let command = match gate.gate {
        Gate::SecretsConfigured => Some(format!("moorline gates check-secrets {schedule}")),
        Gate::EgressVerified => Some(format!("moorline gates probe-egress {schedule}")),
        _ => None,
    };
    GateLine {
        name: gate.gate.as_str().replace('_', " "),
        met: Badge::holds(gate.met, "met", "missing"),
        why: Prose(gate.why),
        // A hint that only names the command says nothing beside it.
        hint: gate
            .hint
            .filter(|_| !gate.met && command.is_none())
            .map(Prose),
        command: command.filter(|_| !gate.met),
        by: gate
            .evidence
            .as_ref()
            .map(|evidence| evidence.by.to_string()),
        at: gate
            .evidence
            .as_ref()
            .map(|evidence| viewer.moment(evidence.at)),
    }
}

/// Enables, disables, resumes it, or starts it now.
pub(super) async fn act(
    viewer: Viewer,
    Path((lane, job, action)): Path<(String, String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    let schedule = named(&lane, &job)?;
    let subject = format!("schedule/{schedule}");
    let engine = viewer.engine();
    let change = |otherwise: &str| ScheduleChangeRequest {
        schedule: schedule.clone(),
        actor: viewer.actor(),
        reason: fields
            .text("reason")
            .unwrap_or_else(|| otherwise.to_owned()),
    };
    let word = match action.as_str() {
        "enable" => {
            viewer.admit(Operation::ScheduleEnable, &subject).await?;
            engine
                .schedule_enable(change("enabled from the dashboard"))
                .await?;
            "enabled"
        }
        "resume" => {
            viewer.admit(Operation::ScheduleResume, &subject).await?;
            engine
                .schedule_resume(change("resumed from the dashboard"))
                .await?;
            "resumed"
        }
        "disable" => {
            viewer.admit(Operation::ScheduleDisable, &subject).await?;
            let change = change("disabled from the dashboard");
            let request = ScheduleDisableRequest {
                scope: StopScope::Schedule(change.schedule),
                actor: change.actor,
                reason: change.reason,
            };
            engine.schedule_disable(request).await?;
            "disabled"
        }
        "run-now" => {
            viewer.admit(Operation::ScheduleRunNow, &subject).await?;
            let run: RunRow = engine
                .schedule_run_now(change("started from the dashboard"))
                .await?;
            return Ok(done(&format!("/runs/{}", run.run_id), "started"));
        }
        other => {
            return Err(Fault::not_found(format!(
                "a schedule has no action `{other}`"
            )));
        }
    };
    Ok(done(&href(&schedule), word))
}
