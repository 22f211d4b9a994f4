//! Starting an attempt, once.

use std::fs;
use std::io;
use std::path::PathBuf;

use futures::future::join_all;
use moorline_core::attempt::{Attempt, Exit, Handle, Observation};
use moorline_secrets::SecretEnv;

use crate::executor::{ExecutorError, LogCursor, LogStream};

use super::{Bench, During as _, Failure, Feature, Program, ensure, same};

pub(super) async fn an_exit_code_is_told(bench: &Bench<'_>) -> Result<(), Failure> {
    for code in [0, 3, 127, 255] {
        let (_, outcome) = bench.finish(&Program::Exit(code)).await?;
        same(
            "the exit",
            &outcome.exit,
            &Exit::Exited { code: code.into() },
        )?;
    }
    Ok(())
}

pub(super) async fn a_signal_is_told(bench: &Bench<'_>) -> Result<(), Failure> {
    let (_, outcome) = bench.finish(&Program::KillItself).await?;
    same("the exit", &outcome.exit, &Exit::Signaled { signal: 9 })
}

pub(super) async fn a_second_launch_starts_nothing(bench: &Bench<'_>) -> Result<(), Failure> {
    let starts = Starts::new(bench);
    let first = bench.launch(&starts.attempt).await?;
    let second = bench.launch(&starts.attempt).await?;
    same("the second handle", &second, &first)?;
    starts.were_one(bench, &second).await
}

pub(super) async fn a_launch_by_another_instance_starts_nothing(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let starts = Starts::new(bench);
    // The first caller dies before it sees its handle.
    drop(bench.launch(&starts.attempt).await?);
    let other = bench.reopen()?;
    let again = bench
        .bounded(
            "launch",
            other.launch(&starts.attempt, &SecretEnv::default()),
        )
        .await?;
    starts.were_one(bench, &again).await
}

pub(super) async fn a_launch_after_the_end_starts_nothing(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let starts = Starts::new(bench);
    let (handle, outcome) = bench.succeed(&starts.attempt).await?;
    let again = bench.launch(&starts.attempt).await?;
    same("the second handle", &again, &handle)?;
    let seen = bench
        .bounded("observe", bench.executor.observe(&again))
        .await?;
    same(
        "the observation",
        &seen,
        &Observation::Over(Box::new(outcome)),
    )?;
    starts.were_one(bench, &again).await
}

pub(super) async fn concurrent_launches_start_one_process(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let starts = Starts::new(bench);
    let instances = [bench.reopen()?, bench.reopen()?, bench.reopen()?];
    let secrets = SecretEnv::default();
    let calls = (0..9).map(|call: usize| {
        let instance = instances
            .get(call % instances.len())
            .unwrap_or(&bench.executor);
        instance.launch(&starts.attempt, &secrets)
    });
    let handles: Vec<Handle> = bench
        .bounded("launch", async {
            join_all(calls).await.into_iter().collect()
        })
        .await?;
    let Some((first, others)) = handles.split_first() else {
        return Err(Failure::new("no launch gave a handle"));
    };
    for handle in others {
        same("the handle of a concurrent launch", handle, first)?;
    }
    starts.were_one(bench, first).await
}

pub(super) async fn a_program_that_is_missing_never_succeeds(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let attempt = bench.attempt(&Program::Missing);
    match bench.try_launch(&attempt).await? {
        Ok(handle) => match bench.wait(&handle).await?.exit {
            Exit::NotStarted { .. } | Exit::Exited { code: 126 | 127 } => Ok(()),
            exit => Err(Failure::new(format!(
                "a program that is missing ended as {exit:?}"
            ))),
        },
        Err(ExecutorError::Unknown { reason }) => Err(Failure::new(format!(
            "whether a program that is missing has started is not known: {reason}"
        ))),
        Err(_) => same(
            "what is owned after it",
            &bench.owned(&*bench.executor).await?,
            &vec![],
        ),
    }
}

pub(super) async fn a_handle_survives_as_text(bench: &Bench<'_>) -> Result<(), Failure> {
    let (handle, outcome) = bench.finish(&Program::Exit(3)).await?;
    let text = serde_json::to_string(&handle)
        .map_err(|error| Failure::new(format!("a handle can not be written: {error}")))?;
    let read: Handle = serde_json::from_str(&text)
        .map_err(|error| Failure::new(format!("a handle can not be read: {error}")))?;
    same("the handle read back", &read, &handle)?;
    same("its outcome", &bench.wait(&read).await?, &outcome)
}

pub(super) async fn a_handle_names_its_attempt_and_executor(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let attempt = bench.attempt(&Program::Exit(0));
    let handle = bench.launch(&attempt).await?;
    same("its attempt", &handle.attempt_id, &attempt.id)?;
    same(
        "its executor",
        &handle.executor,
        &bench.executor.capabilities().name,
    )
}

pub(super) async fn another_instance_can_do_everything_with_a_handle(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let files = vec![("made".to_owned(), "here".to_owned())];
    let finished = bench.start(&Program::WriteOutputs(files)).await?;
    let staying = bench.start_ready(&Program::Stay).await?;
    let other = bench.reopen()?;
    bench.is_running(&*other, &staying).await?;
    bench
        .bounded("cancel", other.cancel(&staying, std::time::Duration::ZERO))
        .await?;
    let outcome = bench.bounded("wait", other.wait(&staying)).await?;
    same("the exit", &outcome.exit, &Exit::Cancelled)?;
    let log: Vec<_> =
        futures::StreamExt::collect(other.logs(&staying, LogCursor::default(), true)).await;
    let log: Vec<_> = log.into_iter().collect::<Result<_, _>>().during("logs")?;
    let ready = log.iter().any(|chunk| chunk.text == "ready");
    ensure(ready, || {
        format!("the log of another instance's attempt is {log:?}")
    })?;
    bench.bounded("wait", other.wait(&finished)).await?;
    let outputs = bench.bounded("collect", other.collect(&finished)).await?;
    same("the number of outputs", &outputs.len(), &1)?;
    bench.bounded("forget", other.forget(&finished)).await
}

/// An attempt that leaves a trace of each start, in three places.
struct Starts {
    attempt: Attempt,
    witness: Option<PathBuf>,
}

impl Starts {
    fn new(bench: &Bench<'_>) -> Self {
        let witness = bench
            .has(Feature::HostDirectories)
            .then(|| bench.shared().join("starts"));
        Self {
            attempt: bench.attempt(&Program::RecordStart(witness.clone())),
            witness,
        }
    }

    async fn were_one(&self, bench: &Bench<'_>, handle: &Handle) -> Result<(), Failure> {
        let outcome = bench.wait(handle).await?;
        same("the exit", &outcome.exit, &Exit::Exited { code: 0 })?;
        let lines = |bytes: io::Result<Vec<u8>>| {
            bytes.map(|bytes| bytes.split(|&byte| byte == b'\n').count() - 1)
        };
        if let Some(witness) = &self.witness {
            let count = lines(fs::read(witness)).during("reading the witness of the starts")?;
            same("the number of starts, by a file of the host", &count, &1)?;
        }
        let count = lines(Ok(bench.output(handle, "starts").await?)).during("counting")?;
        same("the number of starts, by an output file", &count, &1)?;
        let printed = bench.lines(handle, LogStream::Stdout).await?;
        same(
            "what the starts printed",
            &printed,
            &vec!["started".to_owned()],
        )?;
        same(
            "what is owned",
            &bench.owned(&*bench.executor).await?,
            &vec![self.attempt.id],
        )
    }
}
