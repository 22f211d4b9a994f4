//! Live updates and decisions of a server in one process, as raw samples for `cargo xtask bench`.
//!
//! `live WHAT HELPER STATE_DIR COUNT`, where `HELPER` is the supervisor program, a new state directory is made
//! below `STATE_DIR`, and `WHAT` is one of
//!
//! | `WHAT` | does | prints |
//! |---|---|---|
//! | `events` | 200 clients follow the events over HTTP while changes are committed one after the other; in turn with a bare axum route that hands messages of the same size to as many clients | `bare`, `events`: ms until each client has it, from the call that sends it and from the commit |
//! | `decision` | decides requests that runs wait for, one after the other | `next_step`: ms from the decision until the launch of the next step is recorded |
//!
//! A line is a name and its samples; what they come to is for the caller to say.

mod clients;
mod decision;
mod events;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use moorline_core::config::{DEFAULT_PROJECT, Layers, Settings};
use moorline_engine::{Engine, KeyPlace, StateDirs, assemble, configure};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What everything is measured on.
pub(crate) struct Stage {
    pub(crate) engine: Engine,
    pub(crate) settings: Arc<Settings>,
    pub(crate) state: PathBuf,
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the environment is read"
)]
fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [what, helper, state, count] = args.as_slice() else {
        return Err("usage: live WHAT HELPER STATE_DIR COUNT".into());
    };
    let count: usize = count.parse()?;
    let vars = BTreeMap::from([("PATH".to_owned(), std::env::var("PATH").unwrap_or_default())]);
    // As the server has it.
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        // Of its own: what is left of an earlier measurement would be sent to whoever follows.
        let state = Path::new(state).join(std::process::id().to_string());
        let stage = stage(Path::new(helper), &state, vars).await?;
        match what.as_str() {
            "events" => events::measure(&stage, count).await?,
            "decision" => decision::measure(&stage, count).await?,
            other => return Err(format!("nothing to measure is called {other}").into()),
        }
        stage.engine.drain().await;
        Ok(())
    })
}

async fn stage(helper: &Path, state: &Path, vars: BTreeMap<String, String>) -> Result<Stage> {
    let mut settings = configure(&Layers::default())?.settings;
    settings.server.rate_per_second = 1_000_000;
    settings.server.rate_burst = 1_000_000;
    let settings = Arc::new(settings);
    let options = assemble::Options {
        project: DEFAULT_PROJECT.to_owned(),
        dirs: StateDirs::new(state),
        settings: Arc::clone(&settings),
        keys: KeyPlace::new(state.join("keys")),
        vars,
        ambient_secrets: false,
        helper: helper.to_owned(),
    };
    let engine = assemble::embedded(options).await?;
    engine.serve();
    Ok(Stage {
        engine,
        settings,
        state: state.to_owned(),
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "a measurement needs the clock of the machine"
)]
pub(crate) fn now() -> Instant {
    Instant::now()
}

#[expect(
    clippy::disallowed_methods,
    reason = "clients and servers of a measurement end with its process"
)]
pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(task));
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
