//! Carrying runs to their end: slots, leases, waiting for a retry, waiting for another process.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_core::summary::RunSummary;
use moorline_store::ClaimDue;
use tokio::sync::OwnedSemaphorePermit;
use tracing::error;

use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// How often another process's progress is looked at while someone waits for it.
const PATIENCE: Duration = Duration::from_millis(50);

impl Engine {
    /// Carries a run to its end in the background.
    pub(crate) async fn carry_on(&self, run: Run, slot: Option<OwnedSemaphorePermit>) {
        let inner = Arc::clone(&self.inner);
        self.inner
            .tasks
            .spawn(async move {
                let id = run.id;
                if let Err(error) = inner.carry(run, slot).await {
                    error!(run = %id, code = error.code.as_str(), "{error}");
                }
                inner.changed.notify_waiters();
            })
            .await;
    }

    /// Carries every run that no living process drives, as after a crash. Returns how many there are.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn resume_all(&self) -> Result<usize, ApiError> {
        let runs = self.inner.unfinished().await?;
        let mut carried = 0;
        for run in runs {
            if let Some(run) = self.inner.adopt(run).await? {
                carried += 1;
                self.carry_on(run, None).await;
            }
        }
        Ok(carried)
    }
}

impl Inner {
    /// Drives a run through all its attempts until it is over, or until another process has it.
    pub(crate) async fn carry(
        &self,
        mut run: Run,
        mut slot: Option<OwnedSemaphorePermit>,
    ) -> Result<Run, ApiError> {
        loop {
            if slot.is_none() {
                slot = Arc::clone(&self.slots).acquire_owned().await.ok();
            }
            if run.attempt.is_none() {
                match self.claim(run.id).await? {
                    Some(claimed) => run = claimed,
                    None => run = self.must_get(run.id).await?,
                }
            }
            run = self.with_leases(self.drive(run)).await?;
            drop(slot.take());
            while run.attempt.is_none() && !run.status.is_terminal() && !self.until_due(&run).await {
                run = self.must_get(run.id).await?;
            }
            let others = run.attempt.as_ref().is_some_and(|live| live.driver != self.driver);
            if run.status.is_terminal() || others {
                return Ok(run);
            }
        }
    }

    /// Waits until the run's next attempt is due, which answers `true`, or until something changed.
    async fn until_due(&self, run: &Run) -> bool {
        let wait = run.due_at.map_or(PATIENCE, |due| {
            Duration::try_from(due.duration_since(self.now())).unwrap_or(Duration::ZERO)
        });
        // Not shorter than this when it is due and can not be claimed, as under a stop.
        let wait = if wait.is_zero() { PATIENCE } else { wait };
        tokio::select! {
            () = tokio::time::sleep(wait) => true,
            () = self.changed.notified() => false,
        }
    }

    /// Claims the due attempt of one run.
    async fn claim(&self, run: RunId) -> Result<Option<Run>, ApiError> {
        self.become_driver().await?;
        let now = self.now();
        let (driver, attempt, lease_until) = self.claim_ticket(now);
        let claim =
            ClaimDue { driver, attempt_ids: vec![attempt], only: Some(run), lease_until, now };
        Ok(self.store.run_claim_due(claim).await.map_err(store_error)?.pop())
    }

    /// Renews this process's leases while a future runs.
    async fn with_leases<T>(&self, work: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                tokio::time::sleep(self.config.lease / 3).await;
                self.renew_leases().await;
            }
        };
        tokio::select! {
            done = work => done,
            never = renew => never,
        }
    }

    async fn renew_leases(&self) {
        let now = self.now();
        let before = self.renewed.swap(now.as_microsecond(), Ordering::Relaxed);
        let fresh = i64::try_from(self.config.lease.as_micros() / 6).unwrap_or(i64::MAX);
        if now.as_microsecond().saturating_sub(before) < fresh {
            return; // Another attempt of this process has just done it for all.
        }
        if let Err(error) = self.store.lease_renew(self.driver, self.lease_until(now)).await {
            error!(%error, "could not renew the leases of this process");
        }
    }

    /// Waits for the end of a run. Whoever drives it is left to it; when nobody does, it is driven here.
    pub(crate) async fn wait(&self, id: RunId) -> Result<RunSummary, ApiError> {
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            let run = self.must_get(id).await?;
            if run.status.is_terminal() {
                return self.ended(&run).await;
            }
            if let Some(run) = self.adopt(run).await? {
                self.carry(run, None).await?;
                continue;
            }
            tokio::select! {
                () = tokio::time::sleep(PATIENCE) => {}
                () = changed => {}
            }
        }
    }

    /// The summary of a run that is over, with its effects carried out.
    async fn ended(&self, run: &Run) -> Result<RunSummary, ApiError> {
        self.settle(run).await?;
        let summary = self.store.summary_get(run.id).await.map_err(store_error)?;
        summary.ok_or_else(|| {
            let message = format!("run {} is over and has no summary (D-RUN-2)", run.id);
            ApiError::new(ErrorCode::Internal, message)
        })
    }

    pub(crate) async fn must_get(&self, id: RunId) -> Result<Run, ApiError> {
        let run = self.store.run_get(id).await.map_err(store_error)?;
        run.ok_or_else(|| ApiError::new(ErrorCode::NotFound, format!("no such run {id}")))
    }
}
