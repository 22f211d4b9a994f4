//! `moorline schedule …`

use jiff::tz::TimeZone;
use moorline_api::{
    ApiError, ControlPlane, GatesView, NextTime, ScheduleChangeRequest, ScheduleDisableRequest,
    ScheduleListRequest, ScheduleNextRequest, ScheduleRequest, ScheduleView,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::schedule::{ScheduleDocument, ScheduleId, ScheduleState};
use moorline_core::spec::CadenceKind;
use moorline_core::stop::StopScope;
use serde_json::json;

use super::{deployment, gates, run as follow};
use crate::args::ScheduleCommand;
use crate::context::Context;
use crate::output;

/// Next times that `show` tells.
const SHOWN: u32 = 3;

pub(super) fn run(context: &Context<'_>, command: ScheduleCommand) -> Result<u8, ApiError> {
    match command {
        ScheduleCommand::List { source, status } => list(context, source, status.as_deref()),
        ScheduleCommand::Show { schedule } => show(context, &schedule),
        ScheduleCommand::Next {
            schedule,
            count,
            after,
        } => next(context, &schedule, count, after),
        ScheduleCommand::Enable { schedule, reason } => {
            let view = context.with_plane(|plane| async move {
                let request = change(context, &*plane, &schedule, reason).await?;
                plane.schedule_enable(request).await
            })?;
            Ok(changed(context, &view))
        }
        ScheduleCommand::Resume { schedule, reason } => {
            let view = context.with_plane(|plane| async move {
                let request = change(context, &*plane, &schedule, reason).await?;
                plane.schedule_resume(request).await
            })?;
            Ok(changed(context, &view))
        }
        ScheduleCommand::Disable {
            schedule,
            all,
            source,
            of_lane,
            reason,
        } => {
            let scope = Scope {
                schedule,
                all,
                source,
                of_lane,
            };
            disable(context, scope, reason)
        }
        ScheduleCommand::Deploy { schedule, reason } => {
            deployment::deploy(context, &schedule, reason)
        }
        ScheduleCommand::Undeploy { schedule, reason } => {
            deployment::undeploy(context, &schedule, reason)
        }
        ScheduleCommand::Drift => deployment::drift(context),
        ScheduleCommand::RunNow { schedule } => {
            let summary = context.with_plane(|plane| async move {
                let reason = "started on the command line".to_owned();
                let request = change(context, &*plane, &schedule, reason).await?;
                let row = plane.schedule_run_now(request).await?;
                follow::follow(context, &*plane, &row.run_id.to_string(), &row.job_id).await
            })?;
            Ok(follow::finish(context, &summary))
        }
    }
}

/// A schedule by `lane/job`, or by its job alone: in the lane of `--lane`, or the only one of that job.
pub(super) async fn resolve(
    context: &Context<'_>,
    plane: &dyn ControlPlane,
    text: &str,
) -> Result<ScheduleId, ApiError> {
    let usage = |message: String| {
        ApiError::new(ErrorCode::Usage, message).hint(
            "write `lane/job`, as in `prod/bank-statement`; `moorline schedule list` shows them",
        )
    };
    if text.contains('/') {
        return text
            .parse()
            .map_err(|error: moorline_core::schedule::ScheduleIdError| usage(error.to_string()));
    }
    if let Some(lane) = &context.global.lane {
        let lane = lane
            .parse()
            .map_err(|error: moorline_core::lane::LaneError| usage(error.to_string()))?;
        return Ok(ScheduleId::new(lane, text));
    }
    let all = plane.schedule_list(ScheduleListRequest::default()).await?;
    let mut found = all
        .into_iter()
        .filter(|view| view.schedule.job_id() == text);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only.schedule),
        (Some(one), Some(other)) => Err(usage(format!(
            "`{text}` has several schedules: {}, {}, …",
            one.schedule, other.schedule
        ))),
        (None, _) => {
            let message = format!("no lane has a schedule of `{text}` (D-SCHED-1)");
            Err(ApiError::new(ErrorCode::NotFound, message)
                .hint("promoting an artifact with a cadence makes one"))
        }
    }
}

