//! Alerts, and how they reach people: deliveries, those that were given up, and sending them again.

use askama::Template;
use axum::extract::Path;
use axum::response::Response;
use moorline_api::{
    AlertListRequest, AlertOperations as _, AlertReplayRequest, AlertRequest, AlertView, Operation,
};
use moorline_core::alert::DeliveryState;

use super::{LINES, done, html};
use crate::dashboard::chrome::{Area, Chrome};
use crate::dashboard::fault::Fault;
use crate::dashboard::fields::Fields;
use crate::dashboard::parts::{Badge, Id, Moment, Tone, Tree};
use crate::dashboard::viewer::Viewer;

/// An alert in a list.
struct AlertLine {
    href: String,
    level: Badge,
    title: String,
    key: String,
    run: Option<Id>,
    raised: Moment,
    count: u32,
    open: bool,
    deliveries: Vec<DeliveryLine>,
    dead: usize,
}

/// Its way to one destination.
struct DeliveryLine {
    destination: String,
    state: Badge,
    attempts: u32,
    due: Option<Moment>,
    ended: Option<Moment>,
    error: String,
}

impl AlertLine {
    fn of(viewer: &Viewer, view: AlertView) -> Self {
        let dead = view
            .deliveries
            .iter()
            .filter(|one| one.state == DeliveryState::Dead)
            .count();
        Self {
            href: format!("/alerts/{}", view.alert.id),
            level: view.alert.level.into(),
            open: view.alert.is_open(viewer.now),
            title: view.alert.title,
            key: view.alert.key,
            run: view.alert.run_id.map(|run| Id::below("/runs", run)),
            raised: viewer.moment(view.alert.raised_at),
            count: view.alert.count,
            deliveries: view
                .deliveries
                .into_iter()
                .map(|delivery| DeliveryLine {
                    destination: delivery.destination,
                    state: delivery.state.into(),
                    attempts: delivery.attempts,
                    due: delivery.due_at.map(|at| viewer.moment(at)),
                    ended: delivery.ended_at.map(|at| viewer.moment(at)),
                    error: delivery.last_error.unwrap_or_default(),
                })
                .collect(),
            dead,
        }
    }

    /// Whether it still stands for its trouble.
    fn standing(&self) -> Badge {
        if self.open {
            Badge::new(Tone::Busy, "open")
        } else {
            Badge::new(Tone::Idle, "closed")
        }
    }
}

#[derive(Template)]
#[template(path = "alerts.html")]
struct ListPage {
    chrome: Chrome,
    alerts: Vec<AlertLine>,
    dead_only: bool,
    older: Option<String>,
}

/// All alerts, or those with a destination that was given up.
pub(super) async fn list(viewer: Viewer, fields: Fields) -> Result<Response, Fault> {
    viewer.permit(Operation::AlertList)?;
    let dead_only = fields.get("dead").is_some();
    let request = AlertListRequest {
        dead: dead_only,
        before: fields.text("before"),
        limit: LINES + 1,
    };
    let mut alerts = viewer.engine().alert_list(request).await?;
    let more = alerts.len() > LINES as usize;
    alerts.truncate(LINES as usize);
    let older = alerts
        .last()
        .filter(|_| more)
        .map(|last| fields.with("before", &last.alert.id.to_string()));
    let page = ListPage {
        chrome: Chrome::load(&viewer, Area::Alerts, "Alerts").await?,
        alerts: alerts
            .into_iter()
            .map(|alert| AlertLine::of(&viewer, alert))
            .collect(),
        dead_only,
        older,
    };
    html(&page)
}

#[derive(Template)]
#[template(path = "alert.html")]
struct Page {
    chrome: Chrome,
    line: AlertLine,
    data: Tree,
    may_replay: bool,
}

/// One alert.
pub(super) async fn page(viewer: Viewer, Path(alert): Path<String>) -> Result<Response, Fault> {
    viewer.permit(Operation::AlertList)?;
    let view = viewer.engine().alert_show(AlertRequest { alert }).await?;
    let data = Tree(view.alert.data.clone());
    let line = AlertLine::of(&viewer, view);
    let page = Page {
        chrome: Chrome::load(&viewer, Area::Alerts, line.title.clone()).await?,
        may_replay: line.dead > 0 && viewer.may(Operation::AlertReplay),
        line,
        data,
    };
    html(&page)
}

/// Sends it again to where it was given up.
pub(super) async fn replay(
    viewer: Viewer,
    Path(alert): Path<String>,
    fields: Fields,
) -> Result<Response, Fault> {
    let subject = format!("alert/{alert}");
    viewer.admit(Operation::AlertReplay, &subject).await?;
    let request = AlertReplayRequest {
        alert,
        destination: fields.text("destination"),
        actor: viewer.actor(),
        reason: fields.text("reason"),
    };
    let view = viewer.engine().alert_replay(request).await?;
    Ok(done(&format!("/alerts/{}", view.alert.id), "replayed"))
}
