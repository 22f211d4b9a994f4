//! L24: arguments arrive byte for byte, and nothing reads them as a command.

use moorline_core::attempt::{Exit, IsolationNeed};
use moorline_core::spec::Arg;

use super::support::Bench;

fn corpus() -> Vec<Vec<u8>> {
    let mut corpus: Vec<Vec<u8>> = [
        &b""[..],
        b" ",
        b"'\"'",
        b"$(id) `id` $HOME ${PATH}",
        b"; rm -rf / & | > < * ? [a] {a,b} ~ # \\",
        b"two\nlines\r\n\ttab",
        b"--help",
        b"\xff\xfe invalid \xc3",
        "caf\u{e9} \u{1f600} \u{202e}".as_bytes(),
        b"\x01\x02\x1b[31m\x7f",
        b"%s %n %x",
    ]
    .map(<[u8]>::to_vec)
    .into();
    // One argument can have 128 KiB less one byte on Linux; all of them together make more than 1 MiB.
    corpus.extend((0..9).map(|n| vec![b'a' + n; 128 * 1024 - 1]));
    corpus
}

async fn arrives(isolation: IsolationNeed) {
    let bench = Bench::new();
    // `printf` repeats its format for each argument.
    let script = r#"printf '%s\0' "$@" > "$MOORLINE_OUTPUT_DIR/argv""#;
    let mut attempt = bench.attempt(&["sh", "-c", script, "sh"]);
    attempt.argv.extend(corpus().into_iter().map(Arg::from));
    attempt.isolation = isolation;
    let (handle, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    let seen = std::fs::read(bench.dir(&handle).join("out/argv")).unwrap();
    let seen: Vec<&[u8]> = seen
        .strip_suffix(b"\0")
        .unwrap()
        .split(|&byte| byte == 0)
        .collect();
    assert!(seen == corpus(), "the arguments differ");
}

#[tokio::test]
async fn arguments_arrive_byte_for_byte_without_a_sandbox() {
    arrives(IsolationNeed::Off).await;
}

#[tokio::test]
async fn arguments_arrive_byte_for_byte_in_a_sandbox() {
    arrives(IsolationNeed::Required).await;
}

#[tokio::test]
async fn an_argument_that_the_kernel_refuses_is_named_as_the_reason() {
    let bench = Bench::new();
    for isolation in [IsolationNeed::Off, IsolationNeed::Required] {
        let mut attempt = bench.attempt(&["true", &"x".repeat(1 << 20)]);
        attempt.isolation = isolation;
        let (_, outcome) = bench.run(&attempt).await;
        let reason = "`/usr/bin/true`: Argument list too long (os error 7)".to_owned();
        assert_eq!(outcome.exit, Exit::NotStarted { reason });
    }
}

#[tokio::test]
async fn a_program_of_the_job_directory_is_found_by_its_path() {
    let bench = Bench::new();
    let program = bench.home.path().join("job/run me.sh");
    std::fs::write(&program, "#!/bin/sh\necho \"$0|$1|$(pwd)\"\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&program, mode).unwrap();
    let mut attempt = bench.attempt(&["./run me.sh", "a b"]);
    attempt.isolation = IsolationNeed::Required;
    let (handle, _) = bench.run(&attempt).await;
    let lines = bench
        .lines(&handle, moorline_executor::LogStream::Stdout)
        .await;
    assert_eq!(lines, ["./run me.sh|a b|/job"]);
}
