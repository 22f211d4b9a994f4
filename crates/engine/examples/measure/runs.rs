//! Runs of `/bin/true`: how long one takes, and how many there are in a second.

use std::path::{Path, PathBuf};

use moorline_api::{ControlPlane as _, RunRequest, SubmitRequest};
use moorline_core::attempt::IsolationNeed;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_engine::Engine;

use crate::{Result, milliseconds, now, rate, say};

const QUICK: &str = r#"{"job_id": "quick", "steps": [{"name": "true", "argv": ["/bin/true"]}]}"#;

/// Runs before the first that counts: they warm caches that every later run finds warm.
const WARM_UP: usize = 5;

/// Runs that are in flight at once: as many as an embedded engine drives.
const AT_ONCE: usize = 8;

/// Writes a job directory that holds nothing but this spec.
pub(crate) fn write_job(state: &Path, name: &str, spec: &str) -> Result<PathBuf> {
    let dir = state.join("bench-jobs").join(name);
    std::fs::create_dir_all(&dir)?;
    std::fs::write(dir.join("job_spec.json"), spec)?;
    Ok(dir)
}

pub(crate) fn submission(job: &Path, isolation: IsolationNeed) -> SubmitRequest {
    SubmitRequest {
        job: job.to_path_buf(),
        isolation: Some(isolation),
        actor: Principal::named(PrincipalKind::System, "bench"),
        ..SubmitRequest::default()
    }
}

/// One run, submit to summary. `false` when this machine can not isolate it as asked.
async fn run(engine: &Engine, job: &Path, need: IsolationNeed) -> Result<bool> {
    let row = engine.run_submit(submission(job, need)).await?;
    let summary = engine
        .run_wait(RunRequest {
            run: row.run_id.to_string(),
        })
        .await?;
    match summary.failure {
        None if summary.status == RunStatus::Success => Ok(true),
        Some(failure) if failure.code == ErrorCode::Isolation => Ok(false),
        failure => Err(format!("a measured run ended as {}: {failure:?}", summary.status).into()),
    }
}

/// Whether this machine has the sandbox.
pub(crate) async fn can_isolate(engine: &Engine, state: &Path) -> Result<bool> {
    let job = write_job(state, "quick", QUICK)?;
    run(engine, &job, IsolationNeed::Required).await
}

/// Plain and sandboxed in turn, so that both are measured in the same moments.
pub(crate) async fn latency(engine: &Engine, state: &Path, count: usize, sandbox: bool) -> Result {
    let job = write_job(state, "quick", QUICK)?;
    let mut kinds = vec![("plain", IsolationNeed::Off, Vec::with_capacity(count))];
    if sandbox && can_isolate(engine, state).await? {
        kinds.push((
            "sandbox",
            IsolationNeed::Required,
            Vec::with_capacity(count),
        ));
    }
    for round in 0..WARM_UP + count {
        for (_, need, times) in &mut kinds {
            let begun = now();
            run(engine, &job, *need).await?;
            if round >= WARM_UP {
                times.push(milliseconds(begun));
            }
        }
    }
    for (name, _, times) in &kinds {
        say(name, times);
    }
    Ok(())
}

pub(crate) async fn throughput(
    engine: &Engine,
    state: &Path,
    count: usize,
    need: IsolationNeed,
) -> Result {
    let job = write_job(state, "quick", QUICK)?;
    if !run(engine, &job, need).await? {
        return Ok(());
    }
    let begun = now();
    let job = job.as_path();
    let lanes = (0..AT_ONCE).map(|lane| async move {
        for _ in (lane..count).step_by(AT_ONCE) {
            run(engine, job, need).await?;
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    });
    futures::future::try_join_all(lanes).await?;
    say("rate", &[rate(count, begun)]);
    Ok(())
}
