//! From the wish to stop everything until the gate is durable, and until the last process of all trees is gone;
//! beside what it takes to kill as many such trees by hand.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_api::{ControlPlane as _, ReleaseRequest, StopRequest};
use moorline_core::attempt::IsolationNeed;
use moorline_core::clock::{SystemClock, SystemIds};
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_core::stop::StopScope;
use moorline_engine::{Engine, EngineConfig, StateDirs};
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_secrets::SourceChain;
use moorline_store::{SqliteStore, Store};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Signal, getrlimit, kill_process, pidfd_open, setrlimit,
};

use crate::cancel::{processes_with, when_gone};
use crate::runs::{submission, write_job};
use crate::{Result, in_milliseconds, now, say};

/// Trees that run when everything is stopped.
const TREES: usize = 200;

/// Processes of one tree.
const TREE: usize = 4;

/// How long all trees may take to stand.
const PATIENCE: Duration = Duration::from_mins(2);

/// A shell, a child and a grandchild that do not heed SIGTERM, and one that has forked twice and left the
/// session. All of them have the marker among their arguments.
fn script(marker: &str) -> String {
    format!(
        "trap '' TERM; sh -c 'sleep {marker} & wait' & ( ( setsid sleep {marker} & ) & ); wait; exit 1"
    )
}

pub(crate) async fn stop(helper: &Path, state: &Path, count: usize) -> Result {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    setrlimit(Resource::Nofile, raised)?;
    let marker = format!("700.{}", std::process::id());
    let engine = engine(helper, state)?;
    let spec = serde_json::json!({
        "job_id": "tree",
        "steps": [{
            "name": "tree", "grace_seconds": 0, "argv": ["/bin/sh", "-c", script(&marker)],
        }],
    });
    let job = write_job(state, "trees", &spec.to_string())?;
    let (mut bare, mut acknowledged, mut gone, mut ended) = (vec![], vec![], vec![], vec![]);
    for _ in 0..count {
        bare.push(kill_by_hand(&marker).await?);
        let stopped = stop_all(&engine, &job, &marker).await?;
        acknowledged.push(stopped.acknowledged);
        gone.push(stopped.gone);
        ended.push(stopped.ended);
    }
    say("bare", &bare);
    say("ack", &acknowledged);
    say("gone", &gone);
    say("end", &ended);
    engine.drain().await;
    Ok(())
}

/// An engine that drives all trees at once.
fn engine(helper: &Path, state: &Path) -> Result<Engine> {
    let dirs = StateDirs::new(state);
    dirs.create()?;
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&dirs.store())?);
    let local = LocalConfig::new(dirs.attempts(), PathBuf::from(helper));
    let config = EngineConfig {
        capacity: TREES,
        ..EngineConfig::embedded(dirs)
    };
    let secrets = Arc::new(SourceChain::new());
    let (clock, ids) = (Arc::new(SystemClock), Arc::new(SystemIds));
    let builder = Engine::builder(config, store, secrets, clock, ids);
    Ok(builder
        .executor("local", Arc::new(LocalExecutor::new(local)?))
        .build())
}

/// Milliseconds from the request.
struct Stopped {
    acknowledged: f64,
    gone: f64,
    ended: f64,
}

async fn stop_all(engine: &Engine, job: &Path, marker: &str) -> Result<Stopped> {
    for _ in 0..TREES {
        engine
            .run_submit(submission(job, IsolationNeed::Off))
            .await?;
    }
    let trees = standing(marker).await?;
    let actor = Principal::named(PrincipalKind::Human, "bench");
    let request = StopRequest {
        scope: StopScope::All,
        actor: actor.clone(),
        reason: "measured".to_owned(),
        grace_seconds: None,
    };
    let watcher = tokio::task::spawn_blocking(move || when_gone(&trees));
    let begun = now();
    let report = engine.stop(request).await?;
    if report.dead.len() != TREES || !report.unreached.is_empty() {
        return Err(format!("not everything was stopped: {report:?}").into());
    }
    let last = watcher.await??;
    let release = ReleaseRequest {
        scope: StopScope::All,
        actor,
        reason: "measured".to_owned(),
    };
    engine.release(release).await?;
    Ok(Stopped {
        acknowledged: report.acknowledged_ms,
        gone: in_milliseconds(last.saturating_duration_since(begun)),
        ended: report.elapsed_ms,
    })
}

/// The same trees without Moorline: SIGKILL to each process, by a process that knows them all beforehand.
async fn kill_by_hand(marker: &str) -> Result<f64> {
    let mut shells: Vec<Child> = Vec::with_capacity(TREES);
    for _ in 0..TREES {
        #[expect(
            clippy::disallowed_methods,
            reason = "the floor is a process of its own"
        )]
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &script(marker)]).stdin(Stdio::null());
        shells.push(shell.spawn()?);
    }
    let trees = standing(marker).await?;
    let pids: Vec<Pid> = processes_with(marker)?
        .into_iter()
        .map(|(pid, _)| pid)
        .collect();
    let watcher = tokio::task::spawn_blocking(move || when_gone(&trees));
    let begun = now();
    for pid in pids {
        match kill_process(pid, Signal::KILL) {
            // A shell ends by itself once its child is gone, which may have been killed before it.
            Ok(()) | Err(Errno::SRCH) => {}
            Err(error) => return Err(error.into()),
        }
    }
    let last: Instant = watcher.await??;
    for mut shell in shells {
        shell.wait()?;
    }
    Ok(in_milliseconds(last.saturating_duration_since(begun)))
}

/// Every process of all trees, once all of them stand.
async fn standing(marker: &str) -> Result<Vec<OwnedFd>> {
    let begun = now();
    let mut seen = 0;
    while begun.elapsed() < PATIENCE {
        let found = processes_with(marker)?;
        let programs = found
            .iter()
            .fold(BTreeMap::new(), |mut count, (_, program)| {
                *count.entry(program.as_str()).or_insert(0) += 1;
                count
            });
        // A shell that is about to become a sleeper is counted as what it is.
        if found.len() == TREES * TREE && programs.get("sleep") == Some(&(2 * TREES)) {
            let open = |(pid, _): (Pid, String)| Ok(pidfd_open(pid, PidfdFlags::empty())?);
            return found.into_iter().map(open).collect();
        }
        seen = found.len();
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("{seen} of {} processes came up", TREES * TREE).into())
}
