//! The working tree: a check must not change it.
//!
//! In a fresh clone this means that it is clean at the end. In a developer's tree it means that the
//! changes are those that were there before.

use crate::error::{Error, Result};
use crate::output::say;
use crate::shell::Shell;
use crate::workspace::Workspace;

/// The state of the working tree as git sees it; `None` outside of a clone, such as in an unpacked
/// source archive.
pub(super) fn snapshot(workspace: &Workspace) -> Result<Option<String>> {
    let git = || Shell::new("git", workspace.root()).quiet();
    if !git()
        .args(["rev-parse", "--is-inside-work-tree"])
        .succeeds()
    {
        return Ok(None);
    }
    let status = git()
        .args(["status", "--porcelain", "--untracked-files=all"])
        .capture()?;
    let changes = git()
        .args(["diff", "HEAD", "--no-ext-diff", "--no-color"])
        .capture()?;
    Ok(Some(format!("{status}\n{changes}")))
}

/// Refuses when the tree is not what it was.
pub(super) fn unchanged_since(workspace: &Workspace, before: Option<&str>) -> Result {
    let after = snapshot(workspace)?;
    if after.is_none() {
        say!("this is no clone, so there is no working tree to compare");
    }
    if after.as_deref() == before {
        return Ok(());
    }
    if let Some(after) = after {
        say!("{after}");
    }
    Err(Error::Refused(
        "the checks changed the working tree: a test writes into the source, or Cargo.lock was \
         not current"
            .to_owned(),
    ))
}
