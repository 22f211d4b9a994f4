//! Carrying runs to their end: slots, leases, waiting for a retry, waiting for another process.

use std::collections::HashSet;
use std::future::Future;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use moorline_api::ApiError;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_core::summary::RunSummary;
use moorline_store::ClaimDue;
use tokio::sync::OwnedSemaphorePermit;
use tracing::{Instrument as _, error, info_span, warn};

use crate::engine::{Engine, Inner};
use crate::error::{is_unavailable, store_error};
use crate::watch::Pace;

/// Before a run that is due and could not be claimed is looked at again.
const PATIENCE: Duration = Duration::from_millis(50);

/// Before a run that could not be driven on is driven again, at most.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

impl Engine {
    /// Carries a run to its end in the background.
    pub(crate) async fn carry_on(&self, run: Run, slot: Option<OwnedSemaphorePermit>) {
        let inner = Arc::clone(&self.inner);
        // Not below the span of who asked: that ends with the answer, and this one with the run.
        let span = info_span!(parent: None, "run", run_id = %run.id, job_id = run.job_id);
        if let Some(join) = self.inner.join_trace.get() {
            join(&span);
        }
        let carried: BoxFuture<'static, ()> = Box::pin(async move {
            let id = run.id;
            if let Err(error) = Box::pin(inner.carry(run, slot, Failing::Waits)).await {
                error!(run = %id, code = error.code.as_str(), "{error}");
            }
            inner.changed.notify_waiters();
        });
        self.inner.tasks.spawn(carried.instrument(span)).await;
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

/// Whether nothing of a run is to be driven, now or by the passing of time: it is over, or waits for a person.
fn rests(run: &Run) -> bool {
    run.status.is_terminal() || run.status == RunStatus::AwaitingApproval
}

/// What a driver does when something fails that says nothing about the run, such as a store that is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failing {
    /// It tells whoever waits for it.
    Tells,
    /// It tries again, with longer and longer pauses.
    Waits,
}

/// Held while a run is carried here, so that this process carries it once.
struct Carried<'a> {
    inner: &'a Inner,
    run: RunId,
}

impl Drop for Carried<'_> {
    fn drop(&mut self) {
        self.inner.carried().remove(&self.run);
    }
}

impl Inner {
    fn carried(&self) -> MutexGuard<'_, HashSet<RunId>> {
        self.carrying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this process carries the run already.
    pub(crate) fn carries(&self, run: RunId) -> bool {
        self.carried().contains(&run)
    }

