//! What README and docs print works as printed, and commands stay in their own directory.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::moorline::{Moorline, Running, binary};
use moorline_tests::repository;

/// Pages whose commands are run. Every page with a `sh` block is one; the test looks for others.
fn pages() -> Vec<PathBuf> {
    let root = repository();
    let mut pages = vec![root.join("README.md")];
    for folder in [
        "docs",
        "docs/decisions",
        "examples/bank-statement",
        "examples/hello",
        "examples/job-types",
        "examples/two-step",
    ] {
        let entries = fs::read_dir(root.join(folder)).unwrap();
        pages.extend(
            entries
                .map(|e| e.unwrap().path())
                .filter(|p| p.extension().is_some_and(|x| x == "md")),
        );
    }
    pages.sort();
    pages
}

/// The commands of a page's `sh` blocks, joined over continued lines.
fn commands(page: &Path) -> Vec<String> {
    let text = fs::read_to_string(page).unwrap();
    let mut commands = Vec::new();
    let mut inside = false;
    let mut open = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            inside = !inside && matches!(line.trim(), "```sh" | "```bash" | "```console");
            continue;
        }
        let line = line.trim();
        if !inside || line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("$ ").unwrap_or(line);
        if let Some(start) = line.strip_suffix('\\') {
            open.push_str(start);
            continue;
        }
        open.push_str(line);
        commands.push(std::mem::take(&mut open));
    }
    commands
}

/// L09 and L25: every command is run as it is printed, in the order of its page, with the repository as
/// the working directory. `cargo run --bin moorline --` stands for the binary that was built already;
/// `cargo xtask …` is what runs this test, so only that the command is known is checked.
#[test]
fn every_command_of_the_documentation_works_as_printed() {
    let mut told = BTreeSet::new();
    for page in pages() {
        // State goes to a place of the test's own, as `MOORLINE_STATE` allows.
        let home = Moorline::new().unwrap();
        let moorline = binary("moorline").unwrap();
        let path = format!(
            "{}:{}",
            moorline.parent().unwrap().display(),
            moorline_testkit::env::read("PATH").unwrap_or_default()
        );
        for command in commands(&page) {
            let runnable = command.replace("cargo run --bin moorline --", "moorline");
            if runnable.starts_with("cargo xtask")
                || runnable.starts_with("cargo test")
                || runnable.starts_with("cargo run")
            {
                told.insert(command);
                continue;
            }
            let mut shell = sh(&runnable);
            shell
                .env_clear()
                .env("PATH", &path)
                .env("HOME", home.root());
            shell
                .env("MOORLINE_STATE", home.state_dir())
                .current_dir(repository());
            shell.stdin(std::process::Stdio::null());
            let output = Running::start(&mut shell)
                .unwrap()
                .wait(std::time::Duration::from_mins(1))
                .unwrap();
            let failed_on_purpose = command.contains("# exits");
            assert!(
                output.code == Some(0) || failed_on_purpose,
                "{}: `{command}`\n{output}",
                page.display()
            );
        }
    }
    assert!(told.contains("cargo xtask test"), "{told:?}");
}

#[expect(clippy::disallowed_methods, reason = "pages are written for a shell")]
fn sh(command: &str) -> std::process::Command {
    let mut shell = std::process::Command::new("/bin/sh");
    shell.args(["-c", command]);
    shell
}

/// L26: commands write nothing outside their state directory.
#[test]
fn commands_write_only_below_their_state_directory() {
    let moorline = Moorline::new().unwrap();
    let hello = repository().join("examples/hello");
    let hello = hello.to_str().unwrap();
    let before = listing(moorline.root(), &moorline.state_dir());
    let job_before = listing(Path::new(hello), Path::new("/nowhere"));
    for arguments in [
        vec!["init"],
        vec!["run", hello],
        vec!["runs", "list"],
        vec!["runs", "show", "latest"],
        vec!["runs", "logs", "latest"],
        vec!["stop", "all"],
        vec!["release", "all", "--reason", "r"],
        vec!["events", "list"],
        vec!["audit", "verify"],
        vec!["doctor"],
        vec!["job", "validate", hello],
    ] {
        let output = moorline.run(&arguments).unwrap();
        assert_eq!(output.code, Some(0), "{arguments:?}\n{output}");
    }
    assert_eq!(listing(moorline.root(), &moorline.state_dir()), before);
    assert_eq!(listing(Path::new(hello), Path::new("/nowhere")), job_before);
}

/// Every path below `root` but those below `except`.
fn listing(root: &Path, except: &Path) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let mut pending = vec![root.to_path_buf()];
    while let Some(dir) = pending.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path == except {
                continue;
            }
            if path.is_dir() && !path.is_symlink() {
                pending.push(path.clone());
            }
            found.insert(path);
        }
    }
    found
}
