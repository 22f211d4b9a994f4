//! From a decision to the launch of the step that follows.

use std::path::PathBuf;
use std::time::Duration;

use futures::StreamExt as _;
use moorline_api::{
    ApprovalDecideRequest, ApprovalOperations as _, ControlPlane as _, EventsRequest, RunRequest,
    SubmitRequest,
};
use moorline_core::attempt::IsolationNeed;
use moorline_core::event::EventKind;
use moorline_core::ids::RunId;
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_engine::Until;

use crate::{Result, Stage, now, say, spawn};

/// A job that asks between its two steps.
const JOB: &str = r#"{
    "job_id": "asks",
    "steps": [{"name": "look", "argv": ["/bin/true"]}, {"name": "work", "argv": ["/bin/true"]}],
    "workflow": {
        "start": "look",
        "steps": {"look": {"then": "may_it"}, "work": {"then": "end"}},
        "gates": [{"name": "may_it", "title": "May it?", "options": [
            {"name": "go", "to": "work"}, {"name": "no", "to": "reject"}
        ]}]
    }
}"#;
/// Decisions before the first that counts.
const WARM_UP: usize = 5;
/// How long anything may take.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) async fn measure(stage: &Stage, count: usize) -> Result {
    let job = stage.state.join("bench-jobs").join("asks");
    std::fs::create_dir_all(&job)?;
    std::fs::write(job.join("job_spec.json"), JOB)?;
    // As `moorlined` has it: with a worker.
    let worker = stage.engine.clone();
    spawn(async move { drop(worker.work(Until::Told, std::future::pending()).await) });
    let mut times = Vec::with_capacity(count);
    for n in 0..WARM_UP + count {
        let (run, asked) = parked(stage, job.clone()).await?;
        let milliseconds = decide(stage, run, asked).await?;
        if n >= WARM_UP {
            times.push(milliseconds);
        }
    }
    say("next_step", &times);
    Ok(())
}

/// A run that waits for a decision, and the id of the event that says so.
async fn parked(stage: &Stage, job: PathBuf) -> Result<(RunId, u64)> {
    let request = SubmitRequest {
        job,
        isolation: Some(IsolationNeed::Off),
        actor: Principal::named(PrincipalKind::System, "bench"),
        ..SubmitRequest::default()
    };
    let run = stage.engine.run_submit(request).await?.run_id;
    let asked = until(stage, run, EventKind::ApprovalRequested, 0).await?;
    Ok((run, asked))
}

/// Decides; milliseconds until the step that follows is launched, its process being alive.
async fn decide(stage: &Stage, run: RunId, asked: u64) -> Result<f64> {
    let begun = now();
    let request = ApprovalDecideRequest {
        run: Some(run.to_string()),
        option: "go".to_owned(),
        actor: Principal::named(PrincipalKind::Human, "local"),
        ..ApprovalDecideRequest::default()
    };
    stage.engine.approval_decide(request).await?;
    until(stage, run, EventKind::AttemptLaunched, asked).await?;
    let milliseconds = begun.elapsed().as_secs_f64() * 1_000.0;
    let run = run.to_string();
    stage.engine.run_wait(RunRequest { run }).await?;
    Ok(milliseconds)
}

/// Waits for the first event of a kind of a run behind another event: its id.
async fn until(stage: &Stage, run: RunId, kind: EventKind, after: u64) -> Result<u64> {
    let request = EventsRequest {
        after,
        run: Some(run.to_string()),
        kinds: vec![kind],
        ..EventsRequest::default()
    };
    let mut events = stage.engine.event_watch(request);
    let event = tokio::time::timeout(PATIENCE, events.next())
        .await?
        .ok_or("the events have ended")??;
    Ok(event.id)
}
