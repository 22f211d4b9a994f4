//! Runs: every one, newest first, by filters.

use askama::Template;
use axum::response::Response;
use moorline_api::{ControlPlane as _, Operation, RunListRequest, RunRow};
use moorline_core::error_code::RunStatus;

use super::{LINES, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::size::duration;
use crate::dashboard::parts::time::seconds_between;
use crate::dashboard::parts::{Badge, Id, Moment};
use crate::dashboard::viewer::Viewer;

/// A line of a list of runs, for any page that has one.
#[derive(Debug)]
pub(super) struct RunLine {
    pub(super) id: Id,
    pub(super) status: Badge,
    pub(super) job: String,
    pub(super) job_href: String,
    pub(super) lane: String,
    pub(super) mode: String,
    pub(super) source: Option<String>,
    /// The step that runs, or why it failed.
    pub(super) says: String,
    pub(super) trigger: &'static str,
    pub(super) created: Moment,
    pub(super) took: String,
}

impl RunLine {
    /// A run, as the viewer sees it.
    pub(super) fn of(viewer: &Viewer, row: RunRow) -> Self {
        let class = row
            .failure_class
            .map(|class| class.as_str().replace('_', " "));
        let failure = row.failure_reason.map(|reason| match class {
            Some(class) => format!("{class}: {reason}"),
            None => reason,
        });
        Self {
            id: Id::below("/runs", row.run_id),
            status: row.status.into(),
            job_href: super::jobs::href(&row.job_id),
            job: row.job_id,
            lane: row.lane,
            mode: row.mode.to_string(),
            source: row.source_id,
            says: failure.or(row.step).unwrap_or_default(),
            trigger: trigger(row.trigger),
            created: viewer.moment(row.created_at),
            took: row.started_at.map_or_else(
                || "–".to_owned(),
                |start| duration(seconds_between(start, row.ended_at.unwrap_or(viewer.now))),
            ),
        }
    }

    /// Runs, as the viewer sees them.
    pub(super) fn all(viewer: &Viewer, rows: Vec<RunRow>) -> Vec<Self> {
        rows.into_iter().map(|row| Self::of(viewer, row)).collect()
    }
}

/// What asked for a run, in a word.
pub(super) const fn trigger(trigger: moorline_core::run::Trigger) -> &'static str {
    use moorline_core::run::Trigger;
    match trigger {
        Trigger::Manual => "by hand",
        Trigger::Retry => "retry",
        Trigger::Schedule => "schedule",
        Trigger::Reauth => "re-auth",
    }
}

/// An entry of a choice.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) value: &'static str,
    pub(super) label: String,
    pub(super) chosen: bool,
}

impl Choice {
    /// One entry for each name.
    pub(super) fn of(
        names: impl IntoIterator<Item = &'static str>,
        chosen: Option<&str>,
    ) -> Vec<Self> {
        let entry = |value: &'static str| Self {
            value,
            label: value.replace('_', " "),
            chosen: chosen == Some(value),
        };
        names.into_iter().map(entry).collect()
    }
}

#[derive(Template)]
#[template(path = "runs.html")]
struct Page {
    chrome: Chrome,
    runs: Vec<RunLine>,
    statuses: Vec<Choice>,
    job: String,
    source: String,
    filtered: bool,
    older: Option<String>,
}

/// The page.
pub(super) async fn page(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::RunList)?;
    let status = fields.get("status");
    let request = RunListRequest {
        statuses: RunStatus::ALL
            .into_iter()
            .filter(|known| Some(known.as_str()) == status)
            .collect(),
        job_id: fields.text("job"),
        source_id: fields.text("source"),
        before: fields.parse("before")?,
        limit: LINES + 1,
    };
    let filtered = status.is_some() || request.job_id.is_some() || request.source_id.is_some();
    let (job, source) = (request.job_id.clone(), request.source_id.clone());
    let mut rows = viewer.engine().run_list(request).await?;
    let more = rows.len() > LINES as usize;
    rows.truncate(LINES as usize);
    let older = rows.last().filter(|_| more);
    let page = Page {
        older: older.map(|row| fields.with("before", &row.run_id.to_string())),
        chrome: Chrome::load(&viewer, Area::Runs, "Runs").await?,
        runs: RunLine::all(&viewer, rows),
        statuses: Choice::of(RunStatus::ALL.map(RunStatus::as_str), status),
        job: job.unwrap_or_default(),
        source: source.unwrap_or_default(),
        filtered,
    };
    html(&page)
}
