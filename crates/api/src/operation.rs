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
    /// Stop a run, a job, a source, a lane or everything.
    Stop = "stop.engage", true;
    /// Release a stop.
    Release = "stop.release", true;
    /// List the stops in force.
    StopList = "stop.list", false;
    /// List events.
    EventList = "event.list", false;
    /// Follow events.
    EventWatch = "event.watch", false;
    /// Verify the audit chain.
    AuditVerify = "audit.verify", false;
    /// List sources and their states.
    SourceList = "source.list", false;
    /// Check that a job's secrets are there.
    SecretCheck = "secret.check", false;
    /// Tell how state and executors are set up.
    Health = "health", false;
}
