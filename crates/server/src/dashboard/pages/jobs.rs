//! Jobs: what is known here, and what each took and cost from run to run.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    ControlPlane as _, JobRow, Operation, RunListRequest, RunRequest, RunRow, RunView,
    SubmitRequest,
};
use moorline_core::error_code::RunStatus;

use super::runs::RunLine;
use super::{done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::{Fields, encoded};
use crate::dashboard::figures::Chart;
use crate::dashboard::figures::chart::{Form, Point, plain};
use crate::dashboard::parts::Badge;
use crate::dashboard::parts::size::duration;
use crate::dashboard::parts::time::{relative, seconds_between};
use crate::dashboard::viewer::Viewer;

/// Runs that a chart shows.
const CHARTED: u32 = 40;

/// The path of a job's page.
pub(super) fn href(job: &str) -> String {
    format!("/jobs/{}", encoded(job))
}

/// A job in a list.
struct JobLine {
    job: String,
    href: String,
    title: Option<String>,
    live_in: String,
    schedules: Vec<(String, String)>,
    last: Option<RunLine>,
}

impl JobLine {
    fn of(viewer: &Viewer, row: JobRow) -> Self {
        let lanes: Vec<String> = row.live_in.iter().map(ToString::to_string).collect();
        let link =
            |id: &moorline_core::schedule::ScheduleId| (id.to_string(), super::schedules::href(id));
        Self {
            href: href(&row.job_id),
            job: row.job_id,
            title: row.title,
            live_in: lanes.join(", "),
            schedules: row.schedules.iter().map(link).collect(),
            last: row.last_run.map(|run| RunLine::of(viewer, run)),
        }
    }
}

#[derive(Template)]
#[template(path = "jobs.html")]
struct ListPage {
    chrome: Chrome,
    jobs: Vec<JobLine>,
}

/// All jobs.
pub(super) async fn list(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::JobList)?;
    let rows = viewer.engine().job_list().await?;
    let page = ListPage {
        chrome: Chrome::load(&viewer, Area::Jobs, "Jobs").await?,
        jobs: rows
            .into_iter()
            .map(|row| JobLine::of(&viewer, row))
            .collect(),
    };
    html(&page)
}

#[derive(Template)]
#[template(path = "job.html")]
struct Page {
    chrome: Chrome,
    job: JobLine,
    lanes: Vec<String>,
    runs: Vec<RunLine>,
    durations: Option<Chart>,
    costs: Option<Chart>,
    success: String,
    may_start: bool,
}

/// One job.
pub(super) async fn page(viewer: Viewer, Path(job): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::JobList)?;
    viewer.permit(Operation::RunList)?;
    let engine = viewer.engine();
    let rows = engine.job_list().await?;
    let row = rows
        .into_iter()
        .find(|row| row.job_id == job)
        .ok_or_else(|| Fault::not_found(format!("no job `{job}` is known here")))?;
    let request = RunListRequest {
        job_id: Some(job),
        limit: CHARTED,
        ..RunListRequest::default()
    };
    let runs = engine.run_list(request).await?;
    let mut views: Vec<RunView> = Vec::new();
    if viewer.may(Operation::RunGet) {
        for run in runs.iter().rev() {
            let request = RunRequest {
                run: run.run_id.to_string(),
            };
            views.push(engine.run_get(request).await?);
        }
    }
    let lanes: Vec<String> = row.live_in.iter().map(ToString::to_string).collect();
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Jobs, row.job_id.clone()).await?,
        durations: durations(&viewer, &runs),
        costs: costs(&viewer, &views),
        success: success(&runs),
        runs: RunLine::all(&viewer, runs),
        may_start: !lanes.is_empty() && viewer.may(Operation::RunSubmit),
        lanes,
        job: JobLine::of(&viewer, row),
    };
    html(&page)
}

/// Of the runs that are over, how many succeeded.
fn success(runs: &[RunRow]) -> String {
    let over = runs.iter().filter(|run| run.status.is_terminal()).count();
    let good = runs
        .iter()
        .filter(|run| run.status == RunStatus::Success)
        .count();
    format!("{good} of the last {over}")
}

/// What each run took, oldest first; none where no run was started.
fn durations(viewer: &Viewer, runs: &[RunRow]) -> Option<Chart> {
    let points: Vec<Point> = runs
        .iter()
        .rev()
        .filter_map(|run| {
            let started = run.started_at?;
            let seconds = seconds_between(started, run.ended_at.unwrap_or(viewer.now));
            let badge = Badge::from(run.status);
            Some(Point {
                x: 0.0,
                y: seconds,
                tone: badge.tone,
                label: format!(
                    "{}: {}, {}",
                    relative(started, viewer.now),
                    duration(seconds),
                    badge.text
                ),
            })
        })
        .collect();
    bars("duration", "Duration of each run", points, duration)
}

/// What each run cost, oldest first; none where none cost anything.
fn costs(viewer: &Viewer, views: &[RunView]) -> Option<Chart> {
    let mut currency = String::new();
    let points: Vec<Point> = views
        .iter()
        .map(|view| {
            let cost = &view.summary.cost;
            currency = cost.currency.to_string();
            let badge = Badge::from(view.summary.status);
            Point {
                x: 0.0,
                // A picture needs no more digits than a double has; the amount itself is in the label.
                y: cost.amount.to_string().parse().unwrap_or(0.0),
                tone: badge.tone,
                label: format!(
                    "{}: {} {currency}, {}",
                    relative(view.created_at, viewer.now),
                    cost.amount,
                    badge.text
                ),
            }
        })
        .collect();
    if points.iter().all(|point| point.y == 0.0) {
        return None;
    }
    bars(
        "cost",
        &format!("Cost of each run, {currency}"),
        points,
        plain,
    )
}

fn bars(name: &str, title: &str, points: Vec<Point>, written: fn(f64) -> String) -> Option<Chart> {
    (!points.is_empty()).then(|| Chart {
        name: name.to_owned(),
        title: title.to_owned(),
        form: Form::Bars,
        ends: ("oldest".to_owned(), "newest".to_owned()),
        points,
        written,
    })
}

/// Starts what a lane points to.
pub(super) async fn start(
    viewer: Viewer,
    Path(job): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    let subject = format!("job/{job}");
    viewer.admit(Operation::RunSubmit, &subject).await?;
    let request = SubmitRequest {
        job: format!("live:{job}").into(),
        lane: fields.text("lane"),
        actor: viewer.actor(),
        ..SubmitRequest::default()
    };
    let run = viewer.engine().run_submit(request).await?;
    Ok(done(&format!("/runs/{}", run.run_id), "started"))
}
