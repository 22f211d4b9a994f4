//! Measures the engine in one process: durable runs of `/bin/true`, cancellation, opening, idling.
//!
//! `cargo xtask bench` starts it from a release build and reads its lines, `name value unit`. Usage:
//! `measure WHAT HELPER STATE_DIR [COUNT]`, where `WHAT` is one of `latency`, `latency-sandbox`,
//! `throughput`, `throughput-sandbox`, `cancel`, `fill`, `open`, `idle`.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use moorline_api::{ControlPlane as _, RunChangeRequest, RunListRequest, RunRequest, SubmitRequest};
use moorline_core::attempt::IsolationNeed;
use moorline_core::error_code::RunStatus;
use moorline_engine::{Engine, StateDirs, assemble};

type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[expect(clippy::disallowed_methods, reason = "a program's own main")]
fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, helper, state, rest @ ..] = args.as_slice() else {
        return Err("usage: measure WHAT HELPER STATE_DIR [COUNT]".into());
    };
    let count: usize = rest.first().map_or(Ok(300), |n| n.parse())?;
    let path = std::env::var("PATH").unwrap_or_default();
    let store = std::env::var("MOORLINE_STORE").unwrap_or_default();
    let options = assemble::Options {
        dirs: StateDirs::new(PathBuf::from(state)),
        vars: BTreeMap::from([("PATH".to_owned(), path), ("MOORLINE_STORE".to_owned(), store)]),
        helper: PathBuf::from(helper),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let begun = now();
        let engine = assemble::embedded(options).await?;
        let jobs = Jobs::write(Path::new(state))?;
        match what.as_str() {
            "latency" => latency(&engine, &jobs.quick, IsolationNeed::Off, count).await,
            "latency-sandbox" => latency(&engine, &jobs.quick, IsolationNeed::Required, count).await,
            "throughput" => throughput(&engine, &jobs.quick, IsolationNeed::Off, count).await,
            "throughput-sandbox" => {
                throughput(&engine, &jobs.quick, IsolationNeed::Required, count).await
            }
            "cancel" => cancel(&engine, &jobs.tree, count).await,
            "fill" => throughput(&engine, &jobs.quick, IsolationNeed::Off, count).await,
            "open" => open(&engine, begun).await,
            "idle" => idle(&engine).await,
            other => Err(format!("nothing to measure is called {other}").into()),
        }
    })
}

/// The job directories that are measured.
struct Jobs {
    quick: PathBuf,
    tree: PathBuf,
}

impl Jobs {
    fn write(state: &Path) -> Result<Self> {
        let jobs = state.join("bench-jobs");
        let write = |name: &str, spec: &str| -> Result<PathBuf> {
            let dir = jobs.join(name);
            std::fs::create_dir_all(&dir)?;
            std::fs::write(dir.join("job_spec.json"), spec)?;
            Ok(dir)
        };
        Ok(Self {
            quick: write(
                "quick",
                r#"{"job_id": "quick", "steps": [{"name": "true", "argv": ["/bin/true"]}]}"#,
            )?,
            tree: write(
                "tree",
                r#"{"job_id": "tree", "steps": [{"name": "tree", "grace_seconds": 0, "argv":
                    ["/bin/sh", "-c", "trap '' TERM; (setsid sleep 600 &); sleep 600"]}]}"#,
            )?,
        })
    }
}

fn submission(job: &Path, isolation: IsolationNeed) -> SubmitRequest {
    SubmitRequest {
        job: job.to_path_buf(),
        isolation: Some(isolation),
        actor: "system:bench".to_owned(),
        ..SubmitRequest::default()
    }
}

async fn latency(engine: &Engine, job: &Path, need: IsolationNeed, count: usize) -> Result {
    let mut times = Vec::with_capacity(count);
    for n in 0..count + 5 {
        let begun = now();
        one(engine, job, need).await?;
        // The first ones warm caches that every later run finds warm.
        if n >= 5 {
            times.push(begun.elapsed());
        }
    }
    say("p50", quantile(&mut times, 0.50), "ms");
    say("p99", quantile(&mut times, 0.99), "ms");
    Ok(())
}

