//! The mount that holds the supervisor program, made once for an app and then used by its id.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;

use moorline_modal_client::transfer::Files;
use serde::{Deserialize, Serialize};

use super::inner::{Inner, failed};
use crate::executor::ExecutorError;
use crate::local::layout::{self, IfThere};
use crate::supervise::guest::PROGRAM;

/// The mount that was made last, and from what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Made {
    server: String,
    app_id: String,
    program: PathBuf,
    /// Device, inode, bytes, and time of the last change in nanoseconds: what tells a file from another.
    file: (u64, u64, u64, i128),
    mount_id: String,
}

/// The id of the mount. Hashing and comparing some megabytes at each launch would take longer than all the
/// rest of it.
pub(super) async fn mount(inner: &Inner, app_id: &str) -> Result<String, ExecutorError> {
    let program = &inner.config.helper;
    let meta = fs::metadata(program).map_err(|error| {
        ExecutorError::io(
            format!("the supervisor program `{}`", program.display()),
            error,
        )
    })?;
    let changed = i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec());
    let mut wanted = Made {
        server: inner.remote.server(),
        app_id: app_id.to_owned(),
        program: program.clone(),
        file: (meta.dev(), meta.ino(), meta.size(), changed),
        mount_id: String::new(),
    };
    let path = inner.config.root.join("supervisor.json");
    if let Ok(Some(made)) = layout::read::<Made>(&path) {
        wanted.mount_id.clone_from(&made.mount_id);
        if made == wanted {
            return Ok(made.mount_id);
        }
    }
    let files = Files::new().file_with_mode(program, PROGRAM, 0o755);
    let made = inner.remote.mount(app_id, &files).await;
    wanted.mount_id = made.map_err(failed("sending the supervisor program"))?;
    // Without the note the next launch makes it again.
    if let Err(error) = layout::publish(&path, &wanted, IfThere::Replace) {
        tracing::debug!(%error, "the supervisor's mount is not noted");
    }
    Ok(wanted.mount_id)
}