async fn change(
    context: &Context<'_>,
    plane: &dyn ControlPlane,
    schedule: &str,
    reason: String,
) -> Result<ScheduleChangeRequest, ApiError> {
    Ok(ScheduleChangeRequest {
        schedule: resolve(context, plane, schedule).await?,
        actor: context.principal()?,
        reason,
    })
}

fn list(
    context: &Context<'_>,
    source_id: Option<String>,
    state: Option<&str>,
) -> Result<u8, ApiError> {
    let lane = context.global.lane.as_deref();
    let lane =
        lane.map(str::parse)
            .transpose()
            .map_err(|error: moorline_core::lane::LaneError| {
                ApiError::new(ErrorCode::Usage, error.to_string())
            })?;
    let request = ScheduleListRequest {
        lane,
        source_id,
        state: state.map(parse_state).transpose()?,
    };
    let views = context.with_plane(|plane| async move { plane.schedule_list(request).await })?;
    if context.json() {
        output::json(&views);
    } else if views.is_empty() {
        output::note("no schedules; promoting an artifact with a cadence makes one");
    } else {
        table(&views);
    }
    Ok(0)
}

fn parse_state(text: &str) -> Result<ScheduleState, ApiError> {
    let states = [
        ScheduleState::Enabled,
        ScheduleState::Paused,
        ScheduleState::Disabled,
    ];
    states
        .into_iter()
        .find(|state| state.as_str() == text)
        .ok_or_else(|| {
            ApiError::new(
                ErrorCode::Usage,
                format!("`{text}` is not a state of a schedule"),
            )
            .hint("states are enabled, paused, disabled")
        })
}

fn table(views: &[ScheduleView]) {
    let rows = views.iter().map(|view| {
        vec![
            view.schedule.to_string(),
            view.state.to_string(),
            cadence(&view.document),
            next_at(view),
            view.since.to_string(),
            view.by.to_string(),
            view.reason.clone(),
        ]
    });
    output::table(
        &[
            "SCHEDULE", "STATE", "CADENCE", "NEXT", "SINCE", "BY", "REASON",
        ],
        rows.collect(),
    );
}

/// A cadence for people: `15 6 * * * America/New_York`.
fn cadence(document: &ScheduleDocument) -> String {
    match (document.kind, &document.expr, document.period_seconds) {
        (CadenceKind::Cron, Some(expr), _) => format!("{expr} {}", document.time_zone),
        (CadenceKind::Periodic, _, Some(seconds)) => format!("every {seconds} s"),
        _ => "none".to_owned(),
    }
}

fn next_at(view: &ScheduleView) -> String {
    view.next_at
        .map_or_else(|| "-".to_owned(), |at| local(&view.document, at))
}

/// A time on the clocks of the schedule's zone; in UTC when the zone is not known here.
fn local(document: &ScheduleDocument, at: jiff::Timestamp) -> String {
    match TimeZone::get(&document.time_zone) {
        Ok(zone) => at.to_zoned(zone).strftime("%F %T %:z").to_string(),
        Err(_) => at.to_string(),
    }
}

fn show(context: &Context<'_>, schedule: &str) -> Result<u8, ApiError> {
    let (view, gates, next) = context.with_plane(|plane| async move {
        let schedule = resolve(context, &*plane, schedule).await?;
        let request = ScheduleRequest {
            schedule: schedule.clone(),
        };
        let view = plane.schedule_show(request.clone()).await?;
        let gates = plane.gate_show(request).await?;
        let next = plane
            .schedule_next(ScheduleNextRequest {
                schedule,
                count: SHOWN,
                after: None,
            })
            .await?;
        Ok((view, gates, next))
    })?;
    if context.json() {
        output::json(&json!({"schedule": view, "gates": gates.gates, "next": next}));
    } else {
        print(&view, &gates, &next);
    }
    Ok(0)
}

