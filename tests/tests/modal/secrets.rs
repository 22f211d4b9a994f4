//! Secrets and environments, from the SDK and the command line.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::Emu;

#[test]
fn secrets_are_made_checked_changed_listed_and_deleted() {
    let emu = Emu::start();
    emu.python::<&str>("secrets/secrets.py", &[]);
    let journal = format!("{:?}", emu.emulator().journal().effects(None));
    assert!(!journal.contains("tall-tale"), "a value is in the journal");
    emu.stop();
}

#[test]
fn the_command_line_makes_lists_and_deletes_secrets() {
    let emu = Emu::start();
    emu.modal(&["secret", "create", "api", "KEY=one", "USER=two"]);
    let refused = emu.try_modal(&["secret", "create", "api", "KEY=three"]);
    assert!(
        refused.stderr.contains("'api' already exists"),
        "{refused:?}"
    );
    emu.modal(&["secret", "create", "api", "KEY=three", "--force"]);
    let listed = emu.modal(&["secret", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["name"], "api");
    emu.modal(&["secret", "delete", "api", "--yes"]);
    let refused = emu.try_modal(&["secret", "delete", "api", "--yes"]);
    assert!(
        refused.stderr.contains("Secret 'api' not found"),
        "{refused:?}"
    );
    emu.stop();
}

/// All files below a directory that hold a text.
fn holding(dir: &Path, text: &str) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            found.extend(holding(&path, text));
        } else if entry.file_type().unwrap().is_file()
            && String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains(text)
        {
            found.push(path);
        }
    }
    found
}

#[test]
fn a_kept_world_has_its_secrets_and_apps_again_and_shows_values_to_its_owner_alone() {
    let state = tempfile::tempdir().unwrap();
    let start = || Emu::start_with(|options| options.state = Some(state.path().to_owned()));
    let emu = start();
    emu.modal(&["secret", "create", "api", "KEY=tall-tale"]);
    emu.python::<&str>("apps/kept.py", &["before"]);
    emu.stop();
    let files = holding(state.path(), "tall-tale");
    assert_eq!(files, [state.path().join("secrets.json")]);
    assert_eq!(
        files[0].metadata().unwrap().permissions().mode() & 0o777,
        0o600
    );

    let emu = start();
    emu.python::<&str>("apps/kept.py", &["after"]);
    emu.stop();
}

#[test]
fn environments_hold_what_is_in_them_and_the_workspace_has_settings() {
    let emu = Emu::start();
    emu.python::<&str>("environments/environments.py", &[]);
    emu.modal(&["environment", "create", "stage"]);
    let update = [
        "environment",
        "update",
        "stage",
        "--set-name",
        "live",
        "--set-web-suffix",
        "l",
    ];
    emu.modal(&update);
    let listed = emu.modal(&["environment", "list", "--json"]);
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    let live = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "live")
        .unwrap();
    assert_eq!(live["web_suffix"], "l");
    emu.modal(&["environment", "delete", "live", "--yes"]);
    let info = emu.modal(&["token", "info"]);
    assert!(info.stdout.contains("ak-emulator"), "{info:?}");
    emu.stop();
}

#[test]
fn what_containers_cost_is_reported_and_limited() {
    let emu = Emu::start();
    emu.faults(r#"{"limits":{"spend_dollars":100.0,"rates":{"container_second":1000.0}}}"#);
    emu.python::<&str>("environments/spending.py", &[]);
    emu.stop();
}
