//! The audit trail: who did what to what and why, and whether the chain is whole.

use askama::Template;
use axum::response::Response;
use moorline_api::{
    AuditListRequest, AuditReport, AuditVerifyRequest, Operation, TrailOperations as _,
};
use moorline_core::audit::AuditRecord;

use super::{LINES, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::{Badge, Id, Moment, Prose};
use crate::dashboard::viewer::Viewer;

/// A record in the list.
struct RecordLine {
    id: u64,
    at: Moment,
    actor: String,
    operation: String,
    subject: String,
    reason: Prose,
    hash: Id,
}

impl RecordLine {
    fn of(viewer: &Viewer, record: AuditRecord) -> Self {
        Self {
            id: record.id,
            at: viewer.moment(record.at),
            actor: record.actor,
            operation: record.operation,
            subject: record.subject,
            reason: Prose(record.reason.unwrap_or_default()),
            hash: Id::plain(record.hash),
        }
    }
}

/// What a verification found.
struct Verified {
    intact: Badge,
    records: u64,
    head: Id,
    problem: Option<String>,
}

impl From<AuditReport> for Verified {
    fn from(report: AuditReport) -> Self {
        Self {
            intact: Badge::holds(report.intact, "intact", "broken"),
            records: report.records,
            head: Id::plain(report.head),
            problem: report.problem,
        }
    }
}

#[derive(Template)]
#[template(path = "audit.html")]
struct Page {
    chrome: Chrome,
    records: Vec<RecordLine>,
    operation: String,
    actor: String,
    subject: String,
    filtered: bool,
    older: Option<String>,
    may_verify: bool,
    verified: Option<Verified>,
}

/// The page.
pub(super) async fn page(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    shown(&viewer, &fields, None).await
}

/// Verifies the chain, and shows what was found above the records.
pub(super) async fn verify(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::AuditVerify)?;
    let request = AuditVerifyRequest {
        known_head: fields.text("known_head"),
    };
    let report = viewer.engine().audit_verify(request).await?;
    shown(&viewer, &Fields::default(), Some(report.into())).await
}

async fn shown(
    viewer: &Viewer,
    fields: &Fields,
    verified: Option<Verified>,
) -> Result<Response, Fault> {
    viewer.permit(Operation::AuditList)?;
    let request = AuditListRequest {
        operation: fields.text("operation"),
        by: fields.text("actor"),
        subject: fields.text("subject"),
        since: fields.parse("since")?,
        until: fields.parse("until")?,
        before: fields.parse("before")?,
        limit: LINES + 1,
    };
    let mut records = viewer.engine().audit_list(request).await?;
    let more = records.len() > LINES as usize;
    records.truncate(LINES as usize);
    let older = records
        .last()
        .filter(|_| more)
        .map(|last| fields.with("before", &last.id.to_string()));
    let typed = |name: &str| fields.text(name).unwrap_or_default();
    let page = Page {
        chrome: Chrome::load(viewer, Area::Audit, "Audit").await?,
        records: records
            .into_iter()
            .map(|record| RecordLine::of(viewer, record))
            .collect(),
        filtered: ["operation", "actor", "subject"]
            .iter()
            .any(|name| fields.get(name).is_some()),
        operation: typed("operation"),
        actor: typed("actor"),
        subject: typed("subject"),
        older,
        may_verify: viewer.may(Operation::AuditVerify),
        verified,
    };
    html(&page)
}
