//! `cargo xtask setup`: what the tests need on a fresh Debian machine.
//!
//! A [`Need`] is looked for first; what is there is left alone, whatever put it there. What is
//! missing is installed by apt when this is Debian and we are root, and otherwise named together
//! with the command that installs it. Nothing is ever skipped: a machine that lacks a need does not
//! get past this step.

use std::path::Path;

use moorline_testkit::postgres;

use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::shell::{Shell, which};
use crate::workspace::Workspace;

/// Something that the tests can not do without.
struct Need {
    /// What it is called here.
    name: &'static str,
    /// What uses it.
    used_by: &'static str,
    /// The Debian package that brings it.
    package: &'static str,
    found: fn() -> bool,
}

/// All of them. A later part of the product adds its line here.
const NEEDS: &[Need] = &[
    Need {
        name: "a C compiler",
        used_by: "the bundled SQLite",
        package: "gcc",
        found: || which("cc").is_some(),
    },
    Need {
        name: "bubblewrap",
        used_by: "the sandbox of the local executor",
        package: "bubblewrap",
        found: || which("bwrap").is_some(),
    },
    Need {
        name: "PostgreSQL",
        used_by: "the store's second engine",
        package: "postgresql",
        found: || postgres::find_binaries().is_some(),
    },
    Need {
        name: "Python 3",
        used_by: "the example jobs and the sandbox's attack programs",
        package: "python3",
        found: || which("python3").is_some(),
    },
    Need {
        name: "Python's venv",
        used_by: "the Python packages of target/venv",
        package: "python3-venv",
        found: || {
            Shell::new("python3", Path::new("/"))
                .args(["-c", "import ensurepip, venv"])
                .succeeds()
        },
    },
    Need {
        name: "Node.js",
        used_by: "the official JavaScript SDK",
        package: "nodejs",
        found: || which("node").is_some(),
    },
    Need {
        name: "npm",
        used_by: "the Node.js packages of target/npm",
        package: "npm",
        found: || which("npm").is_some(),
    },
    Need {
        name: "Chromium",
        used_by: "the tests of the dashboard",
        package: "chromium",
        found: || which("chromium").is_some(),
    },
];

/// Packages of the Python environment `target/venv`, as pip takes them, with exact versions.
const PYTHON_PACKAGES: &[&str] = &["modal==1.6.4", "fastapi==0.165.0"];

/// Packages of the Python environment `target/venv-schemathesis`, with exact versions. It is one of its own, so
/// that what the official client needs and what schemathesis needs never have to agree.
const SCHEMATHESIS_PACKAGES: &[&str] = &["schemathesis==4.32.5", "cryptography==50.0.2"];

/// Packages of the Node.js environment `target/npm`, as npm takes them, with exact versions.
const NODE_PACKAGES: &[&str] = &["modal@0.11.1"];

/// Brings this machine to where [`crate::test`] can run.
pub(crate) fn run(workspace: &Workspace) -> Result {
    step("setup");
    let mut missing = Vec::new();
    for need in NEEDS {
        let found = (need.found)();
        say!(
            "{:<14} {:<8} ({})",
            need.name,
            if found { "found" } else { "missing" },
            need.used_by
        );
        if !found {
            missing.push(need);
        }
    }
    if !missing.is_empty() {
        install(&missing)?;
    }
    python_environment(workspace)?;
    let schemathesis = workspace.target().join("venv-schemathesis");
    environment(workspace, &schemathesis, SCHEMATHESIS_PACKAGES)?;
    node_environment(workspace)?;
    browser_environment(workspace)
}

fn install(missing: &[&Need]) -> Result {
    let packages: Vec<&str> = missing.iter().map(|need| need.package).collect();
    if which("apt-get").is_none() || !am_root() {
        return Err(Error::Refused(by_hand(&packages)));
    }
    let apt = || {
        Shell::new("apt-get", Path::new("/"))
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(["--quiet", "--yes"])
    };
    apt().args(["update"]).run()?;
    apt()
        .args(["install", "--no-install-recommends"])
        .args(&packages)
        .run()?;
    match missing.iter().find(|need| !(need.found)()) {
        None => Ok(()),
        Some(need) => Err(Error::Refused(format!(
            "{} is still missing after its package `{}` was installed; look at the output of apt",
            need.name, need.package
        ))),
    }
}

