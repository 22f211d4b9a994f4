//! Stops: engaging one, what it left, and its release.

use askama::Template;
use axum::response::Response;
use moorline_api::{
    ControlPlane as _, Operation, ReleaseRequest, RunListRequest, StopReport, StopRequest,
};
use moorline_core::error_code::RunStatus;
use moorline_core::stop::StopScope;

use super::runs::RunLine;
use super::{done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::Id;
use crate::dashboard::parts::size::duration;
use crate::dashboard::viewer::Viewer;

#[derive(Template)]
#[template(path = "stop.html")]
struct FormPage {
    chrome: Chrome,
}

/// The switch as a page of its own, for browsers without script.
pub(super) async fn form(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::Stop)?;
    html(&FormPage {
        chrome: Chrome::load(&viewer, Area::Stops, "Stop").await?,
    })
}

#[derive(Template)]
#[template(path = "stopped.html")]
struct ReportPage {
    chrome: Chrome,
    scope: String,
    acknowledged: String,
    elapsed: String,
    dead: Vec<Id>,
    schedules: Vec<String>,
    undeployed: Vec<String>,
    unreached: Vec<(String, String)>,
}

/// Stops, and says what became of it: the stops in force, or, where something could not be reached, what.
pub(super) async fn stop(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    // An emergency is no time for a form that was not filled in: nothing chosen means everything.
    let scope = fields.parse("scope")?.unwrap_or(StopScope::All);
    viewer
        .admit(Operation::Stop, &format!("stop/{scope}"))
        .await?;
    let request = StopRequest {
        scope,
        actor: viewer.actor(),
        reason: fields
            .text("reason")
            .unwrap_or_else(|| "stopped from the dashboard".to_owned()),
        grace_seconds: None,
    };
    let report = viewer.engine().stop(request).await?;
    if report.unreached.is_empty() {
        return Ok(done("/stops", "stopped"));
    }
    let chrome = Chrome::load(
        &viewer,
        Area::Stops,
        "Stopped, but not everything was reached",
    )
    .await?;
    html(&of_report(chrome, report))
}

fn of_report(chrome: Chrome, report: StopReport) -> ReportPage {
    let names = |ids: Vec<moorline_core::schedule::ScheduleId>| {
        ids.iter().map(ToString::to_string).collect()
    };
    ReportPage {
        chrome,
        scope: report.stop.scope.to_string(),
        acknowledged: duration(report.acknowledged_ms / 1000.0),
        elapsed: duration(report.elapsed_ms / 1000.0),
        dead: report
            .dead
            .iter()
            .map(|run| Id::below("/runs", run))
            .collect(),
        schedules: names(report.schedules),
        undeployed: names(report.undeployed),
        unreached: report.unreached.into_iter().collect(),
    }
}

#[derive(Template)]
#[template(path = "stops.html")]
struct Page {
    chrome: Chrome,
    /// Runs that are not over although a stop covers everything or them; a repeated stop tries again.
    left: Vec<RunLine>,
    /// What stops killed, newest first.
    killed: Vec<RunLine>,
}

/// The stops in force, what they killed, and what is still to be killed.
pub(super) async fn page(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::StopList)?;
    viewer.permit(Operation::RunList)?;
    let engine = viewer.engine();
    let stops = engine.stop_list().await?;
    let covered = |run: &moorline_api::RunRow| {
        stops.iter().any(|stop| match &stop.scope {
            StopScope::All => true,
            StopScope::Job(job) => run.job_id == *job,
            StopScope::Source(source) => run.source_id.as_ref() == Some(source),
            StopScope::Lane(lane) => run.lane == *lane,
            StopScope::Run(id) => run.run_id == *id,
            // A run does not tell its schedule here; its job and lane name the only one that it can be of.
            StopScope::Schedule(id) => {
                run.trigger == moorline_core::run::Trigger::Schedule
                    && id.job_id() == run.job_id
                    && id.lane().as_str() == run.lane
            }
        })
    };
    let running = RunListRequest {
        statuses: vec![RunStatus::Running],
        limit: 200,
        ..RunListRequest::default()
    };
    let mut left = engine.run_list(running).await?;
    left.retain(covered);
    let killed = RunListRequest {
        statuses: vec![RunStatus::Killed],
        limit: 20,
        ..RunListRequest::default()
    };
    let killed = engine.run_list(killed).await?;
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Stops, "Stops").await?,
        left: RunLine::all(&viewer, left),
        killed: RunLine::all(&viewer, killed),
    };
    html(&page)
}

/// Releases a stop. A person's alone.
pub(super) async fn release(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    let scope = released(&fields)?;
    viewer
        .admit(Operation::Release, &format!("stop/{scope}"))
        .await?;
    let request = ReleaseRequest {
        scope,
        actor: viewer.actor(),
        reason: fields.need("reason")?.to_owned(),
    };
    let was = viewer.engine().release(request).await?;
    Ok(done(
        "/stops",
        if was { "released" } else { "not-in-force" },
    ))
}

fn released(fields: &Fields) -> Result<StopScope, Fault> {
    fields.need("scope")?;
    let scope = fields.parse("scope")?;
    scope.ok_or_else(|| Fault::not_found("no stop was named"))
}
