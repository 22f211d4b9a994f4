//! Which principal may do which operation: one table for the command line, HTTP and MCP (D-AUDIT-2).
//!
//! A row names the least role and the kinds of principal. The kinds hold whatever the role is: agents and
//! pipelines never approve, promote or enable (D-ART-4). The match below has no catch-all, so an operation
//! without a row does not compile; what is not permitted is denied.

use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalKind, Role};

use crate::operation::Operation;

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rule {
    /// The least role.
    pub least: Role,
    /// Whether only a person may do it.
    pub humans_only: bool,
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
        | O::Health => (Role::Viewer, false),
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
        | O::AlertTest => (Role::Operator, false),
        O::Emergency => (Role::Operator, true),
        O::Release
        | O::SourceResume
        | O::ArtifactApprove
        | O::ArtifactReject
        | O::ArtifactRequestChanges
        | O::ArtifactSecurityReview
        | O::ArtifactArchive
        | O::ArtifactPromote
        | O::ArtifactRollback
        | O::ScheduleEnable
        | O::ScheduleResume
        | O::ScheduleRunNow
        | O::ScheduleDeploy
        | O::GateVerifyRun => (Role::Approver, true),
        O::SecretSet
        | O::SecretRotate
        | O::SecretRevoke
        | O::SourceReauth
        | O::PrincipalSet
        | O::PrincipalRemove => (Role::Admin, true),
    };
    Rule { least, humans_only }
}

/// Whether a principal with this role may do it.
///
/// # Errors
/// [`ErrorCode::Forbidden`], with the rule: `D-ART-4` where only a person may, `D-AUDIT-2` where the role
/// does not reach.
pub fn permit(operation: Operation, principal: &Principal, role: Role) -> Result<(), Denial> {
    let row = rule(operation);
    let name = operation.as_str();
    if row.humans_only && principal.kind() != PrincipalKind::Human {
        let message = format!("{principal} may not do `{name}`: only a person may");
        return Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message)
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
