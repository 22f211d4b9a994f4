//! Sources: the systems outside that jobs read, and whether they may.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    ControlPlane as _, Operation, SourceChangeRequest, SourceOperations as _, SourceRequest,
    SourceResumeRequest, SourceView,
};
use moorline_core::error_code::SourceState;

use super::runs::RunLine;
use super::{done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::{Fields, encoded};
use crate::dashboard::parts::{Badge, Id, Moment, Prose};
use crate::dashboard::viewer::Viewer;

/// A source in a list.
struct SourceLine {
    name: String,
    href: String,
    state: Badge,
    held: bool,
    why: String,
    by: String,
    run: Option<Id>,
    since: Moment,
    failed: u32,
}

impl SourceLine {
    fn of(viewer: &Viewer, source: SourceView) -> Self {
        Self {
            href: href(&source.source_id),
            name: source.source_id,
            state: source.state.into(),
            held: source.held,
            why: source.reason.unwrap_or_default(),
            by: source.by.to_string(),
            run: source.run_id.map(|run| Id::below("/runs", run)),
            since: viewer.moment(source.updated_at),
            failed: source.failed_in_a_row,
        }
    }
}

fn href(source: &str) -> String {
    format!("/sources/{}", encoded(source))
}

#[derive(Template)]
#[template(path = "sources.html")]
struct ListPage {
    chrome: Chrome,
    sources: Vec<SourceLine>,
}

/// All sources.
pub(super) async fn list(viewer: Viewer) -> Result<Response, Fault> {
    viewer.permit(Operation::SourceList)?;
    let sources = viewer.engine().source_list().await?;
    let page = ListPage {
        chrome: Chrome::load(&viewer, Area::Sources, "Sources").await?,
        sources: sources
            .into_iter()
            .map(|source| SourceLine::of(&viewer, source))
            .collect(),
    };
    html(&page)
}

#[derive(Template)]
#[template(path = "source.html")]
struct Page {
    chrome: Chrome,
    line: SourceLine,
    admits: Badge,
    hint: Option<Prose>,
    schedules: Vec<(String, String, Badge)>,
    runs: Vec<RunLine>,
    quarantined: bool,
    may_pause: bool,
    may_resume: bool,
}

/// One source.
pub(super) async fn page(viewer: Viewer, Path(source): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::SourceList)?;
    let request = SourceRequest { source_id: source };
    let detail = viewer.engine().source_show(request).await?;
    let state = detail.source.state;
    let schedules = detail.schedules.into_iter().map(|schedule| {
        (
            schedule.schedule.to_string(),
            super::schedules::href(&schedule.schedule),
            schedule.state.into(),
        )
    });
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Sources, detail.source.source_id.clone()).await?,
        admits: Badge::holds(detail.admits_schedules, "may be read", "no schedule starts"),
        hint: detail.hint.map(Prose),
        schedules: schedules.collect(),
        runs: RunLine::all(&viewer, detail.runs),
        quarantined: state == SourceState::Quarantined,
        may_pause: !detail.source.held && viewer.may(Operation::SourcePause),
        may_resume: (state != SourceState::Active || detail.source.held)
            && viewer.may(Operation::SourceResume),
        line: SourceLine::of(&viewer, detail.source),
    };
    html(&page)
}

/// Pauses it, or lets it be read again.
pub(super) async fn act(
    viewer: Viewer,
    Path((source, action)): Path<(String, String)>,
    fields: Fields,
) -> Result<Response, Fault> {
    let engine = viewer.engine();
    let subject = format!("source/{source}");
    let word = match action.as_str() {
        "pause" => {
            viewer.admit(Operation::SourcePause, &subject).await?;
            let request = SourceChangeRequest {
                source_id: source.clone(),
                actor: viewer.actor(),
                reason: fields.need("reason")?.to_owned(),
            };
            engine.source_pause(request).await?;
            "source-paused"
        }
        "resume" => {
            viewer.admit(Operation::SourceResume, &subject).await?;
            let request = SourceResumeRequest {
                source_id: source.clone(),
                actor: viewer.actor(),
                reason: fields.need("reason")?.to_owned(),
                looked_into: fields.get("looked_into").is_some(),
            };
            engine.source_resume(request).await?;
            "source-resumed"
        }
        other => {
            return Err(Fault::not_found(format!(
                "a source has no action `{other}`"
            )));
        }
    };
    Ok(done(&href(&source), word))
}
