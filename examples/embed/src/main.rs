//! A service of its own that runs a sandboxed job, without the command line.
//!
//! `cargo run -p moorline-example-embed -- examples/hello` runs a job directory in a fresh state
//! directory and prints its log and its summary.

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use futures::StreamExt as _;
use moorline_api::{ControlPlane as _, LogsRequest, RunRequest, SubmitRequest};
use moorline_core::error_code::RunStatus;
use moorline_core::principal::{Principal, PrincipalKind};
use moorline_engine::{KeyPlace, StateDirs, assemble};

fn main() -> Result<(), Box<dyn Error>> {
    // This very program supervises its attempts, so it ships as one binary. Started as a supervisor, it
    // never gets past this line.
    moorline_executor::local::helper_main();
    let job = std::env::args_os()
        .nth(1)
        .map_or_else(|| "examples/hello".into(), PathBuf::from);
    tokio::runtime::Runtime::new()?.block_on(run(job))
}

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a program's own main"
)]
async fn run(job: PathBuf) -> Result<(), Box<dyn Error>> {
    let state = std::env::temp_dir().join(format!("moorline-embed-{}", std::process::id()));
    let path = std::env::var("PATH").unwrap_or_default();
    let options = assemble::Options {
        dirs: StateDirs::new(&state),
        project: "default".to_owned(),
        settings: Arc::default(),
        keys: KeyPlace::new(state.join("keys")),
        vars: BTreeMap::from([("PATH".to_owned(), path)]),
        ambient_secrets: true,
        helper: std::env::current_exe()?,
    };
    let engine = assemble::embedded(options).await?;
    let actor = Principal::named(PrincipalKind::System, "embed");
    let row = engine
        .run_submit(SubmitRequest {
            job,
            actor,
            ..SubmitRequest::default()
        })
        .await?;

    let run = row.run_id.to_string();
    let mut log = engine.run_logs(LogsRequest {
        run: run.clone(),
        follow: true,
        step: None,
        after: 0,
    });
    while let Some(line) = log.next().await {
        println!("{}", line?.text);
    }
    let summary = engine.run_wait(RunRequest { run }).await?;
    println!(
        "{}: {}, behind {:?}",
        summary.job_id, summary.status, summary.isolation.protections
    );
    std::fs::remove_dir_all(&state)?;
    if summary.status == RunStatus::Success {
        Ok(())
    } else {
        Err("the job did not succeed".into())
    }
}
