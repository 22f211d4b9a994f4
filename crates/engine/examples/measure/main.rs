//! What the engine does in one process, as raw samples for `cargo xtask bench`.
//!
//! `measure WHAT HELPER STATE_DIR [COUNT]`, where `HELPER` is the supervisor program, `STATE_DIR` is made
//! when it is missing, and `WHAT` is one of
//!
//! | `WHAT` | does | prints |
//! |---|---|---|
//! | `latency` | durable runs of `/bin/true`, one after the other; plain and sandboxed in turn | `plain`, `sandbox`: ms of each run, submit to summary |
//! | `latency-plain` | as `latency`, without the sandboxed ones | `plain` |
//! | `throughput` | durable runs of `/bin/true`, eight at once | `rate`: runs in a second |
//! | `throughput-sandbox` | the same in the sandbox | `rate` |
//! | `cancel` | cancels trees of processes that ignore SIGTERM, with no grace | `plain`, `sandbox`: ms until the last process is gone; `plain_end`, `sandbox_end`: ms until the summary is durable |
//! | `stop` | stops everything while 200 such trees run, with no grace | `bare`: ms to kill as many by hand; `ack`: ms until the gate is durable; `gone`: ms until the last process is gone; `end`: ms until every end is durable |
//! | `open` | opens the state and lists its newest runs | `ready`: ms; `list`: ms of each further list |
//! | `fill` | adds runs that are over, through the store and not by running anything | `rate`: runs in a second |
//! | `idle` | follows the events until its standard input ends | `ready`, once |
//!
//! A line is a name and its samples. What they come to (medians, percentiles, ratios) is for the caller
//! to say. A sandboxed figure is left out on a machine that has no sandbox.

mod cancel;
mod fill;
mod runs;
mod stop;

use std::collections::BTreeMap;
use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use moorline_api::{ControlPlane as _, EventsRequest, RunListRequest};
use moorline_core::attempt::IsolationNeed;
use moorline_core::config::Layers;
use moorline_engine::{Engine, KeyPlace, StateDirs, assemble, configure};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// Lists that `open` times once the state is open.
const LISTS: usize = 20;

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, helper, state, rest @ ..] = args.as_slice() else {
        return Err("usage: measure WHAT HELPER STATE_DIR [COUNT]".into());
    };
    let count: usize = rest.first().map_or(Ok(300), |n| n.parse())?;
    let (helper, state) = (Path::new(helper), Path::new(state));
    let variable = |name: &str| (name.to_owned(), std::env::var(name).unwrap_or_default());
    let layers = Layers {
        variables: BTreeMap::from([variable("MOORLINE_STORE")]),
        ..Layers::default()
    };
    let options = assemble::Options {
        project: "default".to_owned(),
        dirs: StateDirs::new(state),
        settings: Arc::new(configure(&layers)?.settings),
        keys: KeyPlace::new(state.join("keys")),
        vars: BTreeMap::from([variable("PATH")]),
        ambient_secrets: true,
        helper: PathBuf::from(helper),
    };
    // As the command line has it.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime
        .worker_threads(2)
        .enable_all()
        .build()?
        .block_on(async {
            let begun = now();
            if what == "stop" {
                return stop::stop(helper, state, count).await;
            }
            let engine = assemble::embedded(options).await?;
            measure(what, &engine, state, count, begun).await?;
            engine.drain().await;
            Ok(())
        })
}

async fn measure(
    what: &str,
    engine: &Engine,
    state: &Path,
    count: usize,
    begun: Instant,
) -> Result {
    match what {
        "latency" => runs::latency(engine, state, count, true).await,
        "latency-plain" => runs::latency(engine, state, count, false).await,
        "throughput" => runs::throughput(engine, state, count, IsolationNeed::Off).await,
        "throughput-sandbox" => {
            runs::throughput(engine, state, count, IsolationNeed::Required).await
        }
        "cancel" => cancel::cancel(engine, state, count).await,
        "open" => open(engine, begun).await,
        "fill" => fill::fill(engine, count).await,
        "idle" => idle(engine).await,
        other => Err(format!("nothing to measure is called {other}").into()),
    }
}

/// From nothing to the first answer: the store open, the interrupted runs looked after, a list read.
async fn open(engine: &Engine, begun: Instant) -> Result {
    engine.tidy().await?;
    engine.run_list(RunListRequest::default()).await?;
    say("ready", &[milliseconds(begun)]);
    let mut times = Vec::with_capacity(LISTS);
    for _ in 0..LISTS {
        let begun = now();
        engine.run_list(RunListRequest::default()).await?;
        times.push(milliseconds(begun));
    }
    say("list", &times);
    Ok(())
}

/// Follows the events; memory and processor time are for the caller to look at.
async fn idle(engine: &Engine) -> Result {
    use futures::StreamExt as _;
    let mut events = engine.event_watch(EventsRequest::default());
    let follow = async { while events.next().await.is_some() {} };
    say("ready", &[]);
    let end_of_input =
        tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        () = follow => Ok(()),
        read = end_of_input => read?.map(drop).map_err(Into::into),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement needs the clock of the machine"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

pub(crate) fn milliseconds(since: Instant) -> f64 {
    in_milliseconds(since.elapsed())
}

pub(crate) fn in_milliseconds(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

/// Prints a name and its samples.
#[expect(clippy::print_stdout, reason = "its output is the measurement")]
pub(crate) fn say(name: &str, samples: &[f64]) {
    let samples: Vec<String> = samples
        .iter()
        .map(|sample| format!("{sample:.4}"))
        .collect();
    println!("{name} {}", samples.join(" "));
}

/// Operations in a second.
#[expect(
    clippy::cast_precision_loss,
    reason = "there are far fewer than 2^52 operations"
)]
pub(crate) fn rate(operations: usize, since: Instant) -> f64 {
    operations as f64 / since.elapsed().as_secs_f64()
}
