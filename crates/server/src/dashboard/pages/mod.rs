//! The pages, a module each. A handler asks the table, then the engine, and fills a template; an action is a
//! form that is posted, done, and answered by a redirect (303) to a page.

mod access;
mod alerts;
mod approval;
mod approvals;
mod artifacts;
mod audit;
mod events;
mod jobs;
mod log;
mod output;
mod overview;
mod run;
mod runs;
mod schedules;
mod secrets;
mod sources;
mod stops;
mod theme;

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::{get, post};
use http::{HeaderValue, StatusCode, header};

use super::fault::Fault;
use crate::app::App;

/// Lines of a list that stand on one page.
pub(crate) const LINES: u32 = 50;

/// Every page.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(overview::page))
        .route("/theme", post(theme::switch))
        .route("/stop", get(stops::form).post(stops::stop))
        .route("/stops", get(stops::page))
        .route("/stops/release", post(stops::release))
        .route("/runs", get(runs::page))
        .route("/runs/{run}", get(run::page))
        .route("/runs/{run}/log.txt", get(log::download))
        .route("/runs/{run}/output", get(output::download))
        .route("/runs/{run}/cancel", post(run::cancel))
        .route("/runs/{run}/retry", post(run::retry))
        .route("/approvals", get(approvals::page))
        .route("/approvals/{approval}", get(approval::page))
        .route("/approvals/{approval}/decision", post(approval::decide))
        .route("/schedules", get(schedules::list))
        .route("/schedules/{lane}/{job}", get(schedules::page))
        .route("/schedules/{lane}/{job}/{action}", post(schedules::act))
        .route("/jobs", get(jobs::list))
        .route("/jobs/{job}", get(jobs::page))
        .route("/jobs/{job}/run", post(jobs::start))
        .route("/artifacts", get(artifacts::list))
        .route("/artifacts/{artifact}", get(artifacts::page))
        .route("/sources", get(sources::list))
        .route("/sources/{source}", get(sources::page))
        .route("/sources/{source}/{action}", post(sources::act))
        .route("/secrets", get(secrets::page))
        .route("/alerts", get(alerts::list))
        .route("/alerts/{alert}", get(alerts::page))
        .route("/alerts/{alert}/replay", post(alerts::replay))
        .route("/events", get(events::page))
        .route("/audit", get(audit::page))
        .route("/audit/verify", post(audit::verify))
        .route("/access", get(access::page))
        .route("/access/tokens/{token}/revoke", post(access::revoke))
}

/// A page, rendered.
fn html(page: &impl Template) -> Result<Response, Fault> {
    Ok(Html(page.render()?).into_response())
}

/// Goes on to a page after an action, which says what was done: one of the words of
/// [`super::chrome`]'s notices.
fn done(path: &str, word: &str) -> Response {
    let target = format!("{path}?done={word}");
    match HeaderValue::try_from(target) {
        Ok(target) => (StatusCode::SEE_OTHER, [(header::LOCATION, target)]).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
