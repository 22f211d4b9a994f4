//! Logs and replies: complete, capped, never in the way of the job.

use std::time::Duration;

use futures::StreamExt as _;
use moorline_core::attempt::{Exit, LimitKind};
use moorline_core::protocol::Reply;
use moorline_executor::{Executor as _, LogChunk, LogCursor, LogStream};
use moorline_testkit::{process, wait};
use serde_json::json;

use super::support::{Bench, PATIENCE};

/// L22: 100 MB of standard error neither block the job nor fill the disk, and a result behind them counts.
#[tokio::test]
async fn a_flood_is_drained_and_the_result_behind_it_counts() {
    let bench = Bench::new();
    let mut attempt = bench.script(
        r#"head -c 100000000 /dev/zero | tr '\0' 'x' >&2
           head -c 100000 /dev/zero | tr '\0' '\n'
           echo '::moorline {"type":"result","status":"success","data":{"n":1}}'"#,
    );
    attempt.limits.log_bytes = 1 << 20;
    let handle = bench.launch(&attempt).await;
    // Long only where a busy machine runs a build without optimisation.
    let outcome = tokio::time::timeout(6 * PATIENCE, bench.executor.wait(&handle)).await;
    let outcome = outcome.expect("it is drained").unwrap();
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    assert_eq!(
        outcome.reply,
        Reply::Success {
            transaction_count: None,
            data: json!({"n": 1})
        }
    );
    assert!(outcome.log.written > 100_100_000);
    let hits: Vec<_> = outcome.limits_hit.iter().map(|hit| hit.kind).collect();
    assert_eq!(hits, [LimitKind::Log]);
    let log = bench.log(&handle).await;
    let kept: u64 = log
        .iter()
        .map(|chunk| chunk.text.len() as u64 + u64::from(chunk.ends_line))
        .sum();
    let said = &log.last().unwrap().text;
    assert!(
        said.starts_with("log full at its limit of 1048576 bytes"),
        "{said}"
    );
    assert!(kept <= (1 << 20) + 200, "{kept}");
    let size = bench.size_of("log", &handle);
    assert!(size <= (1 << 20) + 200, "{size}");
}

/// L22: a grandchild that keeps the pipe open does not keep the attempt open; it goes with its tree.
#[tokio::test]
async fn a_grandchild_that_keeps_the_pipe_open_holds_nothing_up() {
    let bench = Bench::new();
    let mut attempt = bench.script("sleep 1000 & echo done");
    let marker = format!("marker-{}", attempt.id);
    attempt.env.insert("MARKER".to_owned(), marker.clone());
    let (handle, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    assert!(outcome.usage.wall_seconds < 5.0);
    assert_eq!(bench.lines(&handle, LogStream::Stdout).await, ["done"]);
    assert_eq!(process::matching(&marker).unwrap(), []);
}

/// L21, L20 as far as the executor goes: what the job said, and that it said too much.
#[tokio::test]
async fn replies_are_read_from_standard_output_alone() {
    let bench = Bench::new();
    let line = r#"::moorline {"type":"result","status":"error","class":"auth","reason":"no"}"#;
    let run = async |script: String| bench.run(&bench.script(&script)).await.1.reply;
    assert_eq!(run(format!("echo '{line}' >&2")).await, Reply::None);
    assert!(matches!(
        run(format!("printf %s '{line}'")).await,
        Reply::Error { .. }
    ));
    assert!(matches!(
        run(format!("echo '{line}'; echo '{line}'")).await,
        Reply::Bad { .. }
    ));
}

#[tokio::test]
async fn a_log_is_read_on_from_any_cursor() {
    let bench = Bench::new();
    let (handle, _) = bench
        .run(&bench.script("for i in 1 2 3; do echo $i; echo e$i >&2; done; printf end"))
        .await;
    let whole = bench.log(&handle).await;
    let texts: Vec<_> = whole
        .iter()
        .map(|chunk| (chunk.stream, chunk.text.as_str()))
        .collect();
    assert_eq!(texts.len(), 7);
    assert!(texts.contains(&(LogStream::Stdout, "end")));
    for (index, chunk) in whole.iter().enumerate() {
        let rest = bench.executor.logs(&handle, chunk.next, false);
        let rest: Vec<LogChunk> = rest.map(Result::unwrap).collect().await;
        assert_eq!(rest, whole[index + 1..]);
    }
}

/// L75, as far as the executor goes: a line can be read while the job goes on.
#[tokio::test]
async fn a_followed_log_shows_lines_while_the_job_runs_and_ends_with_it() {
    let bench = Bench::new();
    let mut attempt = bench.script(
        "echo first; while [ ! -e $MOORLINE_OUTPUT_DIR/go ]; do sleep 0.01; done; echo last",
    );
    attempt.limits.timeout = PATIENCE;
    let handle = bench.launch(&attempt).await;
    let mut log = bench.executor.logs(&handle, LogCursor::default(), true);
    assert_eq!(log.next().await.unwrap().unwrap().text, "first");
    std::fs::write(bench.dir(&handle).join("out/go"), "").unwrap();
    assert_eq!(log.next().await.unwrap().unwrap().text, "last");
    assert!(log.next().await.is_none());
    assert_eq!(bench.wait(&handle).await.exit, Exit::Exited { code: 0 });
}

#[tokio::test]
async fn long_lines_and_bytes_that_are_no_text_are_kept_readable() {
    let bench = Bench::new();
    let script = r"head -c 200000 /dev/zero | tr '\0' a; echo; printf 'x\377y\n'";
    let (handle, _) = bench.run(&bench.script(script)).await;
    let log = bench.log(&handle).await;
    let (last, pieces) = log.split_last().unwrap();
    assert_eq!(last.text, "x\u{fffd}y");
    let ends: Vec<bool> = pieces.iter().map(|chunk| chunk.ends_line).collect();
    assert_eq!(ends, [false, false, false, true]);
    assert_eq!(
        pieces.iter().map(|chunk| chunk.text.len()).sum::<usize>(),
        200_000
    );
}

/// A process outside of the tree that got hold of the pipe holds the end up for the drain time at most.
#[tokio::test]
async fn an_outsider_with_the_pipe_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.restart(|config| config.drain = Duration::from_millis(100));
    let fifo = bench.home.path().join("fifo");
    rustix::fs::mkfifoat(
        rustix::fs::CWD,
        &fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
    )
    .unwrap();
    let script = format!("echo ready; cat < {}", fifo.display());
    let handle = bench.launch(&bench.script(&script)).await;
    bench.wait_for_line(&handle, "ready").await;
    let job = wait::some(PATIENCE, "the job", || {
        process::matching(&handle.attempt_id.to_string())
            .unwrap()
            .into_iter()
            .next()
    })
    .unwrap();
    // This process now has the job's output open as well.
    let outside = std::fs::OpenOptions::new()
        .write(true)
        .open(format!("/proc/{}/fd/1", job.pid))
        .unwrap();
    std::fs::write(&fifo, "over\n").unwrap();
    let outcome = bench.wait(&handle).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    assert_eq!(
        bench.lines(&handle, LogStream::Stdout).await,
        ["ready", "over"]
    );
    drop(outside);
}

#[tokio::test]
async fn a_silent_job_has_an_empty_log() {
    let bench = Bench::new();
    let (handle, outcome) = bench.run(&bench.script("exit 0")).await;
    assert_eq!((outcome.log.written, outcome.log.dropped), (0, 0));
    assert_eq!(bench.log(&handle).await, []);
}
