//! The inbox: requests for decisions, those that wait first.

use askama::Template;
use axum::response::Response;
use moorline_api::{ApprovalListRequest, ApprovalOperations as _, Operation};
use moorline_core::approval::{ApprovalRequest, ApprovalStatus};

use super::runs::Choice;
use super::{LINES, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::{Badge, Countdown, Id, Moment};
use crate::dashboard::viewer::Viewer;

/// A request in a list.
pub(super) struct ApprovalLine {
    pub(super) href: String,
    pub(super) title: String,
    pub(super) checkpoint: String,
    pub(super) phase: Option<String>,
    pub(super) job: String,
    pub(super) run: Id,
    pub(super) status: Badge,
    pub(super) opened: Moment,
    /// While it waits.
    pub(super) left: Option<Countdown>,
    pub(super) overdue: bool,
    /// 1 for the first time that the gate asks.
    pub(super) round: u32,
    /// What was decided, by whom and with which words.
    pub(super) decision: Option<DecisionLine>,
}

/// A decision in a list.
pub(super) struct DecisionLine {
    pub(super) option: String,
    pub(super) by: String,
    pub(super) at: Moment,
    pub(super) feedback: Option<String>,
    pub(super) next: String,
}

impl ApprovalLine {
    fn of(viewer: &Viewer, request: ApprovalRequest) -> Self {
        let waits = request.status == ApprovalStatus::Pending;
        Self {
            href: format!("/approvals/{}", request.id),
            title: request.title,
            checkpoint: request.checkpoint,
            phase: request.phase_name,
            job: request.job_id,
            run: Id::below("/runs", request.run_id),
            status: request.status.into(),
            opened: viewer.moment(request.opened_at),
            left: waits.then(|| viewer.countdown(request.expires_at)),
            overdue: request.overdue,
            round: request.iteration + 1,
            decision: request.decision.map(|decision| DecisionLine {
                option: decision.option,
                by: decision.by.to_string(),
                at: viewer.moment(decision.at),
                feedback: decision.feedback,
                next: decision.next,
            }),
        }
    }

    /// Requests, as the viewer sees them.
    pub(super) fn all(viewer: &Viewer, requests: Vec<ApprovalRequest>) -> Vec<Self> {
        requests
            .into_iter()
            .map(|request| Self::of(viewer, request))
            .collect()
    }
}

#[derive(Template)]
#[template(path = "approvals.html")]
struct Page {
    chrome: Chrome,
    requests: Vec<ApprovalLine>,
    statuses: Vec<Choice>,
    filtered: bool,
    older: Option<String>,
}

/// The page. It shows what waits unless another status is asked for; `any` is every status.
pub(super) async fn page(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::ApprovalList)?;
    let status = fields
        .get("status")
        .unwrap_or(ApprovalStatus::Pending.as_str());
    let known = ApprovalStatus::ALL
        .into_iter()
        .find(|known| known.as_str() == status);
    let request = ApprovalListRequest {
        status: known,
        run: fields.text("run"),
        job_id: fields.text("job"),
        before: fields.parse("before")?,
        limit: LINES + 1,
    };
    let mut requests = viewer.engine().approval_list(request).await?;
    let more = requests.len() > LINES as usize;
    requests.truncate(LINES as usize);
    let older = requests
        .last()
        .filter(|_| more)
        .map(|last| fields.with("before", &last.id.to_string()));
    let names = ApprovalStatus::ALL
        .map(ApprovalStatus::as_str)
        .into_iter()
        .chain(["any"]);
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Approvals, "Approvals").await?,
        requests: ApprovalLine::all(&viewer, requests),
        statuses: Choice::of(names, Some(status)),
        filtered: known != Some(ApprovalStatus::Pending),
        older,
    };
    html(&page)
}
