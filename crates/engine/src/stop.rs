//! Stopping (D-STOP): the gate, then the end of what runs behind it.
//!
//! A stop is acknowledged when its gate is durable; from then on nothing that it covers starts, whoever asks.
//! Ending what runs comes after, and is repeated until it is true: by the stop itself for as long as
//! [`stop_patience`](crate::EngineConfig::stop_patience), by every further `stop`, and by a worker for as
//! long as the stop is in force ([`Engine::enforce_stops`]).
//!
//! Deliberately absent: the gate itself, which the store reads in the transaction of every claim; and how a
//! process tree is ended, which is the executors' business.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use moorline_api::{ApiError, ReleaseRequest, StopReport, StopRequest};
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::RunId;
use moorline_core::run::Run;
use moorline_core::stop::{Stop, StopScope};
use moorline_store::{Engaged, LiveRun};
use tracing::warn;

use crate::driver::Failing;
use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::undeploy::Undeployed;
use crate::watch::Pace;

/// Between two looks at what is still alive, at least: of many runs that end at once, each end wakes.
const LOOK: Duration = Duration::from_millis(10);

/// Between two tries to tell an executor that could not be told.
const TELL_AGAIN: Duration = Duration::from_secs(1);

/// Behind a gate that is older than this every run has been asked to end, unless whoever engaged it was killed
/// at that moment.
const FORGOTTEN: Duration = Duration::from_secs(5);

/// What became of runs that were to end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ends {
    /// Runs whose process tree is gone and whose end is recorded.
    pub(crate) dead: Vec<RunId>,
    /// Runs that could not be reached, or are still alive, each with the reason.
    pub(crate) unreached: BTreeMap<RunId, String>,
}

/// What [`Engine::enforce_stops`] found behind the stops in force.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Enforced {
    /// Runs that were still alive, and that were told to end once more.
    pub repeated: Vec<RunId>,
    /// Of those, runs whose executor could not be reached, each with the reason.
    pub unreached: BTreeMap<RunId, String>,
}

impl Engine {
    /// Repeats the end of every live attempt that a stop in force covers: a stop that could not reach an
    /// executor keeps trying (D-STOP-2). Takes no input and may be called at any time; waits for no end.
    ///
    /// Runs have the grace of their step and [`stop_patience`](crate::EngineConfig::stop_patience) first: for
    /// as long, whoever stopped them does the same with the grace that was asked for.
    ///
    /// # Errors
    /// When the store can not be read.
    pub async fn enforce_stops(&self) -> Result<Enforced, ApiError> {
        self.inner.enforce_stops().await
    }
}

impl Inner {
    /// The gate first, durable; then every run that it covers is ended and waited for.
    pub(crate) async fn stop(&self, request: StopRequest) -> Result<StopReport, ApiError> {
        let begun = self.now();
        let since_begun = || self.now().duration_since(begun).as_secs_f64() * 1_000.0;
        let grace = grace(request.grace_seconds)?;
        let asked = Stop {
            scope: self.full_scope(request.scope).await?,
            actor: request.actor.to_string(),
            reason: request.reason,
            since: begun,
        };
        let engaged = self.store.stop_engage(asked.clone()).await;
        let Engaged { stop, schedules } = engaged.map_err(store_error)?;
        let acknowledged_ms = since_begun();
        let running = self.carry_out(asked.clone()).await?;
        let ends = async {
            let ends = self.end_all(&running, grace).await?;
            Ok::<_, ApiError>((ends, since_begun()))
        };
        let (ends, undeployed) = tokio::join!(ends, self.undeploy_behind(&asked, &request.actor));
        let (Ends { dead, unreached }, elapsed_ms) = ends?;
        let Undeployed { done, left } = undeployed?;
        self.settle_all(&dead).await?;
        let unreached = unreached
            .into_iter()
            .map(|(run, why)| (run.to_string(), why));
        let left = left
            .into_iter()
            .map(|(id, why)| (format!("schedule/{id}"), why));
        Ok(StopReport {
            stop,
            schedules,
            undeployed: done,
            running: running.iter().map(|run| run.id).collect(),
            dead,
            unreached: unreached.chain(left).collect(),
            acknowledged_ms,
            elapsed_ms,
        })
    }

