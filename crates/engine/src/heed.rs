//! What other machines wish for the attempts that this one runs.
//!
//! Processes of one machine tell an executor themselves: whoever cancels a run ends its process tree. Where
//! machines share a store and an executor sees only its own machine, nobody but the driver can, so the driver
//! looks: whether somebody wishes the end of its run, and whether the run is still its own. A driver that was
//! cut off for longer than its lease finds another one in its place; what it still runs then is nobody's, and
//! is ended (its result would be refused anyway, by the token).

use std::time::Duration;

use moorline_api::ApiError;
use moorline_core::attempt::Observation;
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::run::{CancelKind, Run};
use tracing::warn;

use crate::attempt::executor_error;
use crate::engine::Inner;
use crate::error::store_error;

impl Inner {
    /// Looks after one run for as long as it is driven here; for ever.
    pub(crate) async fn heed(&self, run: RunId) -> ! {
        if !self.is_shared() {
            std::future::pending::<()>().await;
        }
        let mut heeded: Option<AttemptId> = None;
        let mut ours: Option<Run> = None;
        loop {
            tokio::time::sleep(self.config.poll).await;
            // A store that does not answer is asked again.
            let Ok(Some(run)) = self.store.run_get(run).await else {
                continue;
            };
            let Some(live) = &run.attempt else {
                continue;
            };
            let (unwanted, grace) = if live.driver == self.driver {
                ours = Some(run.clone());
                if run.cancel.is_none() || heeded == Some(live.id) {
                    continue;
                }
                (&run, self.grace_of_wish(&run).await)
            } else if let Some(ours) = ours.as_ref().filter(|ours| heeded != id_of(ours)) {
                warn!(run = %run.id, "another machine drives this run; ending what is left of it here");
                (ours, Duration::ZERO)
            } else {
                continue;
            };
            match self.end_here(unwanted, grace).await {
                Ok(()) => heeded = id_of(unwanted),
                Err(error) => {
                    warn!(run = %run.id, %error, "could not end an attempt; trying again");
                }
            }
        }
    }

    /// Ends what is left here of attempts that are no run's any more: this machine was gone, and another one
    /// took their runs over.
    pub(crate) async fn end_strays(&self) -> Result<(), ApiError> {
        if !self.is_shared() {
            return Ok(());
        }
        let owner = self.config.dirs.root().display().to_string();
        for executor in self
            .executors
            .values()
            .filter(|executor| executor.only_here())
        {
            let owned = executor.find_owned(&owner).await;
            for handle in owned.map_err(|error| executor_error(&error))? {
                if !matches!(executor.observe(&handle).await, Ok(Observation::Running)) {
                    continue;
                }
                let run = self.store.attempt_run(handle.attempt_id).await;
                let Some(run) = run.map_err(store_error)? else {
                    continue;
                };
                let run = self.must_get(run).await?;
                if id_of(&run) != Some(handle.attempt_id) {
                    warn!(run = %run.id, attempt = %handle.attempt_id, "ending an attempt that is no run's any more");
                    let ended = executor.cancel(&handle, Duration::ZERO).await;
                    ended.map_err(|error| executor_error(&error))?;
                }
            }
        }
        Ok(())
    }

    /// Ends the attempt of a run where only this machine can.
    async fn end_here(&self, run: &Run, grace: Duration) -> Result<(), ApiError> {
        let Some(live) = &run.attempt else {
            return Ok(());
        };
        if !self.plan(run, live).await?.executor.only_here() {
            return Ok(());
        }
        self.end(run, grace).await
    }

    /// A stop ends at once what it could not reach itself; a cancellation leaves the step its own grace.
    async fn grace_of_wish(&self, run: &Run) -> Duration {
        match &run.cancel {
            Some(wish) if wish.kind == CancelKind::Cancelled => {
                self.grace(run, None).await.unwrap_or_default()
            }
            _ => Duration::ZERO,
        }
    }
}

fn id_of(run: &Run) -> Option<AttemptId> {
    run.attempt.as_ref().map(|live| live.id)
}