async fn one(engine: &Engine, job: &Path, need: IsolationNeed) -> Result {
    let row = engine.run_submit(submission(job, need)).await?;
    let summary = engine.run_wait(RunRequest { run: row.run_id.to_string() }).await?;
    if summary.status == RunStatus::Success {
        Ok(())
    } else {
        Err(format!("a measured run ended as {:?}", summary.failure).into())
    }
}

async fn throughput(engine: &Engine, job: &Path, need: IsolationNeed, count: usize) -> Result {
    const AT_ONCE: usize = 16;
    let begun = now();
    let lanes = (0..AT_ONCE).map(|lane| async move {
        for _ in (lane..count).step_by(AT_ONCE) {
            one(engine, job, need).await?;
        }
        Ok::<(), Box<dyn Error>>(())
    });
    futures::future::try_join_all(lanes).await?;
    #[expect(clippy::cast_precision_loss, reason = "a count of runs")]
    say("rate", count as f64 / begun.elapsed().as_secs_f64(), "per_s");
    Ok(())
}

async fn cancel(engine: &Engine, job: &Path, count: usize) -> Result {
    let mut times = Vec::with_capacity(count);
    for _ in 0..count {
        let row = engine.run_submit(submission(job, IsolationNeed::Off)).await?;
        let run = row.run_id.to_string();
        // Long enough for the tree to stand: its shell has set its trap and left its grandchild.
        tokio::time::sleep(Duration::from_millis(30)).await;
        let begun = now();
        let request = RunChangeRequest {
            run,
            actor: "system:bench".to_owned(),
            reason: "measured".to_owned(),
            grace_seconds: Some(0.0),
        };
        let summary = engine.run_cancel(request).await?;
        times.push(begun.elapsed());
        if summary.status != RunStatus::Cancelled {
            return Err(format!("a cancelled run ended as {}", summary.status).into());
        }
    }
    say("p50", quantile(&mut times, 0.50), "ms");
    say("p99", quantile(&mut times, 0.99), "ms");
    Ok(())
}

/// From nothing to the first answer: the store open, the interrupted runs looked after, a list read.
async fn open(engine: &Engine, begun: Instant) -> Result {
    engine.tidy().await?;
    let rows = engine.run_list(RunListRequest::default()).await?;
    say("ready", begun.elapsed().as_secs_f64() * 1_000.0, "ms");
    #[expect(clippy::cast_precision_loss, reason = "at most fifty")]
    say("listed", rows.len() as f64, "runs");
    Ok(())
}

/// Memory and processor time of an engine that has nothing to do but follow events.
async fn idle(engine: &Engine) -> Result {
    use futures::StreamExt as _;
    let mut events = engine.event_watch(moorline_api::EventsRequest::default());
    let settled = tokio::time::timeout(Duration::from_secs(2), async {
        while events.next().await.is_some() {}
    });
    drop(settled.await);
    let before = processor_ticks()?;
    let watched = Duration::from_secs(5);
    drop(tokio::time::timeout(watched, events.next()).await);
    let ticks = processor_ticks()?.saturating_sub(before);
    let status = std::fs::read_to_string("/proc/self/status")?;
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: f64 = resident.unwrap_or("0").trim().trim_end_matches(" kB").trim().parse()?;
    say("rss", kib / 1024.0, "MiB");
    // A hundred ticks a second is the kernel's fixed unit here.
    #[expect(clippy::cast_precision_loss, reason = "a few ticks")]
    say("cpu", ticks as f64 / 100.0 / watched.as_secs_f64() * 100.0, "percent");
    Ok(())
}

fn processor_ticks() -> Result<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    // Fields 14 and 15 of proc(5), counted behind the command name: user and system time.
    let at = |index: usize| fields.get(index).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(at(11) + at(12))
}

fn quantile(times: &mut [Duration], at: f64) -> f64 {
    times.sort_unstable();
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index of a short list"
    )]
    let index = ((times.len().saturating_sub(1)) as f64 * at).round() as usize;
    times.get(index).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[expect(clippy::disallowed_methods, reason = "a measurement needs the clock of the machine")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::print_stdout, reason = "its output is the measurement")]
fn say(name: &str, value: f64, unit: &str) {
    println!("{name} {value:.3} {unit}");
}
