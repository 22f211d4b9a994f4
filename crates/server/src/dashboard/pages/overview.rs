//! The overview: what runs, what waits for the viewer, what failed, what comes next, what is stopped.

use askama::Template;
use axum::response::Response;
use moorline_api::{
    ApprovalListRequest, ApprovalOperations as _, ControlPlane as _, Operation, RunListRequest,
    ScheduleView,
};
use moorline_core::approval::ApprovalStatus;
use moorline_core::error_code::{RunStatus, SourceState};
use moorline_core::schedule::ScheduleState;

use super::approvals::ApprovalLine;
use super::html;
use super::runs::RunLine;
use super::schedules::ScheduleLine;
use crate::dashboard::chrome::{Area, Chrome, Present};
use crate::dashboard::fault::Fault;
use crate::dashboard::parts::Badge;
use crate::dashboard::viewer::Viewer;

/// Lines of each list.
const FEW: usize = 8;

/// A source that wants somebody's attention.
struct Trouble {
    source: String,
    state: Badge,
    why: String,
}

#[derive(Template)]
#[template(path = "overview.html")]
struct Page {
    chrome: Chrome,
    /// Whether nothing ever ran here.
    fresh: bool,
    running: Vec<RunLine>,
    running_count: usize,
    waiting: Vec<ApprovalLine>,
    waiting_count: usize,
    failed: Vec<RunLine>,
    recent: Vec<RunLine>,
    next: Vec<ScheduleLine>,
    troubles: Vec<Trouble>,
    dead: usize,
}

/// The page.
pub(in crate::dashboard) async fn page(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::RunList)?;
    let present = Present::load(&viewer).await?;
    let engine = viewer.engine();
    let newest = engine.run_list(listed(&[])).await?;
    let failures = [
        RunStatus::Failed,
        RunStatus::TimedOut,
        RunStatus::NeedsReauth,
        RunStatus::Killed,
    ];
    let failed = engine.run_list(listed(&failures)).await?;
    let waiting = if viewer.may(Operation::ApprovalList) {
        let request = ApprovalListRequest {
            status: Some(ApprovalStatus::Pending),
            limit: u32::try_from(FEW).unwrap_or(u32::MAX),
            ..ApprovalListRequest::default()
        };
        engine.approval_list(request).await?
    } else {
        Vec::new()
    };
    let sources = if viewer.may(Operation::SourceList) {
        engine.source_list().await?
    } else {
        Vec::new()
    };
    let troubles = sources
        .into_iter()
        .filter(|source| source.state != SourceState::Active)
        .map(|source| Trouble {
            state: source.state.into(),
            why: source.reason.unwrap_or_default(),
            source: source.source_id,
        });
    let running: Vec<_> = present
        .live
        .iter()
        .filter(|run| run.status != RunStatus::AwaitingApproval)
        .cloned()
        .collect();
    let page = Page {
        chrome: Chrome::around(&viewer, &present, Area::Overview, "Overview"),
        fresh: newest.is_empty() && present.schedules.is_empty(),
        running_count: running.len(),
        running: RunLine::all(&viewer, running.into_iter().take(FEW).collect()),
        waiting_count: present.waiting,
        waiting: ApprovalLine::all(&viewer, waiting),
        failed: RunLine::all(&viewer, failed),
        recent: RunLine::all(&viewer, newest),
        next: next(&viewer, present.schedules),
        troubles: troubles.collect(),
        dead: present.dead,
    };
    html(&page)
}

fn listed(statuses: &[RunStatus]) -> RunListRequest {
    RunListRequest {
        statuses: statuses.to_vec(),
        limit: u32::try_from(FEW).unwrap_or(u32::MAX),
        ..RunListRequest::default()
    }
}

/// Enabled schedules, the next one first.
fn next(viewer: &Viewer, mut schedules: Vec<ScheduleView>) -> Vec<ScheduleLine> {
    schedules.retain(|view| view.state == ScheduleState::Enabled && view.next_at.is_some());
    schedules.sort_by_key(|view| view.next_at);
    schedules.truncate(FEW);
    ScheduleLine::all(viewer, schedules)
}
