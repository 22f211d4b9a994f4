//! What a sandboxed job sees. These tests need bubblewrap and fail without it.

use moorline_core::attempt::{Attempt, Exit, IsolationNeed};
use moorline_executor::LogStream;

use super::support::Bench;

fn sandboxed(mut attempt: Attempt) -> Attempt {
    attempt.isolation = IsolationNeed::Required;
    attempt
}

#[tokio::test]
async fn a_job_runs_and_sees_only_its_own() {
    let bench = Bench::new();
    let script = "set -e; id -u; pwd; ls /; ls /proc | grep -c '^[0-9]'; echo x > $MOORLINE_OUTPUT_DIR/file; \
                  cat $MOORLINE_INPUT | head -c 10; echo; hostname; cat /proc/1/comm; ls /dev; env | sort";
    let (handle, outcome) = bench.run(&sandboxed(bench.script(script))).await;
    let lines = bench.lines(&handle, LogStream::Stdout).await;
    println!("{lines:#?} {outcome:#?} {:?}", bench.log(&handle).await);
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
}
