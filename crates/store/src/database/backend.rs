//! [`Store`] for both engines: every operation is an intent for the writer or a query for a reader.

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

use crate::database::intent;
use crate::database::query::{self, Query};
use crate::database::tx::Tx;
use crate::database::writer::{Intent, Writer, ended};
use crate::error::StoreError;
use crate::store::Store;
use crate::types::{
    AppendEvents, AttemptRecord, AuditFilter, AuditHead, CancelRun, ClaimDue, Engaged, EventFilter,
    FinishAttempt, LiveRun, NewRun, OutboxDone, OutboxRow, RunFilter, StoreHealth, Submitted,
};

/// What an engine brings.
pub(crate) trait Backend: Debug + Send + Sync + 'static {
    /// Its connections.
    type Tx: Tx + 'static;

    /// Whether other machines may share the store.
    const SHARED: bool;

    /// The way to its writer; none once the store is being closed.
    fn writer(&self) -> Option<&Writer<Self::Tx>>;

    /// Hands an intent to the writer, and waits until it is durable.
    fn write<I: Intent + Sync>(
        &self,
        intent: I,
    ) -> impl Future<Output = Result<I::Reply, StoreError>> + Send {
        async move {
            match self.writer() {
                Some(writer) => writer.submit(intent).await,
                None => Err(ended()),
            }
        }
    }

    /// Runs a query on a connection for reading.
    fn read<Q: Query>(&self, query: Q)
    -> impl Future<Output = Result<Q::Reply, StoreError>> + Send;

    /// Tells of commits.
    fn changes(&self) -> watch::Receiver<u64>;

    /// How it is set up.
    fn describe(&self) -> impl Future<Output = Result<StoreHealth, StoreError>> + Send;
}

#[async_trait]
impl<B: Backend> Store for B {
    async fn run_submit(&self, new: NewRun) -> Result<Submitted, StoreError> {
        self.write(intent::Submit(new)).await
    }

    async fn run_claim_due(&self, claim: ClaimDue) -> Result<Vec<Run>, StoreError> {
        self.write(intent::Claim(claim)).await
    }

    async fn attempt_launched(
        &self,
        run: RunId,
        token: u64,
        handle: Handle,
        now: Timestamp,
    ) -> Result<Run, StoreError> {
        self.write(intent::Launched {
            run,
            token,
            handle,
            now,
        })
        .await
    }

    async fn attempt_finish(&self, finish: FinishAttempt) -> Result<Run, StoreError> {
        self.write(intent::Finish(finish)).await
    }

    async fn events_append(&self, append: AppendEvents) -> Result<(), StoreError> {
        self.write(intent::Append(append)).await
    }

    async fn attempt_take_over(
        &self,
        run: RunId,
        attempt: AttemptId,
        driver: DriverId,
        lease_until: Timestamp,
        now: Timestamp,
    ) -> Result<Run, StoreError> {
        let take_over = intent::TakeOver {
            run,
            attempt,
            driver,
            lease_until,
            now,
        };
        self.write(take_over).await
    }

    async fn lease_renew(&self, driver: DriverId, until: Timestamp) -> Result<u64, StoreError> {
        self.write(intent::RenewLease { driver, until }).await
    }

    async fn runs_live(&self) -> Result<Vec<LiveRun>, StoreError> {
        self.read(query::LiveRuns).await
    }

    async fn next_due(&self, only: Option<RunId>) -> Result<Option<Timestamp>, StoreError> {
        self.read(query::NextDue(only)).await
    }

    async fn run_cancel(&self, cancel: CancelRun) -> Result<Run, StoreError> {
        self.write(intent::Cancel(cancel)).await
    }

    async fn run_get(&self, run: RunId) -> Result<Option<Run>, StoreError> {
        self.read(query::GetRun(run)).await
    }

    async fn run_find(&self, prefix: &str) -> Result<Vec<RunId>, StoreError> {
        self.read(query::FindRun(prefix.to_owned())).await
    }

    async fn runs_list(&self, filter: RunFilter) -> Result<Vec<Run>, StoreError> {
        self.read(query::Runs(filter)).await
    }

    async fn run_jobs(&self) -> Result<Vec<String>, StoreError> {
        self.read(query::RunJobs).await
    }

    async fn summary_get(&self, run: RunId) -> Result<Option<RunSummary>, StoreError> {
        self.read(query::GetSummary(run)).await
    }

    async fn attempts_list(&self, run: RunId) -> Result<Vec<AttemptRecord>, StoreError> {
        self.read(query::Attempts(run)).await
    }

    async fn attempt_run(&self, attempt: AttemptId) -> Result<Option<RunId>, StoreError> {
        self.read(query::AttemptRun(attempt)).await
    }

    async fn spec_get(&self, hash: &ContentId) -> Result<Option<String>, StoreError> {
        self.read(query::GetSpec(*hash)).await
    }

    async fn stop_engage(&self, stop: Stop) -> Result<Engaged, StoreError> {
        self.write(intent::EngageStop(stop)).await
    }

    async fn stop_carry_out(&self, stop: Stop) -> Result<Vec<Run>, StoreError> {
        self.write(intent::CarryOutStop(stop)).await
    }

    async fn stop_release(
        &self,
        scope: &StopScope,
        actor: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let release = intent::ReleaseStop {
            scope: scope.clone(),
            actor: actor.to_owned(),
            reason: reason.to_owned(),
            now,
        };
        self.write(release).await
    }

    async fn stops_list(&self) -> Result<Vec<Stop>, StoreError> {
        self.read(query::Stops).await
    }

    async fn events_list(&self, filter: EventFilter) -> Result<Vec<Event>, StoreError> {
        self.read(query::Events(filter)).await
    }

    async fn audit_list(&self, after: u64, limit: u32) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(query::Audit { after, limit }).await
    }

    async fn audit_search(&self, filter: AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        self.read(query::SearchAudit(filter)).await
    }

    async fn audit_head(&self) -> Result<AuditHead, StoreError> {
        self.read(query::Head).await
    }

    async fn outbox_pending(&self, run: Option<RunId>) -> Result<Vec<OutboxRow>, StoreError> {
        self.read(query::Outbox(run)).await
    }

    async fn outbox_done(&self, done: OutboxDone) -> Result<(), StoreError> {
        self.write(intent::FinishOutbox(done)).await
    }

    async fn audit_append(&self, entry: NewAudit) -> Result<(), StoreError> {
        self.write(intent::AppendAudit(entry)).await
    }

    fn changes(&self) -> watch::Receiver<u64> {
        Backend::changes(self)
    }

    async fn health(&self) -> Result<StoreHealth, StoreError> {
        self.write(intent::Probe).await?;
        self.describe().await
    }
}
