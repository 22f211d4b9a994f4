//! Asking for the state, and waiting for the end.

use std::time::Duration;

use futures::future::join_all;
use moorline_core::attempt::{Exit, Handle, Observation};

use crate::executor::ExecutorError;

use super::{Bench, Failure, Program, ensure, same};

pub(super) async fn observe_answers_while_the_attempt_runs(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    // It never ends by itself, so an `observe` that waits for its end would not return.
    let handle = bench.start_ready(&Program::Stay).await?;
    bench.is_running(&*bench.executor, &handle).await
}

pub(super) async fn an_outcome_does_not_change(bench: &Bench<'_>) -> Result<(), Failure> {
    let (handle, outcome) = bench.finish(&Program::Exit(4)).await?;
    let over = Observation::Over(Box::new(outcome.clone()));
    let other = bench.reopen()?;
    for executor in [&bench.executor, &other, &bench.executor] {
        let seen = bench.bounded("observe", executor.observe(&handle)).await?;
        same("the observation after the end", &seen, &over)?;
    }
    bench
        .bounded("cancel", bench.executor.cancel(&handle, Duration::ZERO))
        .await?;
    bench
        .bounded("collect", bench.executor.collect(&handle))
        .await?;
    let seen = bench.bounded("wait", other.wait(&handle)).await?;
    same(
        "the outcome after it was cancelled and collected",
        &seen,
        &outcome,
    )
}

pub(super) async fn an_outcome_tells_when(bench: &Bench<'_>) -> Result<(), Failure> {
    let (_, outcome) = bench.finish(&Program::Exit(0)).await?;
    let started = outcome.started_at;
    ensure(
        started.is_some_and(|started| started <= outcome.ended_at),
        || {
            format!(
                "it started at {started:?} and ended at {:?}",
                outcome.ended_at
            )
        },
    )
}

pub(super) async fn a_foreign_handle_is_not_found(bench: &Bench<'_>) -> Result<(), Failure> {
    let (handle, _) = bench.finish(&Program::Exit(0)).await?;
    let foreign = Handle {
        executor: "another".to_owned(),
        ..handle
    };
    let answer = bench
        .within("observe", bench.executor.observe(&foreign))
        .await?;
    ensure(
        matches!(answer, Err(ExecutorError::NotFound { .. })),
        || format!("the handle of another executor gave {answer:?}"),
    )
}

pub(super) async fn every_waiter_gets_the_outcome(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::Stay).await?;
    let other = bench.reopen()?;
    let cancel = async {
        bench.executor.cancel(&handle, Duration::ZERO).await?;
        bench.executor.wait(&handle).await
    };
    let waits = join_all([
        bench.executor.wait(&handle),
        bench.executor.wait(&handle),
        other.wait(&handle),
        Box::pin(cancel),
    ]);
    let outcomes: Vec<_> = bench
        .bounded("wait", async { waits.await.into_iter().collect() })
        .await?;
    let seen = bench
        .bounded("observe", bench.executor.observe(&handle))
        .await?;
    for outcome in outcomes {
        same("the exit", &outcome.exit, &Exit::Cancelled)?;
        same(
            "what `observe` gives after a wait",
            &seen,
            &Observation::Over(Box::new(outcome)),
        )?;
    }
    Ok(())
}

pub(super) async fn a_dropped_wait_changes_nothing(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::Stay).await?;
    {
        let wait = bench.executor.wait(&handle);
        // One look at it is enough to have begun; it can not be done, for the attempt stays.
        let early = futures::FutureExt::now_or_never(wait);
        ensure(early.is_none(), || {
            format!("wait returned {early:?} while the attempt ran")
        })?;
    }
    bench.is_running(&*bench.executor, &handle).await?;
    bench
        .bounded("cancel", bench.executor.cancel(&handle, Duration::ZERO))
        .await?;
    same(
        "the exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Cancelled,
    )
}
