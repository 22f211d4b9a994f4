//! Finding attempts again, and letting go of them.

use std::time::Duration;

use moorline_core::attempt::Exit;

use crate::executor::ExecutorError;

use super::{Bench, Failure, Program, ensure, same};

pub(super) async fn all_attempts_of_an_owner_are_found(bench: &Bench<'_>) -> Result<(), Failure> {
    let mut expected = Vec::new();
    for _ in 0..3 {
        expected.push(bench.finish(&Program::Exit(1)).await?.0.attempt_id);
    }
    for _ in 0..2 {
        expected.push(bench.start_ready(&Program::Stay).await?.attempt_id);
    }
    expected.sort_unstable();
    let other = bench.reopen()?;
    for executor in [&bench.executor, &other] {
        same("what is owned", &bench.owned(&**executor).await?, &expected)?;
    }
    // What is found can be used.
    for handle in bench
        .bounded("find_owned", other.find_owned(&bench.owner))
        .await?
    {
        bench
            .bounded("cancel", other.cancel(&handle, Duration::ZERO))
            .await?;
        bench.wait(&handle).await?;
    }
    Ok(())
}

pub(super) async fn nobody_elses_attempts_are_found(bench: &Bench<'_>) -> Result<(), Failure> {
    let (mine, _) = bench.finish(&Program::Exit(0)).await?;
    let mut attempt = bench.attempt(&Program::Exit(0));
    attempt.owner = format!("{}-neighbour", bench.owner);
    let (theirs, _) = bench.succeed(&attempt).await?;
    let seen = bench.owned(&*bench.executor).await?;
    let forgotten = bench
        .bounded("forget", bench.executor.forget(&theirs))
        .await;
    same("what is owned", &seen, &vec![mine.attempt_id])?;
    forgotten?;
    let nobody = bench.executor.find_owned("nobody-at-all");
    same(
        "what nobody owns",
        &bench.bounded("find_owned", nobody).await?,
        &vec![],
    )
}

pub(super) async fn what_was_launched_is_not_withdrawn(bench: &Bench<'_>) -> Result<(), Failure> {
    let attempt = bench.attempt(&Program::Exit(0));
    let handle = bench.launch(&attempt).await?;
    let other = bench.reopen()?;
    let withdrawn = bench.bounded("withdraw", other.withdraw(&attempt)).await?;
    same("what was launched", &withdrawn, &Some(handle.clone()))?;
    same(
        "its exit",
        &bench.wait(&handle).await?.exit,
        &Exit::Exited { code: 0 },
    )?;
    let withdrawn = bench.bounded("withdraw", other.withdraw(&attempt)).await?;
    same("what is over", &withdrawn, &Some(handle))
}

pub(super) async fn what_was_not_launched_is_withdrawn(bench: &Bench<'_>) -> Result<(), Failure> {
    let attempt = bench.attempt(&Program::Exit(0));
    for _ in 0..2 {
        let withdrawn = bench.executor.withdraw(&attempt);
        let withdrawn = bench.bounded("withdraw", withdrawn).await?;
        same("what was not launched", &withdrawn, &None)?;
    }
    same(
        "what is owned",
        &bench.owned(&*bench.executor).await?,
        &vec![],
    )
}

pub(super) async fn what_is_forgotten_is_gone(bench: &Bench<'_>) -> Result<(), Failure> {
    let (kept, _) = bench.finish(&Program::Exit(0)).await?;
    let (handle, _) = bench.finish(&Program::Exit(0)).await?;
    bench
        .bounded("forget", bench.executor.forget(&handle))
        .await?;
    same(
        "what is owned",
        &bench.owned(&*bench.executor).await?,
        &vec![kept.attempt_id],
    )?;
    let answer = bench
        .within("observe", bench.executor.observe(&handle))
        .await?;
    ensure(
        matches!(answer, Err(ExecutorError::NotFound { .. })),
        || format!("observing a forgotten attempt gave {answer:?}"),
    )?;
    // Whoever died between forgetting and noting it down asks again.
    bench
        .bounded("forget", bench.executor.forget(&handle))
        .await
}

pub(super) async fn what_runs_can_not_be_forgotten(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::Stay).await?;
    let answer = bench
        .within("forget", bench.executor.forget(&handle))
        .await?;
    ensure(matches!(answer, Err(ExecutorError::StillRunning)), || {
        format!("forgetting an attempt that runs gave {answer:?}")
    })?;
    bench.is_running(&*bench.executor, &handle).await
}
