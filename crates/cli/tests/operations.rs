//! Every operation of the control plane has a command, or a stated reason why not.

use clap::CommandFactory as _;
use moorline::args::Cli;
use moorline_api::Operation;

/// The command of an operation, as words; the first word of a reason that is none starts with `(`.
const fn command(operation: Operation) -> &'static str {
    match operation {
        Operation::JobCheck => "job validate",
        Operation::RunSubmit => "run",
        Operation::RunGet => "runs show",
        Operation::RunList => "runs list",
        Operation::RunWait => "runs wait",
        Operation::RunCancel => "runs cancel",
        Operation::RunRetry => "runs retry",
        Operation::RunLogs => "runs logs",
        Operation::RunOutput => "runs output",
        Operation::Stop | Operation::StopList => "stop",
        Operation::Release => "release",
        Operation::EventList => "events list",
        Operation::EventWatch => "events watch",
        Operation::AuditList => "audit list",
        Operation::AuditVerify => "audit verify",
        Operation::AuditExport => "audit export",
        Operation::Explain => "explain",
        Operation::SourceList => "sources list",
        Operation::SourcePause => "sources pause",
        Operation::SourceResume => "sources resume",
        Operation::SourceReauth => "sources reauth",
        Operation::AlertList => "alerts list",
        Operation::AlertReplay => "alerts replay",
        Operation::AlertTest => "alerts test",
        Operation::SecretList => "secrets list",
        Operation::SecretCheck => "secrets check",
        Operation::SecretSet => "secrets set",
        Operation::SecretRotate => "secrets rotate",
        Operation::SecretRevoke => "secrets revoke",
        Operation::SecretAudit => "secrets audit",
        Operation::PrincipalList => "principal list",
        Operation::PrincipalSet => "principal set",
        Operation::PrincipalRemove => "principal remove",
        Operation::ArtifactSubmit => "artifact submit",
        Operation::ArtifactReview => "artifact review",
        Operation::ArtifactList => "artifact list",
        Operation::ArtifactShow => "artifact show",
        Operation::ArtifactDiff => "artifact diff",
        Operation::ArtifactApprove => "artifact approve",
        Operation::ArtifactReject => "artifact reject",
        Operation::ArtifactRequestChanges => "artifact request-changes",
        Operation::ArtifactSecurityReview => "artifact security-review",
        Operation::ArtifactArchive => "artifact archive",
        Operation::ArtifactPromote => "artifact promote",
        Operation::ArtifactRollback => "artifact rollback",
        Operation::ArtifactHistory => "artifact history",
        Operation::ArtifactVerify => "artifact verify",
        Operation::ArtifactExport => "artifact export",
        Operation::ArtifactProject => "artifact project",
        Operation::ScheduleList => "schedule list",
        Operation::ScheduleShow => "schedule show",
        Operation::ScheduleNext => "schedule next",
        Operation::ScheduleEnable => "schedule enable",
        Operation::ScheduleDisable => "schedule disable",
        Operation::ScheduleResume => "schedule resume",
        Operation::ScheduleRunNow => "schedule run-now",
        Operation::ScheduleDrift => "schedule drift",
        Operation::ScheduleDeploy => "schedule deploy",
        Operation::ScheduleUndeploy => "schedule undeploy",
        Operation::GateShow => "gates show",
        Operation::GateCheckSecrets => "gates check-secrets",
        Operation::GateProbeEgress => "gates probe-egress",
        Operation::GateVerifyRun => "gates verify-run",
        Operation::Emergency => "emergency run",
        Operation::EmergencyList => "emergency list",
        Operation::EmergencyShow => "emergency show",
        Operation::ApprovalList => "approvals list",
        Operation::ApprovalShow => "approvals show",
        Operation::ApprovalDecide => "approvals decide",
        Operation::ApprovalLink => "approvals link",
        Operation::TokenList => "tokens list",
        Operation::TokenCreate => "tokens create",
        Operation::TokenRevoke => "tokens revoke",
        Operation::JobList => "job list",
        Operation::Health => "doctor",
    }
}

#[test]
fn every_operation_has_a_command() {
    for operation in Operation::ALL {
        let mut found = Cli::command();
        for word in command(*operation).split(' ') {
            found = found
                .find_subcommand(word)
                .unwrap_or_else(|| panic!("{} has no command", operation.as_str()))
                .clone();
        }
    }
}

#[test]
fn the_arguments_are_consistent() {
    Cli::command().debug_assert();
}

/// Commands that are no operation of the control plane, each with the reason.
const OUTSIDE: [(&str, &str); 12] = [
    ("work", "is a worker, which does what operations asked for"),
    (
        "config",
        "reads the configuration files of this machine; the engine is opened with the result",
    ),
    ("login", "keeps a token of a server on this machine"),
    ("logout", "forgets a token of a server on this machine"),
    (
        "contexts",
        "is about the servers that this machine knows, before one is asked",
    ),
    (
        "init",
        "makes the state directory that an engine is opened on",
    ),
    (
        "job",
        "also explains a spec and prints schemas, which needs no engine",
    ),
    ("app-name", "computes a name; nothing is looked up"),
    (
        "modal",
        "steers objects of a Modal workspace, whoever made them; Moorline keeps nothing of them",
    ),
    (
        "emulator",
        "is a server of its own, for official clients as well",
    ),
    ("completions", "prints text of this program"),
    ("man", "prints text of this program"),
];

#[test]
fn every_command_is_an_operation_or_says_why_not() {
    let operations: Vec<&str> = Operation::ALL
        .iter()
        .filter_map(|operation| command(*operation).split(' ').next())
        .collect();
    for found in Cli::command().get_subcommands() {
        let name = found.get_name();
        let outside = OUTSIDE
            .iter()
            .any(|(outside, reason)| *outside == name && !reason.is_empty());
        assert!(
            outside || operations.contains(&name),
            "`{name}` is no operation of the control plane, and no reason is given"
        );
    }
}
