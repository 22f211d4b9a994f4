//! What happens where protections can not be had.

use moorline_core::attempt::{Attempt, Exit, IsolationNeed, Mount, Protection};
use moorline_core::spec::Egress;
use moorline_executor::{Executor as _, ExecutorError, LogStream};
use moorline_secrets::SecretEnv;

use super::support::Bench;

fn without_bubblewrap() -> Bench {
    let mut bench = Bench::new();
    bench.restart(|config| config.bwrap = None);
    bench
}

fn with(mut attempt: Attempt, isolation: IsolationNeed) -> Attempt {
    attempt.isolation = isolation;
    attempt
}

#[tokio::test]
async fn required_protection_that_can_not_be_had_refuses_the_launch_and_says_what_would_give_it() {
    let bench = without_bubblewrap();
    let attempt = with(
        bench.script("touch $MOORLINE_OUTPUT_DIR/ran"),
        IsolationNeed::Required,
    );
    let error = bench
        .executor
        .launch(&attempt, &SecretEnv::new())
        .await
        .unwrap_err();
    let ExecutorError::Isolation { missing } = &error else {
        panic!("{error:?}")
    };
    for part in [
        "Filesystem: ",
        "Processes: ",
        "`apt-get install bubblewrap`",
    ] {
        assert!(missing.contains(part), "{missing}");
    }
    assert_eq!(bench.executor.find_owned("tests").await.unwrap(), []);
}

#[tokio::test]
async fn best_effort_runs_with_what_there_is_and_says_what_is_missing() {
    let bench = without_bubblewrap();
    let script = "
        cat /etc/shadow; touch /root/here; echo x > $MOORLINE_OUTPUT_DIR/x; cat $MOORLINE_INPUT | head -c 1
        grep -h 'NoNewPrivs\\|Seccomp:' /proc/self/status; unshare -U true";
    let attempt = with(bench.script(script), IsolationNeed::BestEffort);
    let (handle, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.isolation.backend, "process");
    let missing: Vec<_> = outcome
        .isolation
        .missing
        .iter()
        .map(|m| m.protection)
        .collect();
    assert!(
        missing.starts_with(&[Protection::Filesystem, Protection::Processes]),
        "{missing:?}"
    );
    for have in [
        Protection::Network,
        Protection::Syscalls,
        Protection::NoNewPrivileges,
        Protection::Ipc,
    ] {
        assert!(
            outcome.isolation.protections.contains(&have),
            "{:?}",
            outcome.isolation
        );
    }
    let out = bench.lines(&handle, LogStream::Stdout).await;
    assert_eq!(out, ["{NoNewPrivs:\t1", "Seccomp:\t2"]);
    let err = bench.lines(&handle, LogStream::Stderr).await;
    assert_eq!(err.len(), 3, "{err:?}");
    assert!(
        err.iter()
            .all(|line| line.contains("denied") || line.contains("not permitted")),
        "{err:?}"
    );
    assert_eq!(bench.executor.collect(&handle).await.unwrap().len(), 1);
}

#[tokio::test]
async fn without_a_sandbox_there_is_no_network_either_when_none_is_allowed() {
    let bench = without_bubblewrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let connect = format!("import socket; socket.create_connection(('127.0.0.1', {port}), 5)");
    let mut attempt = with(
        bench.attempt(&["python3", "-c", &connect]),
        IsolationNeed::BestEffort,
    );
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 1 });
    attempt.id = bench.attempt(&[]).id;
    attempt.egress = Egress::Open;
    let (_, outcome) = bench.run(&attempt).await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 }, "positive control");
    attempt.id = bench.attempt(&[]).id;
    attempt.egress = Egress::Allow(vec!["a.example".to_owned()]);
    let (_, outcome) = bench.run(&attempt).await;
    assert!(
        outcome
            .isolation
            .missing
            .iter()
            .any(|m| m.protection == Protection::Network)
    );
}

#[tokio::test]
async fn a_plain_process_is_reported_as_what_it_is() {
    let bench = Bench::new();
    let (_, outcome) = bench.run(&bench.script("exit 0")).await;
    assert_eq!(outcome.isolation.backend, "none");
    assert_eq!(
        (outcome.isolation.protections, outcome.isolation.missing),
        (vec![], vec![])
    );
}

#[tokio::test]
async fn a_moved_mount_needs_a_sandbox() {
    let bench = without_bubblewrap();
    for isolation in [IsolationNeed::Off, IsolationNeed::BestEffort] {
        let mut attempt = with(bench.script("exit 0"), isolation);
        let source = bench.home.path().to_owned();
        attempt.mounts = vec![Mount {
            source,
            path: "/data".to_owned(),
            read_only: true,
        }];
        let error = bench
            .executor
            .launch(&attempt, &SecretEnv::new())
            .await
            .unwrap_err();
        assert!(
            matches!(error, ExecutorError::Unsupported { .. }),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn a_sandbox_that_breaks_was_never_started() {
    let mut bench = Bench::new();
    // It passes the trial, and then it does not.
    let fake = bench.home.path().join("bwrap");
    let broken = bench.home.path().join("broken");
    let script = format!(
        "#!/bin/sh\n[ -e {} ] && {{ echo 'bwrap: no luck' >&2; exit 1; }}\nexec bwrap \"$@\"\n",
        broken.display()
    );
    std::fs::write(&fake, script).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&fake, mode).unwrap();
    bench.restart(|config| config.bwrap = Some(fake.clone()));
    let (_, outcome) = bench
        .run(&with(bench.script("exit 0"), IsolationNeed::Required))
        .await;
    assert_eq!(outcome.exit, Exit::Exited { code: 0 });
    std::fs::write(broken, "").unwrap();
    let (_, outcome) = bench
        .run(&with(bench.script("exit 0"), IsolationNeed::Required))
        .await;
    let reason = "the sandbox could not be made: bwrap: no luck".to_owned();
    assert_eq!(outcome.exit, Exit::NotStarted { reason });
    assert_eq!(outcome.started_at, None);
}

#[tokio::test]
async fn capabilities_tell_what_this_machine_gives() {
    let all = Bench::new().executor.capabilities();
    assert_eq!(all.name, "local");
    assert!(
        all.egress_allow_list && all.protections.contains(&Protection::Filesystem),
        "{all:?}"
    );
    let less = without_bubblewrap().executor.capabilities();
    assert!(
        !less.egress_allow_list && !less.protections.contains(&Protection::Filesystem),
        "{less:?}"
    );
}