    /// Asks for the end of everything behind a stop in force; gives what is still alive.
    pub(crate) async fn carry_out(&self, stop: Stop) -> Result<Vec<Run>, ApiError> {
        let alive = self.store.stop_carry_out(stop).await.map_err(store_error);
        self.changed.notify_waiters();
        alive
    }

    /// Takes a stop away; `false` when none of that scope was in force. Enables nothing.
    pub(crate) async fn release(&self, request: ReleaseRequest) -> Result<bool, ApiError> {
        if request.reason.trim().is_empty() {
            let message = "a release needs a reason (D-STOP-3)";
            return Err(ApiError::new(ErrorCode::Usage, message));
        }
        let scope = self.full_scope(request.scope).await?;
        let actor = request.actor.to_string();
        self.store
            .stop_release(&scope, &actor, &request.reason, self.now())
            .await
            .map_err(store_error)
    }

    /// A scope whose run must exist.
    async fn full_scope(&self, scope: StopScope) -> Result<StopScope, ApiError> {
        if let StopScope::Run(id) = &scope {
            self.must_get(*id).await?;
        }
        Ok(scope)
    }

    /// Tells the executors of all these runs to end them, then waits until each is over, for as long as the
    /// grace and the configured patience. An executor that could not be told is told again meanwhile.
    pub(crate) async fn end_all(&self, runs: &[Run], grace: Duration) -> Result<Ends, ApiError> {
        self.changed.notify_waiters();
        let mut deaf = self.tell_all(runs, grace).await;
        let mut left: BTreeSet<RunId> = runs.iter().map(|run| run.id).collect();
        let patience = grace.saturating_add(self.config.stop_patience);
        let seen_off = async {
            tokio::select! {
                done = self.see_off(runs, &mut left) => done,
                never = self.tell_again(runs, &mut deaf, grace) => never,
            }
        };
        if let Ok(failed) = tokio::time::timeout(patience, seen_off).await {
            failed?;
        }
        let unreached = left.iter().map(|run| {
            let alive = || format!("still alive after {} s", patience.as_secs());
            (*run, deaf.get(run).cloned().unwrap_or_else(alive))
        });
        let unreached = unreached.collect();
        let over = runs.iter().map(|run| run.id);
        let dead = over.filter(|run| !left.contains(run)).collect();
        Ok(Ends { dead, unreached })
    }

    /// Tells the executors, all at once. Gives those that could not be told.
    async fn tell_all(
        &self,
        runs: impl IntoIterator<Item = &Run> + Send,
        grace: Duration,
    ) -> BTreeMap<RunId, String> {
        let told = runs.into_iter().map(|run| async move {
            let error = self.end(run, grace).await.err()?;
            warn!(run = %run.id, %error, "could not tell an executor to end a run");
            Some((run.id, error.to_string()))
        });
        join_all(told).await.into_iter().flatten().collect()
    }

    /// Tells those that could not be told, again and again.
    async fn tell_again(
        &self,
        runs: &[Run],
        deaf: &mut BTreeMap<RunId, String>,
        grace: Duration,
    ) -> ! {
        loop {
            tokio::time::sleep(TELL_AGAIN).await;
            let again = runs.iter().filter(|run| deaf.contains_key(&run.id));
            *deaf = self.tell_all(again.collect::<Vec<_>>(), grace).await;
        }
    }

