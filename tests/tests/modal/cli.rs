//! The `moorline` binary at Modal: runs, the emulator command, and the commands that steer a workspace.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use moorline_testkit::moorline::{Moorline, Output, Running, Signal};
use moorline_testkit::wait;
use serde_json::{Value, json};

use crate::support::Emu;

/// For what takes some seconds where a machine is busy.
const PATIENCE: Duration = Duration::from_mins(1);

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// The binary, pointed at an emulator.
fn at(emu: &Emu) -> Moorline {
    let moorline = Moorline::new().unwrap();
    emu.emulator()
        .environment()
        .into_iter()
        .fold(moorline, |moorline, (name, value)| {
            moorline.env(name, value)
        })
}

fn ran<const N: usize>(moorline: &Moorline, arguments: [&str; N]) -> Output {
    let done = moorline.run(arguments).unwrap();
    assert_eq!(done.code, Some(0), "{done}");
    done
}

/// A job of one step, as a directory.
fn job(moorline: &Moorline, script: &str) -> String {
    let dir = moorline.work_dir().join("job");
    std::fs::create_dir_all(&dir).unwrap();
    let spec = json!({
        "job_id": "sleeper",
        "steps": [{"name": "main", "argv": ["/bin/sh", "-c", script]}],
    });
    std::fs::write(dir.join("job_spec.json"), spec.to_string()).unwrap();
    dir.display().to_string()
}

/// A summary without what must differ: where and when it ran, what measured it, and the hashes of outputs,
/// whose records carry the run's id.
fn comparable(mut summary: Value) -> Value {
    fn strip(value: &mut Value) {
        match value {
            Value::Object(members) => {
                members.retain(|name, _| {
                    !["executor", "isolation", "resources", "hash"].contains(&name.as_str())
                        && !name.ends_with("_at")
                        && !name.ends_with("_seconds")
                        && !name.ends_with("_id")
                        && !name.ends_with("_path")
                });
                members.values_mut().for_each(strip);
            }
            Value::Array(items) => items.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut summary);
    summary
}

#[test]
fn the_examples_give_the_same_summaries_here_and_at_modal() {
    let emu = Emu::start();
    let moorline = at(&emu);
    for name in ["bank-statement", "hello", "two-step"] {
        let example = examples().join(name).display().to_string();
        for mode in ["mock", "real"] {
            let run = |executor: &str| {
                let done = moorline.run([
                    "run",
                    &example,
                    "--mode",
                    mode,
                    "--executor",
                    executor,
                    "--json",
                ]);
                let done = done.unwrap();
                (done.code, comparable(done.json().unwrap()))
            };
            assert_eq!(run("modal"), run("local"), "{name} in {mode} mode");
        }
    }
}

#[test]
fn an_emulator_for_one_run_leaves_nothing_running() {
    let moorline = Moorline::new().unwrap();
    let job = job(
        &moorline,
        "echo here; printf x > \"$MOORLINE_OUTPUT_DIR/x\"",
    );
    let done = ran(
        &moorline,
        ["run", &job, "--executor", "modal", "--emulator", "--json"],
    );
    assert_eq!(done.json().unwrap()["status"], "success", "{done}");
    // Its log is here although the world that it ran in is gone.
    let log = ran(&moorline, ["runs", "logs", "latest"]);
    assert!(log.stdout.contains("here"), "{log}");
}

#[test]
fn an_emulator_is_for_runs_at_modal() {
    let moorline = Moorline::new().unwrap();
    let job = job(&moorline, "true");
    let done = moorline.run(["run", &job, "--emulator"]).unwrap();
    assert_eq!(done.code, Some(2), "{done}");
}

#[test]
fn without_a_token_a_run_at_modal_says_what_to_do() {
    let moorline = Moorline::new().unwrap();
    let job = job(&moorline, "true");
    let done = moorline.run(["run", &job, "--executor", "modal"]).unwrap();
    assert_eq!(done.code, Some(78), "{done}");
    assert!(done.stdout.contains("MODAL_TOKEN_ID"), "{done}");
}

/// The run goes on at Modal when Moorline dies; the next command finds it and starts nothing again.
#[test]
fn a_killed_moorline_leaves_no_orphan_and_starts_nothing_twice() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let job = job(&moorline, "echo began; sleep 2; echo done");
    let arguments = ["run", &job, "--executor", "modal"];
    let mut running = Running::start(&mut moorline.command(arguments)).unwrap();
    wait::until(PATIENCE, "the job to begin", || {
        running.stderr_so_far().contains("began")
    })
    .unwrap();
    running.signal(Signal::KILL).unwrap();
    drop(running);
    let waited = ran(&moorline, ["runs", "wait", "latest", "--json"]);
    assert_eq!(waited.json().unwrap()["status"], "success", "{waited}");
    assert_eq!(emu.effects("sandbox.create").len(), 1);
    let list = ran(&moorline, ["modal", "sandbox", "list", "--json"]);
    assert_eq!(list.json().unwrap(), json!([]), "nothing runs any more");
}

