//! `moorline init`

use moorline_api::ApiError;
use serde_json::json;

use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>) -> Result<u8, ApiError> {
    let existed = context.new_state().join("store.db").exists();
    let dirs = context.create_state()?;
    let root = dirs.root().to_path_buf();
    // Opening the engine makes the store with its present schema.
    context.with_engine_in(dirs, |_| async { Ok(()) })?;
    if context.json() {
        output::json(&json!({"state": root, "created": !existed}));
    } else if existed {
        output::line(&format!("{} is ready already", root.display()));
    } else {
        output::line(&format!("made {}", root.display()));
        output::line(
            "next: `moorline run DIR` runs a job, `moorline doctor` tells what this machine can guarantee",
        );
    }
    Ok(0)
}
