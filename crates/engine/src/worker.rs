//! The worker of one machine: starts what schedules ask for, drives what is due, finds again what lost its
//! driver, repeats the end of what is stopped.
//!
//! It keeps nothing in memory that the store does not have, so any number of workers may share a store: each
//! start and each attempt is taken by one of them. A round comes when the store tells of a change, when
//! something is due, and once in [`EngineConfig::poll`](crate::EngineConfig) whatever happens, which bounds how
//! long a change of another process can go unseen. One costs a few indexed reads when there is nothing to do;
//! many changes at once are one round.

use std::future::Future;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use moorline_api::ApiError;
use moorline_core::error_code::RunStatus;
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::{Interval, MissedTickBehavior};
use tracing::error;

use crate::engine::{Engine, Inner};
use crate::error::store_error;

/// Between two looks at what expires.
const LOOK: SignedDuration = SignedDuration::from_secs(60);

/// Between two rounds, at least: changes that come meanwhile are seen by the same round.
const PAUSE: Duration = Duration::from_millis(20);

/// What a round looks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// What is due: all that a change or the passing of time can bring.
    Due,
    /// That, what lost its driver, and what a stop has not ended yet.
    Everything,
}

/// What a round came to.
#[derive(Debug)]
struct Round {
    /// Nothing was due, and nothing is being driven here.
    idle: bool,
    /// When something will be due next, as far as is known. What is due already and could not be dealt with
    /// is none of it: the poll tries again.
    next: Option<Timestamp>,
    /// Whether runs were looked for and none could be taken.
    vain: bool,
}

/// How long a worker works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Until it is told to end.
    Told,
    /// Until nothing is due and nothing is being driven.
    Idle,
    /// One round, and what it started, to its end.
    Once,
}

/// What a worker did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct WorkReport {
    /// Runs that schedules started here.
    pub started: Vec<RunId>,
    /// Runs that were there before and that it drove: queued ones, and those whose driver was gone.
    pub taken_up: Vec<RunId>,
    /// Starts that fell away.
    pub skipped: u32,
}

impl Engine {
    /// Works until `told` is done, or as `until` says. What is being driven then goes on in the background:
    /// [`Engine::drain`] waits for it.
    ///
    /// A round that fails, as when the store can not be reached, is repeated at the next one.
    ///
    /// # Errors
    /// With [`Until::Once`], whatever made its one round fail.
    pub async fn work(
        &self,
        until: Until,
        told: impl Future<Output = ()>,
    ) -> Result<WorkReport, ApiError> {
        let _working = Working::begin(&self.inner);
        let mut report = WorkReport::default();
        let mut chores = Chores::default();
        if until == Until::Once {
            Box::pin(self.round(Look::Everything, false, &mut report)).await?;
            for run in report.started.iter().chain(&report.taken_up) {
                self.inner.wait(*run).await?;
            }
            self.inner.chores(&mut chores).await?;
            return Ok(report);
        }
        let inner = &self.inner;
        let poll = inner.config.poll;
        // Beside each other: a destination that is slow to take an alert holds up no start.
        let chores = async {
            loop {
                told_of(inner.chores(&mut chores).await);
                tokio::time::sleep(poll).await;
            }
        };
        let rounds = async {
            let mut changes = inner.store.changes();
            let mut ticks = tokio::time::interval(poll);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks.reset();
            let mut look = Look::Everything;
            let mut vain = false;
            loop {
                // Before the look, so that a change in between is not missed.
                changes.mark_unchanged();
                let round = told_of(Box::pin(self.round(look, vain, &mut report)).await);
                vain = round.as_ref().is_some_and(|round| round.vain);
                let idle = round.as_ref().is_some_and(|round| round.idle);
                if until == Until::Idle && idle && look == Look::Everything {
                    return;
                }
                let next = round.and_then(|round| round.next);
                look = inner.rest(&mut changes, &mut ticks, next).await;
            }
        };
        tokio::select! {
            () = told => {}
            () = rounds => {}
            never = chores => never,
        }
        if until == Until::Idle {
            self.inner.chores(&mut Chores::default()).await?;
        }
        Ok(report)
    }

    /// Everything that is due now. `vain` says that the round before found runs that are due and could take
    /// none, as when all slots are taken: then only the poll looks for them again, since that costs a read of
    /// all of them.
    async fn round(
        &self,
        look: Look,
        vain: bool,
        report: &mut WorkReport,
    ) -> Result<Round, ApiError> {
        let inner = &self.inner;
        let tick = self.schedule_tick().await?;
        let quiet = tick.started.is_empty() && tick.skipped == 0;
        report.started.extend(&tick.started);
        report.skipped += tick.skipped;
        let due = inner.store.next_due(None).await.map_err(store_error)?;
        let is_due = due.is_some_and(|due| due <= inner.now());
        let search = match look {
            Look::Due => is_due && !vain,
            Look::Everything => is_due || inner.others_drive().await?,
        };
        let mut vain = vain && look == Look::Due;
        if search {
            let taken = Box::pin(self.take_up()).await?;
            vain = taken.is_empty();
            for run in taken {
                if !report.taken_up.contains(&run) && !report.started.contains(&run) {
                    report.taken_up.push(run);
                }
            }
        }
        if look == Look::Everything {
            self.enforce_stops().await?;
        }
        Ok(Round {
            idle: quiet && !search && !inner.drives_something(),
            next: due
                .into_iter()
                .chain(tick.next_at)
                .filter(|at| *at > inner.now())
                .min(),
            vain,
        })
    }

