//! Numbers for Prometheus, at `/metrics`: what came and how long it took, and how much of everything there is.
//!
//! Counts and latencies are kept as requests come. What is in the stores is asked when somebody looks, so that
//! replicas agree on it. Labels are never what a client made up: names of routes are those of the list, empty for
//! a path that leads nowhere, and a method that none of them has is `other`.
//!
//! Whoever collects them shows no token while the server listens on loopback, or where `metrics_public` says so.
//! Beyond loopback it is a token that may see how the server does, and the numbers of stores are those of its
//! project alone.
//!
//! | metric | labels | what |
//! |---|---|---|
//! | `moorline_http_requests_total` | `method`, `route`, `status` | answers |
//! | `moorline_http_request_duration_seconds` | `method`, `route` | time to the head of the answer |
//! | `moorline_runs` | `project`, `status` | runs on record |
//! | `moorline_attempts_live` | `project` | attempts with a process |
//! | `moorline_approvals_open` | `project` | requests that nobody decided yet |
//! | `moorline_events_head` | `project` | id of the newest event |
//! | `moorline_outbox_pending` | `project` | what is still to be told or carried out |
//! | `moorline_build_info` | `version` | 1 |

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use futures::future::join_all;
use http::Method;
use metrics::{counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};
use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_engine::StoreCounts;
use tokio::time::timeout;

use crate::app::{App, Project};

/// Bounds of the latencies, in seconds.
const LATENCIES: [f64; 12] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0,
];
/// How long a store may take to be counted; whoever collects numbers waits for ten seconds as a rule.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often what was measured is put in order.
const UPKEEP: Duration = Duration::from_secs(5);

const REQUESTS: &str = "moorline_http_requests_total";
const SECONDS: &str = "moorline_http_request_duration_seconds";
const RUNS: &str = "moorline_runs";
const ATTEMPTS: &str = "moorline_attempts_live";
const APPROVALS: &str = "moorline_approvals_open";
const EVENTS: &str = "moorline_events_head";
const OUTBOX: &str = "moorline_outbox_pending";

/// Where numbers are kept. A server has its own, so that several in one process do not mix.
pub(crate) struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Metrics {
    /// Numbers from nought.
    ///
    /// # Errors
    /// [`ErrorCode::Internal`] when the bounds of the latencies are none.
    pub(crate) fn new() -> Result<Self, ApiError> {
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), &LATENCIES)
            .map_err(|error| {
                ApiError::new(ErrorCode::Internal, "can not set up the metrics").because(error)
            })?;
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        let metrics = Self { recorder, handle };
        metrics.describe();
        Ok(metrics)
    }

    fn describe(&self) {
        with_local_recorder(&self.recorder, || {
            metrics::describe_counter!(REQUESTS, "Answers to HTTP requests.");
            metrics::describe_histogram!(
                SECONDS,
                metrics::Unit::Seconds,
                "From an HTTP request to the head of its answer."
            );
            metrics::describe_gauge!(RUNS, "Runs on record, by status.");
            metrics::describe_gauge!(ATTEMPTS, "Attempts that have a process.");
            metrics::describe_gauge!(APPROVALS, "Requests for approval that are open.");
            metrics::describe_gauge!(EVENTS, "Id of the newest event.");
            metrics::describe_gauge!(OUTBOX, "What is still to be told or carried out.");
            metrics::describe_gauge!("moorline_build_info", "1, with the version as a label.");
            gauge!("moorline_build_info", "version" => env!("CARGO_PKG_VERSION")).set(1.0);
        });
    }

    /// Puts in order what was measured, until the server ends.
    pub(crate) async fn upkeep(app: Arc<App>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(UPKEEP) => app.metrics.handle.run_upkeep(),
                () = app.closing.cancelled() => return,
            }
        }
    }

    /// Everything, in the text form of Prometheus. A project whose store does not answer is left out of what
    /// is asked of stores. `only` names the one project whose numbers may be seen.
    pub(crate) async fn render(app: &App, only: Option<&str>) -> String {
        let seen = |project: &&Arc<Project>| only.is_none_or(|only| project.name == only);
        // Beside each other: one store that is silent takes all of its time.
        let projects = app.projects.values().filter(seen);
        join_all(projects.map(|project| app.metrics.count(project))).await;
        let text = app.metrics.handle.render();
        match only {
            None => text,
            Some(only) => of_project(&text, only),
        }
    }

    async fn count(&self, project: &Project) {
        match timeout(PATIENCE, project.engine.counts()).await {
            Ok(Ok(counts)) => self.set(project, &counts),
            Ok(Err(error)) => tracing::warn!(project = project.name, "not counted: {error}"),
            Err(_) => tracing::warn!(project = project.name, "not counted within {PATIENCE:?}"),
        }
    }

    fn set(&self, project: &Project, counts: &StoreCounts) {
        with_local_recorder(&self.recorder, || {
            let name = || project.name.clone();
            for (status, count) in &counts.runs {
                gauge!(RUNS, "project" => name(), "status" => status.as_str()).set(float(*count));
            }
            for (metric, count) in [
                (ATTEMPTS, counts.attempts_live),
                (APPROVALS, counts.approvals_open),
                (EVENTS, counts.events_head),
                (OUTBOX, counts.outbox_pending),
            ] {
                gauge!(metric, "project" => name()).set(float(count));
            }
        });
    }
}

/// The lines of a text without those that are about another project: somebody who may see them asked before.
fn of_project(text: &str, only: &str) -> String {
    let own = format!("project=\"{only}\"");
    let mut kept = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        if !line.contains("project=\"") || line.contains(&own) {
            kept.push_str(line);
        }
    }
    kept
}

/// A method as a label: a client may make up as many as it likes.
fn label(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "DELETE" => "DELETE",
        "PATCH" => "PATCH",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// A count as a number of Prometheus, which has no integers.
#[expect(
    clippy::cast_precision_loss,
    reason = "no count of ours comes near 2^53"
)]
const fn float(count: u64) -> f64 {
    count as f64
}

/// A middleware: counts answers and how long they took.
pub(crate) async fn count(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(String::new, |path| path.as_str().to_owned());
    let method = label(request.method());
    let began = app.clock.now();
    let response = next.run(request).await;
    let took = app.clock.now().duration_since(began).as_secs_f64().max(0.0);
    let status = response.status().as_str().to_owned();
    with_local_recorder(&app.metrics.recorder, || {
        histogram!(SECONDS, "method" => method, "route" => route.clone()).record(took);
        counter!(REQUESTS, "method" => method, "route" => route, "status" => status).increment(1);
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_method_that_a_client_made_up_is_no_label() {
        for method in ["GET", "POST", "PUT", "HEAD", "OPTIONS", "DELETE", "PATCH"] {
            assert_eq!(label(&method.parse().unwrap()), method);
        }
        for method in ["get", "BREW", "X-1", "TRACE"] {
            assert_eq!(label(&method.parse().unwrap()), "other");
        }
    }

    #[test]
    fn the_numbers_of_other_projects_are_left_out() {
        let text = "# TYPE moorline_runs gauge\n\
                    moorline_runs{project=\"acme\",status=\"queued\"} 1\n\
                    moorline_runs{project=\"acme-eu\",status=\"queued\"} 2\n\
                    moorline_build_info{version=\"1\"} 1\n";
        assert_eq!(
            of_project(text, "acme"),
            "# TYPE moorline_runs gauge\n\
             moorline_runs{project=\"acme\",status=\"queued\"} 1\n\
             moorline_build_info{version=\"1\"} 1\n"
        );
    }
}
