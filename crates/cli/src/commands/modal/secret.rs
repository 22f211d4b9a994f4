//! `moorline modal secret …`. Values come by a file, the environment, standard input or a prompt that does not
//! echo; never as arguments, and they are never printed.

use std::io::Read as _;
use std::path::Path;

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_modal_client::Existence;
use moorline_modal_client::secrets::SecretValues;
use moorline_secrets::{EnvKey, FileSource, Origin, PromptSource, SecretValue};
use serde_json::json;
use zeroize::Zeroizing;

use super::{Modal, time, told};
use crate::args::SecretCommand;
use crate::output;

pub(super) fn run(modal: &Modal<'_>, command: SecretCommand) -> Result<u8, ApiError> {
    match command {
        SecretCommand::List => list(modal),
        SecretCommand::Create {
            name,
            keys,
            from_dotenv,
            from_env,
            force,
        } => {
            let values = match from_dotenv {
                Some(file) => from_file(modal, &file)?,
                None if from_env => from_environment(modal, &keys)?,
                None => from_input(&keys)?,
            };
            let existence = if force {
                Existence::Overwrite
            } else {
                Existence::CreateNew
            };
            modal.with_client(|client| async move {
                let secret = client
                    .secrets()
                    .create(&name, modal.environment(), &values, existence)
                    .await
                    .map_err(told)?;
                let keys: Vec<&String> = values.keys().collect();
                if modal.json() {
                    output::json(&json!({"secret_id": secret.id, "name": name, "keys": keys}));
                } else {
                    output::note(&format!(
                        "created the secret {name} with {} keys",
                        keys.len()
                    ));
                }
                Ok(0)
            })
        }
        SecretCommand::Delete { name, yes } => {
            super::confirm(yes, &format!("delete the secret {name}"))?;
            modal.with_client(|client| async move {
                let secrets = client.secrets();
                let found = secrets
                    .lookup(&name, modal.environment(), &[])
                    .await
                    .map_err(told)?;
                secrets.delete(&found.id).await.map_err(told)?;
                output::note(&format!("deleted the secret {name}"));
                Ok(0)
            })
        }
    }
}

fn list(modal: &Modal<'_>) -> Result<u8, ApiError> {
    modal.with_client(|client| async move {
        let secrets = client
            .secrets()
            .list(modal.environment())
            .await
            .map_err(told)?;
        if modal.json() {
            let secrets: Vec<_> = secrets
                .iter()
                .map(|secret| {
                    json!({
                        "secret_id": secret.id,
                        "name": secret.name,
                        "keys": secret.keys,
                        "created_at": secret.created_at,
                        "last_used_at": secret.last_used_at,
                    })
                })
                .collect();
            output::json(&secrets);
            return Ok(0);
        }
        let rows = secrets.into_iter().map(|secret| {
            let keys = secret.keys.join(", ");
            vec![
                secret.name,
                keys,
                time(secret.created_at),
                time(secret.last_used_at),
            ]
        });
        output::table(&["NAME", "KEYS", "CREATED", "LAST USED"], rows.collect());
        Ok(0)
    })
}

fn refused(what: impl Into<String>) -> ApiError {
    ApiError::new(ErrorCode::Usage, what)
}

fn from_environment(modal: &Modal<'_>, keys: &[String]) -> Result<SecretValues, ApiError> {
    let value = |key: &String| match modal.context.env.var(key) {
        Some(value) => Ok((key.clone(), value.to_owned().into())),
        None => Err(refused(format!("the variable {key} is not set"))),
    };
    keys.iter().map(value).collect()
}

/// One key takes all of a pipe or file; at a terminal each key is asked for.
fn from_input(keys: &[String]) -> Result<SecretValues, ApiError> {
    let closed = |error| refused("standard input can not be read").because(error);
    let prompt = PromptSource::stdin().map_err(closed)?;
    let mut values = SecretValues::new();
    for key in keys {
        let checked: EnvKey = key
            .parse()
            .map_err(|error| refused(format!("`{key}` names no variable: {error}")))?;
        let value = prompt.ask(checked.as_str()).map_err(|error| {
            refused(format!("no value for {key}: {error}")).hint(
                "several values come by --from-dotenv FILE or --from-env, or one after the other at a terminal",
            )
        })?;
        values.insert(key.clone(), value.expose().to_owned().into());
    }
    Ok(values)
}

/// A file must be its owner's alone, as for jobs (D-SEC).
fn from_file(modal: &Modal<'_>, file: &Path) -> Result<SecretValues, ApiError> {
    let source = if file == Path::new("-") {
        let mut text = Zeroizing::new(String::new());
        std::io::stdin()
            .read_to_string(&mut text)
            .map_err(|error| refused("standard input can not be read").because(error))?;
        FileSource::parse(&text, Origin::new("standard input"))
    } else {
        FileSource::open(&modal.context.env.cwd.join(file))
    };
    let source = source.map_err(|error| refused(error.to_string()).because(error))?;
    let pair = |(key, value): (&EnvKey, &SecretValue)| {
        (key.as_str().to_owned(), value.expose().to_owned().into())
    };
    let values: SecretValues = source.iter().map(pair).collect();
    if values.is_empty() {
        return Err(refused(format!(
            "{} holds no NAME=value line",
            file.display()
        )));
    }
    Ok(values)
}
