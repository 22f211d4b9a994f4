//! What a process is given, and how it ends.

use std::time::Duration;

use bytes::Bytes;

use super::super::{ContainerError, Pty};
use super::*;

#[tokio::test]
async fn a_process_has_its_environment_directory_and_output() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let mut exec = shell("echo $GREETING; pwd; id -u; echo $HOME; hostname; echo bad >&2; exit 3");
    exec.env.insert("GREETING".into(), "hello".into());
    exec.cwd = Some("/srv/made".into());
    let process = container.exec(exec).await.unwrap();
    let expected = "hello\n/srv/made\n0\n/root\nmodal\n";
    assert_eq!(
        told(&process).await,
        (expected.to_owned(), "bad\n".to_owned(), Exit::Code(3))
    );
    assert_eq!(output(&container, "pwd").await, "/root\n");
    // Nothing of the test's own environment.
    assert!(!output(&container, "env").await.contains("CARGO"));
}

#[tokio::test]
async fn standard_input_arrives_and_ends() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let process = container.exec(command(&["cat"])).await.unwrap();
    process.write_stdin(Bytes::from("one\n")).await.unwrap();
    let mut reader = process.stdout().reader(0);
    assert_eq!(reader.next().await.unwrap().unwrap(), "one\n");
    process.write_stdin(Bytes::from("two\n")).await.unwrap();
    assert_eq!(reader.next().await.unwrap().unwrap(), "two\n");
    process.close_stdin().await;
    assert_eq!(reader.next().await.unwrap(), None);
    assert_eq!(process.wait().await, Exit::Code(0));
    let late = process.write_stdin(Bytes::from("x")).await;
    assert_eq!(late.unwrap_err().kind(), std::io::ErrorKind::BrokenPipe);
}

#[tokio::test]
async fn more_input_than_a_pipe_holds_is_taken() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let process = container.exec(command(&["wc", "-c"])).await.unwrap();
    for _ in 0..16 {
        let data = Bytes::from(vec![b'x'; 1 << 20]);
        process.write_stdin(data).await.unwrap();
    }
    assert_eq!(told(&process).await.0, "16777216\n");
}

#[tokio::test]
async fn signals_and_codes_are_told_apart() {
    let bench = Bench::new();
    let container = bench.bare().await;
    assert_eq!(run(&container, "kill -TERM $$").await.2, Exit::Signal(15));
    assert_eq!(run(&container, "exit 143").await.2, Exit::Code(143));
    let process = container.exec(shell(
        "trap 'exit 7' USR1; echo up; while :; do sleep 0.05; done",
    ));
    let process = process.await.unwrap();
    process.stdout().reader(0).next().await.unwrap();
    process.kill(10);
    assert_eq!(process.wait().await, Exit::Code(7));
}

#[tokio::test]
async fn what_can_not_be_started_says_why() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let missing = container.exec(command(&["no-such-program"])).await;
    assert!(
        matches!(&missing, Err(ContainerError::ProgramNotFound { program }) if program == "no-such-program"),
        "{missing:?}"
    );
    let refused = container.exec(command(&["/etc/passwd"])).await;
    assert!(
        matches!(&refused, Err(ContainerError::CannotStart { reason, .. }) if reason == "permission denied"),
        "{refused:?}"
    );
    let empty = container.exec(command(&[])).await;
    assert!(matches!(empty, Err(ContainerError::CannotStart { .. })));
}

#[tokio::test]
async fn a_timeout_ends_the_whole_tree_at_once() {
    let bench = Bench::new();
    let container = bench.bare().await;
    // A grandchild in a session of its own, whose parent is gone.
    let script = "setsid sh -c 'sleep 4711 & sleep 4711' & echo up; sleep 4711";
    let mut exec = shell(script);
    exec.timeout = Some(Duration::from_millis(300));
    let start = now();
    let process = container.exec(exec).await.unwrap();
    assert_eq!(process.wait().await, Exit::TimedOut);
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(text(process.stdout()).await, "up\n");
    assert_eq!(
        output(&container, "pgrep -fx 'sleep 4711' || true").await,
        ""
    );
}

#[tokio::test]
async fn kill_ends_the_whole_tree_and_nothing_else() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let other = container.exec(command(&["sleep", "4712"])).await.unwrap();
    let process = container
        .exec(shell("setsid sleep 4713 & sleep 4713"))
        .await
        .unwrap();
    process.kill(9);
    assert_eq!(process.wait().await, Exit::Signal(9));
    assert_eq!(
        output(&container, "pgrep -fx 'sleep 4713' || true").await,
        ""
    );
    assert_eq!(other.exit(), None);
}

#[tokio::test]
async fn what_runs_on_in_the_background_does_not_keep_a_log_open() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let script = "(while echo more; do sleep 0.02; done) & echo first";
    let process = container.exec(shell(script)).await.unwrap();
    assert_eq!(process.wait().await, Exit::Code(0));
    assert!(process.stdout().is_ended());
    let length = process.stdout().len();
    // It is still there, and was not killed by what it writes.
    let alive =
        "for i in 1 2 3 4 5; do sleep 0.02; pgrep -f 'echo more' > /dev/null || exit 1; done";
    assert_eq!(run(&container, alive).await.2, Exit::Code(0));
    assert_eq!(process.stdout().len(), length);
}

#[tokio::test]
async fn orphans_are_reaped() {
    let bench = Bench::new();
    let container = bench.bare().await;
    output(&container, "(setsid sh -c true &); (sleep 0.01 &) ").await;
    let zombies = "for i in 1 2 3 4 5 6 7 8 9; do sleep 0.02; \
        grep -q '^State:.Z' /proc/[0-9]*/status || exit 0; done; exit 1";
    assert_eq!(run(&container, zombies).await.2, Exit::Code(0));
}

#[tokio::test]
async fn a_terminal_is_one() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let mut exec = shell("tty; stty size; read line; echo got $line; stty size; echo $TERM; cat");
    exec.pty = Some(Pty {
        rows: 30,
        cols: 100,
        term: Some("vt100".into()),
    });
    let process = container.exec(exec).await.unwrap();
    let mut reader = process.stdout().reader(0);
    let mut seen = Vec::new();
    while !seen.ends_with(b"100\r\n") {
        seen.extend_from_slice(&reader.next().await.unwrap().unwrap());
    }
    process.write_stdin(Bytes::from("hello\n")).await.unwrap();
    process.close_stdin().await;
    assert_eq!(process.wait().await, Exit::Code(0));
    let expected = "/dev/pts/0\r\n30 100\r\nhello\r\ngot hello\r\n30 100\r\nvt100\r\n";
    assert_eq!(text(process.stdout()).await, expected);
    assert_eq!(text(process.stderr()).await, "");
}

#[tokio::test]
async fn a_terminal_sends_signals_of_its_keys() {
    let bench = Bench::new();
    let container = bench.bare().await;
    // Not a shell, which can lose the signal while it starts a program.
    let mut exec = command(&[
        "python3",
        "-c",
        "import time; print('up', flush=True); time.sleep(99)",
    ]);
    exec.pty = Some(Pty {
        rows: 24,
        cols: 80,
        term: None,
    });
    let process = container.exec(exec).await.unwrap();
    process.stdout().reader(0).next().await.unwrap();
    // A program can lose one that comes just before it sleeps.
    let mut exit = None;
    while exit.is_none() {
        process.write_stdin(Bytes::from("\x03")).await.unwrap();
        exit = tokio::time::timeout(Duration::from_millis(200), process.wait())
            .await
            .ok();
    }
    assert_eq!(exit, Some(Exit::Signal(2)));
}
