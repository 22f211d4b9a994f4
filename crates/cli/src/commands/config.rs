//! `moorline config …`

use moorline_api::ApiError;
use moorline_core::config::{ConfigFlag, Entry, Origin, Resolved};
use moorline_core::error_code::ErrorCode;
use moorline_core::schema;
use moorline_engine::configure;
use moorline_engine::surroundings::refused;
use serde_json::{Value, json};

use crate::args::ConfigCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: ConfigCommand) -> Result<u8, ApiError> {
    match command {
        ConfigCommand::Show { key } => show(context, key.as_deref()),
        ConfigCommand::Get { key } => get(context, &key),
        ConfigCommand::Path => Ok(path(context)),
        ConfigCommand::Schema => {
            output::json(&schema::config_schema());
            Ok(0)
        }
        ConfigCommand::Check => check(context),
    }
}

/// The configuration with the flags of this command line, `--lane` among them.
fn configuration(context: &Context<'_>) -> Result<Resolved, ApiError> {
    let mut layers = context.config_layers()?;
    layers
        .flags
        .extend(context.global.lane.iter().map(|lane| ConfigFlag {
            flag: "--lane".to_owned(),
            key: "lane".to_owned(),
            value: lane.clone(),
        }));
    configure(&layers).map_err(refused)
}

fn show(context: &Context<'_>, key: Option<&str>) -> Result<u8, ApiError> {
    let resolved = configuration(context)?;
    let entries: Vec<&Entry> = match key {
        Some(key) => at(&resolved, key)?,
        None => resolved.entries.iter().collect(),
    };
    if context.json() {
        output::json(&entries);
        return Ok(0);
    }
    let rows = entries.iter().map(|entry| {
        let from = match &entry.inherited_from {
            Some(lane) => format!("{} (as `{lane}`)", entry.origin),
            None => entry.origin.to_string(),
        };
        vec![entry.key.clone(), shown(&entry.value), from]
    });
    output::table(&["KEY", "VALUE", "FROM"], rows.collect());
    Ok(0)
}

fn get(context: &Context<'_>, key: &str) -> Result<u8, ApiError> {
    let resolved = configuration(context)?;
    let entries = at(&resolved, key)?;
    match entries.as_slice() {
        [one] if one.key == key => {
            if context.json() {
                output::json(&one.value);
            } else {
                output::line(&shown(&one.value));
            }
            Ok(0)
        }
        several => {
            let message = format!("`{key}` is a table of {} keys", several.len());
            Err(ApiError::new(ErrorCode::Usage, message)
                .hint(format!("see them with `moorline config show {key}`")))
        }
    }
}

fn at<'r>(resolved: &'r Resolved, key: &str) -> Result<Vec<&'r Entry>, ApiError> {
    resolved.at(key).map_err(|meant| {
        let hint = meant.map_or_else(
            || "see all keys with `moorline config show`".to_owned(),
            |meant| format!("did you mean `{meant}`?"),
        );
        ApiError::new(ErrorCode::NotFound, format!("there is no key `{key}`")).hint(hint)
    })
}

/// A value as TOML writes it; `-` where nothing is set.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn path(context: &Context<'_>) -> u8 {
    let paths = context.config_paths();
    if context.json() {
        output::json(&json!({"project": paths.project, "user": paths.user}));
        return 0;
    }
    for (what, path) in [("project", paths.project), ("user", paths.user)] {
        let shown = match path {
            Some(path) if path.is_file() => path.display().to_string(),
            Some(path) => format!("{} (not there)", path.display()),
            None => "none".to_owned(),
        };
        output::line(&format!("{what:<8}{shown}"));
    }
    0
}

fn check(context: &Context<'_>) -> Result<u8, ApiError> {
    let resolved = configuration(context)?;
    let written = |entry: &&Entry| entry.origin != Origin::Default;
    let set = resolved.entries.iter().filter(written).count();
    let lanes: Vec<String> = resolved
        .settings
        .lanes
        .keys()
        .map(ToString::to_string)
        .collect();
    if context.json() {
        output::json(&json!({"valid": true, "set": set, "lanes": lanes}));
    } else {
        output::line(&format!(
            "valid: {set} values set, lanes {}",
            lanes.join(", ")
        ));
    }
    Ok(0)
}
