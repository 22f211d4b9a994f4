//! From the wish to end a run until the last process of its tree is gone.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::{Duration, Instant};

use moorline_api::{ControlPlane as _, RunChangeRequest};
use moorline_core::attempt::IsolationNeed;
use moorline_core::error_code::RunStatus;
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_engine::Engine;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::runs::{can_isolate, submission, write_job};
use crate::{Result, in_milliseconds, milliseconds, now, say};

/// How long a tree may take to stand.
const PATIENCE: Duration = Duration::from_secs(10);

/// A shell with a child and a grandchild of its own session, none of which heeds SIGTERM. The two that
/// sleep do so for a number of seconds that no other process sleeps for: by that they are found.
fn spec(marker: &str) -> String {
    let script = format!("trap '' TERM; (setsid sleep {marker} &); sleep {marker} & wait; exit 1");
    serde_json::json!({
        "job_id": "tree",
        "steps": [{"name": "tree", "grace_seconds": 0, "argv": ["/bin/sh", "-c", script]}],
    })
    .to_string()
}

pub(crate) async fn cancel(engine: &Engine, state: &Path, count: usize) -> Result {
    let marker = format!("600.{}", std::process::id());
    let job = write_job(state, "tree", &spec(&marker))?;
    let mut kinds = vec![("plain", IsolationNeed::Off)];
    if can_isolate(engine, state).await? {
        kinds.push(("sandbox", IsolationNeed::Required));
    }
    for (name, need) in kinds {
        let (mut gone, mut ended) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let (last_gone, end) = cancel_one(engine, &job, need, &marker).await?;
            gone.push(last_gone);
            ended.push(end);
        }
        say(name, &gone);
        say(&format!("{name}_end"), &ended);
    }
    Ok(())
}

/// Milliseconds until the last process was gone, and until the summary was there.
async fn cancel_one(
    engine: &Engine,
    job: &Path,
    need: IsolationNeed,
    marker: &str,
) -> Result<(f64, f64)> {
    let row = engine.run_submit(submission(job, need)).await?;
    let tree = standing_tree(marker).await?;
    let request = RunChangeRequest {
        run: row.run_id.to_string(),
        actor: Principal::named(PrincipalKind::System, "bench"),
        reason: "measured".to_owned(),
        grace_seconds: Some(0.0),
    };
    let watcher = tokio::task::spawn_blocking(move || when_gone(&tree));
    let begun = now();
    let summary = engine.run_cancel(request).await?;
    let ended = milliseconds(begun);
    if summary.status != RunStatus::Cancelled {
        return Err(format!("a cancelled run ended as {}", summary.status).into());
    }
    let last_gone = watcher.await??;
    Ok((
        in_milliseconds(last_gone.saturating_duration_since(begun)),
        ended,
    ))
}

/// The processes of the tree, once all of them are there.
async fn standing_tree(marker: &str) -> Result<Vec<OwnedFd>> {
    let begun = now();
    while begun.elapsed() < PATIENCE {
        let tree = processes_with(marker)?;
        let asleep = tree
            .iter()
            .filter(|(_, program)| program == "sleep")
            .count();
        if asleep == 2 {
            return tree
                .into_iter()
                .map(|(pid, _)| Ok(pidfd_open(pid, PidfdFlags::empty())?))
                .collect();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Err("the tree that was to be cancelled did not come up".into())
}

/// Every process that has the marker among its arguments, with its program.
pub(crate) fn processes_with(marker: &str) -> Result<Vec<(Pid, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse().ok())
        else {
            continue;
        };
        let Some(pid) = Pid::from_raw(pid) else {
            continue;
        };
        // One that has gone meanwhile has no arguments any more.
        let Ok(arguments) = fs::read(entry.path().join("cmdline")) else {
            continue;
        };
        let arguments = String::from_utf8_lossy(&arguments);
        if arguments.contains(marker) {
            let program = arguments.split('\0').next().unwrap_or_default();
            found.push((pid, program.to_owned()));
        }
    }
    Ok(found)
}

/// Waits until all processes are gone; says when that was.
pub(crate) fn when_gone(tree: &[OwnedFd]) -> rustix::io::Result<Instant> {
    for process in tree {
        // The kernel makes a pidfd readable when its process ends.
        let mut wanted = [PollFd::new(process, PollFlags::IN)];
        while poll(&mut wanted, None)? == 0 {}
    }
    Ok(now())
}