fn print(view: &ScheduleView, gates: &GatesView, next: &[NextTime]) {
    output::line(&format!("{}: {}", view.schedule, view.state));
    output::line(&format!("  since    {} by {}", view.since, view.by));
    output::line(&format!("  because  {}", view.reason));
    if let Some(stop) = &view.stop {
        output::line(&format!("  stopped  {stop}"));
    }
    output::line(&format!("  cadence  {}", cadence(&view.document)));
    output::line(&format!("  artifact {} ({})", view.artifact, view.content));
    if let Some(run) = view.last_run {
        output::line(&format!("  last run {run}"));
    }
    if let Some(queued) = view.queued {
        output::line(&format!(
            "  waiting  the start of {queued}, for the end of that run"
        ));
    }
    if view.failed_in_a_row > 0 || view.skipped_in_a_row > 0 {
        output::line(&format!(
            "  in a row {} failed, {} skipped",
            view.failed_in_a_row, view.skipped_in_a_row
        ));
    }
    output::line("  gates");
    gates::print(&gates.gates, "    ");
    let heading = if view.state == ScheduleState::Enabled {
        "  next times"
    } else {
        "  next times, were it enabled"
    };
    output::line(heading);
    for time in next {
        output::line(&format!("    {}  {}", time.local, time.nominal));
    }
}

fn next(
    context: &Context<'_>,
    schedule: &str,
    count: u32,
    after: Option<jiff::Timestamp>,
) -> Result<u8, ApiError> {
    let times = context.with_plane(|plane| async move {
        let schedule = resolve(context, &*plane, schedule).await?;
        let request = ScheduleNextRequest {
            schedule,
            count,
            after,
        };
        plane.schedule_next(request).await
    })?;
    if context.json() {
        output::json(&times);
    } else if times.is_empty() {
        output::note("there is no further time: the schedule has ended");
    } else {
        let rows = times.iter().map(|time| {
            vec![
                time.local.clone(),
                time.nominal.to_string(),
                time.start_at.to_string(),
            ]
        });
        output::table(&["LOCAL", "UTC", "START WITH JITTER"], rows.collect());
    }
    Ok(0)
}

fn changed(context: &Context<'_>, view: &ScheduleView) -> u8 {
    if context.json() {
        output::json(view);
    } else {
        output::line(&format!("{}: {}", view.schedule, view.state));
        if let Some(at) = view.next_at {
            output::line(&format!("due next at {}", local(&view.document, at)));
        }
    }
    0
}

/// Which schedules to disable, as the arguments say it.
struct Scope {
    schedule: Option<String>,
    all: bool,
    source: Option<String>,
    of_lane: bool,
}

fn disable(context: &Context<'_>, scope: Scope, reason: String) -> Result<u8, ApiError> {
    let views = context.with_plane(|plane| async move {
        let request = ScheduleDisableRequest {
            scope: scope_of(context, &*plane, scope).await?,
            actor: context.principal()?,
            reason,
        };
        plane.schedule_disable(request).await
    })?;
    if context.json() {
        output::json(&views);
    } else if views.is_empty() {
        output::note("there are no such schedules");
    } else {
        for view in &views {
            output::line(&format!("{}: {}", view.schedule, view.state));
        }
    }
    Ok(0)
}

async fn scope_of(
    context: &Context<'_>,
    plane: &dyn ControlPlane,
    scope: Scope,
) -> Result<StopScope, ApiError> {
    if scope.all {
        return Ok(StopScope::All);
    }
    if let Some(source) = scope.source {
        return Ok(StopScope::Source(source));
    }
    if scope.of_lane {
        let lane = context.global.lane.clone().ok_or_else(|| {
            ApiError::new(ErrorCode::Usage, "`--of-lane` needs `--lane NAME`")
                .hint("`--all` disables the schedules of every lane")
        })?;
        let lane: moorline_core::lane::Lane =
            lane.parse()
                .map_err(|error: moorline_core::lane::LaneError| {
                    ApiError::new(ErrorCode::Usage, error.to_string())
                })?;
        return Ok(StopScope::Lane(lane.to_string()));
    }
    let schedule = scope.schedule.unwrap_or_default();
    resolve(context, plane, &schedule)
        .await
        .map(StopScope::Schedule)
}