/// Dead between the request to create a sandbox and its answer: the sandbox is found by its tags.
#[test]
fn a_moorline_killed_while_it_creates_a_sandbox_starts_nothing_twice() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let job = job(&moorline, "echo once");
    emu.faults(r#"[{"rpc": "SandboxCreateV2", "kind": "fail_after", "code": 14, "times": 1000}]"#);
    let mut running =
        Running::start(&mut moorline.command(["run", &job, "--executor", "modal"])).unwrap();
    wait::until(PATIENCE, "a sandbox", || {
        !emu.effects("sandbox.create").is_empty()
    })
    .unwrap();
    running.signal(Signal::KILL).unwrap();
    drop(running);
    emu.faults("[]");
    let waited = ran(&moorline, ["runs", "wait", "latest", "--json"]);
    assert_eq!(waited.json().unwrap()["status"], "success", "{waited}");
    assert_eq!(emu.effects("sandbox.create").len(), 1);
}

#[test]
fn a_cancelled_run_ends_its_sandbox() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let job = job(&moorline, "echo began; sleep 1000");
    let mut running =
        Running::start(&mut moorline.command(["run", &job, "--executor", "modal"])).unwrap();
    wait::until(PATIENCE, "the job to begin", || {
        running.stderr_so_far().contains("began")
    })
    .unwrap();
    running.signal(Signal::INT).unwrap();
    let done = running.wait(PATIENCE).unwrap();
    assert_eq!(done.code, Some(130), "{done}");
    let list = ran(&moorline, ["modal", "sandbox", "list", "--json"]);
    assert_eq!(list.json().unwrap(), json!([]));
}

#[test]
fn the_emulator_command_serves_until_it_is_asked_to_end() {
    let moorline = Moorline::new().unwrap();
    let mut emulator =
        Running::start(&mut moorline.bare_command_of(["emulator", "--quiet"])).unwrap();
    wait::until(PATIENCE, "its environment", || {
        emulator.stdout_so_far().contains("MODAL_TOKEN_SECRET")
    })
    .unwrap();
    let url = exported(&emulator.stdout_so_far(), "MODAL_SERVER_URL");
    let moorline = Moorline::new()
        .unwrap()
        .env("MODAL_SERVER_URL", &url)
        .env("MODAL_TOKEN_ID", "ak-test")
        .env("MODAL_TOKEN_SECRET", "as-test");
    ran(&moorline, ["modal", "secret", "list"]);
    let coverage = ran(&moorline, ["emulator", "coverage", "--json"])
        .json()
        .unwrap();
    let called = |rpc: &str| {
        let all = coverage["implemented"].as_array().unwrap();
        all.iter().any(|row| row["rpc"] == rpc && row["calls"] != 0)
    };
    assert!(called("SecretList"), "{coverage}");
    emulator.signal(Signal::TERM).unwrap();
    let done = emulator.wait(PATIENCE).unwrap();
    assert_eq!(done.code, Some(0), "{done}");
}

fn exported(text: &str, name: &str) -> String {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("export ")?.strip_prefix(name));
    line.unwrap().trim_start_matches('=').to_owned()
}

#[test]
fn secrets_come_by_standard_input_and_are_never_shown() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let done = moorline
        .run_with_input(
            ["modal", "secret", "create", "bank", "TOKEN"],
            b"battery staple\n",
        )
        .unwrap();
    assert_eq!(done.code, Some(0), "{done}");
    let list = ran(&moorline, ["modal", "secret", "list", "--json"]);
    let row = &list.json().unwrap()[0];
    assert_eq!(
        (&row["name"], &row["keys"]),
        (&json!("bank"), &json!(["TOKEN"]))
    );
    let again = moorline
        .run_with_input(
            ["modal", "secret", "create", "bank", "TOKEN"],
            b"battery staple\n",
        )
        .unwrap();
    assert_ne!(again.code, Some(0), "it exists already");
    for output in [&done, &list, &again] {
        assert!(!format!("{output}").contains("battery"), "{output}");
    }
    ran(&moorline, ["modal", "secret", "delete", "bank", "--yes"]);
    let list = ran(&moorline, ["modal", "secret", "list", "--json"]);
    assert_eq!(list.json().unwrap(), json!([]));
}