    /// Drives every run that is due or whose driver is gone, and that nobody has.
    async fn take_up(&self) -> Result<Vec<RunId>, ApiError> {
        let inner = &self.inner;
        let now = inner.now();
        let mut taken = Vec::new();
        for run in inner.unfinished().await? {
            let due = run.attempt.is_some() || run.due_at.is_some_and(|due| due <= now);
            if run.status == RunStatus::AwaitingApproval || inner.carries(run.id) || !due {
                continue;
            }
            let run = if inner.is_let_go(&run) {
                // What was read may be older than its end.
                Some(inner.must_get(run.id).await?).filter(|run| inner.is_let_go(run))
            } else {
                inner.adopt(run).await?
            };
            if let Some(run) = run {
                taken.push(run.id);
                self.carry_on(run, None).await;
            }
        }
        Ok(taken)
    }
}

/// Held while a worker works in this process: runs that are decided here are then driven at once.
struct Working<'a>(&'a Inner);

impl<'a> Working<'a> {
    fn begin(inner: &'a Inner) -> Self {
        inner.working.fetch_add(1, Ordering::Relaxed);
        Self(inner)
    }
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.working.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a worker remembers of what it does now and then.
#[derive(Debug, Default)]
struct Chores {
    /// When it last looked for secrets that expire.
    looked: Option<Timestamp>,
}

/// The result of a part of a round; a failure is told, and the next round tries again.
fn told_of<T>(done: Result<T, ApiError>) -> Option<T> {
    done.inspect_err(|error| error!(code = error.code.as_str(), "{error}"))
        .ok()
}

impl Inner {
    /// What follows from what happened and from time: expiries and reminders of requests, outputs of runs that are
    /// over, alerts, warnings.
    async fn chores(&self, chores: &mut Chores) -> Result<(), ApiError> {
        // First, since runs end by it, which leaves outputs and alerts behind.
        told_of(self.lapse_due().await);
        for row in self.store.outbox_pending(None).await.map_err(store_error)? {
            if !self.carries(row.run_id) {
                let run = self.must_get(row.run_id).await?;
                self.settle(&run).await?;
            }
        }
        let now = self.now();
        let fresh = |looked: Timestamp| now.duration_since(looked).abs() < LOOK;
        if !chores.looked.is_some_and(fresh) {
            told_of(self.end_strays().await);
            self.warn_expiring().await?;
            // What can not be removed now is found again; people are told all the same.
            told_of(self.retain().await);
            chores.looked = Some(now);
        }
        self.deliver_due().await?;
        Ok(())
    }

    /// Waits until there may be something to do, and says what to look for then.
    async fn rest(
        &self,
        changes: &mut watch::Receiver<u64>,
        ticks: &mut Interval,
        next: Option<Timestamp>,
    ) -> Look {
        tokio::time::sleep(PAUSE).await;
        let changed = async {
            if changes.changed().await.is_err() {
                // The store is going away; the poll is what is left.
                std::future::pending::<()>().await;
            }
        };
        let due = async {
            match next.map(|next| Duration::try_from(next.duration_since(self.now()))) {
                // One that fails is due already.
                Some(left) => tokio::time::sleep(left.unwrap_or_default()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            _ = ticks.tick() => Look::Everything,
            () = changed => Look::Due,
            () = due => Look::Due,
        }
    }

    /// Whether a run is driven by another process, which may be gone, or was let go by this one.
    async fn others_drive(&self) -> Result<bool, ApiError> {
        let live = self.store.runs_live().await.map_err(store_error)?;
        Ok(live.iter().any(|live| {
            let attempt = live.run.attempt.as_ref();
            attempt.is_some_and(|attempt| attempt.driver != self.driver)
                || self.is_let_go(&live.run)
        }))
    }

    /// Whether this process has the live attempt of a run and does not drive it: it was cut short, or never
    /// heard that its claim was kept. Driving it again starts nothing twice, by the id of the attempt.
    fn is_let_go(&self, run: &Run) -> bool {
        let attempt = run.attempt.as_ref();
        attempt.is_some_and(|attempt| attempt.driver == self.driver) && !self.carries(run.id)
    }
}