fn by_hand(packages: &[&str]) -> String {
    format!(
        "missing: {list}. This installs them only as root on Debian. On Debian or Ubuntu run \
         `sudo apt-get install {list}`; elsewhere install what these packages bring",
        list = packages.join(" ")
    )
}

fn am_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;

    // The owner of our own entry in /proc is our effective user.
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

/// Makes `target/venv`, with the official Python client and what the examples import.
pub(crate) fn python_environment(workspace: &Workspace) -> Result {
    environment(workspace, &workspace.target().join("venv"), PYTHON_PACKAGES)
}

/// Makes a Python environment with these packages, unless it is there already.
pub(crate) fn environment(workspace: &Workspace, directory: &Path, packages: &[&str]) -> Result {
    if is_installed(directory, packages) {
        return Ok(());
    }
    let python = directory.join("bin/python");
    if !python.is_file() {
        let create = Shell::new("python3", workspace.root()).args(["-m", "venv"]);
        create.args([directory]).run()?;
    }
    Shell::new(python, workspace.root())
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
        ])
        .args(packages)
        .run()?;
    mark_installed(directory, packages)
}

fn node_environment(workspace: &Workspace) -> Result {
    let directory = workspace.target().join("npm");
    if is_installed(&directory, NODE_PACKAGES) {
        return Ok(());
    }
    std::fs::create_dir_all(&directory)
        .map_err(Error::io(format!("make `{}`", directory.display())))?;
    Shell::new("npm", workspace.root())
        .args([
            "install",
            "--silent",
            "--no-audit",
            "--no-fund",
            "--ignore-scripts",
            "--prefix",
        ])
        .args([&directory])
        .args(NODE_PACKAGES)
        .run()?;
    mark_installed(&directory, NODE_PACKAGES)
}

/// Makes `target/browser`: what drives Chromium, exactly as `tests/browser/package-lock.json` says.
fn browser_environment(workspace: &Workspace) -> Result {
    let wanted = workspace.root().join("tests/browser");
    let directory = workspace.target().join("browser");
    let lock = std::fs::read_to_string(wanted.join("package-lock.json"))
        .map_err(Error::io("read `tests/browser/package-lock.json`"))?;
    if is_installed(&directory, &[&lock]) {
        return Ok(());
    }
    std::fs::create_dir_all(&directory)
        .map_err(Error::io(format!("make `{}`", directory.display())))?;
    for name in ["package.json", "package-lock.json"] {
        std::fs::copy(wanted.join(name), directory.join(name))
            .map_err(Error::io(format!("copy `tests/browser/{name}`")))?;
    }
    Shell::new("npm", &directory)
        .args(["ci", "--silent", "--no-audit", "--no-fund"])
        .args(["--ignore-scripts"])
        .run()?;
    mark_installed(&directory, &[&lock])
}

/// The file in an environment that tells what was installed into it: the network is asked once.
const INSTALLED: &str = "installed-by-xtask";

fn is_installed(directory: &Path, packages: &[&str]) -> bool {
    std::fs::read_to_string(directory.join(INSTALLED)).is_ok_and(|text| text == packages.join("\n"))
}

fn mark_installed(directory: &Path, packages: &[&str]) -> Result {
    let path = directory.join(INSTALLED);
    std::fs::write(&path, packages.join("\n"))
        .map_err(Error::io(format!("write `{}`", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_precisely_what_to_install_by_hand() {
        assert_eq!(
            by_hand(&["bubblewrap", "postgresql"]),
            "missing: bubblewrap postgresql. This installs them only as root on Debian. On Debian \
             or Ubuntu run `sudo apt-get install bubblewrap postgresql`; elsewhere install what \
             these packages bring"
        );
    }

    #[test]
    fn every_need_names_a_package_of_its_own() {
        let mut packages: Vec<&str> = NEEDS.iter().map(|need| need.package).collect();
        packages.sort_unstable();
        let before = packages.len();
        packages.dedup();
        assert_eq!(packages.len(), before);
    }
}
