//! `cargo xtask mutants`: are the invariants' tests able to fail?
//!
//! Each entry of `crates/engine/tests/suite/invariants/mutants.toml` is a seeded fault: a piece of our source and
//! what takes its place. One after the other they are put into a copy of the tree, the tests are built
//! there and must fail with the name of the invariant that the fault breaks. A fault that no test notices
//! has survived, and fails the command.
//!
//! It takes a rebuild for each fault, so CI does not run it; a test holds that each piece of source is still
//! there, once, so that the list can not go stale unseen.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::cli::MutantsArguments;
use crate::clock;
use crate::error::{Error, Result};
use crate::output::{say, step};
use crate::shell::{Shell, Stream};
use crate::workspace::Workspace;

/// The list, below the workspace's root.
const LIST: &str = "crates/engine/tests/suite/invariants/mutants.toml";

/// How many plans are drawn for each fault: some need a rare one.
const CASES: &str = "48";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutants {
    mutant: Vec<Mutant>,
}

/// One seeded fault.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// The invariant that it breaks, 1 to 16.
    invariant: u32,
    /// What it does wrong, in words.
    name: String,
    /// The source file, below the workspace's root.
    file: PathBuf,
    /// What is there once.
    find: String,
    /// What takes its place.
    replace: String,
    /// Arguments of `cargo test`, where the engine's `invariants` are not what must notice.
    test: Option<Vec<String>>,
}

/// What became of a fault.
enum Fate {
    Caught,
    Survived,
    /// The tests failed, and not with the name of the invariant: it may not even have compiled.
    Unclear,
}

pub(crate) fn run(workspace: &Workspace, arguments: MutantsArguments) -> Result {
    let text = read(&workspace.root().join(LIST))?;
    let list: Mutants = toml::from_str(&text)
        .map_err(|error| Error::Refused(format!("{LIST} can not be read: {error}")))?;
    let wanted = |mutant: &&Mutant| arguments.only.is_none_or(|only| mutant.invariant == only);
    let tree = workspace.target().join("mutants/tree");
    copy_tree(workspace, &tree)?;
    step("without a fault");
    for mutant in list.mutant.iter().filter(wanted) {
        // Each command of a fault must pass without it; cargo builds nothing twice.
        if !matches!(judge(workspace, &tree, mutant)?, Fate::Survived) {
            let message = "the tests fail without any fault: mend that first".to_owned();
            return Err(Error::Refused(message));
        }
    }
    let mut told = Vec::new();
    for mutant in list.mutant.iter().filter(wanted) {
        step(&format!("invariant {}: {}", mutant.invariant, mutant.name));
        let file = tree.join(&mutant.file);
        let original = read(&file)?;
        let mutated = original.replacen(&mutant.find, &mutant.replace, 1);
        if mutated == original {
            let message = format!(
                "{} does not contain what {LIST} says",
                mutant.file.display()
            );
            return Err(Error::Refused(message));
        }
        let start = clock::now();
        write(&file, &mutated)?;
        let fate = judge(workspace, &tree, mutant);
        write(&file, &original)?;
        told.push((mutant, fate?, start.elapsed()));
    }
    step("mutants");
    let mut survived = false;
    for (mutant, fate, time) in &told {
        let verdict = match fate {
            Fate::Caught => "caught",
            Fate::Survived => "SURVIVED",
            Fate::Unclear => "UNCLEAR",
        };
        survived |= !matches!(fate, Fate::Caught);
        let (number, name) = (mutant.invariant, &mutant.name);
        say!(
            "{number:>2}  {verdict:<9} {:>5.0} s  {name}",
            time.as_secs_f64()
        );
    }
    if survived { Err(Error::Told) } else { Ok(()) }
}

/// Builds and runs the tests of a fault in the copy.
fn judge(workspace: &Workspace, tree: &Path, mutant: &Mutant) -> Result<Fate> {
    let usual = ["-p", "moorline-engine", "--test", "suite", "invariants"].map(str::to_owned);
    let arguments = mutant.test.as_deref().unwrap_or(&usual);
    let (status, output) = Shell::cargo(tree)
        .args(["test", "--quiet", "--all-features"])
        .args(arguments)
        .env("CARGO_TARGET_DIR", workspace.target().join("mutants/build"))
        .env("PROPTEST_CASES", CASES)
        .watch(Stream::Stdout)?;
    Ok(if status.success() {
        Fate::Survived
    } else if output.contains(&format!("invariant {} ", mutant.invariant)) {
        Fate::Caught
    } else {
        Fate::Unclear
    })
}

/// Brings the copy in line with the working tree. What is equal is not touched, so cargo does not build it
/// again.
fn copy_tree(workspace: &Workspace, tree: &Path) -> Result {
    let listed = Shell::new("git", workspace.root())
        .args(["ls-files", "-co", "--exclude-standard"])
        .quiet()
        .capture()?;
    for name in listed.lines() {
        let (from, to) = (workspace.root().join(name), tree.join(name));
        let Ok(content) = fs::read(&from) else {
            continue; // Deleted, and not yet committed.
        };
        if fs::read(&to).is_ok_and(|there| there == content) {
            continue;
        }
        let parent = to.parent().unwrap_or(tree);
        fs::create_dir_all(parent).map_err(Error::io(format!("make {}", parent.display())))?;
        fs::copy(&from, &to).map_err(Error::io(format!("copy {name}")))?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(Error::io(format!("read {}", path.display())))
}

fn write(path: &Path, text: &str) -> Result {
    fs::write(path, text).map_err(Error::io(format!("write {}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// L78
    #[test]
    fn every_invariant_has_a_fault_whose_place_is_in_the_source_once() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let list: Mutants = toml::from_str(&read(&root.join(LIST)).unwrap()).unwrap();
        for mutant in &list.mutant {
            let source = read(&root.join(&mutant.file)).unwrap();
            let found = source.matches(&mutant.find).count();
            assert_eq!(found, 1, "{} in {}", mutant.name, mutant.file.display());
            assert_ne!(mutant.find, mutant.replace, "{}", mutant.name);
        }
        let invariants: Vec<u32> = (1..=16).collect();
        let mut covered: Vec<u32> = list.mutant.iter().map(|m| m.invariant).collect();
        covered.sort_unstable();
        covered.dedup();
        assert_eq!(covered, invariants);
    }
}
