//! The [`Store`] seam: where state lives.

use std::fmt::Debug;

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::attempt::Handle;
use moorline_core::audit::{AuditRecord, NewAudit};
use moorline_core::content_id::ContentId;
use moorline_core::event::Event;
use moorline_core::ids::{AttemptId, DriverId, RunId};
use moorline_core::run::Run;
use moorline_core::stop::{Stop, StopScope};
use moorline_core::summary::RunSummary;
use tokio::sync::watch;

use crate::alerts::AlertStore;
use crate::approvals::ApprovalStore;
use crate::artifacts::ArtifactStore;
use crate::blobs::BlobStore;
use crate::counts::CountStore;
use crate::deployments::DeploymentStore;
use crate::emergencies::EmergencyStore;
use crate::error::StoreError;
use crate::principals::PrincipalStore;
use crate::refusals::RefusalStore;
use crate::schedules::ScheduleStore;
use crate::secrets::SecretStore;
use crate::sources::SourceStore;
use crate::tokens::TokenStore;
use crate::types::{
    AppendEvents, AttemptRecord, AuditFilter, AuditHead, CancelRun, ClaimDue, Engaged, EventFilter,
    FinishAttempt, LiveRun, NewRun, OutboxDone, OutboxRow, RunFilter, StoreHealth, Submitted,
};
use crate::versions::VersionStore;

