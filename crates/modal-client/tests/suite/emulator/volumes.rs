//! Volumes of both versions, blobs and mounts.

use std::path::Path;
use std::process::Command;

use futures::TryStreamExt as _;
use moorline_modal_client::transfer::{Files, Source};
use moorline_modal_client::volume::{EntryKind, PutOptions, Version, Volume};
use moorline_modal_client::{Client, ErrorKind, Existence};

use crate::emulator::support::{Emu, client, content, same};

const MIB: usize = 1024 * 1024;

/// 100 MiB, not a multiple of a block.
const LARGE: usize = 100 * MIB + 12_345;

/// What a client process may need for a file of any size.
const MEMORY_MIB: u64 = 100;

async fn volume(client: &Client, name: &str, version: Version) -> Volume {
    let volumes = client.volumes();
    volumes
        .lookup(name, None, Existence::CreateIfMissing, Some(version))
        .await
        .unwrap()
}

async fn names(volume: &Volume, path: &str) -> Vec<(String, EntryKind, u64)> {
    let entries = volume.list(path, true);
    let mut names: Vec<_> = entries
        .map_ok(|entry| (entry.path, entry.kind, entry.size))
        .try_collect()
        .await
        .unwrap();
    names.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    names
}

async fn files_come_and_go(version: Version) {
    let emu = Emu::start().await;
    let mut volume = volume(&emu.client, "data", version).await;
    assert_eq!((volume.version(), volume.name()), (version, Some("data")));
    let local = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(local.path().join("sub")).unwrap();
    std::fs::write(local.path().join("sub/b"), "bb").unwrap();
    std::fs::write(local.path().join("empty"), "").unwrap();
    let files = Files::new()
        .directory(local.path(), "/dir")
        .bytes("aaa", "a");
    let put = volume.put(&files, PutOptions::new()).await.unwrap();
    assert_eq!((put.files, put.bytes), (3, 5));
    let again = volume.put(&files, PutOptions::new()).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::AlreadyExists);
    let replaced = volume
        .put(&files, PutOptions::new().overwrite())
        .await
        .unwrap();
    assert_eq!(replaced.sent, 0, "the server has the contents");
    let file = |path: &str, size| (path.to_owned(), EntryKind::File, size);
    let directory = |path: &str| (path.to_owned(), EntryKind::Directory, 0);
    let listed = names(&volume, "/")
        .await
        .into_iter()
        .map(|(path, kind, size)| {
            let size = if kind == EntryKind::File { size } else { 0 };
            (path, kind, size)
        });
    let expected = [
        file("a", 3),
        directory("dir"),
        file("dir/empty", 0),
        directory("dir/sub"),
        file("dir/sub/b", 2),
    ];
    assert_eq!(listed.collect::<Vec<_>>(), expected);
    assert_eq!(volume.read_to_bytes("dir/sub/b", 9).await.unwrap(), "bb");
    assert_eq!(volume.read_to_bytes("dir/empty", 9).await.unwrap(), "");
    let part: Vec<_> = volume
        .read_range("a", 1, Some(1))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(part.concat(), b"a");
    let there = tempfile::tempdir().unwrap();
    let got = volume.get_directory("dir", there.path()).await.unwrap();
    assert_eq!((got.files, got.bytes), (2, 2));
    assert_eq!(std::fs::read(there.path().join("sub/b")).unwrap(), b"bb");
    volume.copy(&["a"], "c", false).await.unwrap();
    assert_eq!(volume.read_to_bytes("c", 9).await.unwrap(), "aaa");
    volume.remove("dir", true).await.unwrap();
    volume.remove("a", false).await.unwrap();
    assert_eq!(names(&volume, "/").await, [file("c", 3)]);
    for missing in [
        volume.remove("a", false).await.unwrap_err(),
        volume.get("a", &there.path().join("a")).await.unwrap_err(),
        volume
            .list("a", false)
            .try_collect::<Vec<_>>()
            .await
            .unwrap_err(),
    ] {
        assert_eq!(missing.kind(), ErrorKind::NotFound, "{missing}");
    }
    volume.rename("other").await.unwrap();
    let volumes = emu.client.volumes();
    let found = volumes.list(None).await.unwrap();
    assert_eq!(
        found
            .iter()
            .map(|info| info.name.as_str())
            .collect::<Vec<_>>(),
        ["other"]
    );
    assert_eq!(
        volumes.from_id(volume.id()).await.unwrap().version(),
        version
    );
    volume.delete().await.unwrap();
    let gone = volumes
        .lookup("other", None, Existence::MustExist, None)
        .await
        .unwrap_err();
    assert_eq!(gone.kind(), ErrorKind::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_and_go_in_version_1() {
    files_come_and_go(Version::V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_come_and_go_in_version_2() {
    files_come_and_go(Version::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_volume_of_another_version_is_not_taken_for_it() {
    let emu = Emu::start().await;
    volume(&emu.client, "data", Version::V1).await;
    let volumes = emu.client.volumes();
    let other = volumes
        .lookup("data", None, Existence::CreateIfMissing, Some(Version::V2))
        .await;
    assert!(other.is_err());
    let twice = volumes
        .lookup("data", None, Existence::CreateNew, None)
        .await
        .unwrap_err();
    assert_eq!(twice.kind(), ErrorKind::AlreadyExists);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ephemeral_volume_can_be_used_and_has_no_name() {
    let emu = Emu::start().await;
    let volume = emu
        .client
        .volumes()
        .ephemeral(None, Some(Version::V2))
        .await
        .unwrap();
    assert_eq!(volume.name(), None);
    volume
        .put(&Files::new().bytes("x", "x"), PutOptions::new())
        .await
        .unwrap();
    assert_eq!(volume.read_to_bytes("x", 1).await.unwrap(), "x");
}

/// The child of the test below: puts a file and gets it back, and tells its peak memory.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a helper of the other tests: it needs their emulator"]
#[expect(
    clippy::disallowed_methods,
    reason = "the parent names its emulator by variables"
)]
async fn round_trip_in_a_process_of_its_own() {
    let variable = |name: &str| std::env::var(name).unwrap();
    let directory = variable("DIRECTORY");
    let version = if variable("VERSION") == "v1" {
        Version::V1
    } else {
        Version::V2
    };
    let client = client(&variable("URL"));
    let volume = volume(&client, "large", version).await;
    let (local, back) = (
        Path::new(&directory).join("content"),
        Path::new(&directory).join("back"),
    );
    let files = Files::new().file(&local, "/deep/content");
    let put = volume.put(&files, PutOptions::new()).await.unwrap();
    assert_eq!(put.bytes, LARGE as u64);
    volume.get("/deep/content", &back).await.unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    println!("peak KiB {}", peak.trim().trim_end_matches(" kB"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "the client's memory is measured in a process of its own"
)]
async fn large_file(version: Version) {
    let emu = Emu::start().await;
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("content"), content(LARGE)).unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap());
    child
        .args([
            "emulator::volumes::round_trip_in_a_process_of_its_own",
            "--exact",
            "--ignored",
            "--nocapture",
        ])
        .env("URL", emu.url())
        .env("VERSION", version.to_string())
        .env("DIRECTORY", directory.path());
    let ran = tokio::task::spawn_blocking(move || child.output().unwrap())
        .await
        .unwrap();
    let printed = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let peak = printed
        .lines()
        .find_map(|line| line.split_once("peak KiB "))
        .unwrap()
        .1;
    let peak: u64 = peak.split_whitespace().next().unwrap().parse().unwrap();
    assert!(peak / 1024 < MEMORY_MIB, "{} MiB", peak / 1024);
    assert!(same(
        &directory.path().join("content"),
        &directory.path().join("back")
    ));
    let left: Vec<_> = std::fs::read_dir(directory.path()).unwrap().collect();
    assert_eq!(left.len(), 2, "no temporary file stays: {left:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_come_back_byte_for_byte_in_version_1() {
    large_file(Version::V1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_megabytes_come_back_byte_for_byte_in_version_2() {
    large_file(Version::V2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_as_a_stream_of_its_blocks() {
    let emu = Emu::start().await;
    let volume = volume(&emu.client, "data", Version::V2).await;
    let content = content(20 * MIB + 5);
    volume
        .put(&Files::new().bytes(content.clone(), "x"), PutOptions::new())
        .await
        .unwrap();
    let mut at = 0;
    let mut blocks = std::pin::pin!(volume.read("x"));
    while let Some(block) = blocks.try_next().await.unwrap() {
        assert!(block == content[at..at + block.len()], "block at {at}");
        at += block.len();
    }
    assert_eq!(at, content.len());
    let (start, len) = (8 * MIB - 3, 8 * MIB + 6);
    let range = volume.read_range("x", start as u64, Some(len as u64));
    let part: Vec<_> = range.try_collect().await.unwrap();
    assert!(part.concat() == content[start..start + len]);
}

async fn blob(options: impl FnOnce(&mut moorline_modal_emulator::EmulatorOptions)) {
    let emu = Emu::start_with(options).await;
    let content = content(9 * MIB + 1);
    let source = Source::bytes(content.clone());
    let blob_id = emu.client.blobs().upload(&source).await.unwrap();
    let back = emu.client.blobs().read(&blob_id, 10 * MIB).await.unwrap();
    assert!(back == content);
    let short = emu.client.blobs().read(&blob_id, MIB).await.unwrap_err();
    assert_eq!(short.kind(), ErrorKind::ResourceExhausted);
    let stats = emu.client.transfers().unwrap().stats();
    assert!(stats.bytes_sent >= content.len() as u64, "{stats:?}");
    assert!(stats.bytes_received >= content.len() as u64, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_goes_whole() {
    blob(|_| {}).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_goes_in_parts_where_the_server_asks_for_them() {
    blob(|options| options.multipart_threshold = MIB as u64).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_sends_each_content_once() {
    let emu = Emu::start().await;
    let app = emu
        .client
        .apps()
        .lookup("tests", None, Existence::CreateIfMissing)
        .await
        .unwrap();
    let large = content(5 * MIB);
    let files = Files::new()
        .bytes("x", "/a/x")
        .bytes("x", "/a/y")
        .bytes(large, "/a/large");
    let mount = emu
        .client
        .mounts()
        .create(Some(&app.id), &files)
        .await
        .unwrap();
    assert!(mount.starts_with("mo-"), "{mount}");
    assert_eq!(
        emu.effects("mount.put").len(),
        2,
        "two contents under three names"
    );
    emu.client
        .mounts()
        .create(Some(&app.id), &files)
        .await
        .unwrap();
    assert_eq!(emu.effects("mount.put").len(), 2);
    let spec = emu.spec(&["cat", "/a/y"]).await.mount(mount);
    let sandbox = emu.client.sandboxes().create(&spec).await.unwrap();
    assert_eq!(
        sandbox
            .stdout()
            .await
            .unwrap()
            .read_to_end(9)
            .await
            .unwrap(),
        "x"
    );
}
