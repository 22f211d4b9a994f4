//! The clock that tests drive is in no release build.

use std::fs;
use std::path::Path;
use std::time::Duration;

use moorline_testkit::moorline::{Output, Running};
use serde_json::Value;

use crate::support::repository;

/// The variable that names the file of the clock.
const VARIABLE: &str = "MOORLINE_TEST_CLOCK";

#[expect(clippy::disallowed_methods, reason = "the compiler is a process")]
fn tool(program: &str, arguments: &[&str]) -> Output {
    let mut command = std::process::Command::new(program);
    command.args(arguments).current_dir(repository());
    Running::start(&mut command)
        .unwrap()
        .wait(Duration::from_mins(1))
        .unwrap()
}

/// The guard is one file without dependencies: compiled alone, as a release is and as a test build is.
#[test]
fn a_release_build_with_the_test_clock_does_not_compile() {
    let out = tempfile::tempdir().unwrap();
    let guard = "crates/engine/src/test_clock_guard.rs";
    let target = out.path().join("guard.rmeta");
    let compile = |assertions: &str, feature: bool| {
        let assertions = format!("debug-assertions={assertions}");
        let mut arguments = vec![
            guard,
            "--edition=2024",
            "--crate-type=lib",
            "--emit=metadata",
            "-o",
            target.to_str().unwrap(),
            "-C",
            &assertions,
            "--check-cfg=cfg(feature, values(\"test-clock\"))",
        ];
        if feature {
            arguments.extend(["--cfg", "feature=\"test-clock\""]);
        }
        tool("rustc", &arguments)
    };
    let refused = compile("off", true);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("test-clock"), "{refused}");
    for (assertions, feature) in [("off", false), ("on", true), ("on", false)] {
        let done = compile(assertions, feature);
        assert_eq!(done.code, Some(0), "{assertions} {feature}: {done}");
    }
}

/// No default feature of any crate has it, and none but the binary's own feature turns it on.
#[test]
fn the_test_clock_is_in_no_default_feature() {
    let metadata = [
        "metadata",
        "--no-deps",
        "--offline",
        "--format-version",
        "1",
    ];
    let metadata = tool("cargo", &metadata).json().unwrap();
    let mut owners = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let features = package["features"].as_object().unwrap();
        for (feature, turns_on) in features {
            let turns_on: Vec<&str> = turns_on
                .as_array()
                .unwrap()
                .iter()
                .filter_map(Value::as_str)
                .collect();
            if feature == "test-clock" {
                owners.push(package["name"].as_str().unwrap().to_owned());
            } else {
                let named = turns_on.iter().any(|name| name.contains("test-clock"));
                assert!(!named, "{feature} of {}: {turns_on:?}", package["name"]);
            }
        }
        for dependency in package["dependencies"].as_array().unwrap() {
            let asked = dependency["features"].to_string();
            assert!(!asked.contains("test-clock"), "{dependency}");
        }
    }
    owners.sort();
    assert_eq!(owners, ["moorline", "moorline-engine", "moorline-server"]);
}

/// Whatever release binary lies in the target directory does not know the variable.
#[test]
fn a_release_binary_does_not_know_the_test_clock() {
    let release = moorline_testkit::moorline::binary("moorline")
        .unwrap()
        .ancestors()
        .nth(2)
        .map_or_else(
            || Path::new("").to_owned(),
            |target| target.join("release/moorline"),
        );
    if let Ok(bytes) = fs::read(&release) {
        let found = bytes
            .windows(VARIABLE.len())
            .any(|window| window == VARIABLE.as_bytes());
        assert!(!found, "{} reads {VARIABLE}", release.display());
    }
    // The build under test does: otherwise this search would show nothing.
    let tested = moorline_testkit::moorline::binary("moorline").unwrap();
    let bytes = fs::read(tested).unwrap();
    assert!(
        bytes
            .windows(VARIABLE.len())
            .any(|window| window == VARIABLE.as_bytes()),
        "the binary under test was built without the feature `test-clock`"
    );
}
