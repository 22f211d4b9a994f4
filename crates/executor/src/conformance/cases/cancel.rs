//! Ending an attempt, by request or by its timeout.

use std::path::PathBuf;
use std::time::Duration;

use moorline_core::attempt::Exit;
use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::executor::LogStream;

use super::{Bench, During as _, Failure, Program, ensure, same};

/// A grace that no case sees the end of.
const LONG: Duration = Duration::from_hours(1);

pub(super) async fn a_job_is_asked_before_it_is_killed(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::StayUntilAsked).await?;
    bench
        .bounded("cancel", bench.executor.cancel(&handle, LONG))
        .await?;
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Cancelled,
    )?;
    let lines = bench.lines(&handle, LogStream::Stdout).await?;
    same(
        "what the job said",
        &lines,
        &vec!["ready".to_owned(), "bye".to_owned()],
    )
}

pub(super) async fn a_job_that_ignores_the_request_is_killed(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let witness = Witness::new(bench)?;
    let handle = bench
        .start_ready(&Program::StayStubborn(witness.path.clone()))
        .await?;
    bench
        .bounded(
            "cancel",
            bench.executor.cancel(&handle, Duration::from_millis(50)),
        )
        .await?;
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Cancelled,
    )
}

pub(super) async fn a_cancel_right_after_the_launch_counts(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let handle = bench.start(&Program::Stay).await?;
    bench
        .bounded("cancel", bench.executor.cancel(&handle, Duration::ZERO))
        .await?;
    let exit = bench.wait(&handle).await?.exit;
    ensure(
        matches!(exit, Exit::Cancelled | Exit::NotStarted { .. }),
        || format!("an attempt that was cancelled right after its launch ended as {exit:?}"),
    )
}

pub(super) async fn another_instance_can_cancel(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::Stay).await?;
    let other = bench.reopen()?;
    bench.bounded("cancel", other.cancel(&handle, LONG)).await?;
    // The one who asked dies; the request stays.
    drop(other);
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Cancelled,
    )
}

pub(super) async fn a_stubborn_tree_is_gone(bench: &Bench<'_>) -> Result<(), Failure> {
    let mut witness = Witness::new(bench)?;
    let handle = bench
        .start_ready(&Program::StayStubborn(witness.path.clone()))
        .await?;
    bench
        .bounded("cancel", bench.executor.cancel(&handle, Duration::ZERO))
        .await?;
    bench.wait(&handle).await?;
    witness.is_closed(bench).await
}

pub(super) async fn a_cancel_does_not_wait_for_the_end(bench: &Bench<'_>) -> Result<(), Failure> {
    let witness = Witness::new(bench)?;
    let handle = bench
        .start_ready(&Program::StayStubborn(witness.path.clone()))
        .await?;
    // The job will not go, and the grace is longer than anyone waits.
    bench
        .bounded("cancel", bench.executor.cancel(&handle, LONG))
        .await?;
    bench.is_running(&*bench.executor, &handle).await
}

pub(super) async fn a_later_cancel_shortens_the_grace(bench: &Bench<'_>) -> Result<(), Failure> {
    let witness = Witness::new(bench)?;
    let handle = bench
        .start_ready(&Program::StayStubborn(witness.path.clone()))
        .await?;
    for grace in [LONG, Duration::ZERO, LONG] {
        bench
            .bounded("cancel", bench.executor.cancel(&handle, grace))
            .await?;
    }
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Cancelled,
    )
}

pub(super) async fn cancelling_what_is_over_is_fine(bench: &Bench<'_>) -> Result<(), Failure> {
    let (handle, outcome) = bench.finish(&Program::Exit(3)).await?;
    same("the exit", &outcome.exit, &Exit::Exited { code: 3 })?;
    for grace in [LONG, Duration::ZERO] {
        bench
            .bounded("cancel", bench.executor.cancel(&handle, grace))
            .await?;
    }
    same("the outcome", &bench.wait(&handle).await?, &outcome)
}

pub(super) async fn a_descendant_does_not_outlive_its_attempt(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let mut witness = Witness::new(bench)?;
    let program = Program::LeaveDescendant(witness.path.clone());
    let (_, outcome) = bench.finish(&program).await?;
    same("the exit", &outcome.exit, &Exit::Exited { code: 0 })?;
    witness.is_closed(bench).await
}

pub(super) async fn a_timeout_ends_the_whole_tree(bench: &Bench<'_>) -> Result<(), Failure> {
    let mut witness = Witness::new(bench)?;
    let mut attempt = bench.attempt(&Program::StayStubborn(witness.path.clone()));
    attempt.limits.timeout = Duration::from_millis(500);
    attempt.limits.grace = Duration::from_millis(50);
    let handle = bench.launch(&attempt).await?;
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::TimedOut,
    )?;
    witness.is_closed(bench).await
}

pub(super) async fn a_timeout_is_told(bench: &Bench<'_>) -> Result<(), Failure> {
    let mut attempt = bench.attempt(&Program::Stay);
    attempt.limits.timeout = Duration::from_millis(100);
    let handle = bench.launch(&attempt).await?;
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::TimedOut,
    )
}

/// A FIFO that the attempt's processes hold open: it ends when the last of them is gone, whatever became
/// of their parents, groups and sessions.
struct Witness {
    path: PathBuf,
    reader: pipe::Receiver,
}

impl Witness {
    fn new(bench: &Bench<'_>) -> Result<Self, Failure> {
        let path = bench.shared().join("witness");
        mkfifoat(CWD, &path, Mode::RUSR | Mode::WUSR)
            .map_err(std::io::Error::from)
            .during("making a FIFO")?;
        // Opened before any writer, so that the writers' open does not block.
        let reader = pipe::OpenOptions::new()
            .open_receiver(&path)
            .during("opening a FIFO")?;
        Ok(Self { path, reader })
    }

    async fn is_closed(&mut self, bench: &Bench<'_>) -> Result<(), Failure> {
        let mut rest = Vec::new();
        let end = self.reader.read_to_end(&mut rest);
        bench
            .within("the attempt's process tree", end)
            .await?
            .during("reading a FIFO")
            .map(drop)
    }
}
