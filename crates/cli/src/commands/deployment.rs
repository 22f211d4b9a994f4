//! `moorline schedule deploy|undeploy|drift`

use moorline_api::{ApiError, DeploymentView, DriftReport, DriftRequest, ScheduleChangeRequest};
use moorline_core::error_code::ErrorCode;

use super::schedule::resolve;
use crate::context::Context;
use crate::output;

pub(super) fn deploy(
    context: &Context<'_>,
    schedule: &str,
    reason: String,
) -> Result<u8, ApiError> {
    let view = context.with_plane(|plane| async move {
        let request = ScheduleChangeRequest {
            schedule: resolve(context, &*plane, schedule).await?,
            actor: context.principal()?,
            reason,
        };
        plane.schedule_deploy(request).await
    })?;
    Ok(told(context, &view))
}

pub(super) fn undeploy(
    context: &Context<'_>,
    schedule: &str,
    reason: String,
) -> Result<u8, ApiError> {
    let view = context.with_plane(|plane| async move {
        let request = ScheduleChangeRequest {
            schedule: resolve(context, &*plane, schedule).await?,
            actor: context.principal()?,
            reason,
        };
        plane.schedule_undeploy(request).await
    })?;
    Ok(told(context, &view))
}

fn told(context: &Context<'_>, view: &DeploymentView) -> u8 {
    if context.json() {
        output::json(view);
        return 0;
    }
    let (schedule, app) = (&view.schedule, &view.app);
    match (view.deployed, view.changed) {
        (true, _) => {
            output::line(&format!("{schedule} is deployed as the app {app}"));
            if let Some(url) = &view.url {
                output::line(&format!("  {url}"));
            }
        }
        (false, true) => output::line(&format!(
            "{schedule} is not deployed any more: {app} was stopped"
        )),
        (false, false) => output::line(&format!("{schedule} was not deployed")),
    }
    0
}

/// Exit code 1 when there is drift.
pub(super) fn drift(context: &Context<'_>) -> Result<u8, ApiError> {
    let lane = context.global.lane.as_deref().map(str::parse).transpose();
    let lane = lane.map_err(|error: moorline_core::lane::LaneError| {
        ApiError::new(ErrorCode::Usage, error.to_string())
    })?;
    let request = DriftRequest { lane };
    let report = context.with_plane(|plane| async move { plane.schedule_drift(request).await })?;
    if context.json() {
        output::json(&report);
    } else {
        print(&report);
    }
    Ok(u8::from(report.drift))
}

fn print(report: &DriftReport) {
    for finding in &report.findings {
        let what = match (&finding.schedule, &finding.app) {
            (Some(schedule), _) => schedule.to_string(),
            (None, Some(app)) => format!("{}: app {app}", finding.lane),
            (None, None) => format!("{}: all schedules", finding.lane),
        };
        output::line(&format!("{:<10}  {what}", finding.state.as_str()));
        for difference in &finding.differences {
            output::line(&format!("            {difference}"));
        }
        if let Some(hint) = &finding.hint {
            output::line(&format!("            {hint}"));
        }
    }
    if report.findings.is_empty() {
        output::line("no schedules, and none deployed");
    }
}