#[test]
fn files_go_into_a_volume_and_come_out_as_they_were() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let content: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    std::fs::write(moorline.work_dir().join("file"), &content).unwrap();
    for version in ["1", "2"] {
        let name = format!("data{version}");
        ran(
            &moorline,
            ["modal", "volume", "create", &name, "--version", version],
        );
        ran(
            &moorline,
            ["modal", "volume", "put", &name, "file", "/a/file"],
        );
        let list = ran(&moorline, ["modal", "volume", "ls", &name, "/a", "--json"]);
        assert_eq!(list.json().unwrap()[0]["size"], content.len(), "{list}");
        ran(
            &moorline,
            [
                "modal",
                "volume",
                "get",
                &name,
                "/a/file",
                &format!("back{version}"),
            ],
        );
        let back = std::fs::read(moorline.work_dir().join(format!("back{version}"))).unwrap();
        assert!(back == content, "version {version} changed the content");
        ran(&moorline, ["modal", "volume", "rm", &name, "/a/file"]);
        ran(&moorline, ["modal", "volume", "delete", &name, "--yes"]);
    }
}

#[test]
fn a_command_in_a_sandbox_has_its_streams_and_gives_its_code() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let job = job(&moorline, "echo began; sleep 1000");
    let mut running =
        Running::start(&mut moorline.command(["run", &job, "--executor", "modal"])).unwrap();
    wait::until(PATIENCE, "the job to begin", || {
        running.stderr_so_far().contains("began")
    })
    .unwrap();
    let list = ran(&moorline, ["modal", "sandbox", "list", "--json"])
        .json()
        .unwrap();
    let id = list[0]["sandbox_id"].as_str().unwrap();
    let arguments = [
        "modal",
        "sandbox",
        "exec",
        id,
        "--",
        "sh",
        "-c",
        "cat; echo err >&2; exit 7",
    ];
    let done = moorline.run_with_input(arguments, b"typed\n").unwrap();
    assert_eq!(
        (done.code, done.stdout.as_str()),
        (Some(7), "typed\n"),
        "{done}"
    );
    assert!(done.stderr.contains("err"), "{done}");
    ran(&moorline, ["modal", "sandbox", "terminate", id]);
    running.signal(Signal::INT).unwrap();
    drop(running.wait(PATIENCE).unwrap());
}

#[test]
fn the_doctor_tells_where_each_setting_comes_from() {
    let emu = Emu::start();
    let moorline = at(&emu);
    let report = ran(&moorline, ["modal", "doctor", "--json"])
        .json()
        .unwrap();
    assert_eq!(report["ok"], true, "{report}");
    let found = |name: &str| {
        let checks = report["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["name"] == name).unwrap();
        check["found"].as_str().unwrap().to_owned()
    };
    assert!(found("server_url").contains("(from MODAL_SERVER_URL)"));
    assert!(found("clock").contains("from the server's"));
    assert!(
        !report.to_string().contains("as-emulator"),
        "a token's secret is shown"
    );
    let nobody = Moorline::new().unwrap().run(["modal", "doctor"]).unwrap();
    assert_eq!(nobody.code, Some(1), "{nobody}");
}

#[test]
fn every_list_is_a_json_list() {
    let emu = Emu::start();
    let moorline = at(&emu);
    for what in ["app", "sandbox", "secret", "volume", "image", "environment"] {
        let list = ran(&moorline, ["modal", what, "list", "--json"]);
        assert!(list.json().unwrap().is_array(), "{list}");
        ran(&moorline, ["modal", what, "list"]);
    }
}

trait Bare {
    fn bare_command_of<const N: usize>(&self, arguments: [&str; N]) -> Command;
}

impl Bare for Moorline {
    /// Without `--state`, which the emulator would take for its own.
    fn bare_command_of<const N: usize>(&self, arguments: [&str; N]) -> Command {
        let mut command = self.bare_command();
        command.args(arguments);
        command
    }
}