    /// Whether this process takes up nothing more.
    pub(crate) fn leaves(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    /// Whether this process carries any run.
    pub(crate) fn drives_something(&self) -> bool {
        !self.carried().is_empty()
    }

    /// Drives a run through all its attempts until it is over, until it waits for a person, or until another
    /// process has it.
    pub(crate) async fn carry(
        &self,
        mut run: Run,
        mut slot: Option<OwnedSemaphorePermit>,
        failing: Failing,
    ) -> Result<(), ApiError> {
        while self.carried().insert(run.id) {
            let carried = Carried {
                inner: self,
                run: run.id,
            };
            run = match failing {
                Failing::Tells => self.carry_to_rest(run, slot.take()).await?,
                Failing::Waits => self.carry_patiently(run, slot.take()).await?,
            };
            drop(carried);
            if run.status != RunStatus::AwaitingApproval {
                break;
            }
            // Whoever decides while the run is carried leaves it to us: a look after it is let go misses none.
            run = self.must_get(run.id).await?;
            if run.due_at.is_none() {
                break;
            }
        }
        Ok(())
    }

    /// As [`carry_to_rest`](Self::carry_to_rest), but that it goes on after what failed: a store that does not
    /// answer says nothing about the run, whose attempt runs on meanwhile or is over. What became of the run is
    /// read anew; another driver may have it by then.
    async fn carry_patiently(
        &self,
        run: Run,
        mut slot: Option<OwnedSemaphorePermit>,
    ) -> Result<Run, ApiError> {
        let id = run.id;
        let mut pause = self.config.poll;
        let mut found = Ok(run);
        loop {
            let error = match found {
                Ok(run) => match Box::pin(self.carry_to_rest(run, slot.take())).await {
                    Ok(run) => return Ok(run),
                    Err(error) => error,
                },
                Err(error) => error,
            };
            // Without a worker there is somebody who waits to hear what is wrong.
            let passes = is_unavailable(&error) || self.working.load(Ordering::Relaxed) > 0;
            if !passes || self.closing.load(Ordering::Relaxed) || self.leaves() {
                return Err(error);
            }
            let (seconds, code) = (pause.as_secs_f64(), error.code.as_str());
            warn!(run = %id, code, "not driven for {seconds} s: {error}");
            self.with_leases(id, self.pause(pause)).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
            found = self.must_get(id).await;
        }
    }

    /// Waits so long, or until the engine is being drained.
    async fn pause(&self, pause: Duration) {
        let closing = async {
            while !(self.closing.load(Ordering::Relaxed) || self.leaves()) {
                self.changed.notified().await;
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = closing => {}
        }
    }

    async fn carry_to_rest(
        &self,
        mut run: Run,
        mut slot: Option<OwnedSemaphorePermit>,
    ) -> Result<Run, ApiError> {
        loop {
            if slot.is_none() {
                slot = Arc::clone(&self.slots).acquire_owned().await.ok();
            }
            if run.attempt.is_none() {
                if self.leaves() {
                    return Ok(run);
                }
                match self.claim(run.id).await? {
                    Some(claimed) => run = claimed,
                    None => run = self.must_get(run.id).await?,
                }
            }
            run = self.with_leases(run.id, self.drive(run)).await?;
            drop(slot.take());
            if self.leaves() {
                return Ok(run);
            }
            while run.attempt.is_none() && !rests(&run) && !self.until_due(&run).await {
                if self.closing.load(Ordering::Relaxed) || self.leaves() {
                    return Ok(run);
                }
                run = self.must_get(run.id).await?;
            }
            let others = run
                .attempt
                .as_ref()
                .is_some_and(|live| live.driver != self.driver);
            if rests(&run) || others {
                return Ok(run);
            }
        }
    }

    /// Waits until the run's next attempt is due, which answers `true`, or for at most a second: another
    /// process may end the run meanwhile.
    async fn until_due(&self, run: &Run) -> bool {
        let left = run.due_at.map_or(PATIENCE, |due| {
            Duration::try_from(due.duration_since(self.now())).unwrap_or(Duration::ZERO)
        });
        // Not shorter than this when it is due and can not be claimed, as under a stop.
        let left = if left.is_zero() { PATIENCE } else { left };
        tokio::select! {
            () = tokio::time::sleep(left.min(Duration::from_secs(1))) => left <= Duration::from_secs(1),
            () = self.changed.notified() => false,
        }
    }

    /// Claims the due attempt of one run.
    async fn claim(&self, run: RunId) -> Result<Option<Run>, ApiError> {
        self.become_driver().await?;
        let now = self.now();
        let (driver, attempt, lease_until) = self.claim_ticket(now);
        let claim = ClaimDue {
            driver,
            attempt_ids: vec![attempt],
            only: Some(run),
            lease_until,
            now,
        };
        Ok(self
            .store
            .run_claim_due(claim)
            .await
            .map_err(store_error)?
            .pop())
    }

    /// Renews this process's leases while a future drives a run, and heeds who wishes its end elsewhere.
    async fn with_leases<T>(&self, run: RunId, work: impl Future<Output = T>) -> T {
        let renew = async {
            loop {
                tokio::time::sleep(self.config.lease / 3).await;
                self.renew_leases().await;
            }
        };
        tokio::select! {
            done = work => done,
            never = renew => never,
            never = self.heed(run) => never,
        }
    }

    async fn renew_leases(&self) {
        let now = self.now();
        let before = self.renewed.swap(now.as_microsecond(), Ordering::Relaxed);
        let fresh = i64::try_from(self.config.lease.as_micros() / 6).unwrap_or(i64::MAX);
        if now.as_microsecond().saturating_sub(before) < fresh {
            return; // Another attempt of this process has just done it for all.
        }
        if let Err(error) = self
            .store
            .lease_renew(self.driver, self.lease_until(now))
            .await
        {
            error!(%error, "could not renew the leases of this process");
        }
    }

    /// Waits for the end of a run, or until it waits for a person, which may take days: then the summary is as
    /// it stands. Whoever drives it is left to it; when nobody does, it is driven here.
    pub(crate) async fn wait(&self, id: RunId) -> Result<RunSummary, ApiError> {
        let mut pace = Pace::default();
        let mut over = None;
        loop {
            // Registered before the look, so that a change in between is not missed.
            let changed = self.changed.notified();
            let run = self.must_get(id).await?;
            if run.status.is_terminal() {
                return self.ended(&run).await;
            }
            if run.status == RunStatus::AwaitingApproval {
                return Ok(RunSummary::of(&run, None));
            }
            // A worker of this process drives it without an end to its patience; ours may be short.
            if self.working.load(Ordering::Relaxed) == 0
                && !self.carries(id)
                && let Some(run) = self.adopt(run.clone()).await?
            {
                self.carry(run, None, Failing::Tells).await?;
                continue;
            }
            let attempt = run.attempt.as_ref().map(|live| live.id);
            tokio::select! {
                () = tokio::time::sleep(pace.next()) => {}
                () = changed => pace = Pace::default(),
                // The process of another's attempt is over: its end is about to be recorded.
                () = self.process_over(&run), if !self.carries(id) && attempt != over => {
                    over = attempt;
                    pace = Pace::default();
                }
            }
        }
    }

    /// Ends when the process of the run's live attempt is over; never when there is nothing to watch.
    pub(crate) async fn process_over(&self, run: &Run) {
        if let Some(live) = &run.attempt
            && let Some(handle) = &live.handle
            && let Ok(plan) = self.plan(run, live).await
            && plan.executor.wait(handle).await.is_ok()
        {
            return;
        }
        std::future::pending::<()>().await;
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
