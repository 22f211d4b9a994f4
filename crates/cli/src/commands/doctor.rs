//! `moorline doctor`

use moorline_api::{ApiError, HealthCheck, HealthReport};
use serde_json::json;

use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>) -> Result<u8, ApiError> {
    let mut report = context.with_new_plane(|plane| async move { plane.health().await })?;
    if !context.is_remote()? {
        report.checks.insert(0, configuration(context));
    }
    if context.json() {
        output::json(&report);
    } else {
        print(&report);
    }
    Ok(u8::from(!report.ok))
}

/// Which files the settings come from. They are in order, or there would be no engine to ask.
fn configuration(context: &Context<'_>) -> HealthCheck {
    let paths = context.config_paths();
    let files: Vec<String> = [paths.project, paths.user]
        .into_iter()
        .flatten()
        .filter(|path| path.is_file())
        .map(|path| path.display().to_string())
        .collect();
    HealthCheck {
        name: "configuration".to_owned(),
        ok: true,
        found: if files.is_empty() {
            "built in; there is no `moorline.toml` here or above".to_owned()
        } else {
            files.join(", ")
        },
        hint: None,
    }
}

fn print(report: &HealthReport) {
    for check in &report.checks {
        let mark = if check.ok { "ok  " } else { "FAIL" };
        output::line(&format!("{mark} {:<26}{}", check.name, check.found));
        if let Some(hint) = check.hint.as_ref().filter(|_| !check.ok) {
            output::line(&format!("     {:<26}{hint}", ""));
        }
    }
    let names: Vec<String> = report
        .protections
        .iter()
        .filter_map(|p| json!(p).as_str().map(str::to_owned))
        .collect();
    output::line(&format!("sandbox gives: {}", names.join(", ")));
    for missing in &report.missing {
        let name = json!(missing.protection);
        output::line(&format!(
            "sandbox lacks: {}: {}",
            name.as_str().unwrap_or_default(),
            missing.why
        ));
    }
}
