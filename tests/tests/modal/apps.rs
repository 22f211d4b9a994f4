//! Apps: versions, ephemeral ones, the command line's views of them.

use std::time::Duration;

use moorline_testkit::wait;
use serde_json::Value;

use crate::support::{Emu, Ran};

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.stdout).unwrap()
}

/// One column of a list that the command line tool printed as JSON.
fn column(rows: &Value, name: &str) -> Vec<String> {
    rows.as_array()
        .unwrap()
        .iter()
        .map(|row| row[name].as_str().unwrap().to_owned())
        .collect()
}

/// The published effects of the journal, by app.
fn published(emu: &Emu) -> usize {
    emu.effects("app.publish").len()
}

#[test]
fn a_deployed_app_has_versions_that_a_rollback_puts_in_force_again() {
    let emu = Emu::start();
    let ran = emu.python::<&str>("apps/versions.py", &[]);
    let id = ran.stdout.trim().to_owned();
    assert_eq!(published(&emu), 3);

    emu.modal(&["app", "rollback", "shop"]);
    emu.modal(&["app", "rollback", "shop", "v2"]);
    let history = json(&emu.modal(&["app", "history", "shop", "--json"]));
    assert_eq!(column(&history, "version"), ["v4", "v3", "v2", "v1"]);
    assert_eq!(
        column(&history, "tag"),
        ["second", "first", "second", "first"]
    );

    let refused = emu.try_modal(&["app", "rollback", "shop", "v9"]);
    assert!(refused.stderr.contains("has no version v9"), "{refused:?}");
    let refused = emu.try_modal(&["app", "rollback", "shop", "v4"]);
    assert!(
        refused.stderr.contains("is the current version"),
        "{refused:?}"
    );

    emu.modal(&["app", "stop", &id, "--yes"]);
    let listed = json(&emu.modal(&["app", "list", "--json"]));
    assert_eq!(column(&listed, "state"), ["stopped"]);
    assert_eq!(column(&listed, "app_id"), [id.as_str()]);
    // The name still finds what was stopped.
    let again = emu.try_modal(&["app", "stop", "shop", "--yes"]);
    assert!(again.stderr.contains("App is already stopped"), "{again:?}");
    emu.stop();
}

#[test]
fn an_ephemeral_app_ends_with_its_client() {
    let emu = Emu::start();
    emu.python::<&str>("apps/ephemeral.py", &[]);
    assert_eq!(emu.effects("app.create").len(), 2);
    assert_eq!(emu.effects("app.stop").len(), 2);
    emu.stop();
}

#[test]
fn code_is_deployed_again_and_rolled_back_under_one_name() {
    let emu = Emu::start();
    emu.python::<&str>("apps/redeploy.py", &[]);
    emu.stop();
}

#[test]
fn logs_are_followed_and_looked_up() {
    let emu = Emu::start();
    emu.python::<&str>("apps/logs.py", &[]);
    emu.stop();
}

#[test]
fn a_detached_app_ends_when_its_work_has() {
    let emu = Emu::start();
    let ran = emu.python::<&str>("apps/detached.py", &[]);
    let stopped = || emu.effects("app.stop");
    wait::until(Duration::from_secs(20), "the end of the app", || {
        !stopped().is_empty()
    })
    .unwrap();
    let stopped: Vec<String> = stopped().into_iter().map(|effect| effect.subject).collect();
    assert_eq!(stopped, [ran.stdout.trim()]);
    emu.stop();
}
