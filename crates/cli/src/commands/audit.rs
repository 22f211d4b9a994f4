//! `moorline audit …`

use moorline_api::{ApiError, ControlPlane as _};

use crate::args::AuditCommand;
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, command: &AuditCommand) -> Result<u8, ApiError> {
    let AuditCommand::Verify = command;
    let report = context.with_engine(|engine| async move { engine.audit_verify().await })?;
    if context.json() {
        output::json(&report);
    } else {
        match &report.problem {
            None => output::line(&format!(
                "{} records, chain intact, head {}",
                report.records, report.head
            )),
            Some(problem) => output::note(&format!("the audit trail is broken: {problem}")),
        }
    }
    Ok(u8::from(!report.intact))
}
