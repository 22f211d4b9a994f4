//! Licences, sources and the layer rules, by cargo-deny.

use std::path::{Path, PathBuf};

use crate::clock;
use crate::error::Result;
use crate::output::say;
use crate::shell::{Shell, which};
use crate::workspace::Workspace;

/// deny.toml was written for this one.
const VERSION: &str = "0.20.2";

/// What another installed version has to begin with to be taken.
const COMPATIBLE: &str = "cargo-deny 0.20.";

pub(super) fn check(workspace: &Workspace) -> Result {
    Shell::new(program(workspace)?, workspace.root())
        // A wrapper that is allowed and not used does no harm: it says what a later crate may do.
        .args([
            "check",
            "--allow",
            "unused-wrapper",
            "bans",
            "licenses",
            "sources",
        ])
        .run()?;
    say!("advisories are not checked: their database would have to be fetched at every run");
    Ok(())
}

/// The installed cargo-deny, after installing it where there is none.
fn program(workspace: &Workspace) -> Result<PathBuf> {
    let ours = workspace.tools().join("bin/cargo-deny");
    let installed = [Some(ours.clone()), which("cargo-deny")];
    if let Some(found) = installed
        .into_iter()
        .flatten()
        .find(|p| is_compatible(p, workspace))
    {
        return Ok(found);
    }
    say!(
        "cargo-deny {VERSION} is built once, into {}",
        workspace.tools().display()
    );
    let start = clock::now();
    workspace
        .cargo()
        // Unoptimised: it checks this workspace in two seconds, and builds in a third of the time.
        .args([
            "install",
            "--locked",
            "--debug",
            "--quiet",
            "--version",
            VERSION,
        ])
        .args([
            Path::new("--root"),
            &workspace.tools(),
            Path::new("cargo-deny"),
        ])
        .run()?;
    say!("built in {:.0} s", start.elapsed().as_secs_f64());
    Ok(ours)
}

fn is_compatible(program: &Path, workspace: &Workspace) -> bool {
    program.is_file()
        && Shell::new(program, workspace.root())
            .args(["--version"])
            .quiet()
            .capture()
            .is_ok_and(|version| version.starts_with(COMPATIBLE))
}
