//! Sandboxes, with the official SDKs and the command line.

use std::path::Path;

use crate::support::{Emu, Ran};

#[test]
fn sandboxes_run_commands_and_have_names_tags_and_ends() {
    let emu = Emu::start();
    emu.python::<&str>("sandboxes/first.py", &[]);
    emu.stop();
}

#[test]
fn files_are_written_listed_watched_and_snapshotted() {
    let emu = Emu::start();
    emu.python::<&str>("sandboxes/files.py", &[]);
    emu.stop();
}

#[test]
fn volumes_secrets_networks_tunnels_and_sidecars_surround_a_sandbox() {
    let emu = Emu::start();
    emu.python::<&str>("sandboxes/world.py", &[]);
    emu.stop();
}

#[test]
fn the_javascript_sdk_has_its_sandboxes() {
    let emu = Emu::start();
    emu.node("sandboxes/both.mjs");
    emu.stop();
}

#[test]
fn gpus_limits_and_preemptions_are_those_of_the_plan() {
    let emu = Emu::start();
    emu.faults(
        r#"{"gpus": [{"gpu": "T4", "count": 1}], "preemptions": [{"sandbox": 3, "after_ms": 100}],
            "limits": {"sandboxes": 2}}"#,
    );
    emu.python::<&str>("sandboxes/scarce.py", &[]);
    emu.stop();
}

/// A fault after the effect, or before it, changes neither what is made nor what the caller sees.
#[test]
fn a_call_that_is_tried_again_makes_one_sandbox_and_one_command() {
    let emu = Emu::start();
    emu.faults(
        r#"[{"rpc": "SandboxCreateV2", "kind": "fail_after", "code": 14},
            {"rpc": "TaskExecStart", "times": 2, "kind": "fail_after", "code": 14},
            {"rpc": "TaskExecStdioRead", "times": 2, "kind": "reset", "after": 1},
            {"rpc": "SandboxWaitV2", "kind": "fail_before", "code": 14}]"#,
    );
    emu.python::<&str>("sandboxes/again.py", &[]);
    let made = emu.effects("sandbox.create").len();
    assert_eq!((made, emu.effects("exec.start").len()), (1, 1));
    emu.stop();
}

#[test]
fn the_command_line_runs_commands_in_containers_and_stops_them() {
    let emu = Emu::start();
    let ids = emu.python("sandboxes/start.py", &["cli"]).stdout;
    let (task, sandbox) = ids.trim().split_once(' ').unwrap();
    let listed = emu.modal(&["container", "list", "--json"]).stdout;
    assert!(listed.contains(task), "{listed}");
    let said = |ran: Ran| ran.stdout.trim().to_owned();
    assert_eq!(
        said(emu.modal(&["container", "exec", task, "--", "echo", "by task"])),
        "by task"
    );
    assert_eq!(
        said(emu.modal(&["container", "exec", sandbox, "--", "echo", "by id"])),
        "by id"
    );
    assert_eq!(
        said(emu.modal(&["shell", sandbox, "--cmd", "echo inside"])),
        "inside"
    );
    emu.modal(&["container", "stop", "--yes", task]);
    let over = emu.try_modal(&["container", "exec", task, "--", "true"]);
    assert!(
        !over.status.success() && over.stderr.contains("finished"),
        "{over:?}"
    );
    let shell = emu.modal(&["shell", "--cmd", "echo from a shell of its own"]);
    assert!(
        shell.stdout.contains("from a shell of its own"),
        "{shell:?}"
    );
    emu.stop();
}

/// Files below a directory that hold a text.
fn holding(dir: &Path, text: &[u8]) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            found.extend(holding(&entry.path(), text));
        } else if kind.is_file() {
            let bytes = std::fs::read(entry.path()).unwrap();
            if bytes.windows(text.len()).any(|window| window == text) {
                found.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn sandboxes_are_remembered_and_those_that_ran_are_terminated() {
    let state = tempfile::tempdir().unwrap();
    let start = || Emu::start_with(|options| options.state = Some(state.path().to_owned()));
    let emu = start();
    let ids = emu.python("sandboxes/kept.py", &["before"]).stdout;
    emu.stop();
    let left = std::fs::read_dir(state.path().join("containers"))
        .unwrap()
        .count();
    assert_eq!(left, 0, "containers left files behind");
    assert_eq!(
        holding(state.path(), b"tall-tale"),
        Vec::<std::path::PathBuf>::new()
    );
    let mut args = vec!["after"];
    args.extend(ids.split_whitespace());
    let emu = start();
    emu.python("sandboxes/kept.py", &args);
    emu.stop();
}
