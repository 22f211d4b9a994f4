//! Jobs, runs, logs, events, stops.

use std::sync::Arc;

use futures::StreamExt as _;
use moorline_api::{
    ApiError, ControlPlane, EventsRequest, JobCheckRequest, LogsRequest, OutputRequest,
    ReleaseRequest, RunChangeRequest, RunListRequest, RunRequest, StopRequest, SubmitRequest,
};
use moorline_core::error_code::RunStatus;
use moorline_core::stop::StopScope;
use serde_json::json;

use super::{ada, on_both};

fn submit(job: impl Into<std::path::PathBuf>) -> SubmitRequest {
    SubmitRequest {
        job: job.into(),
        actor: ada(),
        ..SubmitRequest::default()
    }
}

fn run(id: impl ToString) -> RunRequest {
    RunRequest {
        run: id.to_string(),
    }
}

fn change(id: impl ToString) -> RunChangeRequest {
    RunChangeRequest {
        run: id.to_string(),
        actor: ada(),
        reason: "to see".to_owned(),
        grace_seconds: Some(0.0),
    }
}

#[test]
fn a_run_from_its_submission_to_its_log() {
    on_both(|mut stage| async move {
        let job = stage.shell(
            "talks",
            "cat \"$MOORLINE_INPUT\" > /dev/null; echo one; echo two",
        );
        let mut request = submit(&job);
        request.idempotency_key = Some("once".to_owned());
        let plane = Arc::clone(&stage.plane);
        let row = plane.run_submit(request.clone()).await.unwrap();
        // L30: the same key is the same run.
        let again = plane.run_submit(request.clone()).await.unwrap();
        assert_eq!(again.run_id, row.run_id);
        request.mode = Some(moorline_core::spec::Mode::Mock);
        let done = plane.run_submit(request).await;
        stage.refused("the same key for something else", done);

        let summary = plane.run_wait(run(row.run_id)).await.unwrap();
        assert_eq!(summary.status, RunStatus::Success);
        let view = plane.run_get(run(row.run_id)).await.unwrap();
        assert_eq!(
            (view.summary.status, view.attempts.len()),
            (RunStatus::Success, 1)
        );
        assert_eq!(view.actor, super::ADA);

        let request = |follow| LogsRequest {
            run: row.run_id.to_string(),
            follow,
            step: None,
            after: 0,
        };
        let collect = async |follow| -> Vec<String> {
            let lines = plane.run_logs(request(follow));
            let lines: Vec<_> = lines.collect().await;
            let lines = lines.into_iter().map(Result::unwrap);
            lines
                .filter(|l| l.stream == "stdout")
                .map(|l| l.text)
                .collect()
        };
        assert_eq!(collect(false).await, ["one", "two"]);
        assert_eq!(collect(true).await, ["one", "two"]);

        let known = plane.job_list().await.unwrap();
        assert_eq!(known.len(), 1);
        assert_eq!(known[0].job_id, "talks");
        stage
    });
}

/// The pieces of an output, put together.
async fn fetched(plane: &dyn ControlPlane, request: &OutputRequest) -> Result<Vec<u8>, ApiError> {
    let mut pieces = plane.run_output(request.clone());
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        let piece = piece?;
        assert_eq!(piece.offset, whole.len() as u64);
        whole.extend(piece.bytes()?);
        assert!(whole.len() as u64 <= piece.size);
    }
    Ok(whole)
}

#[test]
fn what_a_run_left_is_fetched_as_it_was_recorded() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let job = stage.shell(
            "leaves",
            "cd \"$MOORLINE_OUTPUT_DIR\"; mkdir deep; : > empty; \
             head -c 200000 /dev/zero | tr '\\0' x > deep/long.txt; printf '<b>\\377' > 'a b.html'",
        );
        let row = plane.run_submit(submit(&job)).await.unwrap();
        let summary = plane.run_wait(run(row.run_id)).await.unwrap();
        assert_eq!(summary.status, RunStatus::Success);
        let request = |path: &str| OutputRequest {
            run: row.run_id.to_string(),
            path: path.to_owned(),
            hash: None,
        };
        let long = fetched(&*plane, &request("deep/long.txt")).await.unwrap();
        assert_eq!(long, vec![b'x'; 200_000]);
        assert_eq!(fetched(&*plane, &request("empty")).await.unwrap(), b"");
        let odd = fetched(&*plane, &request("./a b.html")).await.unwrap();
        assert_eq!(odd, b"<b>\xff");
        for output in &summary.outputs {
            let named = OutputRequest {
                hash: Some(output.hash),
                ..request(&output.path)
            };
            let whole = fetched(&*plane, &named).await.unwrap();
            assert_eq!(whole.len() as u64, output.size, "{}", output.path);
        }

        let done = fetched(&*plane, &request("../inputs/x")).await;
        stage.refused("a path that leaves", done);
        let done = fetched(&*plane, &request("/etc/passwd")).await;
        stage.refused("a path from the root", done);
        let done = fetched(&*plane, &request("deep")).await;
        stage.refused("a directory", done);
        let other = OutputRequest {
            hash: Some(summary.artifact_hash),
            ..request("empty")
        };
        let done = fetched(&*plane, &other).await;
        stage.refused("another content", done);
        let unknown = OutputRequest {
            run: "ffff".to_owned(),
            ..request("empty")
        };
        let done = fetched(&*plane, &unknown).await;
        stage.refused("an output of a run that is not there", done);
        stage
    });
}

