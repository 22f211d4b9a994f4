//! Limits that are reached are named.

use moorline_core::attempt::{Attempt, Exit, IsolationNeed, LimitHit, LimitKind, Outcome};

use super::support::Bench;

fn sandboxed(mut attempt: Attempt) -> Attempt {
    attempt.isolation = IsolationNeed::Required;
    attempt
}

fn python(bench: &Bench, program: &str) -> Attempt {
    sandboxed(bench.attempt(&["python3", "-c", program]))
}

fn kinds(outcome: &Outcome) -> Vec<LimitKind> {
    outcome.limits_hit.iter().map(|hit| hit.kind).collect()
}

const HOG: &str = "
data = []
while True:
    data.append(bytearray(1 << 20))
";

/// L23: an out-of-memory kill says so.
#[tokio::test]
async fn a_memory_hog_is_killed_and_named() {
    let bench = Bench::new();
    let mut attempt = python(&bench, HOG);
    attempt.limits.memory_bytes = Some(64 << 20);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Signaled { signal: 9 });
    let detail = "64 MiB, 1 process killed by the kernel".to_owned();
    assert_eq!(
        outcome.limits_hit,
        [LimitHit {
            kind: LimitKind::Memory,
            detail
        }]
    );
    let peak = outcome.usage.peak_memory_bytes;
    assert!((32 << 20..=64 << 20).contains(&peak), "{peak}");
}

#[tokio::test]
async fn memory_counts_for_all_processes_together() {
    let bench = Bench::new();
    let mut attempt = python(
        &bench,
        "
import os
for _ in range(8):
    if os.fork() == 0:
        data = bytearray(b'x' * (16 << 20)); os.read(os.pipe()[0], 1)
for _ in range(8):
    print(os.wait())
",
    );
    attempt.limits.memory_bytes = Some(64 << 20);
    attempt.limits.timeout = std::time::Duration::from_secs(3);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(kinds(&outcome), [LimitKind::Memory]);
}

#[tokio::test]
async fn a_fork_bomb_hits_its_limit_and_is_named() {
    let bench = Bench::new();
    let mut attempt = python(
        &bench,
        "
import os, time
while True:
    if os.fork() == 0:
        time.sleep(1000)
",
    );
    attempt.limits.pids = Some(50);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 1 });
    let detail = "50 processes and threads at once".to_owned();
    assert_eq!(
        outcome.limits_hit,
        [LimitHit {
            kind: LimitKind::Pids,
            detail
        }]
    );
}

#[tokio::test]
async fn a_fork_bomb_meets_the_default_limit_when_nothing_is_asked_for() {
    let bench = Bench::new();
    let bomb = "
import os
while True:
    try:
        os.fork()
    except OSError:
        pass
";
    let mut attempt = python(&bench, bomb);
    attempt.limits.timeout = std::time::Duration::from_millis(500);
    attempt.limits.grace = std::time::Duration::ZERO;
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::TimedOut);
}

#[tokio::test]
async fn as_many_processes_as_allowed_are_no_hit() {
    let bench = Bench::new();
    let mut attempt = sandboxed(bench.script(
        "i=0; while [ $i -lt 400 ]; do /bin/true; i=$((i+1)); done; sleep 0.1 & sleep 0.1 & wait",
    ));
    attempt.limits.pids = Some(4);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    assert_eq!(outcome.limits_hit, []);
}

#[tokio::test]
async fn a_full_temporary_directory_is_named() {
    let bench = Bench::new();
    let mut attempt = sandboxed(
        bench.script("i=0; while head -c 100000 /dev/zero > /tmp/$i; do i=$((i+1)); done; exit 1"),
    );
    attempt.limits.disk_bytes = Some(1 << 20);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 1 });
    let detail = "/tmp is full".to_owned();
    assert_eq!(
        outcome.limits_hit,
        [LimitHit {
            kind: LimitKind::Disk,
            detail
        }]
    );
}

#[tokio::test]
async fn one_large_file_is_stopped_and_named() {
    let bench = Bench::new();
    let write = "head -c 100000000 /dev/zero > $MOORLINE_OUTPUT_DIR/x";
    // In the sandbox the kernel ends the write itself. Elsewhere it is looked for now and then, and a fast
    // disk takes all of it between two looks; so the job stays.
    let cases = [
        (IsolationNeed::Required, format!("exec {write}")),
        (IsolationNeed::Off, format!("{write}; exec sleep 1000")),
    ];
    for (isolation, script) in cases {
        let mut attempt = sandboxed(bench.script(&script));
        attempt.isolation = isolation;
        attempt.limits.disk_bytes = Some(1 << 20);
        let (handle, outcome) = bench.run(&attempt).await;
        assert_eq!(kinds(&outcome), [LimitKind::Disk], "{outcome:?}");
        if isolation == IsolationNeed::Required {
            let size = bench.size_of("out/x", &handle);
            assert!(size <= 1 << 20, "{size}");
        }
    }
}

#[tokio::test]
async fn many_files_are_stopped_and_named() {
    let bench = Bench::new();
    let script = "cd $MOORLINE_OUTPUT_DIR; i=0; while :; do echo x > $i; i=$((i+1)); done";
    for isolation in [IsolationNeed::Required, IsolationNeed::Off] {
        let mut attempt = bench.script(script);
        attempt.isolation = isolation;
        attempt.limits.disk_bytes = Some(1 << 20);
        let (_, outcome) = bench.run(&attempt).await;
        assert_eq!(outcome.exit, Exit::Signaled { signal: 9 });
        let detail = "1 MiB written".to_owned();
        assert_eq!(
            outcome.limits_hit,
            [LimitHit {
                kind: LimitKind::Disk,
                detail
            }]
        );
    }
}

#[tokio::test]
async fn use_is_measured_with_all_children() {
    let bench = Bench::new();
    let spin = "
import os, time
for _ in range(2):
    if os.fork() == 0:
        data = bytearray(b'x' * (20 << 20)); end = time.process_time() + 0.1
        while time.process_time() < end: pass
        os._exit(0)
for _ in range(2): os.wait()
";
    for isolation in [IsolationNeed::Required, IsolationNeed::Off] {
        let mut attempt = python(&bench, spin);
        attempt.isolation = isolation;
        let (_, outcome) = bench.run(&attempt).await;
        let usage = outcome.usage;
        assert!((0.2..2.0).contains(&usage.cpu_seconds), "{usage:?}");
        assert!(
            (20 << 20..60 << 20).contains(&usage.peak_memory_bytes),
            "{usage:?}"
        );
        assert!(usage.wall_seconds >= 0.1, "{usage:?}");
    }
}

#[tokio::test]
async fn a_share_of_the_processor_is_kept() {
    let bench = Bench::new();
    let mut attempt = python(
        &bench,
        "
import time
end = time.time() + 0.6
while time.time() < end: pass
",
    );
    attempt.limits.cpu = Some(0.25);
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    assert!(outcome.usage.cpu_seconds < 0.45, "{:?}", outcome.usage);
}
