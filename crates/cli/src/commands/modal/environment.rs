//! `moorline modal environment …`

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_client::environments::EnvironmentUpdate;
use serde_json::json;

use super::{Modal, time, told};
use crate::args::EnvironmentCommand;
use crate::output;

pub(super) fn run(modal: &Modal<'_>, command: EnvironmentCommand) -> Result<u8, ApiError> {
    modal.with_client(|client| async move {
        let environments = client.environments();
        match command {
            EnvironmentCommand::List => {
                let all = environments.list().await.map_err(told)?;
                if modal.json() {
                    let all: Vec<_> = all
                        .iter()
                        .map(|environment| {
                            json!({
                                "name": environment.name,
                                "web_suffix": environment.web_suffix,
                                "default": environment.is_default,
                                "created_at": environment.created_at,
                            })
                        })
                        .collect();
                    output::json(&all);
                    return Ok(0);
                }
                let rows = all.into_iter().map(|environment| {
                    vec![
                        environment.name,
                        environment.web_suffix.unwrap_or_default(),
                        if environment.is_default {
                            "default"
                        } else {
                            ""
                        }
                        .to_owned(),
                        time(environment.created_at),
                    ]
                });
                output::table(&["NAME", "WEB SUFFIX", "", "CREATED"], rows.collect());
            }
            EnvironmentCommand::Create { name } => {
                environments.create(&name).await.map_err(told)?;
                output::note(&format!("created the environment {name}"));
            }
            EnvironmentCommand::Delete { name, yes } => {
                super::confirm(
                    yes,
                    &format!("delete the environment {name} and everything in it"),
                )?;
                environments.delete(&name).await.map_err(told)?;
                output::note(&format!("deleted the environment {name}"));
            }
            EnvironmentCommand::Update {
                name,
                set_name,
                set_web_suffix,
            } => {
                let mut change = EnvironmentUpdate::default();
                change.name = set_name;
                change.web_suffix = set_web_suffix;
                if change == EnvironmentUpdate::default() {
                    return Err(
                        ApiError::new(ErrorCode::Usage, "nothing to change was given")
                            .hint("give --set-name or --set-web-suffix"),
                    );
                }
                environments.update(&name, change).await.map_err(told)?;
                output::note(&format!("changed the environment {name}"));
            }
        }
        Ok(0)
    })
}
