//! `cargo xtask upgrade`: the program before this one, still running while this one comes.
//!
//! `tests/upgrade/commit` names a commit of the schema before this one. It is checked out beside the working tree
//! and its `moorline` is built there, which takes minutes the first time: hence a command of its own, which
//! neither `test` nor `ci` runs. Then the tests of upgrades run with that binary.
//!
//! Where the history does not reach that far (a shallow clone), there is no such binary, and the command says so:
//! the tests then use the fixture of the older schema alone.

use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::env;

use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::shell::Shell;
use crate::workspace::Workspace;

/// The commit, below the workspace's root.
const COMMIT: &str = "tests/upgrade/commit";

pub(crate) fn run(workspace: &Workspace) -> Result {
    let older = older(workspace)?;
    step("this program");
    let packages = ["-p", "moorline", "-p", "moorline-server", "--all-features"];
    workspace.cargo().args(["build"]).args(packages).run()?;
    step("the tests of upgrades");
    let fixture = [
        "-p",
        "moorline-store",
        "--all-features",
        "--test",
        "suite",
        "upgrade",
    ];
    workspace.cargo().args(["test"]).args(fixture).run()?;
    let beside = [
        "-p",
        "moorline-tests",
        "--test",
        "server",
        "upgrade",
        "--",
        "--nocapture",
    ];
    let tests = workspace.cargo().args(["test"]).args(beside);
    match older {
        Some(older) => tests.env(env::OLDER, older).run(),
        None => tests.run(),
    }
}

/// The binary of the commit; none where the history does not have it.
fn older(workspace: &Workspace) -> Result<Option<PathBuf>> {
    let path = workspace.root().join(COMMIT);
    let text = fs::read_to_string(&path).map_err(Error::io(format!("read {COMMIT}")))?;
    let commit = text.trim();
    let git = |arguments: &[&str]| Shell::new("git", workspace.root()).args(arguments);
    if !git(&["cat-file", "-e", &format!("{commit}^{{commit}}")]).succeeds() {
        say!("the history has no commit {commit}: the fixture of the older schema alone is used");
        return Ok(None);
    }
    step(&format!("the program of {commit}"));
    let tree = workspace.target().join("upgrade/tree");
    if !is_at(&tree, commit)? {
        if tree.exists() {
            git(&["worktree", "remove", "--force", &tree.to_string_lossy()]).run()?;
        }
        git(&["worktree", "prune"]).run()?;
        git(&[
            "worktree",
            "add",
            "--detach",
            &tree.to_string_lossy(),
            commit,
        ])
        .run()?;
    }
    let build = workspace.target().join("upgrade/build");
    Shell::cargo(&tree)
        .args(["build", "-p", "moorline", "--locked"])
        .env("CARGO_TARGET_DIR", &build)
        .run()?;
    Ok(Some(build.join("debug/moorline")))
}

/// Whether a tree is checked out at a commit.
fn is_at(tree: &Path, commit: &str) -> Result<bool> {
    if !tree.join(".git").exists() {
        return Ok(false);
    }
    let head = Shell::new("git", tree).args(["rev-parse", "HEAD"]).quiet();
    Ok(head.capture()?.trim() == commit)
}
