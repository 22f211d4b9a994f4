//! What the operations of [`Store`](crate::Store) take and give.

use std::fmt;

use jiff::Timestamp;
use moorline_core::attempt::{Handle, Isolation, Usage};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::RunStatus;
use moorline_core::event::{EventKind, Level, NewEvent};
use moorline_core::ids::{AttemptId, DriverId, RunId};
use moorline_core::run::{CancelKind, Effect, Run, Verdict};
use moorline_core::schedule::ScheduleId;
use moorline_core::stop::Stop;
use serde::{Deserialize, Serialize};

use crate::versions::Seen;

/// A run to make durable.
#[derive(Debug, Clone)]
pub struct NewRun {
    /// The run, as `moorline_core::run::Run::queued` built it.
    pub run: Run,
    /// Canonical job spec (RFC 8785), stored once by its hash.
    pub spec: String,
    /// What the caller calls this submission; the same key gives the same run.
    pub idempotency_key: Option<String>,
    /// Content id over everything that the submission asks for; compared when the key is known.
    pub fingerprint: ContentId,
    /// Claim the first attempt in the same transaction: (driver, attempt id, lease end).
    pub claim: Option<(DriverId, AttemptId, Timestamp)>,
    /// Why, where somebody said so; on the audit record.
    pub reason: Option<String>,
    /// Only what the lane points to may run: anything else is refused in the same transaction (D-ART-4).
    pub requires_promotion: bool,
}

/// What a submission came to.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// The run; when a claim was asked for and made, with its live attempt.
    pub run: Run,
    /// False when the idempotency key was known.
    pub created: bool,
}

/// A wish to claim.
#[derive(Debug, Clone)]
pub struct ClaimDue {
    /// Who claims.
    pub driver: DriverId,
    /// Ids for the attempts; also the limit.
    pub attempt_ids: Vec<AttemptId>,
    /// Only this run.
    pub only: Option<RunId>,
    /// Lease end.
    pub lease_until: Timestamp,
    /// Now.
    pub now: Timestamp,
}

/// The end of an attempt.
#[derive(Debug, Clone)]
pub struct FinishAttempt {
    /// The run.
    pub run: RunId,
    /// Fencing token.
    pub token: u64,
    /// What it came to, after validation.
    pub verdict: Verdict,
    /// What it used.
    pub usage: Usage,
    /// What protected the host.
    pub isolation: Isolation,
    /// Exit code, when it exited by itself.
    pub exit_code: Option<i32>,
    /// The executor's whole report, kept with the attempt (JSON).
    pub outcome: serde_json::Value,
    /// Claim the next attempt of the run in the same transaction when one is due now.
    pub claim_next: Option<(DriverId, AttemptId, Timestamp)>,
    /// Now.
    pub now: Timestamp,
}

/// What a live attempt says while it runs, on its way into the event log.
#[derive(Debug, Clone)]
pub struct AppendEvents {
    /// The run.
    pub run: RunId,
    /// Fencing token.
    pub token: u64,
    /// Number of the first of these events among those of the attempt, from 0.
    pub from: u64,
    /// The events, in order.
    pub events: Vec<NewEvent>,
    /// Now.
    pub now: Timestamp,
}

/// A wish to end a run.
#[derive(Debug, Clone)]
pub struct CancelRun {
    /// The run.
    pub run: RunId,
    /// How.
    pub kind: CancelKind,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// The version that it must still be; none for a change of whatever is there.
    pub seen: Option<Seen>,
    /// Now.
    pub now: Timestamp,
}

/// A stop that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Engaged {
    /// The stop of that scope that is in force: this one, or an earlier one that stays as it is.
    pub stop: Stop,
    /// Schedules that it covers and that it disabled.
    pub schedules: Vec<ScheduleId>,
}

/// A run with a live attempt.
#[derive(Debug, Clone)]
pub struct LiveRun {
    /// The run.
    pub run: Run,
    /// Until when its driver's lease lasts.
    pub lease_until: Timestamp,
}

