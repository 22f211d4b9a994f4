//! `moorline stop` and `moorline release`

use moorline_api::{ApiError, ControlPlane, ReleaseRequest, RunRequest, StopReport, StopRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::stop::StopScope;
use serde_json::json;

use crate::args::{ReleaseArgs, StopArgs};
use crate::context::Context;
use crate::output;

pub(super) fn stop(context: &Context<'_>, args: StopArgs) -> Result<u8, ApiError> {
    if args.list {
        return list(context);
    }
    let actor = context.principal()?;
    let report = context.with_plane_at_once(|plane| async move {
        let scope = scope(&*plane, &args.scope).await?;
        let grace_seconds = Some(args.grace);
        plane
            .stop(StopRequest {
                scope,
                actor,
                reason: args.reason,
                grace_seconds,
            })
            .await
    })?;
    if context.json() {
        output::json(&report);
    } else {
        print(&report);
    }
    // The gate is in force; something that is still alive is a failure all the same.
    Ok(u8::from(!report.unreached.is_empty()))
}

fn print(report: &StopReport) {
    output::line(&format!(
        "stopped: {} (in force after {:.0} ms)",
        report.stop.scope, report.acknowledged_ms
    ));
    for schedule in &report.schedules {
        output::line(&format!("disabled: schedule {schedule}"));
    }
    for schedule in &report.undeployed {
        output::line(&format!("undeployed: schedule {schedule}"));
    }
    output::line(&format!(
        "{} of {} running ended in {:.0} ms",
        report.dead.len(),
        report.running.len(),
        report.elapsed_ms
    ));
    for (run, why) in &report.unreached {
        let what = if run.starts_with("schedule/") {
            ""
        } else {
            "run "
        };
        output::note(&format!(
            "NOT YET REACHED: {what}{run}: {why}; the stop stays in force, repeat it"
        ));
    }
    output::line(&format!(
        "nothing it covers can start until `moorline release {} --reason …`",
        report.stop.scope
    ));
}

fn list(context: &Context<'_>) -> Result<u8, ApiError> {
    let stops = context.with_plane(|plane| async move { plane.stop_list().await })?;
    if context.json() {
        output::json(&stops);
    } else if stops.is_empty() {
        output::note("no stop is in force");
    } else {
        let rows = stops.iter().map(|s| {
            vec![
                s.scope.to_string(),
                s.since.to_string(),
                s.actor.clone(),
                s.reason.clone(),
            ]
        });
        output::table(&["SCOPE", "SINCE", "BY", "REASON"], rows.collect());
    }
    Ok(0)
}

pub(super) fn release(context: &Context<'_>, args: ReleaseArgs) -> Result<u8, ApiError> {
    let actor = context.principal()?;
    let (scope, released) = context.with_plane(|plane| async move {
        let scope = scope(&*plane, &args.scope).await?;
        let request = ReleaseRequest {
            scope: scope.clone(),
            actor,
            reason: args.reason,
        };
        Ok((scope, plane.release(request).await?))
    })?;
    if context.json() {
        output::json(&json!({"scope": scope, "released": released}));
    } else if released {
        output::line(&format!("released: {scope}"));
    } else {
        output::line(&format!("no stop of {scope} was in force"));
    }
    Ok(0)
}

/// A scope; a run may be given by the beginning of its id or as `latest`.
async fn scope(plane: &dyn ControlPlane, text: &str) -> Result<StopScope, ApiError> {
    if let Some(run) = text.strip_prefix("run:") {
        let view = plane
            .run_get(RunRequest {
                run: run.to_owned(),
            })
            .await?;
        return Ok(StopScope::Run(view.summary.run_id));
    }
    text.parse()
        .map_err(|error: moorline_core::stop::ScopeError| {
            ApiError::new(ErrorCode::Usage, error.to_string())
                .hint("`moorline stop all` stops everything")
        })
}
