//! The file-system tool as the clients call it: one JSON argument, streams, exit code.
#![cfg(test)]

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use moorline_sandbox_tools::files::{Entry, Error, ErrorKind, Kind};
use serde_json::{Value, json};

fn start(operation: &Value) -> Child {
    #[expect(clippy::disallowed_methods, reason = "the tool is what is tested")]
    let mut command = Command::new(env!("CARGO_BIN_EXE_modal-sandbox-fs-tools"));
    command
        .arg(operation.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

fn run_with(operation: &Value, input: &[u8]) -> Output {
    let mut child = start(operation);
    // It may end without reading.
    drop(child.stdin.take().unwrap().write_all(input));
    child.wait_with_output().unwrap()
}

/// The output of an operation that succeeds.
fn run(operation: &Value) -> Vec<u8> {
    let output = run_with(operation, b"");
    assert_eq!(
        (output.status.code(), output.stderr.as_slice()),
        (Some(0), &b""[..])
    );
    output.stdout
}

fn failure_with(operation: &Value, input: &[u8]) -> ErrorKind {
    let output = run_with(operation, input);
    assert_eq!(
        (output.status.code(), output.stdout.as_slice()),
        (Some(1), &b""[..])
    );
    let error: Error = serde_json::from_slice(&output.stderr).unwrap();
    assert!(error.version == 1 && !error.message.is_empty());
    error.kind
}

fn failure(operation: &Value) -> ErrorKind {
    failure_with(operation, b"")
}

#[test]
fn a_file_is_written_with_its_directories_and_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a/b/file");
    let content: Vec<u8> = (0..=255).cycle().take(3 << 20).collect();
    let write = json!({"WriteFile": {"path": path}});
    assert!(run_with(&write, &content).status.success());
    assert!(run(&json!({"ReadFile": {"path": path}})) == content);
    assert!(run_with(&write, b"shorter").status.success());
    assert_eq!(run(&json!({"ReadFile": {"path": path}})), b"shorter");
}

#[test]
fn what_can_not_be_read_or_written_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "x").unwrap();
    fs::File::create(at("huge"))
        .unwrap()
        .set_len(6 << 30)
        .unwrap();
    for (operation, expected) in [
        (
            json!({"ReadFile": {"path": at("none")}}),
            ErrorKind::NotFound,
        ),
        (
            json!({"ReadFile": {"path": dir.path()}}),
            ErrorKind::IsDirectory,
        ),
        (
            json!({"ReadFile": {"path": at("huge")}}),
            ErrorKind::FileTooLarge,
        ),
        (
            json!({"ReadFile": {"path": at("file/x")}}),
            ErrorKind::NotDirectory,
        ),
        (
            json!({"WriteFile": {"path": dir.path()}}),
            ErrorKind::IsDirectory,
        ),
        (
            json!({"WriteFile": {"path": at("file/x")}}),
            ErrorKind::NotDirectory,
        ),
        (
            json!({"WriteFile": {"path": at("file/x/y")}}),
            ErrorKind::NotDirectory,
        ),
        (
            json!({"WriteFile": {"path": "/proc/x"}}),
            ErrorKind::NotFound,
        ),
        (json!({"Sing": {}}), ErrorKind::InvalidArgument),
    ] {
        assert_eq!(failure_with(&operation, b"data"), expected, "{operation}");
    }
}

#[test]
fn entries_tell_what_a_file_is() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("zebra"), "hello").unwrap();
    fs::set_permissions(at("zebra"), fs::Permissions::from_mode(0o4640)).unwrap();
    fs::create_dir(at("alpha")).unwrap();
    symlink("nowhere", at("link")).unwrap();
    let list = run(&json!({"ListFiles": {"path": dir.path()}}));
    let list: Vec<Entry> = serde_json::from_slice(&list).unwrap();
    let seen: Vec<_> = list
        .iter()
        .map(|entry| {
            (
                entry.name.as_str(),
                entry.kind,
                entry.symlink_target.as_deref(),
            )
        })
        .collect();
    let expected = [
        ("alpha", Kind::Directory, None),
        ("link", Kind::Symlink, Some("nowhere")),
        ("zebra", Kind::File, None),
    ];
    assert_eq!(seen, expected);
    let stat = run(&json!({"Stat": {"path": at("zebra")}}));
    let zebra: Entry = serde_json::from_slice(&stat).unwrap();
    assert_eq!(&zebra, &list[2]);
    assert_eq!(
        (zebra.size, zebra.mode, zebra.permissions.as_str()),
        (5, 0o104_640, "4640")
    );
    assert_eq!(zebra.path, at("zebra").to_str().unwrap());
    assert!(zebra.modified_time > 1.7e9);
    let text = String::from_utf8(stat).unwrap();
    assert!(text.contains(r#""type":"file""#) && !text.contains("symlink_target"));
    let link: Entry = serde_json::from_slice(&run(&json!({"Stat": {"path": at("link")}}))).unwrap();
    assert_eq!(link, list[1]);
    for (operation, expected) in [
        (
            json!({"ListFiles": {"path": at("zebra")}}),
            ErrorKind::IsFile,
        ),
        (
            json!({"ListFiles": {"path": at("zebra/x")}}),
            ErrorKind::NotDirectory,
        ),
        (
            json!({"ListFiles": {"path": at("none")}}),
            ErrorKind::NotFound,
        ),
        (json!({"Stat": {"path": at("none")}}), ErrorKind::NotFound),
        (
            json!({"Stat": {"path": at("zebra/x")}}),
            ErrorKind::NotDirectory,
        ),
    ] {
        assert_eq!(failure(&operation), expected, "{operation}");
    }
}

#[test]
fn directories_are_made_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("file"), "x").unwrap();
    let make = |name: &str, parents: bool| json!({"MakeDirectory": {"path": at(name), "parents": parents}});
    let remove =
        |name: &str, recursive: bool| json!({"Remove": {"path": at(name), "recursive": recursive}});
    run(&make("a/b/c", true));
    run(&make("a/b/c", true));
    run(&make("a/d", false));
    symlink(at("a"), at("link")).unwrap();
    for (operation, expected) in [
        (make("a/d", false), ErrorKind::PathAlreadyExists),
        (make("x/y", false), ErrorKind::NotFound),
        (make("file", true), ErrorKind::PathAlreadyExists),
        (make("file", false), ErrorKind::PathAlreadyExists),
        (make("file/x", true), ErrorKind::NotDirectory),
        (remove("a", false), ErrorKind::DirectoryNotEmpty),
        (remove("none", true), ErrorKind::NotFound),
    ] {
        assert_eq!(failure(&operation), expected, "{operation}");
    }
    run(&remove("link", true));
    assert!(at("a/b/c").is_dir());
    run(&remove("a/d", false));
    run(&remove("a", true));
    run(&remove("file", false));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

