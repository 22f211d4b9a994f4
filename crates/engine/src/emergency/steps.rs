//! What each step of an emergency does. All can be repeated; what could not be reached is told, not thrown.

use std::time::Duration;

use moorline_api::ApiError;
use moorline_core::artifact::ArtifactState;
use moorline_core::artifact::machine::Command;
use moorline_core::emergency::{Emergency, EmergencyStep, StepReport};
use moorline_core::lane::Lane;
use moorline_core::principal::Principal;
use moorline_core::run::Run;
use moorline_store::DecideArtifact;

use super::exports;
use crate::engine::Inner;
use crate::error::{io_error, store_error};

impl Inner {
    /// Takes a step. An error on the way is part of the report: the steps behind it are tried all the same.
    pub(super) async fn take_step(
        &self,
        step: EmergencyStep,
        emergency: &Emergency,
        running: &[Run],
        by: &Principal,
    ) -> StepReport {
        let mut report = StepReport::default();
        let done = match step {
            // Done with the call, in its transaction.
            EmergencyStep::Disable => Ok(()),
            EmergencyStep::Stop => {
                self.stop_containers(emergency, running, by, &mut report)
                    .await
            }
            EmergencyStep::Revoke => self.revoke_secrets(emergency, by, &mut report).await,
            EmergencyStep::Archive => self.archive_all(emergency, by, &mut report).await,
        };
        if let Err(error) = done {
            report
                .left
                .insert(format!("step/{step}"), error.to_string());
        }
        report
    }

    async fn stop_containers(
        &self,
        emergency: &Emergency,
        running: &[Run],
        by: &Principal,
        report: &mut StepReport,
    ) -> Result<(), ApiError> {
        let grace = Duration::from_millis(emergency.grace_ms);
        let ends = self.end_all(running, grace).await?;
        report
            .done
            .extend(ends.dead.iter().map(|run| format!("run/{run}")));
        let unreached = ends.unreached.into_iter();
        report
            .left
            .extend(unreached.map(|(run, why)| (format!("run/{run}"), why)));
        let undeployed = self
            .undeploy_behind(&emergency.stop(self.now()), by)
            .await?;
        let taken = undeployed.done.iter();
        report
            .done
            .extend(taken.map(|id| format!("deployment/{id}")));
        let there = undeployed.left.into_iter();
        report
            .left
            .extend(there.map(|(id, why)| (format!("deployment/{id}"), why)));
        Ok(())
    }

    /// Every secret of the lanes, where it is kept. A run that holds one although it got past the gate before
    /// is ended first (D-SEC-8).
    async fn revoke_secrets(
        &self,
        emergency: &Emergency,
        by: &Principal,
        report: &mut StepReport,
    ) -> Result<(), ApiError> {
        let lanes: Vec<Lane> = match &emergency.lane {
            Some(lane) => vec![lane.clone()],
            None => self.config.settings.lanes.keys().cloned().collect(),
        };
        let reason = format!("emergency {}: {}", emergency.id, emergency.reason);
        let revoked = self.revoke_all(&lanes, by, &reason).await?;
        let removed = revoked.removed.iter();
        report
            .done
            .extend(removed.map(|object| format!("secret/{object}")));
        let stopped = revoked.stopped.iter();
        report.done.extend(stopped.map(|run| format!("run/{run}")));
        report.left.extend(revoked.left);
        Ok(())
    }

    /// What lanes point to is archived, so that nobody promotes or enables it again without a new review;
    /// published outputs are moved out of the way of who reads them. Nothing is deleted. What waits for a
    /// decision goes on waiting: nothing of it runs.
    async fn archive_all(
        &self,
        emergency: &Emergency,
        by: &Principal,
        report: &mut StepReport,
    ) -> Result<(), ApiError> {
        self.archive_live(emergency, by, report).await?;
        // What ended before the stop may still be about to be published: first that, then all of it moves.
        self.tidy().await?;
        self.set_exports_aside(emergency, report).await
    }

    async fn archive_live(
        &self,
        emergency: &Emergency,
        by: &Principal,
        report: &mut StepReport,
    ) -> Result<(), ApiError> {
        let live = self.store.live_list().await.map_err(store_error)?;
        let covered = |lane: &Lane| emergency.lane.as_ref().is_none_or(|only| only == lane);
        for promotion in live.iter().filter(|promotion| covered(&promotion.lane)) {
            let id = promotion.artifact;
            let found = self.store.artifact_get(id).await.map_err(store_error)?;
            // Archived before, as when two lanes point to it or this step is repeated.
            if found.is_none_or(|artifact| artifact.state == ArtifactState::Archived) {
                continue;
            }
            let decision = DecideArtifact {
                artifact: id,
                command: Command::Archive {
                    reason: format!("emergency {}: {}", emergency.id, emergency.reason),
                },
                actor: by.clone(),
                two_person: false,
                seen: None,
                now: self.now(),
            };
            match self.store.artifact_decide(decision).await {
                Ok(_) => {
                    report.done.push(format!("artifact/{id}"));
                    self.refresh_tree(&promotion.job_id).await;
                }
                Err(error) => {
                    let why = store_error(error).to_string();
                    report.left.insert(format!("artifact/{id}"), why);
                }
            }
        }
        Ok(())
    }

    async fn set_exports_aside(
        &self,
        emergency: &Emergency,
        report: &mut StepReport,
    ) -> Result<(), ApiError> {
        let dirs = &self.config.dirs;
        let to = dirs
            .set_aside()
            .join(emergency.id.to_string())
            .join("exports");
        let published = exports::published(dirs).map_err(io_error("look for published outputs"))?;
        let scope = emergency.scope();
        for (job, run) in published {
            let known = self.store.run_get(run).await.map_err(store_error)?;
            // Outputs of a run that nobody knows are covered where everything is.
            if !known.map_or_else(|| emergency.lane.is_none(), |run| scope.covers(&run)) {
                continue;
            }
            match exports::set_aside(dirs, &job, run, &to) {
                Ok(()) => report.done.push(format!("export/{job}/{run}")),
                Err(error) => {
                    report
                        .left
                        .insert(format!("export/{job}/{run}"), error.to_string());
                }
            }
        }
        if to.exists() {
            report
                .notes
                .push(format!("published outputs are kept in {}", to.display()));
        }
        Ok(())
    }
}
