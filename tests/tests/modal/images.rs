//! Images, through the official clients.

use crate::support::Emu;

#[test]
fn the_python_sdk_builds_images_that_do_what_their_definitions_say() {
    let emu = Emu::start();
    emu.python::<&str>("images/build.py", &[]);
    let names = emu.modal(&["image", "names", "list", "--json"]);
    let names: serde_json::Value = serde_json::from_str(&names.stdout).unwrap();
    let tags: Vec<_> = names
        .as_array()
        .unwrap()
        .iter()
        .map(|row| &row["tag"])
        .collect();
    assert_eq!(tags, ["mine:latest", "mine:v1"]);
    let history = emu.modal(&["image", "names", "history", "mine", "--json"]);
    let history: serde_json::Value = serde_json::from_str(&history.stdout).unwrap();
    assert_eq!(history.as_array().unwrap().len(), 2);
    emu.modal(&["image", "names", "delete", "--yes", "mine:v1"]);
    let id = names[0]["image_id"].as_str().unwrap();
    let logs = emu.modal(&["image", "logs", id]);
    assert!(logs.stdout.contains("upon"), "{logs:?}");
    emu.stop();
}

#[test]
fn the_command_line_tool_builds_and_pulls_images() {
    let emu = Emu::start();
    let dockerfile = "FROM alpine:3.21\nCOPY data.txt /\nRUN cat /data.txt\n";
    std::fs::write(emu.home().join("Dockerfile"), dockerfile).unwrap();
    std::fs::write(emu.home().join("data.txt"), "text of data\n").unwrap();
    let built = emu.modal(&["image", "build", "-t", "built:v1", "."]);
    assert!(built.stdout.contains("text of data"), "{built:?}");
    let pulled = emu.modal(&[
        "image",
        "pull",
        "docker.io/library/alpine:3.21",
        "--name",
        "pulled",
    ]);
    assert!(pulled.stdout.contains("Pulled"), "{pulled:?}");
    let again = emu.modal(&["image", "pull", "docker.io/library/alpine:3.21"]);
    assert!(again.stdout.contains("Used a cached pull"), "{again:?}");
    let names = emu.modal(&["image", "names", "list", "--json"]);
    assert!(
        names.stdout.contains("built:v1") && names.stdout.contains("pulled:latest"),
        "{names:?}"
    );
    emu.stop();
}

#[test]
fn the_javascript_sdk_builds_publishes_and_deletes_images() {
    let emu = Emu::start();
    emu.node("images/build.mjs");
    emu.stop();
}

/// A layer that was built is there again when an emulator is started over the same directory.
#[test]
fn a_state_directory_keeps_images() {
    let state = tempfile::tempdir().unwrap();
    for builds in [3, 0] {
        let emu = Emu::start_with(|options| options.state = Some(state.path().to_owned()));
        emu.python::<&str>("images/kept.py", &[]);
        assert_eq!(emu.effects("image.build").len(), builds);
        emu.stop();
    }
}
