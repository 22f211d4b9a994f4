//! The Modal executor, held to the Executor contract against an emulator.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use moorline_core::attempt::{Attempt, Exit, IsolationNeed, Limits};
use moorline_core::clock::{Ids as _, SystemIds};
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::spec::{Arg, Egress, GpuChoice, Mode};
use moorline_executor::conformance::{self, Feature, Harness, Lack, Program};
use moorline_executor::modal::{ModalConfig, ModalExecutor};
use moorline_executor::{Executor, ExecutorError, LogCursor, LogStream};
use moorline_modal_client::{Client, Config};
use moorline_secrets::SecretEnv;
use moorline_testkit::moorline::binary;
use tempfile::TempDir;

use crate::support::Emu;

/// The executor over an emulator, in a directory of its own.
struct Modal {
    url: String,
    home: TempDir,
}

impl Modal {
    fn at(emu: &Emu) -> Self {
        Self {
            url: emu.emulator().url(),
            home: tempfile::tempdir().unwrap(),
        }
    }

    fn config(&self) -> ModalConfig {
        let client = Config::new(&self.url, "ak-test", "as-test")
            .and_then(Client::new)
            .unwrap();
        ModalConfig::new(
            client,
            self.home.path().join("modal"),
            binary("moorline-supervisor").unwrap(),
        )
    }

    fn executor(&self) -> ModalExecutor {
        ModalExecutor::new(self.config()).unwrap()
    }

    /// An attempt that runs a line of shell.
    fn attempt(&self, script: &str) -> Attempt {
        let bundle = self.home.path().join("bundle");
        std::fs::create_dir_all(&bundle).unwrap();
        Attempt {
            id: AttemptId::new(SystemIds.uuid()),
            run_id: RunId::new(SystemIds.uuid()),
            owner: self.home.path().display().to_string(),
            job_id: "shell".to_owned(),
            source_id: None,
            lane: "dev".to_owned(),
            mode: Mode::Real,
            step: "only".to_owned(),
            number: 1,
            argv: ["/bin/sh", "-c", script].map(Arg::from).into(),
            env: std::collections::BTreeMap::new(),
            bundle,
            working_dir: None,
            params: serde_json::Map::new(),
            inputs: std::collections::BTreeMap::new(),
            steps: std::collections::BTreeMap::new(),
            workflow: None,
            mounts: Vec::new(),
            limits: Limits::default(),
            egress: Egress::None,
            isolation: IsolationNeed::Required,
            image: None,
            gpu: Vec::new(),
            warm_start: false,
            secret_objects: Vec::new(),
        }
    }
}

impl Harness for Modal {
    fn open(&self) -> Result<Arc<dyn Executor>, ExecutorError> {
        Ok(Arc::new(ModalExecutor::new(self.config())?))
    }

    fn lacks(&self) -> Vec<Lack> {
        let why = "a sandbox at Modal has no directory of this machine";
        vec![Lack {
            feature: Feature::HostDirectories,
            why,
        }]
    }

    fn argv(&self, program: &Program) -> Vec<Arg> {
        match program {
            // The same without the FIFO of this machine by which the suite would see who lives.
            Program::StayStubborn(_) => {
                let script = "trap '' TERM HUP INT
                    (setsid sh -c 'while :; do sleep 1000; done' &) >/dev/null 2>&1 </dev/null
                    echo ready; while :; do sleep 1000; done";
                ["/bin/sh", "-c", script].map(Arg::from).into()
            }
            other => other.posix_argv(),
        }
    }

    fn state_directories(&self) -> Vec<PathBuf> {
        vec![self.home.path().to_owned()]
    }

    fn patience(&self) -> Duration {
        Duration::from_mins(1)
    }
}

/// The text of an attempt's log, one entry a line.
async fn log(
    executor: &dyn Executor,
    handle: &moorline_core::attempt::Handle,
) -> Vec<(LogStream, String)> {
    let chunks = executor.logs(handle, LogCursor::default(), false);
    chunks
        .map(|chunk| chunk.map(|chunk| (chunk.stream, chunk.text)).unwrap())
        .collect()
        .await
}

/// The clauses of the contract, in groups that run beside each other.
#[test]
fn the_modal_executor_conforms() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    let failed = emu.block_on(async {
        let cases = futures::stream::iter(conformance::CASES);
        let reports = cases
            .map(|case| conformance::run_case(&modal, case))
            .buffer_unordered(6);
        reports
            .filter_map(async |report| {
                let failed = matches!(report.verdict, conformance::Verdict::Failed(_));
                failed.then(|| format!("{report:?}"))
            })
            .collect::<Vec<_>>()
            .await
    });
    assert!(
        failed.is_empty(),
        "{} cases failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
}

/// What the server did is counted in its journal, not by what the client was told.
#[test]
fn a_creation_whose_answer_is_lost_starts_one_sandbox() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    for fault in [
        r#"[{"rpc": "SandboxCreateV2", "kind": "fail_after", "code": 14}]"#,
        r#"[{"rpc": "SandboxCreateV2", "kind": "fail_after", "code": 14, "times": 9}]"#,
        r#"[{"rpc": "SandboxCreateV2", "kind": "fail_before", "code": 14, "times": 2}]"#,
        r#"[{"rpc": "SandboxCreateV2", "kind": "reset"}]"#,
    ] {
        emu.faults(fault);
        let before = emu.effects("sandbox.create").len();
        let outcome = emu.block_on(async {
            let executor = modal.executor();
            let attempt = modal.attempt("echo once");
            let handle = executor.launch(&attempt, &SecretEnv::new()).await.unwrap();
            executor.wait(&handle).await.unwrap()
        });
        assert_eq!(outcome.exit, Exit::Exited { code: 0 }, "{fault}");
        assert_eq!(emu.effects("sandbox.create").len() - before, 1, "{fault}");
    }
}

