//! Nothing is lost, repeated, or applied twice under any fault of the emulator's plan.

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_client::sandbox::{ExecExit, ExecSpec, Outcome};
use moorline_modal_client::transfer::{Files, Source};
use moorline_modal_client::volume::{PutOptions, Version};
use moorline_modal_client::{CallOptions, ErrorKind, Existence};

use proptest::prelude::*;

use crate::emulator::support::{Emu, content};

/// Faults of a unary call that a client survives.
const UNARY: [&str; 6] = [
    r#""kind":"fail_before","code":14"#,
    r#""kind":"fail_after","code":14"#,
    r#""kind":"fail_after","code":13"#,
    r#""kind":"delay","ms":50"#,
    r#""kind":"reset""#,
    r#""kind":"throttle","retry_after_secs":0.1"#,
];

/// As a token is answered that has ended.
const REFUSED: &str = r#""kind":"fail_before","code":16"#;

/// Faults of a stream that a client survives.
const STREAM: [&str; 5] = [
    r#""kind":"fail_before","code":14"#,
    r#""kind":"reset","after":0"#,
    r#""kind":"reset","after":2"#,
    r#""kind":"stall","after":1"#,
    REFUSED,
];

fn plan(faults: &[(&str, &str)]) -> String {
    let faults: Vec<_> = faults
        .iter()
        .map(|(rpc, fault)| format!(r#"{{"rpc":"{rpc}",{fault}}}"#))
        .collect();
    format!("[{}]", faults.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_made_once_whatever_happens_to_the_call() {
    let emu = Emu::start().await;
    let spec = emu.spec(&["true"]).await;
    for (number, fault) in UNARY.iter().enumerate() {
        emu.faults(&plan(&[("SandboxCreateV2", fault)]));
        let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
        assert!(sandbox.wait().await.unwrap().is_success(), "{fault}");
        assert_eq!(
            emu.counts("sandbox.create"),
            (number + 1, number + 1),
            "{fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_that_is_repeated_with_its_key_is_the_same_sandbox() {
    let emu = Emu::start().await;
    let spec = emu.spec(&["sleep", "1000"]).await;
    let options = CallOptions::new().idempotency_key("attempt-1");
    let first = emu
        .client
        .sandboxes()
        .create_with(&spec, &options)
        .await
        .unwrap();
    // As another process would after a crash.
    let client = crate::emulator::support::client(&emu.url());
    let second = client
        .sandboxes()
        .create_with(&spec, &options)
        .await
        .unwrap();
    assert_eq!(first.id(), second.id());
    assert_eq!(emu.counts("sandbox.create"), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_started_once_whatever_happens_to_the_call() {
    let emu = Emu::start().await;
    let spec = emu.spec(&["sleep", "1000"]).await;
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    for (number, fault) in UNARY.iter().enumerate() {
        emu.faults(&plan(&[("TaskExecStart", fault), ("TaskExecWait", fault)]));
        let command = ["sh", "-c", "echo x >> /tmp/started"];
        let process = sandbox.exec(&ExecSpec::new(command)).await.unwrap();
        assert_eq!(process.wait().await.unwrap(), ExecExit::Code(0), "{fault}");
        assert_eq!(emu.counts("exec.start").0, number + 1, "{fault}");
    }
    // A token that the router refuses is renewed, once for each call.
    emu.faults(&plan(&[
        ("TaskExecStart", REFUSED),
        ("TaskExecWait", REFUSED),
    ]));
    let process = sandbox.exec(&ExecSpec::new(["true"])).await.unwrap();
    assert_eq!(process.wait().await.unwrap(), ExecExit::Code(0));
    emu.faults(r#"[{"rpc":"TaskExecStart","times":9,"kind":"fail_before","code":16}]"#);
    let refused = sandbox.exec(&ExecSpec::new(["true"])).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unauthenticated);
    emu.faults("[]");
    let started = sandbox.fs().read("/tmp/started", 99).await.unwrap();
    assert_eq!(started.len(), 2 * UNARY.len(), "one line a command");
}

/// Lines that come slowly enough for a stream to break between them.
const LINES: &str = "i=0; while [ $i -lt 20 ]; do echo line $i; i=$((i+1)); sleep 0.01; done";

fn lines() -> Vec<String> {
    (0..20).map(|number| format!("line {number}")).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn output_has_no_gap_and_no_repeat_whatever_happens_to_the_stream() {
    let emu = Emu::start().await;
    let spec = emu.spec(&["sh", "-c", LINES]).await;
    let command = ExecSpec::new(["sh", "-c", LINES]);
    let idle = emu
        .client
        .sandboxes()
        .create(&emu.spec(&["sleep", "1000"]).await)
        .await
        .unwrap();
    for fault in STREAM {
        emu.faults(&plan(&[
            ("SandboxStdioReadV2", fault),
            ("TaskExecStdioRead", fault),
        ]));
        let of_sandbox = async {
            let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
            let lines = sandbox.stdout().await.unwrap().lines();
            lines.try_collect::<Vec<_>>().await.unwrap()
        };
        let of_command = async {
            let process = idle.exec(&command).await.unwrap();
            process
                .stdout()
                .lines()
                .try_collect::<Vec<_>>()
                .await
                .unwrap()
        };
        let (of_sandbox, of_command) = tokio::join!(of_sandbox, of_command);
        assert_eq!(of_sandbox, lines(), "{fault}");
        assert_eq!(of_command, lines(), "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_read_can_be_dropped_and_taken_up_again() {
    let emu = Emu::start().await;
    let sandbox = emu
        .client
        .sandboxes()
        .create(&emu.spec(&["sh", "-c", LINES]).await)
        .await
        .unwrap();
    let mut output = sandbox.stdout().await.unwrap();
    let mut read = Vec::new();
    loop {
        let next = tokio::time::timeout(std::time::Duration::from_millis(3), output.next()).await;
        match next {
            Err(_) => {}
            Ok(Some(chunk)) => {
                let chunk = chunk.unwrap();
                assert_eq!(chunk.offset, read.len() as u64);
                read.extend_from_slice(&chunk.data);
            }
            Ok(None) => break,
        }
    }
    assert_eq!(String::from_utf8(read).unwrap(), lines().join("\n") + "\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn input_arrives_once_whatever_happens_to_the_calls() {
    let emu = Emu::start().await;
    let sandbox = emu
        .client
        .sandboxes()
        .create(&emu.spec(&["sleep", "1000"]).await)
        .await
        .unwrap();
    for fault in UNARY {
        emu.faults(&plan(&[("TaskExecStdinWrite", fault)]));
        let process = sandbox.exec(&ExecSpec::new(["cat"])).await.unwrap();
        let mut stdin = process.stdin();
        for piece in ["one ", "two ", "three"] {
            stdin.write(piece).await.unwrap();
        }
        stdin.close().await.unwrap();
        let read = process.stdout().read_to_end(99).await.unwrap();
        assert_eq!(read, "one two three", "{fault}");
    }
    let large = content(3 << 20);
    let source = Source::bytes(large.clone());
    for fault in [
        r#""kind":"fail_after","code":14"#,
        r#""kind":"reset""#,
        r#""kind":"fail_before","code":14"#,
    ] {
        emu.faults(&plan(&[("TaskExecStdinWriteStream", fault)]));
        let process = sandbox.exec(&ExecSpec::new(["cat"])).await.unwrap();
        let (sent, read) = tokio::join!(
            process.stdin().write_all(&source),
            process.stdout().read_to_end(4 << 20)
        );
        sent.unwrap();
        assert!(read.unwrap() == large, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_write_is_made_up_for_by_the_next() {
    let emu = Emu::start().await;
    let sandbox = emu
        .client
        .sandboxes()
        .create(&emu.spec(&["sleep", "1000"]).await)
        .await
        .unwrap();
    let process = sandbox.exec(&ExecSpec::new(["cat"])).await.unwrap();
    emu.faults(&plan(&[(
        "TaskExecStdinWrite",
        r#""kind":"delay","ms":300"#,
    )]));
    let mut stdin = process.stdin();
    let patience = std::time::Duration::from_millis(30);
    assert!(
        tokio::time::timeout(patience, stdin.write("one "))
            .await
            .is_err()
    );
    stdin.write("two").await.unwrap();
    stdin.close().await.unwrap();
    assert_eq!(process.stdout().read_to_end(99).await.unwrap(), "one two");
}

async fn files_survive(version: Version, faults: &[(&str, &str)]) {
    let emu = Emu::start().await;
    let content = content(20 << 20);
    let local = tempfile::tempdir().unwrap();
    let target = local.path().join("x");
    for (number, (rpc, fault)) in faults.iter().enumerate() {
        let what = format!("{version} {rpc} {fault}");
        let name = format!("v{number}");
        let existence = Existence::CreateNew;
        let volume = emu
            .client
            .volumes()
            .lookup(&name, None, existence, Some(version))
            .await
            .unwrap();
        // Other bytes each time, or nothing would be sent.
        let mut content = content.clone();
        for block in content.chunks_mut(8 << 20) {
            block[0] = u8::try_from(number).unwrap();
        }
        let requests = emu.client.transfers().unwrap().stats().requests;
        emu.faults(&plan(&[(rpc, fault)]));
        let files = Files::new().bytes(content.clone(), "x");
        volume.put(&files, PutOptions::new()).await.unwrap();
        assert_eq!(emu.effects("volume.put").len(), number + 1, "{what}");
        volume.get("x", &target).await.unwrap();
        assert!(std::fs::read(&target).unwrap() == content, "{what}");
        if rpc.contains('/') {
            let sent = if version == Version::V1 { 1 } else { 3 };
            let requests = emu.client.transfers().unwrap().stats().requests - requests;
            assert!(
                requests > sent + 3,
                "{what}: {requests} requests, so no fault struck"
            );
        }
    }
}

const LOST: &str = r#""kind":"fail_after","code":14"#;
const BROKEN: &str = r#""kind":"fail_before","code":13"#;
const SLOW_DOWN: &str = r#""kind":"throttle","retry_after_secs":1"#;
const RESET: &str = r#""kind":"reset","after":1"#;
const STALL: &str = r#""kind":"stall","after":1"#;
/// As a signed URL that is too old is answered.
const EXPIRED: &str = r#""kind":"fail_before","code":7"#;

#[tokio::test(flavor = "multi_thread")]
async fn files_of_version_1_are_put_and_got_whatever_happens_on_the_way() {
    let faults = [
        ("VolumePutFiles", LOST),
        ("VolumeGetFile2", BROKEN),
        ("MountPutFile", LOST),
        ("BlobCreate", BROKEN),
        ("PUT /blobs", BROKEN),
        ("PUT /blobs", r#""kind":"fail_after","code":13"#),
        ("PUT /blobs", SLOW_DOWN),
        ("GET /volumes", BROKEN),
        ("GET /volumes", RESET),
        ("GET /volumes", STALL),
        ("GET /volumes", EXPIRED),
    ];
    files_survive(Version::V1, &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_version_2_are_put_and_got_whatever_happens_on_the_way() {
    let faults = [
        ("VolumePutFiles2", LOST),
        ("VolumeGetFile2", BROKEN),
        ("PUT /volumes", BROKEN),
        ("PUT /volumes", r#""kind":"fail_after","code":13"#),
        ("PUT /volumes", r#""kind":"reset","after":0"#),
        ("PUT /volumes", SLOW_DOWN),
        ("GET /volumes", BROKEN),
        ("GET /volumes", RESET),
        ("GET /volumes", STALL),
        ("GET /volumes", EXPIRED),
    ];
    files_survive(Version::V2, &faults).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_that_breaks_off_goes_on_where_it_was() {
    let emu = Emu::start().await;
    let content = content(5 << 20);
    let blob_id = emu
        .client
        .blobs()
        .upload(&Source::bytes(content.clone()))
        .await
        .unwrap();
    for fault in [BROKEN, SLOW_DOWN, RESET, STALL] {
        emu.faults(&plan(&[("GET /blobs", fault)]));
        let retries = emu.client.transfers().unwrap().stats().retries;
        let back = emu.client.blobs().read(&blob_id, 6 << 20).await.unwrap();
        assert!(back == content, "{fault}");
        assert!(
            emu.client.transfers().unwrap().stats().retries > retries,
            "{fault}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_breaks_off_is_complete_all_the_same() {
    let emu = Emu::start().await;
    let volume = emu
        .client
        .volumes()
        .ephemeral(None, Some(Version::V2))
        .await
        .unwrap();
    let files = (0..300).fold(Files::new(), |files, number| {
        files.bytes(number.to_string(), format!("d/{number}"))
    });
    volume.put(&files, PutOptions::new()).await.unwrap();
    for fault in [
        r#""kind":"reset","after":1"#,
        r#""kind":"fail_before","code":14"#,
    ] {
        emu.faults(&plan(&[("VolumeListFiles2", fault)]));
        let mut names: Vec<_> = volume
            .list("d", true)
            .map_ok(|entry| entry.path)
            .try_collect()
            .await
            .unwrap();
        assert_eq!(names.len(), 300, "{fault}");
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 300, "{fault}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_succeed_is_not_tried_again() {
    let emu = Emu::start().await;
    let spec = emu.spec(&["true"]).await;
    emu.faults(&plan(&[(
        "SandboxCreateV2",
        r#""kind":"fail_before","code":3"#,
    )]));
    let error = emu.client.sandboxes().create(&spec).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    assert!(!error.may_have_happened());
    assert_eq!(emu.counts("sandbox.create"), (0, 0));
}

/// A fault of any kind that a unary call survives, on its n-th call, for a few calls.
fn unary_fault() -> impl Strategy<Value = String> {
    (prop::sample::select(UNARY.to_vec()), 1..3_u64, 1..3_u64)
        .prop_map(|(fault, nth, times)| format!(r#""nth":{nth},"times":{times},{fault}"#))
}

fn stream_fault() -> impl Strategy<Value = String> {
    (prop::sample::select(STREAM.to_vec()), 1..3_u64)
        .prop_map(|(fault, nth)| format!(r#""nth":{nth},{fault}"#))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(4) })]

    /// Whatever happens to every call of a session at once: one sandbox, one command, each byte once.
    #[test]
    fn a_session_is_exact_under_any_plan_of_faults(
        unary in prop::collection::vec(unary_fault(), 6),
        streams in prop::collection::vec(stream_fault(), 2),
    ) {
        let unary_rpcs = [
            "SandboxCreateV2", "SandboxWaitV2", "SandboxTerminateV2",
            "TaskExecStart", "TaskExecStdinWrite", "TaskExecWait",
        ];
        let stream_rpcs = ["SandboxStdioReadV2", "TaskExecStdioRead"];
        let faults: Vec<_> = unary_rpcs
            .into_iter()
            .chain(stream_rpcs)
            .zip(unary.iter().chain(&streams).map(String::as_str))
            .collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(session(&plan(&faults)));
    }
}

async fn session(faults: &str) {
    let emu = Emu::start().await;
    let spec = emu.spec(&["sh", "-c", "echo begin; exec sleep 1000"]).await;
    emu.faults(faults);
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    let mut output = sandbox.stdout().await.unwrap();
    assert_eq!(
        output.try_next().await.unwrap().unwrap().data,
        "begin\n",
        "{faults}"
    );
    let process = sandbox.exec(&ExecSpec::new(["cat"])).await.unwrap();
    let mut stdin = process.stdin();
    for piece in ["one ", "two ", "three"] {
        stdin.write(piece).await.unwrap();
    }
    stdin.close().await.unwrap();
    assert_eq!(
        process.stdout().read_to_end(99).await.unwrap(),
        "one two three",
        "{faults}"
    );
    assert_eq!(process.wait().await.unwrap(), ExecExit::Code(0), "{faults}");
    sandbox.terminate().await.unwrap();
    assert_eq!(
        sandbox.wait().await.unwrap(),
        Outcome::Terminated,
        "{faults}"
    );
    assert_eq!(output.try_next().await.unwrap(), None, "{faults}");
    for what in ["sandbox.create", "exec.start", "sandbox.terminate"] {
        assert_eq!(emu.counts(what), (1, 1), "{what} {faults}");
    }
}
