//! Every operation, by name.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $mutates:literal;)+) => {
        /// An operation of [`ControlPlane`](crate::ControlPlane).
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Operation {
            $($(#[$doc])* #[serde(rename = $text)] $name,)+
        }

        impl Operation {
            /// Every operation, in the order of the trait.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// Its name in audit records and authorisation rules.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text),+ }
            }

            /// Whether it changes state, and so leaves an audit record (D-AUDIT-1).
            pub const fn mutates(self) -> bool {
                match self { $(Self::$name => $mutates),+ }
            }
        }
    };
}

operations! {
    /// Check a job directory.
    JobCheck = "job.check", false;
    /// Start a run.
    RunSubmit = "run.submit", true;
    /// Show a run.
    RunGet = "run.get", false;
    /// List runs.
    RunList = "run.list", false;
    /// Wait for the end of a run, driving it where nobody else does.
    RunWait = "run.wait", false;
    /// Cancel a run.
    RunCancel = "run.cancel", true;
    /// Run again what a run ran.
    RunRetry = "run.retry", true;
    /// Read a run's log.
    RunLogs = "run.logs", false;
    /// Read an output of a run.
    RunOutput = "run.output", false;
    /// Stop a run, a job, a source, a schedule, a lane or everything.
    Stop = "stop.engage", true;
    /// Release a stop.
    Release = "stop.release", true;
    /// List the stops in force.
    StopList = "stop.list", false;
    /// List events.
    EventList = "event.list", false;
    /// Follow events.
    EventWatch = "event.watch", false;
    /// List audit records.
    AuditList = "audit.list", false;
    /// Verify the audit chain.
    AuditVerify = "audit.verify", false;
    /// Write the audit chain out.
    AuditExport = "audit.export", false;
    /// Say why a run, a refusal or a schedule is as it is.
    Explain = "explain", false;
    /// List sources and their states.
    SourceList = "source.list", false;
    /// Pause a source: nothing of it starts.
    SourcePause = "source.pause", true;
    /// Say that a source may be read again.
    SourceResume = "source.resume", true;
    /// Refresh the session of a source, on this machine.
    SourceReauth = "source.reauth", true;
    /// List alerts and their deliveries.
    AlertList = "alert.list", false;
    /// Send a dead delivery again.
    AlertReplay = "alert.replay", true;
    /// Send a test alert to a destination.
    AlertTest = "alert.test", true;
    /// List the secrets of a lane; never a value.
    SecretList = "secret.list", false;
    /// Check that a job's secrets are there.
    SecretCheck = "secret.check", false;
    /// Set a key of a secret.
    SecretSet = "secret.set", true;
    /// Replace a key of a secret that is there.
    SecretRotate = "secret.rotate", true;
    /// Remove a secret, or all of a lane.
    SecretRevoke = "secret.revoke", true;
    /// Compare what is kept with what is recorded.
    SecretAudit = "secret.audit", false;
    /// List principals and their roles.
    PrincipalList = "principal.list", false;
    /// Give a principal a role or a key.
    PrincipalSet = "principal.set", true;
    /// Take role and key from a principal.
    PrincipalRemove = "principal.remove", true;
    /// Submit a job directory for review.
    ArtifactSubmit = "artifact.submit", true;
    /// Review an artifact by rule.
    ArtifactReview = "artifact.review", false;
    /// List artifacts.
    ArtifactList = "artifact.list", false;
    /// Show an artifact.
    ArtifactShow = "artifact.show", false;
    /// Compare two versions.
    ArtifactDiff = "artifact.diff", false;
    /// Approve an artifact.
    ArtifactApprove = "artifact.approve", true;
    /// Reject an artifact.
    ArtifactReject = "artifact.reject", true;
    /// Ask for changes.
    ArtifactRequestChanges = "artifact.request_changes", true;
    /// Record a security review.
    ArtifactSecurityReview = "artifact.security_review", true;
    /// Set an artifact aside.
    ArtifactArchive = "artifact.archive", true;
    /// Point a lane to an approved artifact.
    ArtifactPromote = "artifact.promote", true;
    /// Point a lane back to an earlier artifact.
    ArtifactRollback = "artifact.rollback", true;
    /// Where lanes pointed.
    ArtifactHistory = "artifact.history", false;
    /// Verify content and signatures, offline.
    ArtifactVerify = "artifact.verify", false;
    /// Write an artifact and its records out.
    ArtifactExport = "artifact.export", false;
    /// Rebuild the tree that people look at.
    ArtifactProject = "artifact.project", false;
    /// List schedules.
    ScheduleList = "schedule.list", false;
    /// Show a schedule.
    ScheduleShow = "schedule.show", false;
    /// The next times of a schedule.
    ScheduleNext = "schedule.next", false;
    /// Enable a schedule.
    ScheduleEnable = "schedule.enable", true;
    /// Disable a schedule, or all.
    ScheduleDisable = "schedule.disable", true;
    /// Resume a paused schedule.
    ScheduleResume = "schedule.resume", true;
    /// Start what a schedule starts, now.
    ScheduleRunNow = "schedule.run_now", true;
    /// Compare schedules with what is deployed.
    ScheduleDrift = "schedule.drift", false;
    /// Deploy a schedule to Modal.
    ScheduleDeploy = "schedule.deploy", true;
    /// Take a deployed schedule away.
    ScheduleUndeploy = "schedule.undeploy", true;
    /// How the gates of a schedule stand.
    GateShow = "gate.show", false;
    /// Check that the secrets of an artifact are configured, and record it.
    GateCheckSecrets = "gate.check_secrets", true;
    /// Probe that egress is enforced, and record it.
    GateProbeEgress = "gate.probe_egress", true;
    /// Record that a first run was as it should be.
    GateVerifyRun = "gate.verify_run", true;
    /// Disable schedules, stop everything, revoke secrets, archive artifacts.
    Emergency = "emergency.run", true;
    /// List emergencies.
    EmergencyList = "emergency.list", false;
    /// Show what an emergency did and could not reach.
    EmergencyShow = "emergency.show", false;
    /// List requests for decisions.
    ApprovalList = "approval.list", false;
    /// Show a request for a decision.
    ApprovalShow = "approval.show", false;
    /// Decide a request.
    ApprovalDecide = "approval.decide", true;
    /// Make a link by which one person decides one request.
    ApprovalLink = "approval.link", true;
    /// List tokens.
    TokenList = "token.list", false;
    /// Make a token.
    TokenCreate = "token.create", true;
    /// End a token.
    TokenRevoke = "token.revoke", true;
    /// List the jobs that are known here.
    JobList = "job.list", false;
    /// Tell how state and executors are set up.
    Health = "health", false;
}
