//! Volumes, dicts, queues and blobs, through the official clients.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use serde_json::Value;

use crate::support::{Emu, Ran};

/// A file of noise with a hole in it, and with zero bytes at its end.
fn noise(path: &Path, bytes: u64) {
    let mut file = File::create(path).unwrap();
    let mut random = File::open("/dev/urandom").unwrap();
    std::io::copy(&mut (&mut random).take(bytes / 2), &mut file).unwrap();
    file.seek(SeekFrom::Current(20 << 20)).unwrap();
    std::io::copy(&mut random.take(bytes / 2 - (21 << 20)), &mut file).unwrap();
    file.write_all(&vec![0; 1 << 20]).unwrap();
}

fn same(one: &Path, other: &Path) -> bool {
    std::fs::read(one).unwrap() == std::fs::read(other).unwrap()
}

fn rows(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

fn lines(ran: &Ran) -> Vec<&str> {
    ran.stdout.lines().collect()
}

/// The command line tool's way through a volume, with a file of 100 MB.
fn walk(emu: &Emu, name: &str, version: &str) {
    let home = emu.home();
    let (big, back) = (
        home.join("big.bin"),
        home.join(format!("back-{version}.bin")),
    );
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    emu.modal(&["volume", "create", name, "--version", version]);
    let again = emu.try_modal(&["volume", "create", name]);
    assert!(
        again.stderr.contains("already exists") || again.stdout.contains("already exists"),
        "{again:?}"
    );
    let listed = rows(&emu.modal(&["volume", "list", "--json"]));
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");

    emu.modal(&["volume", "put", name, &text(&big), "/data/big.bin"]);
    emu.modal(&["volume", "put", name, "tree", "/"]);
    assert_eq!(lines(&emu.modal(&["volume", "ls", name])), ["data", "tree"]);
    let listed = rows(&emu.modal(&["volume", "ls", name, "data", "--json"]));
    let size = std::fs::metadata(&big).unwrap().len();
    assert_eq!(listed[0]["filename"], "data/big.bin");
    assert_eq!(listed[0]["size"], size);
    let kept = emu.try_modal(&["volume", "put", name, "tree/a.txt", "/data/big.bin"]);
    assert!(
        !kept.status.success() && kept.stderr.contains("exists"),
        "{kept:?}"
    );

    emu.modal(&["volume", "get", name, "data/big.bin", &text(&back)]);
    assert!(same(&big, &back), "the file came back changed");
    emu.modal(&["volume", "cp", name, "data/big.bin", "copy.bin"]);
    emu.modal(&["volume", "get", name, "copy.bin", &text(&back), "--force"]);
    assert!(same(&big, &back), "the copy came back changed");
    std::fs::remove_file(&back).unwrap();
    let printed = emu.modal(&["volume", "get", name, "tree/a.txt", "-"]);
    assert!(printed.stdout.starts_with("text of a"), "{printed:?}");
    let all = home.join(format!("all-{version}"));
    std::fs::create_dir(&all).unwrap();
    emu.modal(&["volume", "get", name, "tree", &text(&all)]);
    assert!(same(
        &home.join("tree/in/b.txt"),
        &all.join("tree/in/b.txt")
    ));

    let refused = emu.try_modal(&["volume", "rm", name, "tree"]);
    assert!(
        !refused.status.success() && refused.stderr.contains("directory"),
        "{refused:?}"
    );
    emu.modal(&["volume", "rm", "-r", name, "tree"]);
    assert_eq!(
        lines(&emu.modal(&["volume", "ls", name])),
        ["copy.bin", "data"]
    );
    let missing = emu.try_modal(&["volume", "ls", name, "tree"]);
    assert!(
        !missing.status.success() && missing.stderr.contains("not found"),
        "{missing:?}"
    );

    emu.modal(&["volume", "rename", "--yes", name, "other"]);
    assert_eq!(
        lines(&emu.modal(&["volume", "ls", "other"])),
        ["copy.bin", "data"]
    );
    emu.modal(&["volume", "delete", "--yes", "other"]);
    let gone = emu.try_modal(&["volume", "ls", "other"]);
    assert!(
        !gone.status.success() && gone.stderr.contains("not found"),
        "{gone:?}"
    );
    emu.modal(&["volume", "delete", "--yes", "other", "--allow-missing"]);
}

fn prepare(emu: &Emu) {
    noise(&emu.home().join("big.bin"), 100 << 20);
    std::fs::create_dir_all(emu.home().join("tree/in")).unwrap();
    std::fs::write(emu.home().join("tree/a.txt"), "text of a").unwrap();
    std::fs::write(emu.home().join("tree/in/b.txt"), "text of b").unwrap();
}

#[test]
fn the_command_line_tool_moves_files_through_a_volume_of_version_1_byte_for_byte() {
    let emu = Emu::start();
    prepare(&emu);
    walk(&emu, "first", "1");
    emu.stop();
}

#[test]
fn the_command_line_tool_moves_files_through_a_volume_of_version_2_byte_for_byte() {
    let emu = Emu::start();
    prepare(&emu);
    walk(&emu, "second", "2");
    emu.stop();
}

#[test]
fn the_python_sdk_finds_the_rules_of_volumes() {
    let emu = Emu::start();
    emu.python::<&str>("storage/volumes.py", &[]);
    emu.stop();
}

/// Blobs above the threshold travel in parts: the files of a volume of version 1 show it.
#[test]
fn a_large_blob_is_uploaded_in_parts() {
    let emu = Emu::start_with(|options| options.multipart_threshold = 5 << 20);
    emu.python::<&str>("storage/volumes.py", &[]);
    emu.stop();
}

#[test]
fn the_python_sdk_finds_the_rules_of_dicts_and_queues() {
    let emu = Emu::start();
    emu.python::<&str>("storage/objects.py", &[]);
    emu.stop();
}

#[test]
fn the_javascript_sdk_uses_queues_and_volumes() {
    let emu = Emu::start();
    emu.node("storage/objects.mjs");
    emu.stop();
}

#[test]
fn the_command_line_tool_manages_dicts_and_queues() {
    let emu = Emu::start();
    emu.python::<&str>("storage/listed.py", &[]);
    let dicts = rows(&emu.modal(&["dict", "list", "--json"]));
    assert_eq!(dicts[0]["name"], "settings");
    assert_eq!(
        emu.modal(&["dict", "get", "settings", "colour"]).stdout,
        "blue\n"
    );
    let items = rows(&emu.modal(&["dict", "items", "settings", "--json"]));
    assert_eq!(items.as_array().unwrap().len(), 2);
    emu.modal(&["dict", "clear", "--yes", "settings"]);
    assert_eq!(
        rows(&emu.modal(&["dict", "items", "settings", "--json"])),
        serde_json::json!([])
    );
    emu.modal(&["dict", "delete", "--yes", "settings"]);

    let queues = rows(&emu.modal(&["queue", "list", "--json"]));
    assert_eq!(queues[0]["name"], "work");
    assert_eq!(emu.modal(&["queue", "len", "work"]).stdout, "2\n");
    assert_eq!(
        emu.modal(&["queue", "len", "work", "--total"]).stdout,
        "3\n"
    );
    assert_eq!(
        lines(&emu.modal(&["queue", "peek", "work", "5"])),
        ["one", "two"]
    );
    emu.modal(&["queue", "clear", "--yes", "work", "--all"]);
    assert_eq!(
        emu.modal(&["queue", "len", "work", "--total"]).stdout,
        "0\n"
    );
    emu.modal(&["queue", "delete", "--yes", "work"]);
    let gone = emu.try_modal(&["queue", "len", "work"]);
    assert!(
        !gone.status.success() && gone.stderr.contains("not found"),
        "{gone:?}"
    );
    emu.stop();
}

/// What was stored is there again when an emulator is started over the same directory.
#[test]
fn a_state_directory_keeps_volumes_dicts_and_queues() {
    let state = tempfile::tempdir().unwrap();
    let start = || Emu::start_with(|options| options.state = Some(state.path().to_owned()));
    for phase in ["write", "read"] {
        let emu = start();
        emu.python("storage/kept.py", &[phase]);
        emu.stop();
    }
}

/// A lost answer is asked for again under the same key, and nothing is done twice.
#[test]
fn a_repeated_call_takes_nothing_twice() {
    let emu = Emu::start();
    emu.faults(
        r#"[{"rpc": "QueuePut", "nth": 1, "kind": "fail_after", "code": 14},
            {"rpc": "QueueGet", "nth": 1, "kind": "fail_after", "code": 14},
            {"rpc": "VolumePutFiles2", "nth": 2, "kind": "fail_after", "code": 14},
            {"rpc": "DictPop", "nth": 1, "kind": "fail_after", "code": 14}]"#,
    );
    emu.python::<&str>("storage/faults.py", &[]);
    let counts =
        ["queue.put", "queue.get", "volume.put", "dict.pop"].map(|what| emu.effects(what).len());
    assert_eq!(counts, [1, 1, 1, 1]);
    emu.stop();
}
