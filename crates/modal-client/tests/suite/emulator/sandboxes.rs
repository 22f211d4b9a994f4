//! Sandboxes, commands, files, snapshots.

use std::time::Duration;

use futures::TryStreamExt as _;
use moorline_modal_client::sandbox::{
    Api, Egress, ExecExit, ExecSpec, FileKind, Outcome, Port, Probe, Sandbox, SandboxFilter,
    VolumeAt, WatchKind,
};
use moorline_modal_client::transfer::{Files, Source};
use moorline_modal_client::volume::{PutOptions, Version};
use moorline_modal_client::{ErrorKind, Existence};

use crate::emulator::support::{Emu, content};

/// For what takes no time unless it hangs.
const SOON: Duration = Duration::from_secs(20);

async fn sleeping(emu: &Emu) -> Sandbox {
    let spec = emu.spec(&["sleep", "1000"]).await;
    emu.client.sandboxes().create(&spec).await.unwrap()
}

async fn output(sandbox: &Sandbox, command: &[&str]) -> (String, ExecExit) {
    let process = sandbox
        .exec(&ExecSpec::new(command.iter().copied()))
        .await
        .unwrap();
    let stdout = process.stdout().read_to_end(1 << 20).await.unwrap();
    (
        String::from_utf8_lossy(&stdout).into_owned(),
        process.wait().await.unwrap(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_runs_and_tells_what_it_wrote_and_how_it_ended() {
    let emu = Emu::start().await;
    let spec = emu
        .spec(&["sh", "-c", "echo out; echo err >&2; exit 3"])
        .await;
    let spec = spec.env("SECRET", "x").name("one").tag("owner", "me");
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    assert_eq!(sandbox.api(), Api::V2);
    let lines: Vec<_> = sandbox
        .stdout()
        .await
        .unwrap()
        .lines()
        .try_collect()
        .await
        .unwrap();
    assert_eq!(lines, ["out"]);
    assert_eq!(
        sandbox
            .stderr()
            .await
            .unwrap()
            .read_to_end(99)
            .await
            .unwrap(),
        "err\n"
    );
    assert_eq!(sandbox.wait().await.unwrap(), Outcome::Exited { code: 3 });
    assert_eq!(
        sandbox.poll().await.unwrap(),
        Some(Outcome::Exited { code: 3 })
    );
    let again = emu.client.sandboxes().from_id(sandbox.id()).await.unwrap();
    assert_eq!(again.outcome(), Some(&Outcome::Exited { code: 3 }));
    assert_eq!(
        again
            .stdout_from(1)
            .await
            .unwrap()
            .read_to_end(99)
            .await
            .unwrap(),
        "ut\n"
    );
    let gone = emu.client.sandboxes().from_id("sb-none").await.unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_is_found_by_name_and_tags_until_it_is_terminated() {
    let emu = Emu::start().await;
    let spec = emu
        .spec(&["sleep", "1000"])
        .await
        .name("one")
        .tag("owner", "me");
    let sandboxes = emu.client.sandboxes();
    let sandbox = sandboxes.create(&spec).await.unwrap();
    let taken = sandboxes.create(&spec).await.unwrap_err();
    assert_eq!(taken.kind(), ErrorKind::AlreadyExists);
    let other = sandboxes
        .create(&spec.clone().name("two").tag("owner", "you"))
        .await
        .unwrap();
    assert_eq!(
        sandboxes
            .from_name("tests", "one", None)
            .await
            .unwrap()
            .id(),
        sandbox.id()
    );
    let listed = async |filter: SandboxFilter| -> Vec<String> {
        sandboxes
            .list(filter)
            .map_ok(|info| info.id)
            .try_collect()
            .await
            .unwrap()
    };
    let mine = SandboxFilter::new().app(&spec.app_id).tag("owner", "me");
    assert_eq!(listed(mine.clone()).await, [sandbox.id()]);
    assert_eq!(
        listed(SandboxFilter::new()).await,
        [other.id(), sandbox.id()]
    );
    let mut tags = sandbox.tags().await.unwrap();
    assert_eq!(tags, [("owner".to_owned(), "me".to_owned())].into());
    tags.insert("more".into(), "1".into());
    sandbox.set_tags(&tags).await.unwrap();
    assert_eq!(sandbox.tags().await.unwrap(), tags);
    assert_eq!(sandbox.poll().await.unwrap(), None);
    sandbox.terminate().await.unwrap();
    assert_eq!(sandbox.wait().await.unwrap(), Outcome::Terminated);
    sandbox.terminate().await.unwrap();
    assert_eq!(listed(mine.clone()).await, Vec::<String>::new());
    assert_eq!(listed(mine.finished()).await, [sandbox.id()]);
    let none = sandboxes.from_name("tests", "one", None).await.unwrap_err();
    assert_eq!(none.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sandbox_ends_at_its_timeout() {
    let emu = Emu::start().await;
    let spec = emu
        .spec(&["sleep", "1000"])
        .await
        .timeout(Duration::from_secs(1));
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    assert_eq!(sandbox.wait().await.unwrap(), Outcome::TimedOut);
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_take_input_and_tell_how_they_ended() {
    let emu = Emu::start().await;
    let sandbox = sleeping(&emu).await;
    let process = sandbox.exec(&ExecSpec::new(["cat"])).await.unwrap();
    assert_eq!(process.poll().await.unwrap(), None);
    let mut stdin = process.stdin();
    stdin.write("one ").await.unwrap();
    stdin.write("two").await.unwrap();
    assert_eq!(stdin.written(), 7);
    stdin.close().await.unwrap();
    assert_eq!(
        stdin.write("x").await.unwrap_err().kind(),
        ErrorKind::Conflict
    );
    assert_eq!(process.wait().await.unwrap(), ExecExit::Code(0));
    let found = sandbox.process(process.id()).await.unwrap();
    assert_eq!(found.stdout_from(4).read_to_end(9).await.unwrap(), "two");
    assert_eq!(found.poll().await.unwrap(), Some(ExecExit::Code(0)));
    let spec = ExecSpec::new(["sh", "-c", "echo $A $PWD; kill -9 $$"])
        .env("A", "1")
        .workdir("/tmp");
    let process = sandbox.exec(&spec).await.unwrap();
    assert_eq!(process.stdout().read_to_end(99).await.unwrap(), "1 /tmp\n");
    assert_eq!(process.wait().await.unwrap(), ExecExit::Signal(9));
    assert_eq!(
        output(&sandbox, &["false"]).await,
        (String::new(), ExecExit::Code(1))
    );
    let large = content(3 << 20);
    let process = sandbox.exec(&ExecSpec::new(["cat"])).await.unwrap();
    let source = Source::bytes(large.clone());
    let (sent, back) = tokio::join!(
        process.stdin().write_all(&source),
        process.stdout().read_to_end(4 << 20)
    );
    sent.unwrap();
    assert!(back.unwrap() == large);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_a_sandbox_takes_input_too() {
    let emu = Emu::start().await;
    let sandbox = emu
        .client
        .sandboxes()
        .create(&emu.spec(&["cat"]).await)
        .await
        .unwrap();
    let mut stdin = sandbox.stdin().await.unwrap();
    stdin.write("hello").await.unwrap();
    stdin.close().await.unwrap();
    assert_eq!(
        sandbox
            .stdout()
            .await
            .unwrap()
            .read_to_end(9)
            .await
            .unwrap(),
        "hello"
    );
    assert!(sandbox.wait().await.unwrap().is_success());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_sandbox_are_read_and_written() {
    let emu = Emu::start().await;
    let sandbox = sleeping(&emu).await;
    let fs = sandbox.fs();
    let large = content(2 << 20);
    fs.make_directory("/work/a", true).await.unwrap();
    fs.write("/work/a/b", &Source::bytes(large.clone()))
        .await
        .unwrap();
    assert!(fs.read("/work/a/b", 3 << 20).await.unwrap() == large);
    let too_long = fs.read("/work/a/b", 10).await.unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::ResourceExhausted);
    let local = tempfile::tempdir().unwrap();
    let target = local.path().join("b");
    assert_eq!(
        fs.download("/work/a/b", &target).await.unwrap(),
        large.len() as u64
    );
    assert!(std::fs::read(&target).unwrap() == large);
    let listed = fs.list("/work").await.unwrap();
    let shown: Vec<_> = listed
        .iter()
        .map(|info| (info.name.as_str(), info.kind))
        .collect();
    assert_eq!(shown, [("a", FileKind::Directory)]);
    let info = fs.stat("/work/a/b").await.unwrap();
    assert_eq!((info.kind, info.size), (FileKind::File, large.len() as u64));
    let kind = |result: moorline_modal_client::Result<()>| result.unwrap_err().kind();
    assert_eq!(kind(fs.remove("/work", false).await), ErrorKind::Conflict);
    assert_eq!(
        kind(fs.make_directory("/work/a", false).await),
        ErrorKind::AlreadyExists
    );
    assert_eq!(
        kind(fs.write("/work", &Source::bytes("x")).await),
        ErrorKind::Conflict
    );
    fs.remove("/work", true).await.unwrap();
    assert_eq!(
        kind(fs.stat("/work").await.map(|_| ())),
        ErrorKind::NotFound
    );
    assert_eq!(
        fs.download("/work", &target).await.unwrap_err().kind(),
        ErrorKind::NotFound
    );
    assert!(
        std::fs::read(&target).unwrap() == large,
        "a failed download leaves the old file"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_below_a_path_are_reported_until_the_watch_is_closed() {
    let emu = Emu::start().await;
    let sandbox = sleeping(&emu).await;
    let fs = sandbox.fs();
    fs.make_directory("/watched", true).await.unwrap();
    let mut watch = fs
        .watch("/watched", true, &[WatchKind::Create], Some(SOON))
        .await
        .unwrap();
    // The watch stands some time after it was asked for, so files are made until it sees one.
    let made = async {
        for number in 0.. {
            fs.write(&format!("/watched/{number}"), &Source::bytes("x"))
                .await
                .unwrap();
        }
    };
    let event = tokio::select! {
        event = watch.next() => event.unwrap().unwrap(),
        () = made => unreachable!("files are made without end"),
    };
    assert_eq!(event.kind, WatchKind::Create);
    assert!(event.paths[0].starts_with("/watched/"), "{event:?}");
    watch.close().await.unwrap();
    let missing = async { fs.watch("/missing", false, &[], None).await?.next().await };
    assert_eq!(missing.await.unwrap_err().kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_the_file_system_is_an_image_for_others() {
    let emu = Emu::start().await;
    let sandbox = sleeping(&emu).await;
    sandbox
        .fs()
        .write("/kept/x", &Source::bytes("kept"))
        .await
        .unwrap();
    let image = sandbox.snapshot_filesystem(None, SOON).await.unwrap();
    let mut spec = emu.spec(&["cat", "/kept/x"]).await;
    spec.image_id = image;
    let second = emu.client.sandboxes().create(&spec).await.unwrap();
    assert_eq!(
        second.stdout().await.unwrap().read_to_end(9).await.unwrap(),
        "kept"
    );
    let directory = sandbox
        .snapshot_directory("/kept", Some(SOON), SOON)
        .await
        .unwrap();
    let third = sleeping(&emu).await;
    third.mount_image("/there", &directory).await.unwrap();
    assert_eq!(output(&third, &["cat", "/there/x"]).await.0, "kept");
    third.unmount_image("/there").await.unwrap();
    assert_eq!(
        output(&third, &["cat", "/there/x"]).await.1,
        ExecExit::Code(1)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn volumes_are_mounted_and_reloaded() {
    let emu = Emu::start().await;
    let volumes = emu.client.volumes();
    let existence = Existence::CreateIfMissing;
    let volume = volumes
        .lookup("data", None, existence, Some(Version::V2))
        .await
        .unwrap();
    let put = async |name: &str| {
        let files = Files::new().bytes(name.to_owned(), name);
        volume.put(&files, PutOptions::new()).await.unwrap();
    };
    put("before").await;
    let spec = emu
        .spec(&["sleep", "1000"])
        .await
        .volume(VolumeAt::new(volume.id(), "/data"));
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    assert_eq!(output(&sandbox, &["cat", "/data/before"]).await.0, "before");
    put("after").await;
    sandbox.reload_volumes(SOON).await.unwrap();
    assert_eq!(output(&sandbox, &["cat", "/data/after"]).await.0, "after");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_in_a_sandbox_is_reached_when_it_is_ready() {
    let emu = Emu::start().await;
    let script = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8000)";
    let spec = emu.spec(&["python3", "-c", script]).await;
    let probe = Probe::Tcp {
        port: 8000,
        interval: Duration::from_millis(50),
    };
    let spec = spec.port(Port::Tcp(8000)).readiness(probe);
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    sandbox.wait_until_ready(SOON).await.unwrap();
    let tunnels = sandbox.tunnels(SOON).await.unwrap();
    assert_eq!(tunnels.len(), 1);
    let (host, port) = tunnels[0].tcp.clone().unwrap();
    let answer = emu
        .client
        .http()
        .unwrap()
        .get(format!("http://{host}:{port}/"))
        .send()
        .await;
    assert!(answer.unwrap().status().is_success());
    let token = sandbox.connect_token("me", None).await.unwrap();
    assert!(!token.url.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_network_is_closed_and_opened_while_a_sandbox_runs() {
    let emu = Emu::start().await;
    let sandbox = sleeping(&emu).await;
    sandbox.set_egress(&Egress::Blocked).await.unwrap();
    sandbox.set_egress(&Egress::Open).await.unwrap();
    let list = Egress::AllowList {
        cidrs: vec!["10.0.0.0/99".into()],
        domains: vec![],
    };
    let error = sandbox.set_egress(&list).await.unwrap_err();
    assert!(error.to_string().contains("Invalid CIDR"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_brings_a_sandbox_of_the_first_api() {
    let emu = Emu::start().await;
    let mut spec = emu
        .spec(&["sh", "-c", "read x; echo $x-$A; echo err >&2; exit 4"])
        .await;
    spec.resources.gpu = Some("T4".parse().unwrap());
    let spec = spec.env("A", "1");
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    assert_eq!(sandbox.api(), Api::V1);
    sandbox.wait_until_scheduled(SOON).await.unwrap();
    let mut stdin = sandbox.stdin().await.unwrap();
    stdin.write("line\n").await.unwrap();
    stdin.close().await.unwrap();
    assert_eq!(
        sandbox
            .stdout()
            .await
            .unwrap()
            .read_to_end(99)
            .await
            .unwrap(),
        "line-1\n"
    );
    assert_eq!(
        sandbox
            .stderr_from(1)
            .await
            .unwrap()
            .read_to_end(99)
            .await
            .unwrap(),
        "rr\n"
    );
    assert_eq!(sandbox.wait().await.unwrap(), Outcome::Exited { code: 4 });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_is_not_there_is_waited_for_only_so_long() {
    let emu = Emu::start().await;
    let mut spec = emu.spec(&["true"]).await;
    spec.resources.gpu = Some("H100".parse().unwrap());
    emu.faults(r#"{"gpus":[{"gpu":"H100","count":0}]}"#);
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    let error = sandbox
        .wait_until_scheduled(Duration::from_secs(1))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
    sandbox.terminate().await.unwrap();
    assert_eq!(sandbox.wait().await.unwrap(), Outcome::Terminated);
}
