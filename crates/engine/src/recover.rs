//! After a crash: which attempts have no living driver, and what becomes of them.
//!
//! An attempt is found again by its handle, or by asking the executor for everything it launched. It is
//! adopted when it runs or left a record, declared lost by the executor when it left neither, and never
//! started twice: launching is idempotent in the attempt id.
//!
//! The driver of another machine counts as gone when its lease has ended. An attempt that only its machine can
//! see is lost then, whether it was launched or not: it is repeated where that does no harm (D-RUN-4). Should
//! the machine come back, its driver is fenced by the token and ends what it still runs ([`crate::heed`]).

use std::collections::BTreeSet;

use moorline_api::ApiError;
use moorline_core::attempt::Handle;
use moorline_core::ids::DriverId;
use moorline_core::run::{Refusal, Run};
use moorline_store::{LiveRun, RunFilter, StoreError};
use tracing::{info, warn};

use crate::attempt::{Next, Plan, peek};
use crate::engine::Inner;
use crate::error::{io_error, store_error};
use crate::liveness::{self, Liveness};
use crate::progress::Telling;

/// Where the driver of a run was, which is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum OrphanOf {
    /// Its attempts are found again here, or were never launched.
    ThisMachine,
    /// Its lease has ended. Of its attempts an executor that sees only its own machine knows nothing.
    AnotherMachine,
}

impl Inner {
    /// Runs that are not over, oldest first.
    pub(crate) async fn unfinished(&self) -> Result<Vec<Run>, ApiError> {
        use moorline_core::error_code::RunStatus;
        let filter = RunFilter {
            statuses: vec![RunStatus::Queued, RunStatus::Running],
            limit: 10_000,
            ..RunFilter::default()
        };
        let mut runs = self.store.runs_list(filter).await.map_err(store_error)?;
        runs.reverse();
        Ok(runs)
    }

    /// Makes a run this process's to drive, if nobody alive has it: one without a live attempt as it is,
    /// one with an orphaned attempt under a new token. `None` when somebody has it.
    pub(crate) async fn adopt(&self, run: Run) -> Result<Option<Run>, ApiError> {
        let Some(live) = &run.attempt else {
            // Queued here or due for a retry: whoever claims first drives it.
            return Ok((run.due_at.is_some()).then_some(run));
        };
        if live.driver == self.driver {
            return Ok(None);
        }
        let lives = self.store.runs_live().await.map_err(store_error)?;
        match lives.into_iter().find(|other| other.run.id == run.id) {
            Some(live) => self.adopt_orphan(&live).await,
            None => Ok(None),
        }
    }

    /// Makes a run with a live attempt this process's to drive, if its driver is gone.
    pub(crate) async fn adopt_orphan(&self, live: &LiveRun) -> Result<Option<Run>, ApiError> {
        match self.orphan(live)? {
            Some(of) => self.take_over(live.run.clone(), of).await,
            None => Ok(None),
        }
    }

    /// Whose orphan a run is; `None` while its driver may be alive.
    fn orphan(&self, live: &LiveRun) -> Result<Option<OrphanOf>, ApiError> {
        let Some(attempt) = &live.run.attempt else {
            return Ok(None);
        };
        if attempt.driver == self.driver {
            return Ok(None);
        }
        let seen = liveness::look(&self.config.dirs.drivers(), attempt.driver)
            .map_err(io_error("look for the run's driver"))?;
        Ok(match seen {
            Liveness::Alive => None,
            Liveness::Gone => Some(OrphanOf::ThisMachine),
            Liveness::Unknown if live.lease_until > self.now() => None,
            // Where machines share the store, a driver of this one leaves its lock file for as long as it
            // has something to adopt.
            Liveness::Unknown if self.is_shared() => Some(OrphanOf::AnotherMachine),
            Liveness::Unknown => Some(OrphanOf::ThisMachine),
        })
    }

    async fn take_over(&self, run: Run, of: OrphanOf) -> Result<Option<Run>, ApiError> {
        let Some(live) = &run.attempt else {
            return Ok(None);
        };
        self.become_driver().await?;
        let now = self.now();
        let until = self.lease_until(now);
        let taken = self
            .store
            .attempt_take_over(run.id, live.id, self.driver, until, now)
            .await;
        let Some(run) = or_lost_to_another(taken)? else {
            return Ok(None);
        };
        info!(run = %run.id, "took over from a driver that is gone");
        if run
            .attempt
            .as_ref()
            .is_some_and(|live| live.handle.is_some())
        {
            return Ok(Some(run));
        }
        // A launch that was not recorded is found by the executor, under its attempt id.
        match self.find_handle(&run).await? {
            Some(handle) => {
                let recorded = self
                    .store
                    .attempt_launched(run.id, run.token, handle, now)
                    .await;
                or_lost_to_another(recorded)
            }
            // Its driver may have launched it, and nobody here can tell.
            None if of == OrphanOf::AnotherMachine && self.is_bound(&run).await? => {
                self.finish_lost(&run).await.map(Some)
            }
            None => Ok(Some(run)),
        }
    }