    /// Waits until none of these runs is alive any more; those that are over leave `left`. A run whose driver
    /// is gone is driven to its end here.
    ///
    /// One look at all live runs at a time, and not one for each run: a stop has hundreds to wait for.
    async fn see_off(&self, runs: &[Run], left: &mut BTreeSet<RunId>) -> Result<(), ApiError> {
        let mut pace = Pace::default();
        let mut driven = FuturesUnordered::new();
        let watched = runs.iter().filter(|run| !self.carries(run.id));
        let mut processes: FuturesUnordered<_> =
            watched.map(|run| self.process_over(run)).collect();
        loop {
            let changed = self.changed.notified();
            let lives = self.store.runs_live().await.map_err(store_error)?;
            let lives: BTreeMap<RunId, LiveRun> =
                lives.into_iter().map(|live| (live.run.id, live)).collect();
            left.retain(|run| lives.contains_key(run));
            if left.is_empty() {
                return Ok(());
            }
            for run in &*left {
                if !self.carries(*run)
                    && let Some(live) = lives.get(run)
                    && let Some(run) = self.adopt_orphan(live).await?
                {
                    driven.push(self.carry(run, None, Failing::Tells));
                }
            }
            let mut ended = false;
            tokio::select! {
                () = tokio::time::sleep(pace.next()) => {}
                () = changed => ended = true,
                Some(done) = driven.next() => { done?; ended = true; }
                Some(()) = processes.next() => ended = true,
            }
            if ended {
                pace = Pace::default();
                tokio::time::sleep(LOOK).await;
            }
        }
    }

    /// Carries out what the ends of these runs gave rise to, where their drivers have not.
    async fn settle_all(&self, dead: &[RunId]) -> Result<(), ApiError> {
        let dead: BTreeSet<_> = dead.iter().collect();
        for row in self.store.outbox_pending(None).await.map_err(store_error)? {
            if dead.contains(&row.run_id) {
                let run = self.must_get(row.run_id).await?;
                self.settle(&run).await?;
            }
        }
        Ok(())
    }

    pub(crate) async fn enforce_stops(&self) -> Result<Enforced, ApiError> {
        let stops = self.store.stops_list().await.map_err(store_error)?;
        if stops.is_empty() {
            return Ok(Enforced::default());
        }
        let mut overdue = Vec::new();
        for live in self.store.runs_live().await.map_err(store_error)? {
            let Some(stop) = stops.iter().find(|stop| stop.scope.covers(&live.run)) else {
                continue;
            };
            let age = Duration::try_from(self.now().duration_since(stop.since));
            if live.run.cancel.is_none() && age.unwrap_or_default() >= FORGOTTEN {
                return self.end_forgotten(stop).await;
            }
            if self.is_overdue(&live.run).await? {
                overdue.push(live.run);
            }
        }
        let unreached = self.tell_all(&overdue, Duration::ZERO).await;
        Ok(Enforced {
            repeated: overdue.iter().map(|run| run.id).collect(),
            unreached,
        })
    }

    /// Does what whoever engaged the stop did not come to.
    async fn end_forgotten(&self, stop: &Stop) -> Result<Enforced, ApiError> {
        let alive = self.carry_out(stop.clone()).await?;
        let unreached = self.tell_all(&alive, Duration::ZERO).await;
        Ok(Enforced {
            repeated: alive.iter().map(|run| run.id).collect(),
            unreached,
        })
    }

    /// Whether a run that was to end has had its step's own grace and the patience of whoever stopped it, who
    /// tells the executor again for as long.
    async fn is_overdue(&self, run: &Run) -> Result<bool, ApiError> {
        let Some(wish) = &run.cancel else {
            return Ok(false);
        };
        let grace = self.grace(run, None).await?;
        let given = grace.saturating_add(self.config.stop_patience);
        let had = Duration::try_from(self.now().duration_since(wish.at)).unwrap_or_default();
        Ok(had >= given)
    }
}

/// A time of grace; none means at once.
pub(crate) fn grace(seconds: Option<f64>) -> Result<Duration, ApiError> {
    let seconds = seconds.unwrap_or_default();
    Duration::try_from_secs_f64(seconds).map_err(|error| {
        let message = format!("`{seconds}` is no time of grace: {error}");
        ApiError::new(ErrorCode::Usage, message).hint("give seconds, 0 for at once")
    })
}
