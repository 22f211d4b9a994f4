//! Whether our own `.proto` files tell Modal's protocol as the official package does.
//!
//! Part of `cargo xtask gen --check`, and `cargo xtask wire` alone. With `--against VERSION` it prints
//! what another version of the package changed, and which of that we use.

mod facts;

use std::path::{Path, PathBuf};

use self::facts::{Difference, Facts};
use crate::cli::WireArguments;
use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::setup;
use crate::shell::Shell;
use crate::workspace::Workspace;

pub(crate) fn run(workspace: &Workspace, arguments: &WireArguments) -> Result {
    check(workspace)?;
    match &arguments.against {
        Some(version) => compare(workspace, version),
        None => Ok(()),
    }
}

/// Fails when a name, number, type, label or RPC of ours is not that of the official package.
pub(crate) fn check(workspace: &Workspace) -> Result {
    step("Modal's protocol, as the official package has it");
    setup::python_environment(workspace)?;
    let ours = ours(workspace)?;
    let theirs = theirs(workspace, &workspace.target().join("venv"))?;
    let wrong: Vec<Difference> = ours.not_in(&theirs);
    for difference in &wrong {
        say!("{difference}");
    }
    if !wrong.is_empty() {
        return Err(Error::Refused(format!(
            "{} of our facts about Modal's protocol differ from the official package; mend \
             crates/modal-proto/proto",
            wrong.len()
        )));
    }
    let [rpcs, all_rpcs] = [&ours, &theirs].map(|facts| facts.count("rpc"));
    let [fields, all_fields] = [&ours, &theirs].map(|facts| facts.count("field"));
    say!("{rpcs} of {all_rpcs} RPCs and {fields} of {all_fields} fields, all as they should be");
    Ok(())
}

fn compare(workspace: &Workspace, version: &str) -> Result {
    step(&format!("what modal {version} changed"));
    let directory = workspace.target().join(format!("venv-modal-{version}"));
    setup::environment(workspace, &directory, &[&format!("modal=={version}")])?;
    let pinned = theirs(workspace, &workspace.target().join("venv"))?;
    let other = theirs(workspace, &directory)?;
    let ours = ours(workspace)?;
    for difference in pinned.not_in(&other) {
        let used = if ours.has(&difference.name) {
            " (used by us)"
        } else {
            ""
        };
        say!("{difference}{used}");
    }
    for added in other.names_not_in(&pinned) {
        say!("added: {added}");
    }
    Ok(())
}

fn ours(workspace: &Workspace) -> Result<Facts> {
    let directory = workspace.root().join("crates/modal-proto/proto");
    let roots = [
        "modal/client/service.proto",
        "modal/task_command_router/service.proto",
    ];
    let files = protox::compile(roots, [&directory]).map_err(|error| {
        Error::Refused(format!(
            "crates/modal-proto/proto does not compile: {error:?}"
        ))
    })?;
    Ok(Facts::of_files(&files))
}

fn theirs(workspace: &Workspace, environment: &Path) -> Result<Facts> {
    let python: PathBuf = environment.join("bin/python");
    let script = workspace.root().join("xtask/src/wire/descriptors.py");
    let text = Shell::new(python, workspace.root())
        .args([script])
        .quiet()
        .capture()?;
    Ok(Facts::of_text(&text))
}