/// Named, atomic intents over the state of one installation.
///
/// # Contract
/// * Each method is one transaction: state change, events, audit record and outbox rows are written
///   together or not at all, and are durable when it returns (`synchronous=FULL`, `fsync` on).
/// * Transitions are those of `moorline_core::run::apply`; the store adds no rule of its own.
/// * [`run_claim_due`](Self::run_claim_due) is exclusive: an attempt is claimed by one driver, also
///   among processes and machines, and never while a stop covers its run.
/// * A write that presents a token older than the run's is refused with [`StoreError::Refused`].
/// * Event ids grow by one in commit order, without gap. Audit records are hash-chained.
/// * Time comes from the caller.
#[async_trait]
pub trait Store:
    PrincipalStore
    + ArtifactStore
    + ScheduleStore
    + DeploymentStore
    + EmergencyStore
    + SecretStore
    + SourceStore
    + AlertStore
    + RefusalStore
    + ApprovalStore
    + TokenStore
    + BlobStore
    + CountStore
    + VersionStore
    + Send
    + Sync
    + Debug
{
    /// Makes a run durable. With an idempotency key that is known, nothing is written and the run of
    /// that key is returned (`created` is false); the same key with another `artifact_hash`, job or
    /// inputs (`fingerprint`) is [`StoreError::Conflict`]. Refused while a stop covers the run.
    async fn run_submit(&self, new: NewRun) -> Result<Submitted, StoreError>;

    /// Claims up to `limit` due attempts, oldest due first, only those of runs in `only` when given.
    /// One attempt id of `attempt_ids` is used per claim, in order.
    async fn run_claim_due(&self, claim: ClaimDue) -> Result<Vec<Run>, StoreError>;

    /// Records the handle of a launched attempt.
    async fn attempt_launched(
        &self,
        run: RunId,
        token: u64,
        handle: Handle,
        now: Timestamp,
    ) -> Result<Run, StoreError>;

    /// Records the end of an attempt and everything that follows from it in the same transaction: the
    /// run, its summary when it is over, its source, its alerts and its outbox rows.
    async fn attempt_finish(&self, finish: FinishAttempt) -> Result<Run, StoreError>;

    /// Appends events that tell what a live attempt says: progress and metrics. Those that are recorded
    /// already, by their number, are left out; so repeating it is `Ok` and writes nothing.
    async fn events_append(&self, append: AppendEvents) -> Result<(), StoreError>;

    /// Takes a live attempt over from a driver that is gone; the new token fences the old driver.
    async fn attempt_take_over(
        &self,
        run: RunId,
        attempt: AttemptId,
        driver: DriverId,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Run, StoreError>;

    /// Extends the lease of every live attempt of a driver. Returns how many.
    async fn lease_renew(&self, driver: DriverId, until: Timestamp) -> Result<u64, StoreError>;

    /// Runs with a live attempt, with the process that drives each and until when its lease lasts.
    async fn runs_live(&self) -> Result<Vec<LiveRun>, StoreError>;

    /// Earliest time at which an attempt is or becomes due (of `only`, when given).
    async fn next_due(&self, only: Option<RunId>) -> Result<Option<Timestamp>, StoreError>;

    /// Asks for the end of one run. Ending what has ended is `Ok` and writes nothing.
    async fn run_cancel(&self, cancel: CancelRun) -> Result<Run, StoreError>;

    /// One run.
    async fn run_get(&self, run: RunId) -> Result<Option<Run>, StoreError>;

    /// Runs whose id begins with this text, at most two: for short ids on the command line.
    async fn run_find(&self, prefix: &str) -> Result<Vec<RunId>, StoreError>;

    /// Runs, newest first, filtered before the limit.
    async fn runs_list(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError>;

    /// Jobs of which there are runs, by their ids.
    async fn run_jobs(&self) -> Result<Vec<String>, StoreError>;

    /// The summary of a run that is over.
    async fn summary_get(&self, run: RunId) -> Result<Option<RunSummary>, StoreError>;

    /// Every attempt of a run, oldest first.
    async fn attempts_list(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError>;

    /// The run of an attempt.
    async fn attempt_run(&self, attempt: AttemptId) -> Result<Option<RunId>, StoreError>;

    /// The canonical job spec of a run, by its hash.
    async fn spec_get(&self, hash: &ContentId) -> Result<Option<String>, StoreError>;

    /// Puts a stop in force and disables every schedule it covers, in one transaction: the gate. From then on
    /// nothing it covers starts. Repeating it is `Ok`.
    async fn stop_engage(&self, stop: Stop) -> Result<Engaged, StoreError>;

    /// Asks for the end of every run that a stop in force covers: those without a live attempt are over with
    /// it. Repeating it is `Ok`. Returns the runs that still have a live attempt.
    ///
    /// Apart from [`stop_engage`](Self::stop_engage), so that the gate does not wait for a transaction that
    /// grows with the number of runs.
    async fn stop_carry_out(&self, stop: Stop) -> Result<Vec<Run>, StoreError>;

    /// Releases a stop; `false` when none of that scope was in force.
    async fn stop_release(
        &self,
        scope: &StopScope,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Stops in force.
    async fn stops_list(&self) -> Result<Vec<Stop>, StoreError>;

    /// Events behind a cursor, oldest first, filtered before the limit.
    async fn events_list(&self, filter: EventFilter) -> Result<Vec<Event>, StoreError>;

    /// Audit records behind an id, oldest first, at most `limit`.
    async fn audit_list(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError>;

    /// Audit records that a filter names, newest first, filtered before the limit.
    async fn audit_search(&self, filter: AuditFilter) -> Result<Vec<AuditRecord>, StoreError>;

    /// Head of the audit chain: id and hash of the newest record, kept apart from the records so that
    /// removal of the newest ones is found.
    async fn audit_head(&self) -> Result<AuditHead, StoreError>;

    /// Outbox rows that are not done (of one run, when given), oldest first.
    async fn outbox_pending(&self, run: Option<RunId>) -> Result<Vec<OutboxRow>, StoreError>;

    /// Marks an outbox row done and appends the event that tells of it. Repeating it is `Ok`.
    async fn outbox_done(&self, done: OutboxDone) -> Result<(), StoreError>;

    /// Records a mutating operation that changes no other state of the store.
    async fn audit_append(&self, entry: NewAudit) -> Result<(), StoreError>;

    /// Tells of commits: the receiver sees the id of the newest event change after each commit that appended
    /// one, here or in another process, as soon as this store learns of it. A wake-up, never the truth: a
    /// commit of another process may be told late or not at all, so whoever waits also looks now and then.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Checks that the store answers, and says how it is set up (engine, version, durability).
    async fn health(&self) -> Result<StoreHealth, StoreError>;
}