    /// Whether the live attempt of a run can be seen only by the machine that launched it.
    async fn is_bound(&self, run: &Run) -> Result<bool, ApiError> {
        match &run.attempt {
            Some(live) => Ok(self.plan(run, live).await?.executor.only_here()),
            None => Ok(false),
        }
    }

    /// The handle of a run's live attempt: recorded, or found at the executor.
    pub(crate) async fn find_handle(&self, run: &Run) -> Result<Option<Handle>, ApiError> {
        let Some(live) = &run.attempt else {
            return Ok(None);
        };
        if live.handle.is_some() {
            return Ok(live.handle.clone());
        }
        let plan = self.plan(run, live).await?;
        let owned = plan.executor.find_owned(&plan.attempt.owner).await;
        let owned = owned.map_err(|error| crate::attempt::executor_error(&error))?;
        Ok(owned
            .into_iter()
            .find(|handle| handle.attempt_id == live.id))
    }

    /// Records what ended while no driver was alive. Starts nothing and waits for nothing, so that any
    /// command can afford it. Returns how many runs are left without a driver.
    pub(crate) async fn tidy(&self) -> Result<usize, ApiError> {
        let mut left = 0;
        for live in self.store.runs_live().await.map_err(store_error)? {
            let Some(of) = self.orphan(&live)? else {
                continue;
            };
            match self.tidy_one(&live.run, of).await {
                Ok(true) => {}
                Ok(false) => left += 1,
                Err(error) => {
                    warn!(run = %live.run.id, "could not look after an interrupted run: {error}");
                    left += 1;
                }
            }
        }
        self.bury_drivers().await?;
        for row in self.store.outbox_pending(None).await.map_err(store_error)? {
            let run = self.must_get(row.run_id).await?;
            self.settle(&run).await?;
        }
        Ok(left)
    }

    /// Removes the lock files of drivers that are gone and drive nothing any more; on a store that other
    /// machines share a lease after that was seen, since what a killed process sent may arrive later.
    async fn bury_drivers(&self) -> Result<(), ApiError> {
        let dir = self.config.dirs.drivers();
        let gone = liveness::gone(&dir).map_err(io_error("look for the drivers that are gone"))?;
        if gone.is_empty() {
            return Ok(());
        }
        // Asked after they were seen to be gone: from then on they claim nothing that could be missed.
        let lives = self.store.runs_live().await.map_err(store_error)?;
        let needed: BTreeSet<DriverId> = lives
            .iter()
            .filter_map(|live| Some(live.run.attempt.as_ref()?.driver))
            .collect();
        let rest = if self.is_shared() {
            self.config.lease
        } else {
            std::time::Duration::ZERO
        };
        for driver in gone.difference(&needed) {
            liveness::bury(&dir, *driver, rest, self.now());
        }
        Ok(())
    }

    /// Finishes an orphaned attempt that is over. `false` when it still runs or was never launched.
    async fn tidy_one(&self, run: &Run, of: OrphanOf) -> Result<bool, ApiError> {
        let Some(live) = &run.attempt else {
            return Ok(true);
        };
        let plan: Plan = self.plan(run, live).await?;
        let Some(handle) = self.find_handle(run).await? else {
            // Never launched. A wish to end it is carried out by not launching it.
            if run.cancel.is_none() {
                return Ok(false);
            }
            return match self.take_over(run.clone(), of).await? {
                Some(run) => self.drive(run).await.map(|_| true),
                None => Ok(false),
            };
        };
        let Some(outcome) = peek(&plan.executor, &handle, self.now()).await? else {
            if run.cancel.is_some() {
                self.cancel_attempt(&plan, &handle, std::time::Duration::ZERO)
                    .await;
            }
            return Ok(false);
        };
        let telling = Telling::new(&plan, live);
        let Some(run) = self.take_over(run.clone(), of).await? else {
            return Ok(false);
        };
        self.hear_out(&run, &plan, &handle, &outcome, telling).await;
        let run = self
            .finish(&run, &plan, &handle, outcome, Next::LeaveDue)
            .await?;
        if run.status.is_terminal() {
            self.settle(&run).await?;
        }
        Ok(true)
    }
}

/// `None` when another process has taken the attempt over meanwhile, or ended it.
fn or_lost_to_another(answer: Result<Run, StoreError>) -> Result<Option<Run>, ApiError> {
    match answer {
        Ok(run) => Ok(Some(run)),
        Err(StoreError::Refused(Refusal::NotLive | Refusal::Stale)) => Ok(None),
        Err(error) => Err(store_error(error)),
    }
}