/// Which runs to list; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct RunFilter {
    /// Only of these statuses; empty means all.
    pub statuses: Vec<RunStatus>,
    /// Only of this job.
    pub job_id: Option<String>,
    /// Only of this source.
    pub source_id: Option<String>,
    /// Only older than this run (exclusive): the cursor of the next page.
    pub before: Option<RunId>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// Which events to list; all conditions hold.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct EventFilter {
    /// Only with a greater id.
    pub after: u64,
    /// Only of these kinds; empty means all.
    pub kinds: Vec<EventKind>,
    /// Only at least this level.
    pub level: Option<Level>,
    /// Only of this run.
    pub run_id: Option<RunId>,
    /// Only of this job.
    pub job_id: Option<String>,
    /// At most this many; 0 means 100.
    pub limit: u32,
    /// The newest `limit` ones (still oldest first) instead of the first ones behind `after`.
    pub newest: bool,
}

/// Which audit records to list; all conditions hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditFilter {
    /// Only of this operation, e.g. `run.submit`.
    pub operation: Option<String>,
    /// Only by this actor, e.g. `human:ada`.
    pub actor: Option<String>,
    /// Only of this subject, e.g. `run/0190…`; with a `/` at its end, of every subject that begins so.
    pub subject: Option<String>,
    /// Only at this time or later.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
    /// Only with an id less than this one: the cursor of the next page.
    pub before: Option<u64>,
    /// At most this many; 0 means 50.
    pub limit: u32,
}

/// One attempt as the store keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AttemptRecord {
    /// Identity.
    pub id: AttemptId,
    /// Its run.
    pub run_id: RunId,
    /// Its step.
    pub step: String,
    /// 1 for the first attempt of the step.
    pub number: u32,
    /// Where it runs or ran.
    pub handle: Option<Handle>,
    /// The executor's report (JSON); null until it is over.
    pub outcome: Option<serde_json::Value>,
    /// When it was claimed.
    pub claimed_at: Timestamp,
    /// When its end was recorded.
    pub ended_at: Option<Timestamp>,
}

/// Head of the audit chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditHead {
    /// Id of the newest record, 0 for none.
    pub id: u64,
    /// Its hash.
    pub hash: String,
}

/// An effect that waits to be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Its number.
    pub id: u64,
    /// The run it follows from.
    pub run_id: RunId,
    /// What to do.
    pub effect: Effect,
    /// Since when.
    pub created_at: Timestamp,
}

/// An effect that was carried out.
#[derive(Debug, Clone)]
pub struct OutboxDone {
    /// The row.
    pub id: u64,
    /// The event that tells of it.
    pub event: Option<NewEvent>,
    /// Now.
    pub now: Timestamp,
}

/// How a store is set up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreHealth {
    /// `sqlite` or `postgres`.
    pub engine: String,
    /// Engine version.
    pub version: String,
    /// Version of our schema.
    pub schema: u32,
    /// How commits are made durable, e.g. `wal, synchronous=FULL`.
    pub durability: String,
    /// What keeps the rows of this project from the sessions of others.
    pub isolation: StoreIsolation,
}

/// What keeps the rows of a project from the sessions of other projects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum StoreIsolation {
    /// It has the whole database, or shares it with projects that have schemas and roles of their own.
    Own,
    /// A schema of its own, used as a role that has rights on nothing else, and row-level security.
    Role {
        /// The role.
        role: String,
    },
    /// A schema of its own and row-level security; the same role could use the schemas of others, so a
    /// mistake of this program is all that is between them.
    Schema {
        /// Why there is no role of its own, and what gives it one.
        why: String,
    },
}

impl fmt::Display for StoreIsolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => f.write_str("a store of its own"),
            Self::Role { role } => write!(f, "a schema of its own as role {role}"),
            Self::Schema { why } => {
                write!(f, "a schema of its own, and no role of its own: {why}")
            }
        }
    }
}

/// How the schema of a database compares with the one that this program writes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaCheck {
    /// The newest version that the database has; 0 for a new one. Greater than the program's when a newer
    /// program has expanded it in a way that this one can live with.
    pub found: u32,
    /// The version that this program writes.
    pub program: u32,
    /// Migrations that are to be applied, oldest first, e.g. `0003_control_plane`.
    pub pending: Vec<String>,
}

impl SchemaCheck {
    /// Whether nothing is to be applied.
    pub fn is_current(&self) -> bool {
        self.pending.is_empty()
    }
}
