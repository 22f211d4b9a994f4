//! `moorline sources …`

use moorline_api::{ApiError, ControlPlane as _};

use crate::args::SourcesCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: &SourcesCommand) -> Result<u8, ApiError> {
    let SourcesCommand::List = command;
    let sources = context.with_engine(|engine| async move { engine.source_list().await })?;
    if context.json() {
        output::json(&sources);
    } else {
        let rows = sources.iter().map(|s| {
            let run = s.run_id.map(|run| run.to_string()).unwrap_or_default();
            vec![
                s.source_id.clone(),
                s.state.to_string(),
                run,
                s.updated_at.to_string(),
            ]
        });
        output::table(&["SOURCE", "STATE", "BY RUN", "SINCE"], rows.collect());
    }
    Ok(0)
}