/// The log is read again from where it broke off, by the cursor alone.
#[test]
fn a_log_goes_on_where_its_connection_broke() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    emu.faults(r#"[{"rpc": "SandboxStdioReadV2", "kind": "reset", "after": 1, "times": 5}]"#);
    emu.block_on(async {
        let executor = modal.executor();
        let script = "i=0; while [ $i -lt 200 ]; do echo line $i; i=$((i + 1)); sleep 0.002; done";
        let handle = executor
            .launch(&modal.attempt(script), &SecretEnv::new())
            .await
            .unwrap();
        let followed: Vec<_> = executor
            .logs(&handle, LogCursor::default(), true)
            .map(|chunk| chunk.unwrap().text)
            .collect()
            .await;
        let expected: Vec<_> = (0..200).map(|n| format!("line {n}")).collect();
        assert_eq!(followed, expected);
    });
}

/// What was collected is on this machine, and nothing of it at Modal any more.
#[test]
fn a_collected_attempt_leaves_no_volume_behind() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    emu.block_on(async {
        let executor = modal.executor();
        let script = "echo said; printf made > \"$MOORLINE_OUTPUT_DIR/file\"; exit 3";
        let handle = executor
            .launch(&modal.attempt(script), &SecretEnv::new())
            .await
            .unwrap();
        let outcome = executor.wait(&handle).await.unwrap();
        assert_eq!(outcome.exit, Exit::Exited { code: 3 });
        let files = executor.collect(&handle).await.unwrap();
        assert_eq!(std::fs::read_to_string(&files[0].local).unwrap(), "made");
        let other = modal.executor();
        assert_eq!(
            log(&other, &handle).await,
            [(LogStream::Stdout, "said".to_owned())]
        );
        assert_eq!(other.wait(&handle).await.unwrap(), outcome);
        let client = modal.config().client;
        assert_eq!(client.volumes().list(None).await.unwrap(), []);
    });
}

/// An emulator's world ends with it, and so does what ran there.
#[test]
fn an_attempt_of_an_emulator_that_is_gone_is_lost() {
    let first = Emu::start();
    let mut modal = Modal::at(&first);
    let handle = first.block_on(async {
        let attempt = modal.attempt("sleep 100");
        modal
            .executor()
            .launch(&attempt, &SecretEnv::new())
            .await
            .unwrap()
    });
    drop(first);
    let second = Emu::start();
    modal.url = second.emulator().url();
    let outcome = second.block_on(async { modal.executor().wait(&handle).await.unwrap() });
    assert!(
        matches!(outcome.exit, Exit::Lost { .. }),
        "{:?}",
        outcome.exit
    );
}

/// A prepared file system is used again by the next run of the same step, and by no other.
#[test]
fn a_second_run_of_a_step_starts_from_what_the_first_one_prepared() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    emu.block_on(async {
        let executor = modal.executor();
        let script =
            "cat /opt/prepared || { mkdir -p /opt; echo slow > /opt/prepared; echo cold; }";
        let mut seen = Vec::new();
        for dependency in ["a==1", "a==1", "a==2"] {
            let mut attempt = modal.attempt(script);
            attempt.warm_start = true;
            std::fs::write(attempt.bundle.join("requirements.txt"), dependency).unwrap();
            let handle = executor.launch(&attempt, &SecretEnv::new()).await.unwrap();
            assert_eq!(
                executor.wait(&handle).await.unwrap().exit,
                Exit::Exited { code: 0 }
            );
            let stdout = log(&executor, &handle).await.into_iter();
            seen.extend(
                stdout
                    .filter(|(stream, _)| *stream == LogStream::Stdout)
                    .map(|(_, text)| text),
            );
        }
        assert_eq!(seen, ["cold", "slow", "cold"]);
    });
}

/// Rules that Modal can not keep are refused before anything is made.
#[test]
fn a_rule_that_modal_can_not_keep_is_refused_and_nothing_is_created() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    emu.block_on(async {
        let mut attempt = modal.attempt("true");
        attempt.egress = Egress::Allow(vec!["smtp.example.com:25".to_owned()]);
        let refused = modal.executor().launch(&attempt, &SecretEnv::new()).await;
        assert!(
            matches!(refused, Err(ExecutorError::Unsupported { .. })),
            "{refused:?}"
        );
    });
    assert_eq!(emu.effects("sandbox.create"), []);
}

/// Each GPU is waited for as long as its choice says; the log tells of the fallback.
#[test]
fn the_next_gpu_is_asked_for_when_the_first_does_not_come() {
    let emu = Emu::start();
    let modal = Modal::at(&emu);
    emu.faults(r#"{"gpus": [{"gpu": "H100", "count": 0}, {"gpu": "T4", "count": 1}]}"#);
    let choice = |kind: &str, seconds| GpuChoice {
        kind: kind.to_owned(),
        count: 1,
        queue_timeout_seconds: seconds,
    };
    emu.block_on(async {
        let mut attempt = modal.attempt("echo ran");
        attempt.gpu = vec![choice("H100", Some(1)), choice("T4", None)];
        let executor = modal.executor();
        let handle = executor.launch(&attempt, &SecretEnv::new()).await.unwrap();
        assert_eq!(
            executor.wait(&handle).await.unwrap().exit,
            Exit::Exited { code: 0 }
        );
        let said = log(&executor, &handle).await;
        let fallback = "no GPU H100 x1 within 1s: asking for T4 x1".to_owned();
        assert_eq!(
            said,
            [
                (LogStream::System, fallback),
                (LogStream::Stdout, "ran".to_owned())
            ]
        );
    });
}
