//! `moorline secrets …`

use moorline_api::{ApiError, ControlPlane as _, SecretCheckRequest};

use crate::args::SecretsCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: SecretsCommand) -> Result<u8, ApiError> {
    let SecretsCommand::Check { job } = command;
    let request = SecretCheckRequest {
        job: context.env.cwd.join(job),
        lane: context.global.lane.clone(),
    };
    let dirs = context.create_state()?;
    let keys =
        context.with_engine_in(
            dirs,
            |engine| async move { engine.secret_check(request).await },
        )?;
    let missing = keys
        .iter()
        .filter(|key| key.required && !key.present)
        .count();
    if context.json() {
        output::json(&keys);
    } else if keys.is_empty() {
        output::line("the job declares no secrets");
    } else {
        let rows = keys.iter().map(|key| {
            let state = match (key.present, key.required) {
                (true, _) => "present",
                (false, true) => "MISSING",
                (false, false) => "absent (optional)",
            };
            let found = key.found_in.clone().unwrap_or_default();
            vec![key.secret.clone(), key.key.clone(), state.to_owned(), found]
        });
        output::table(&["SECRET", "KEY", "STATE", "FOUND IN"], rows.collect());
    }
    if missing > 0 {
        output::note(&format!(
            "error[ERR_MISSING_SECRET]: {missing} required keys are missing (D-SEC-5)"
        ));
        return Ok(78);
    }
    Ok(0)
}
