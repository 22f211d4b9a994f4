//! The log.

use std::time::Duration;

use futures::StreamExt as _;
use moorline_core::attempt::{Exit, LimitKind};

use crate::executor::{LogCursor, LogStream};

use super::{Bench, During as _, Failure, Program, ensure, same};

/// Lines in which something could get lost.
fn lines(prefix: &str) -> Vec<String> {
    let mut lines: Vec<String> = (0..20).map(|n| format!("{prefix} {n}")).collect();
    lines.extend(
        [
            "",
            "  indented\ttabbed ",
            "z\u{fc}rich \u{1f980}",
            "%s \\n $(echo) `echo`",
        ]
        .map(String::from),
    );
    lines.push("x".repeat(20_000));
    lines
}

pub(super) async fn both_streams_are_kept_in_order(bench: &Bench<'_>) -> Result<(), Failure> {
    let (stdout, stderr) = (lines("out"), lines("err"));
    let program = Program::Print {
        stdout: stdout.clone(),
        stderr: stderr.clone(),
    };
    let (handle, outcome) = bench.succeed(&bench.attempt(&program)).await?;
    same(
        "standard output",
        &bench.lines(&handle, LogStream::Stdout).await?,
        &stdout,
    )?;
    same(
        "standard error",
        &bench.lines(&handle, LogStream::Stderr).await?,
        &stderr,
    )?;
    let written: usize = stdout
        .iter()
        .chain(&stderr)
        .map(|line| line.len() + 1)
        .sum();
    same("the bytes written", &outcome.log.written, &(written as u64))?;
    same("the bytes dropped", &outcome.log.dropped, &0)
}

pub(super) async fn any_cursor_resumes_behind_its_chunk(bench: &Bench<'_>) -> Result<(), Failure> {
    let program = Program::Print {
        stdout: lines("out"),
        stderr: lines("err"),
    };
    let (handle, _) = bench.succeed(&bench.attempt(&program)).await?;
    let whole = bench.log(&handle, LogCursor::default()).await?;
    for (index, chunk) in whole.iter().enumerate() {
        let rest = bench.log(&handle, chunk.next).await?;
        let expected = whole.get(index + 1..).unwrap_or_default();
        ensure(rest == expected, || {
            format!(
                "behind chunk {index} of {} there are {} chunks, the first of them {:?}",
                whole.len(),
                rest.len(),
                rest.first()
            )
        })?;
    }
    Ok(())
}

pub(super) async fn a_followed_log_ends_with_the_attempt(bench: &Bench<'_>) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::StayUntilAsked).await?;
    let log = bench.executor.logs(&handle, LogCursor::default(), true);
    bench
        .bounded(
            "cancel",
            bench.executor.cancel(&handle, Duration::from_mins(1)),
        )
        .await?;
    let followed = bench
        .within("the followed log", log.collect::<Vec<_>>())
        .await?;
    let followed = followed
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .during("logs")?;
    let said = followed
        .iter()
        .filter(|chunk| chunk.stream == LogStream::Stdout);
    let said: Vec<&str> = said.map(|chunk| chunk.text.as_str()).collect();
    same("what was followed", &said, &vec!["ready", "bye"])?;
    bench.wait(&handle).await?;
    let again = bench.executor.logs(&handle, LogCursor::default(), true);
    let again = bench
        .within("following what is over", again.collect::<Vec<_>>())
        .await?;
    let again = again
        .into_iter()
        .collect::<Result<Vec<_>, _>>()
        .during("logs")?;
    same("what is followed after the end", &again, &followed)
}

pub(super) async fn a_log_that_is_not_followed_ends_at_once(
    bench: &Bench<'_>,
) -> Result<(), Failure> {
    let handle = bench.start_ready(&Program::Stay).await?;
    // The attempt stays, so a stream that waits for more would not end.
    let lines = bench.lines(&handle, LogStream::Stdout).await?;
    same("the log so far", &lines, &vec!["ready".to_owned()])
}

pub(super) async fn a_flood_is_drained_and_capped(bench: &Bench<'_>) -> Result<(), Failure> {
    const FLOOD: u64 = 8 << 20;
    const CAP: u64 = 64 << 10;
    let mut attempt = bench.attempt(&Program::Flood(FLOOD));
    attempt.limits.log_bytes = CAP;
    // It exits only when all is written, so it was not blocked.
    let (handle, outcome) = bench.succeed(&attempt).await?;
    same("the exit", &outcome.exit, &Exit::Exited { code: 0 })?;
    same("the bytes written", &outcome.log.written, &FLOOD)?;
    let kept = FLOOD - outcome.log.dropped.min(FLOOD);
    ensure(kept <= CAP, || {
        format!("{kept} bytes were kept, {CAP} are allowed")
    })?;
    let log = bench.log(&handle, LogCursor::default()).await?;
    let job = log.iter().filter(|chunk| chunk.stream != LogStream::System);
    let bytes: usize = job.map(|chunk| chunk.text.len()).sum();
    ensure(bytes as u64 <= kept && bytes > 0, || {
        format!("the log has {bytes} bytes of the {kept} that were kept")
    })?;
    let hit = outcome
        .limits_hit
        .iter()
        .any(|hit| hit.kind == LimitKind::Log);
    ensure(hit, || {
        format!("the limits hit are {:?}", outcome.limits_hit)
    })
}
