//! Beginning and end.

use std::time::Duration;

use super::super::{ContainerEnd, ContainerError, Limits, Network};
use super::*;

#[tokio::test]
async fn stop_leaves_no_process_and_no_mount() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let marker = format!("marker-of-{}-stop", std::process::id());
    let script =
        format!("setsid sh -c 'sleep 4714; : {marker}' & trap '' TERM; sleep 4714; : {marker}");
    let process = container.exec(shell(&script)).await.unwrap();
    assert_eq!(output(&container, "true").await, "");
    assert_ne!(marked(&marker), Vec::<String>::new());
    assert_eq!(container.stop(Duration::ZERO).await, ContainerEnd::Stopped);
    assert_eq!(marked(&marker), Vec::<String>::new());
    assert_eq!(mounts(&bench.path("state")), Vec::<String>::new());
    assert_eq!(process.wait().await, Exit::ContainerGone);
    assert!(matches!(
        container.exec(command(&["true"])).await,
        Err(ContainerError::Gone)
    ));
    container.remove_files().unwrap();
    assert!(!bench.path("state/containers/bare").exists());
}

#[tokio::test]
async fn a_stop_with_grace_lets_processes_end_by_themselves() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let script = "trap 'echo bye; exit 5' TERM; echo up; while :; do sleep 0.02; done";
    let process = container.exec(shell(script)).await.unwrap();
    process.stdout().reader(0).next().await.unwrap();
    let start = now();
    container.stop(Duration::from_secs(20)).await;
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_eq!(process.wait().await, Exit::Code(5));
    assert_eq!(text(process.stdout()).await, "up\nbye\n");
}

#[tokio::test]
async fn a_dropped_container_ends() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let process = container.exec(command(&["sleep", "1000"])).await.unwrap();
    drop(container);
    assert_eq!(process.wait().await, Exit::ContainerGone);
}

#[tokio::test]
async fn a_container_whose_keeper_is_killed_is_lost() {
    let bench = Bench::new();
    let container = bench.bare().await;
    let process = container.exec(command(&["sleep", "1000"])).await.unwrap();
    let log = bench.path("state/containers/bare/keeper.log");
    let log = std::fs::canonicalize(log).unwrap();
    let keeper = std::fs::read_dir("/proc").unwrap().find_map(|entry| {
        let path = entry.unwrap().path();
        let arguments = std::fs::read(path.join("cmdline")).ok()?;
        let is_keeper = arguments
            .split(|byte| *byte == 0)
            .any(|argument| argument == moorline_sandbox_tools::KEEPER.as_bytes());
        let is_ours = std::fs::read_link(path.join("fd/2")).ok()? == log;
        (is_keeper && is_ours).then(|| path.file_name()?.to_str()?.parse().ok())?
    });
    let keeper = rustix::process::Pid::from_raw(keeper.unwrap()).unwrap();
    rustix::process::kill_process(keeper, rustix::process::Signal::KILL).unwrap();
    assert!(matches!(container.wait().await, ContainerEnd::Lost(_)));
    assert_eq!(process.wait().await, Exit::ContainerGone);
}

#[tokio::test]
async fn limits_hold_for_all_processes_together() {
    let bench = Bench::new();
    let mut limited = spec(&format!("limited-{}", std::process::id()));
    limited.limits = Limits {
        memory_bytes: Some(64 << 20),
        cpu: Some(0.5),
        pids: Some(20),
    };
    let container = bench.start(limited).await;
    if !rustix::process::geteuid().is_root() {
        // Who may not make groups runs without limits.
        assert_eq!(output(&container, "echo ran").await, "ran\n");
        return;
    }
    let take = "python3 -c 'x = b\"1\" * (200 << 20)'";
    assert_eq!(run(&container, take).await.2, Exit::Code(137));
    let fork = "i=0; while [ $i -lt 40 ]; do sleep 5 & i=$((i+1)); done; echo all";
    assert_ne!(run(&container, fork).await.0, "all\n");
    container.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_wrong_specification_says_what_is_wrong() {
    let bench = Bench::new();
    let error = bench.runtime.start(spec("a/b")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the container's id `a/b`: it must be of letters, digits, `-` and `_`"
    );
    let mut missing = spec("missing");
    missing.mounts = vec![super::super::Mount {
        source: "/no/such/place".into(),
        target: "/mnt/x".into(),
        read_only: true,
    }];
    let error = bench.runtime.start(missing).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "the container could not be built: building the root: \
         mounting `/no/such/place` at `/mnt/x`: No such file or directory (os error 2)"
    );
    assert!(!bench.path("state/containers/missing").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_containers_start_and_end_at_once() {
    let bench = Arc::new(Bench::new());
    let start = now();
    let mut all = tokio::task::JoinSet::new();
    for number in 0..20 {
        let bench = Arc::clone(&bench);
        all.spawn(async move {
            let container = bench.start(spec(&format!("c{number}"))).await;
            assert_eq!(
                output(&container, "echo $$ > /tmp/x; cat /tmp/x").await,
                "3\n"
            );
            container.stop(Duration::ZERO).await;
            container.remove_files().unwrap();
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    println!("20 containers in {:?}", start.elapsed());
    assert_eq!(
        std::fs::read_dir(bench.path("state/containers"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn a_container_starts_soon() {
    let bench = Bench::new();
    for network in [Network::Open, Network::Blocked, Network::Separate] {
        let mut times = Vec::new();
        for number in 0..10 {
            let start = now();
            let container = bench
                .start(ContainerSpec {
                    network: network.clone(),
                    ..spec(&format!("c{number}"))
                })
                .await;
            let built = start.elapsed();
            let process = container.exec(command(&["true"])).await.unwrap();
            process.wait().await;
            let ran = start.elapsed();
            container.stop(Duration::ZERO).await;
            times.push((ran, built, start.elapsed()));
            container.remove_files().unwrap();
        }
        times.sort();
        let (ran, built, ended) = times[times.len() / 2];
        println!("{network:?}: built in {built:?}, first process ended {ran:?}, stopped {ended:?}");
        // Loose: this machine may be busy.
        assert!(times[0].0 < Duration::from_secs(1));
    }
}