#[test]
fn lists_have_pages_and_unknown_things_are_not_found() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let job = stage.shell("quick", "true");
        let mut ids = Vec::new();
        for _ in 0..3 {
            let row = plane.run_submit(submit(&job)).await.unwrap();
            plane.run_wait(run(row.run_id)).await.unwrap();
            ids.push(row.run_id);
        }
        ids.reverse();
        let page = async |before| {
            let request = RunListRequest {
                statuses: vec![RunStatus::Success, RunStatus::Failed],
                before,
                limit: 2,
                ..RunListRequest::default()
            };
            let rows = plane.run_list(request).await.unwrap();
            rows.into_iter().map(|row| row.run_id).collect::<Vec<_>>()
        };
        assert_eq!(page(None).await, ids[..2]);
        assert_eq!(page(Some(ids[1])).await, ids[2..]);

        let done = plane.run_get(run("ffff")).await;
        stage.refused("a run that is not there", done);
        let done = plane.run_wait(run("ffff")).await;
        stage.refused("waiting for a run that is not there", done);
        let done = plane.run_cancel(change("ffff")).await;
        stage.refused("cancelling a run that is not there", done);
        let request = LogsRequest {
            run: "ffff".to_owned(),
            follow: false,
            step: None,
            after: 0,
        };
        let done: Result<Vec<_>, _> = plane
            .run_logs(request)
            .collect::<Vec<_>>()
            .await
            .into_iter()
            .collect();
        stage.refused("the log of a run that is not there", done);
        let done = plane.run_submit(submit(stage.path("nowhere"))).await;
        stage.refused("a job that is not there", done);
        let wrong = stage.job(
            "wrong",
            &json!({"job_id": "Wrong!", "steps": [{"name": "a"}]}),
        );
        let request = JobCheckRequest {
            job: wrong,
            lane: None,
        };
        let done = plane.job_check(request).await;
        stage.refused("a spec with violations", done);
        let mut request = submit(&job);
        request.lane = Some("moon".to_owned());
        let done = plane.run_submit(request).await;
        stage.refused("a lane that is not there", done);
        stage
    });
}

#[test]
fn what_runs_is_cancelled_and_run_again_and_a_stop_holds_until_its_release() {
    on_both(|mut stage| async move {
        let plane = Arc::clone(&stage.plane);
        let job = stage.shell("sleeps", "exec sleep 1000");
        let row = plane.run_submit(submit(&job)).await.unwrap();
        let cancelled = plane.run_cancel(change(row.run_id)).await.unwrap();
        assert_eq!(cancelled.status, RunStatus::Cancelled);
        // L19: cancelling what is over succeeds.
        let again = plane.run_cancel(change(row.run_id)).await.unwrap();
        assert_eq!(again.status, RunStatus::Cancelled);
        let retried = plane.run_retry(change(row.run_id)).await.unwrap();
        assert_ne!(retried.run_id, row.run_id);

        let scope = StopScope::Job("sleeps".to_owned());
        let request = StopRequest {
            scope: scope.clone(),
            actor: ada(),
            reason: "enough".to_owned(),
            grace_seconds: Some(0.0),
        };
        let report = plane.stop(request).await.unwrap();
        assert_eq!(report.unreached, std::collections::BTreeMap::default());
        let ended = plane.run_wait(run(retried.run_id)).await.unwrap();
        assert!(ended.status.is_terminal(), "{ended:?}");
        let stops = plane.stop_list().await.unwrap();
        assert_eq!(
            stops.iter().map(|stop| &stop.scope).collect::<Vec<_>>(),
            [&scope]
        );
        let done = plane.run_submit(submit(&job)).await;
        stage.refused("a start under a stop", done);
        let release = || ReleaseRequest {
            scope: scope.clone(),
            actor: ada(),
            reason: "looked at".to_owned(),
        };
        assert!(plane.release(release()).await.unwrap());
        assert!(!plane.release(release()).await.unwrap());
        stage
    });
}

#[test]
fn watching_gives_what_listing_gives_and_goes_on() {
    on_both(|stage| async move {
        let plane = Arc::clone(&stage.plane);
        let job = stage.shell("quick", "true");
        let row = plane.run_submit(submit(&job)).await.unwrap();
        plane.run_wait(run(row.run_id)).await.unwrap();
        let of_run = || EventsRequest {
            run: Some(row.run_id.to_string()),
            ..EventsRequest::default()
        };
        let listed = plane.event_list(of_run()).await.unwrap();
        let watched: Vec<_> = plane
            .event_watch(of_run())
            .take(listed.len())
            .map(Result::unwrap)
            .collect()
            .await;
        assert_eq!(watched, listed);

        // Behind a cursor comes only what is new.
        let newest = EventsRequest {
            newest: true,
            limit: 1,
            ..EventsRequest::default()
        };
        let newest = plane.event_list(newest).await.unwrap().pop().unwrap();
        let mut events = plane.event_watch(EventsRequest {
            after: newest.id,
            job_id: Some("quick".to_owned()),
            ..EventsRequest::default()
        });
        let next = plane.run_submit(submit(&job)).await.unwrap();
        let first = events.next().await.unwrap().unwrap();
        assert_eq!(first.run_id, Some(next.run_id));
        assert!(first.id > newest.id);
        plane.run_wait(run(next.run_id)).await.unwrap();
        stage
    });
}
