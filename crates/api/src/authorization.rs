//! Which principal may do which operation: one table for the command line, HTTP and MCP (D-AUDIT-2).
//!
//! A row names the least role, and whether only a person may, by which rule. That holds whatever the role
//! is: agents and pipelines never approve, promote or enable (`D-ART-4`), release (`D-STOP-3`), say that a run
//! was as it should be (`D-SCHED-2`), refresh a session (`D-SEC-9`), or manage secrets and principals. What
//! they may do: submit, run, stop, disable, pause, and gather evidence that is measured, not judged.
//!
//! The match below has no catch-all, so an operation without a row does not compile; what is not permitted
//! is denied.
//!
//! Two things stand outside of the table. Whoever drives a run that is queued already
//! ([`Operation::RunWait`], a worker) changes nothing that was not permitted when it was submitted. And
//! Moorline itself acts by rule, as `system:moorline`, which nobody can claim to be.

use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, Role};

use crate::operation::Operation;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The least role.
    pub least: Role,
    /// The rule by which only a person may do it; none where everyone with the role may.
    pub humans_only: Option<&'static str>,
}

/// The row of an operation.
pub const fn rule(operation: Operation) -> Rule {
    use Operation as O;
    let (least, humans_only) = match operation {
        O::JobCheck
        | O::RunGet
        | O::RunList
        | O::RunWait
        | O::RunLogs
        | O::RunOutput
        | O::StopList
        | O::EventList
        | O::EventWatch
        | O::AuditList
        | O::AuditVerify
        | O::AuditExport
        | O::Explain
        | O::SourceList
        | O::AlertList
        | O::SecretList
        | O::SecretCheck
        | O::SecretAudit
        | O::PrincipalList
        | O::ArtifactReview
        | O::ArtifactList
        | O::ArtifactShow
        | O::ArtifactDiff
        | O::ArtifactHistory
        | O::ArtifactVerify
        | O::ArtifactExport
        | O::ArtifactProject
        | O::ScheduleList
        | O::ScheduleShow
        | O::ScheduleNext
        | O::ScheduleDrift
        | O::GateShow
        | O::EmergencyList
        | O::EmergencyShow
        | O::ApprovalList
        | O::ApprovalShow
        | O::JobList
        | O::Health => (Role::Viewer, None),
        // Stopping is never kept from who works here: if you cannot stop it instantly, it is not safe to run.
        O::Stop
        | O::RunSubmit
        | O::RunCancel
        | O::RunRetry
        | O::ArtifactSubmit
        | O::ScheduleDisable
        | O::ScheduleUndeploy
        | O::SourcePause
        | O::GateCheckSecrets
        | O::GateProbeEgress
        | O::AlertReplay
        | O::AlertTest => (Role::Operator, None),
        // The gate says which role decides, an approver's where it says nothing; a person does, whatever it says.
        O::ApprovalDecide => (Role::Operator, Some("D-ART-4")),
        O::ApprovalLink => (Role::Approver, Some("D-ART-4")),
        O::TokenList => (Role::Admin, None),
        O::TokenCreate | O::TokenRevoke => (Role::Admin, Some("D-AUDIT-2")),
        // It revokes and archives, which a person has to answer for; stopping alone is everyone's.
        O::Emergency => (Role::Operator, Some("D-STOP-3")),
        O::Release => (Role::Approver, Some("D-STOP-3")),
        O::ArtifactApprove
        | O::ArtifactReject
        | O::ArtifactRequestChanges
        | O::ArtifactSecurityReview
        | O::ArtifactArchive
        | O::ArtifactPromote
        | O::ArtifactRollback
        | O::ScheduleEnable
        | O::ScheduleResume
        | O::ScheduleRunNow
        | O::ScheduleDeploy => (Role::Approver, Some("D-ART-4")),
        O::GateVerifyRun => (Role::Approver, Some("D-SCHED-2")),
        O::SourceResume => (Role::Approver, Some("D-SEC-9")),
        O::SourceReauth => (Role::Admin, Some("D-SEC-9")),
        O::SecretSet | O::SecretRotate | O::SecretRevoke | O::PrincipalSet | O::PrincipalRemove => {
            (Role::Admin, Some("D-AUDIT-2"))
        }
    };
    Rule { least, humans_only }
}

/// Whether a principal with this role may do it.
///
/// # Errors
/// [`ErrorCode::Forbidden`], with the rule: the row's where only a person may, `D-AUDIT-2` where the role
/// does not reach.
pub fn permit(operation: Operation, principal: &Principal, role: Role) -> Result<(), Denial> {
    let row = rule(operation);
    let name = operation.as_str();
    if let Some(rule) = row.humans_only.filter(|_| !principal.is_human()) {
        let message = format!("{principal} may not do `{name}`: only a person may");
        return Err(Denial::new(ErrorCode::Forbidden, rule, message)
            .hint("ask a person to do it; agents and pipelines submit and propose"));
    }
    if role < row.least {
        let message = format!(
            "{principal} has the role `{role}`, and `{name}` needs `{}`",
            row.least
        );
        return Err(
            Denial::new(ErrorCode::Forbidden, "D-AUDIT-2", message).hint(
                "ask someone with that role, or have an admin give it: `moorline principal set`",
            ),
        );
    }
    Ok(())
}
