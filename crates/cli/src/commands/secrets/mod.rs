//! `moorline secrets …`

pub(super) mod input;

use jiff::Timestamp;
use moorline_api::secrets::{
    SecretAuditRequest, SecretListRequest, SecretRevokeRequest, SecretSetRequest, SecretState,
    SecretView,
};
use moorline_api::{ApiError, SecretCheckRequest};
use moorline_core::secret::ExpiryStage;

use crate::args::{SecretRevokeArgs, SecretSetArgs, SecretsCommand};
use crate::context::Context;
use crate::output;

/// Exit code where secrets are missing, differ or have expired: configuration (`contracts`).
const CONFIG: u8 = 78;

pub(super) fn run(context: &Context<'_>, command: SecretsCommand) -> Result<u8, ApiError> {
    match command {
        SecretsCommand::List => list(context),
        SecretsCommand::Set(args) => set(context, args, false),
        SecretsCommand::Rotate(args) => set(context, args, true),
        SecretsCommand::Check { job } => check(context, job),
        SecretsCommand::Revoke(args) => revoke(context, args),
        SecretsCommand::Audit { jobs } => audit(context, &jobs),
    }
}

fn list(context: &Context<'_>) -> Result<u8, ApiError> {
    let request = SecretListRequest {
        lane: context.global.lane.clone(),
    };
    let views = context.with_plane(|plane| async move { plane.secret_list(request).await })?;
    if context.json() {
        output::json(&views);
        return Ok(0);
    }
    if views.is_empty() {
        output::note("nothing is on record; `moorline secrets set NAME` keeps one");
        return Ok(0);
    }
    let rows = views.iter().flat_map(|view| {
        view.keys.iter().map(|key| {
            vec![
                view.lane.to_string(),
                view.secret.clone(),
                key.key.clone(),
                view.object.clone(),
                time(key.set_at),
                key.by.to_string(),
                end(view),
            ]
        })
    });
    let header = [
        "LANE",
        "SECRET",
        "KEY",
        "OBJECT",
        "SET",
        "BY",
        "HOLDS UNTIL",
    ];
    output::table(&header, rows.collect());
    Ok(0)
}

/// To the second; nobody needs more of a secret.
fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

fn end(view: &SecretView) -> String {
    let Some(end) = view.expires_at.map(time) else {
        return String::new();
    };
    match view.expiry {
        Some(ExpiryStage::Expired) => format!("{end} EXPIRED"),
        Some(ExpiryStage::Expiring) => format!("{end} soon"),
        None => end,
    }
}

fn set(context: &Context<'_>, args: SecretSetArgs, rotate: bool) -> Result<u8, ApiError> {
    input::refuse_arguments(&args)?;
    let actor = context.principal()?;
    let values = input::values(&args.name, &args.keys, args.dotenv)?;
    let request = SecretSetRequest {
        lane: context.global.lane.clone(),
        secret: args.name,
        values,
        ttl_hours: args.ttl,
        warn_hours: args.warn,
        source_id: args.source,
        actor,
        reason: args.reason,
    };
    let view = context.with_new_plane(|plane| async move {
        if rotate {
            plane.secret_rotate(request).await
        } else {
            plane.secret_set(request).await
        }
    })?;
    if context.json() {
        output::json(&view);
        return Ok(0);
    }
    let keys: Vec<&str> = view.keys.iter().map(|key| key.key.as_str()).collect();
    let done = if rotate { "rotated" } else { "set" };
    let until = view
        .expires_at
        .map_or_else(String::new, |end| format!(", until {}", time(end)));
    output::line(&format!(
        "{done} {} of lane {} ({}){until}",
        view.secret,
        view.lane,
        keys.join(", ")
    ));
    Ok(0)
}

fn check(context: &Context<'_>, job: std::path::PathBuf) -> Result<u8, ApiError> {
    let request = SecretCheckRequest {
        job: context.env.cwd.join(job),
        lane: context.global.lane.clone(),
    };
    let keys = context.with_new_plane(|plane| async move { plane.secret_check(request).await })?;
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
        return Ok(CONFIG);
    }
    Ok(0)
}

fn revoke(context: &Context<'_>, args: SecretRevokeArgs) -> Result<u8, ApiError> {
    let request = SecretRevokeRequest {
        lane: context.global.lane.clone(),
        secret: args.name,
        actor: context.principal()?,
        reason: args.reason,
    };
    let report = context.with_plane(|plane| async move { plane.secret_revoke(request).await })?;
    if context.json() {
        output::json(&report);
    } else {
        for run in &report.stopped {
            output::line(&format!("stopped run {run}, which held it"));
        }
        for object in &report.removed {
            output::line(&format!("removed {object}"));
        }
        if report.removed.is_empty() {
            output::line("nothing was kept");
        }
    }
    for (what, why) in &report.left {
        output::note(&format!("error[ERR_CONFIG]: {what}: {why}"));
    }
    Ok(if report.left.is_empty() { 0 } else { CONFIG })
}

fn audit(context: &Context<'_>, jobs: &[std::path::PathBuf]) -> Result<u8, ApiError> {
    let request = SecretAuditRequest {
        lane: context.global.lane.clone(),
        jobs: jobs.iter().map(|job| context.env.cwd.join(job)).collect(),
    };
    let report = context.with_plane(|plane| async move { plane.secret_audit(request).await })?;
    if context.json() {
        output::json(&report);
    } else if report.findings.is_empty() {
        output::line("nothing is kept, and nothing is needed");
    } else {
        let rows = report.findings.iter().map(|finding| {
            let state = match finding.state {
                SecretState::Ok => "ok".to_owned(),
                state if state.is_drift() => state.as_str().to_uppercase(),
                state => state.as_str().to_owned(),
            };
            let key = finding.key.clone().unwrap_or_default();
            vec![
                finding.lane.to_string(),
                finding.secret.clone(),
                key,
                state,
                finding.message.clone(),
            ]
        });
        output::table(
            &["LANE", "SECRET", "KEY", "STATE", "WHAT IT MEANS"],
            rows.collect(),
        );
    }
    Ok(if report.clean { 0 } else { CONFIG })
}
