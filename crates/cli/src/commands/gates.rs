//! `moorline gates …`

use moorline_api::{ApiError, GateRequest, GatesView, ScheduleRequest, VerifyRunRequest};
use moorline_core::gate::{Evidence, GateState};

use super::schedule::resolve;
use crate::args::GatesCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: GatesCommand) -> Result<u8, ApiError> {
    let evidence = match command {
        GatesCommand::Show { schedule } => return show(context, &schedule),
        GatesCommand::CheckSecrets { schedule } => context.with_plane(|plane| async move {
            let schedule = resolve(context, &*plane, &schedule).await?;
            let actor = context.principal()?;
            plane
                .gate_check_secrets(GateRequest { schedule, actor })
                .await
        }),
        GatesCommand::ProbeEgress { schedule } => context.with_plane(|plane| async move {
            let schedule = resolve(context, &*plane, &schedule).await?;
            let actor = context.principal()?;
            plane
                .gate_probe_egress(GateRequest { schedule, actor })
                .await
        }),
        GatesCommand::VerifyRun {
            schedule,
            run,
            note,
        } => context.with_plane(|plane| async move {
            let request = VerifyRunRequest {
                schedule: resolve(context, &*plane, &schedule).await?,
                run,
                actor: context.principal()?,
                note,
            };
            plane.gate_verify_run(request).await
        }),
    }?;
    Ok(found(context, &evidence))
}

fn show(context: &Context<'_>, schedule: &str) -> Result<u8, ApiError> {
    let view: GatesView = context.with_plane(|plane| async move {
        let schedule = resolve(context, &*plane, schedule).await?;
        plane.gate_show(ScheduleRequest { schedule }).await
    })?;
    if context.json() {
        output::json(&view);
    } else {
        let met = view.gates.iter().filter(|gate| gate.met).count();
        output::line(&format!(
            "{}: {met} of {} gates are met",
            view.schedule,
            view.gates.len()
        ));
        if let Some(content) = view.content {
            output::line(&format!("  artifact {content}"));
        }
        print(&view.gates, "  ");
    }
    Ok(0)
}

/// Prints gates, one a line, with what to do about those that are not met.
pub(super) fn print(gates: &[GateState], indent: &str) {
    for gate in gates {
        let mark = if gate.met { "met " } else { "open" };
        output::line(&format!("{indent}{mark} {:<19} {}", gate.gate, gate.why));
        if let Some(hint) = &gate.hint {
            output::line(&format!("{indent}     {:<19} do: {hint}", ""));
        }
    }
}

/// Prints evidence; one that says that a gate does not hold is a failure.
fn found(context: &Context<'_>, evidence: &Evidence) -> u8 {
    if context.json() {
        output::json(evidence);
    } else {
        let how = if evidence.holds {
            "holds"
        } else {
            "does NOT hold"
        };
        output::line(&format!(
            "{} {how} for {}/{} ({})",
            evidence.gate, evidence.lane, evidence.job_id, evidence.artifact
        ));
        if !evidence.holds {
            output::line(&format!("  found: {}", evidence.detail));
        }
    }
    u8::from(!evidence.holds)
}
