//! Starting the commands that link the product.
//!
//! `cargo xtask` itself is small and knows no crate of the product, so that it starts at once on a
//! fresh machine, and also while such a crate does not compile. `gen` and `bench` need them: for
//! those, this builds the same program once more with the feature `product`, as a part of the whole
//! workspace (so that it shares every dependency with it), and runs that.
//!
//! Cargo unites features over what one command builds. Were this program built alone, half of its
//! dependencies would be compiled a second time.

use std::ffi::OsStr;
use std::path::Path;

use crate::error::{Error, Result};
use crate::shell::Shell;
use crate::workspace::Workspace;

/// Examples that print figures: of the engine, the store, the secrets, the client of Modal and the server.
#[cfg(not(feature = "product"))]
const EXAMPLES: [&str; 6] = [
    "measure",
    "transitions",
    "throughput",
    "measure-modal",
    "live",
    "bare",
];

/// Runs `cargo xtask gen …` in a development build.
pub(crate) fn run_gen(
    workspace: &Workspace,
    arguments: impl IntoIterator<Item: AsRef<OsStr>>,
) -> Result {
    workspace.build_everything()?;
    run(workspace, "debug", arguments)
}

/// Runs `cargo xtask bench …` in a release build, for what is measured inside the process must not
/// be a development build. The binaries of the product are built with it.
#[cfg(not(feature = "product"))]
pub(crate) fn run_bench(
    workspace: &Workspace,
    build: bool,
    arguments: impl IntoIterator<Item: AsRef<OsStr>>,
) -> Result {
    if build {
        workspace
            .cargo()
            .args([
                "build",
                "--workspace",
                // Not all features: one is refused in a release, the clock of tests.
                "--features",
                "xtask/product",
                "--release",
                "--bins",
            ])
            .args(EXAMPLES.iter().flat_map(|example| ["--example", example]))
            .run()?;
    }
    run(workspace, "release", arguments)
}

fn run(
    workspace: &Workspace,
    profile: &str,
    arguments: impl IntoIterator<Item: AsRef<OsStr>>,
) -> Result {
    let program = workspace.target().join(profile).join("xtask");
    if !program.is_file() {
        return Err(Error::Refused(format!(
            "{} is not built; run this without --no-build",
            program.display()
        )));
    }
    // In the directory of this process, since an argument may be a relative path.
    Shell::new(program, Path::new("."))
        .args(arguments)
        .quiet()
        .run_for_us()
}
