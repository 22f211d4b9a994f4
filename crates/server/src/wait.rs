//! `GET /v1/runs/{run}/summary`: how a run stands, after waiting for its end as long as the request says.
//!
//! `Prefer: wait=SECONDS` (RFC 7240) waits, nothing does not. The answer is 200 when the run is over or awaits
//! a decision, else 202 with `Retry-After`, each with the summary as it stands.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use moorline_api::{ControlPlane as _, RunRequest};
use moorline_core::error_code::RunStatus;
use moorline_core::summary::RunSummary;

use crate::access::Caller;
use crate::answer;
use crate::app::App;
use crate::call::known;
use crate::problem::Problem;
use crate::request;

/// The header that asks to wait.
const PREFER: HeaderName = HeaderName::from_static("prefer");
/// The header that says for how long it was done.
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");
/// The longest that one request waits: shorter than proxies have patience.
const LONGEST: Duration = Duration::from_secs(25);
/// When to ask again.
const RETRY: HeaderValue = HeaderValue::from_static("1");

pub(crate) async fn run_wait(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Result<Response, Problem> {
    let route = known("run_wait")?;
    caller.admit(route.operation, route.path).await?;
    let (mut parts, body) = request.into_parts();
    let (asked, _): (RunRequest, _) =
        request::read(&app, route, &caller, &mut parts, body, false).await?;
    let engine = &caller.project.engine;
    let wait = preferred(&parts.headers);
    let ended = match wait {
        None => None,
        Some(wait) => {
            let waiting = engine.run_wait(asked.clone());
            tokio::select! {
                ended = tokio::time::timeout(wait, waiting) => ended.ok().transpose()?,
                () = app.closing.cancelled() => None,
            }
        }
    };
    let summary = match ended {
        Some(summary) => summary,
        None => engine.run_get(asked).await?.summary,
    };
    let mut response = answer::document(route, &parts, &summary)?;
    let headers = response.headers_mut();
    if let Some(wait) = wait {
        let applied = HeaderValue::try_from(format!("wait={}", wait.as_secs()));
        headers.extend(applied.ok().map(|applied| (APPLIED, applied)));
    }
    if !is_settled(&summary) {
        headers.insert(header::RETRY_AFTER, RETRY);
        *response.status_mut() = StatusCode::ACCEPTED;
    }
    Ok(response)
}

fn is_settled(summary: &RunSummary) -> bool {
    summary.status.is_terminal() || summary.status == RunStatus::AwaitingApproval
}

/// How long a request wants to wait: `wait=SECONDS` among its preferences.
fn preferred(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split([',', ';']))
        .find_map(|preference| {
            let (name, seconds) = preference.split_once('=')?;
            let seconds = seconds.trim().trim_matches('"').parse().ok()?;
            let wait = Duration::from_secs(seconds).min(LONGEST);
            (name.trim().eq_ignore_ascii_case("wait") && !wait.is_zero()).then_some(wait)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preference_to_wait_is_found_among_others_and_bounded() {
        let wait = |value: &'static str| {
            let headers = HeaderMap::from_iter([(PREFER, HeaderValue::from_static(value))]);
            preferred(&headers).map(|wait| wait.as_secs())
        };
        assert_eq!(wait("wait=10"), Some(10));
        assert_eq!(wait("respond-async, Wait=\"3\""), Some(3));
        assert_eq!(wait("wait=600"), Some(25));
        assert_eq!(wait("wait=0"), None);
        assert_eq!(wait("wait=soon"), None);
        assert_eq!(preferred(&HeaderMap::new()), None);
    }
}