/// A watch that has begun, and its lines.
fn watch(path: &Path, recursive: bool, filter: &Value) -> (Child, BufReader<ChildStdout>) {
    let operation = json!({"Watch": {
        "path": path, "recursive": recursive, "filter": filter, "timeout_secs": 60,
    }});
    let mut child = start(&operation);
    // It has begun when its inotify descriptor watches the path and, if so asked, what is right below, of which
    // /proc tells.
    let below = fs::read_dir(path).unwrap().count();
    let watched = 1 + if recursive { below } else { 0 };
    let fds = format!("/proc/{}/fdinfo", child.id());
    moorline_testkit::wait::until(std::time::Duration::from_secs(10), "the watch", || {
        let entries = fs::read_dir(&fds).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| fs::read_to_string(entry.path()).ok())
            .any(|text| text.matches("inotify wd:").count() >= watched)
    })
    .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap());
    (child, lines)
}

fn event(lines: &mut BufReader<ChildStdout>) -> Value {
    let mut line = String::new();
    lines.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap()
}

#[test]
fn a_watch_tells_what_changes_until_its_input_ends() {
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap();
    let at = |name: &str| path.join(name);
    let filter = json!([
        "Create",
        "Modify",
        "Remove",
        "Rename",
        "RenameFrom",
        "RenameTo"
    ]);
    let (mut child, mut lines) = watch(&path, false, &filter);
    let told = |kind: &str, paths: &[&str]| {
        let paths: Vec<_> = paths.iter().map(|name| at(name)).collect();
        json!({"event_type": kind, "paths": paths})
    };
    fs::write(at("a"), "x").unwrap();
    assert_eq!(event(&mut lines), told("Create", &["a"]));
    assert_eq!(event(&mut lines), told("Modify", &["a"]));
    fs::rename(at("a"), at("b")).unwrap();
    assert_eq!(event(&mut lines), told("Rename", &["a", "b"]));
    fs::rename(at("b"), path.with_extension("elsewhere")).unwrap();
    assert_eq!(event(&mut lines), told("RenameFrom", &["b"]));
    fs::rename(path.with_extension("elsewhere"), at("c")).unwrap();
    assert_eq!(event(&mut lines), told("RenameTo", &["c"]));
    fs::remove_file(at("c")).unwrap();
    assert_eq!(event(&mut lines), told("Remove", &["c"]));
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_recursive_watch_goes_into_what_is_new() {
    let dir = tempfile::tempdir().unwrap();
    let path = fs::canonicalize(dir.path()).unwrap();
    fs::create_dir(path.join("old")).unwrap();
    let (mut child, mut lines) = watch(&path, true, &json!(["Create"]));
    // What comes into a new directory while its watch is set up is told twice: as found, and as it came.
    let mut told = Vec::new();
    let mut next = || loop {
        let path = event(&mut lines)["paths"][0].as_str().unwrap().to_owned();
        if !told.contains(&path) {
            told.push(path.clone());
            return path;
        }
    };
    fs::write(path.join("old/file"), "x").unwrap();
    assert_eq!(next(), path.join("old/file").to_str().unwrap());
    fs::create_dir_all(path.join("new/deep")).unwrap();
    let names = [next(), next()];
    assert_eq!(
        names,
        [path.join("new"), path.join("new/deep")].map(|path| path.to_str().unwrap().to_owned())
    );
    fs::write(path.join("new/deep/file"), "x").unwrap();
    assert_eq!(next(), path.join("new/deep/file").to_str().unwrap());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_watch_ends_with_its_time_and_needs_a_path() {
    let dir = tempfile::tempdir().unwrap();
    let mut child = start(
        &json!({"Watch": {"path": dir.path(), "recursive": false, "filter": [], "timeout_secs": 0}}),
    );
    let input = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    drop(input);
    let missing = json!({"Watch": {"path": dir.path().join("none"), "recursive": false, "filter": null, "timeout_secs": null}});
    assert_eq!(failure(&missing), ErrorKind::NotFound);
}
