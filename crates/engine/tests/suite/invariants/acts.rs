//! What is done in a world, one step after the other, and what the invariants say of the answers.

use std::time::Duration;

use moorline_api::{
    ApiError, ArtifactOperations as _, ArtifactSubmitRequest, ControlPlane as _, DecisionRequest,
    GateRequest, PromoteRequest, PromotionView, ReleaseRequest, RollbackRequest,
    ScheduleChangeRequest, ScheduleDisableRequest, ScheduleOperations as _, SourceChangeRequest,
    SourceOperations as _, SourceResumeRequest, StopRequest, SubmitRequest, VerifyRunRequest,
};
use moorline_core::content_id::ContentId;
use moorline_core::ids::ArtifactId;
use moorline_core::schedule::ScheduleState;
use moorline_core::spec::Mode;
use moorline_core::stop::StopScope;
use moorline_store::RunFilter;

use crate::invariants::plan::{Job, Lane, Op, Scope, Step, Who};
use crate::invariants::world::{Engaged, World, principal, schedule_id};

impl World {
    /// Does one step. Most operations are refused most of the time; what an invariant says of an answer is
    /// checked here, everything else later.
    pub(crate) async fn act(&mut self, step: &Step) {
        let who = step.who;
        match step.op {
            Op::BringLive(job, version, lane) => {
                Box::pin(self.bring_live(job, version, lane, who)).await;
            }
            Op::Submit(job, version) => drop(self.submit(job, version, who).await),
            Op::Approve(job) => {
                let done = self.engine.artifact_approve(decision(job, who)).await;
                only_people(who, done.is_ok(), "approve");
            }
            Op::Reject(job) => drop(self.engine.artifact_reject(decision(job, who)).await),
            Op::RequestChanges(job) => {
                drop(
                    self.engine
                        .artifact_request_changes(decision(job, who))
                        .await,
                );
            }
            Op::SecurityReview(job) => {
                drop(
                    self.engine
                        .artifact_security_review(decision(job, who))
                        .await,
                );
            }
            Op::Archive(job) => drop(self.engine.artifact_archive(decision(job, who)).await),
            Op::Promote(job, lane) => self.promote_twice(job, lane, who).await,
            Op::Rollback(job, lane) => self.roll_back(job, lane, who).await,
            Op::CheckSecrets(job, lane) => {
                drop(self.engine.gate_check_secrets(gate(job, lane, who)).await);
            }
            Op::ProbeEgress(job, lane) => {
                drop(self.engine.gate_probe_egress(gate(job, lane, who)).await);
            }
            Op::VerifyRun(job, lane) => self.verify_run(job, lane, who).await,
            Op::Enable(job, lane) => {
                let done = self.engine.schedule_enable(change(job, lane, who)).await;
                only_people(who, done.is_ok(), "enable");
            }
            Op::Resume(job, lane) => {
                let done = self.engine.schedule_resume(change(job, lane, who)).await;
                only_people(who, done.is_ok(), "resume");
            }
            Op::Disable(job, lane) => self.disable(job, lane, who).await,
            Op::RunNow(job, lane) => {
                drop(self.engine.schedule_run_now(change(job, lane, who)).await);
            }
            Op::Run(job, version, lane) => drop(self.run(job, version, lane, who).await),
            Op::Pass { minutes } => {
                self.clock
                    .advance(Duration::from_secs(u64::from(minutes) * 60));
                self.engine.schedule_tick().await.unwrap();
            }
            Op::Play(job, play) => self.stage.play(job.source(), play),
            Op::Try(job, play) => {
                self.stage.play(job.source(), play);
                drop(self.run(job, 1, Lane::Dev, who).await);
            }
            Op::Stop(scope) => self.stop(scope, who).await,
            Op::Release(scope) => self.release(scope, who).await,
            Op::PauseSource(job) => {
                let request = SourceChangeRequest {
                    source_id: job.source().to_owned(),
                    actor: principal(who),
                    reason: "not now".to_owned(),
                };
                drop(self.engine.source_pause(request).await);
            }
            Op::ResumeSource(job) => {
                let request = SourceResumeRequest {
                    source_id: job.source().to_owned(),
                    actor: principal(who),
                    reason: "looked into".to_owned(),
                    looked_into: true,
                };
                drop(self.engine.source_resume(request).await);
            }
        }
        Box::pin(self.settle()).await;
        self.note_approved().await;
    }

    async fn submit(&self, job: Job, version: u32, who: Who) -> Result<ArtifactId, ApiError> {
        let request = ArtifactSubmitRequest {
            dir: self.directory(job, version),
            note: None,
            actor: principal(who),
        };
        let submitted = self.engine.artifact_submit(request).await?;
        Ok(submitted.artifact.id)
    }

    /// From a directory to an enabled schedule; a refusal on the way leaves the rest undone.
    async fn bring_live(&mut self, job: Job, version: u32, lane: Lane, who: Who) {
        drop(self.submit(job, version, Who::Agent).await);
        drop(self.engine.artifact_approve(decision(job, who)).await);
        drop(
            self.engine
                .artifact_security_review(decision(job, who))
                .await,
        );
        self.promote_twice(job, lane, who).await;
        drop(self.engine.gate_check_secrets(gate(job, lane, who)).await);
        drop(self.engine.gate_probe_egress(gate(job, lane, who)).await);
        drop(self.engine.schedule_run_now(change(job, lane, who)).await);
        Box::pin(self.settle()).await;
        self.verify_run(job, lane, who).await;
        let done = self.engine.schedule_enable(change(job, lane, who)).await;
        only_people(who, done.is_ok(), "enable");
    }

    /// Promotes, and promotes again: the second time nothing is written (invariant 4).
    async fn promote_twice(&self, job: Job, lane: Lane, who: Who) {
        let Ok(first) = self.promote(job, lane, who).await else {
            return;
        };
        only_people(who, true, "promote");
        let before = self.promotions(job, lane).await;
        let again = self.promote(job, lane, who).await;
        let again = again.expect("invariant 4 is broken: promoting again is refused");
        assert!(
            !again.changed,
            "invariant 4 is broken: promoting again changed something"
        );
        assert_eq!(again.promotion, first.promotion, "invariant 4 is broken");
        assert_eq!(
            self.promotions(job, lane).await,
            before,
            "invariant 4 is broken"
        );
    }

    async fn promote(&self, job: Job, lane: Lane, who: Who) -> Result<PromotionView, ApiError> {
        let request = PromoteRequest {
            artifact: format!("latest:{}", job.id()),
            lane: Some(lane.name().to_owned()),
            reason: "reviewed".to_owned(),
            actor: principal(who),
        };
        self.engine.artifact_promote(request).await
    }

    async fn promotions(&self, job: Job, lane: Lane) -> Vec<(ArtifactId, ContentId)> {
        let lane = lane.name().parse().unwrap();
        let listed = self
            .engine
            .store()
            .promotions_list(Some(&lane), job.id())
            .await;
        let pointed = listed.unwrap().into_iter();
        pointed.map(|p| (p.artifact, p.content)).collect()
    }

    /// Rolls back to what the lane pointed to before, which it then points to exactly (invariant 4).
    async fn roll_back(&self, job: Job, lane: Lane, who: Who) {
        let before = self.promotions(job, lane).await;
        let request = RollbackRequest {
            job_id: job.id().to_owned(),
            to: None,
            lane: Some(lane.name().to_owned()),
            reason: "worse than before".to_owned(),
            actor: principal(who),
        };
        let Ok(done) = self.engine.artifact_rollback(request).await else {
            return;
        };
        only_people(who, true, "roll back");
        let lane_name = lane.name().parse().unwrap();
        let live = self
            .engine
            .store()
            .live_get(&lane_name, job.id())
            .await
            .unwrap()
            .unwrap();
        let restored = (done.promotion.artifact, done.promotion.content);
        assert_eq!(
            (live.artifact, live.content),
            restored,
            "invariant 4 is broken: the lane points elsewhere"
        );
        assert!(
            before.contains(&restored),
            "invariant 4 is broken: it never pointed there"
        );
        assert_ne!(
            before.last(),
            Some(&restored),
            "invariant 4 is broken: nothing was rolled back"
        );
        assert!(
            done.verified.intact,
            "invariant 4 is broken: {:?}",
            done.verified
        );
        let schedule = self
            .engine
            .store()
            .schedule_get(&schedule_id(job, lane))
            .await
            .unwrap();
        if let Some(schedule) = schedule {
            let state = schedule.state;
            assert_eq!(
                state,
                ScheduleState::Disabled,
                "invariant 4 is broken: left {state}"
            );
        }
    }

    async fn verify_run(&self, job: Job, lane: Lane, who: Who) {
        let filter = RunFilter {
            job_id: Some(job.id().to_owned()),
            ..RunFilter::default()
        };
        let runs = self.engine.store().runs_list(filter).await.unwrap();
        let Some(run) = runs.iter().find(|run| run.lane.as_str() == lane.name()) else {
            return;
        };
        let request = VerifyRunRequest {
            schedule: schedule_id(job, lane),
            run: run.id.to_string(),
            actor: principal(who),
            note: "as expected".to_owned(),
        };
        let done = self.engine.gate_verify_run(request).await;
        only_people(who, done.is_ok(), "verify a run");
    }

    /// Whoever works here can disable, always (invariant 7).
    async fn disable(&self, job: Job, lane: Lane, who: Who) {
        let request = ScheduleDisableRequest {
            scope: StopScope::Schedule(schedule_id(job, lane)),
            actor: principal(who),
            reason: "not now".to_owned(),
        };
        let done = self.engine.schedule_disable(request).await;
        if who == Who::Viewer {
            assert!(done.is_err(), "a viewer changed something");
            return;
        }
        let exists = self
            .engine
            .store()
            .schedule_get(&schedule_id(job, lane))
            .await
            .unwrap();
        let Some(schedule) = exists else {
            return;
        };
        assert!(done.is_ok(), "invariant 7 is broken: {:?}", done.err());
        let state = schedule.state;
        assert_eq!(
            state,
            ScheduleState::Disabled,
            "invariant 7 is broken: it is {state}"
        );
    }

    async fn run(&self, job: Job, version: u32, lane: Lane, who: Who) -> Result<(), ApiError> {
        let request = SubmitRequest {
            job: self.directory(job, version),
            lane: Some(lane.name().to_owned()),
            mode: Some(Mode::Real),
            actor: principal(who),
            ..SubmitRequest::default()
        };
        self.engine.run_submit(request).await.map(drop)
    }

    pub(crate) async fn stop(&mut self, scope: Scope, who: Who) {
        let scope: StopScope = scope.text().parse().unwrap();
        let request = StopRequest {
            scope: scope.clone(),
            actor: principal(who),
            reason: "looks wrong".to_owned(),
            grace_seconds: Some(0.0),
        };
        if self.engine.stop(request).await.is_ok() {
            let order = self.stage.now();
            self.stops.push(Engaged { scope, order });
        }
    }

    async fn release(&mut self, scope: Scope, who: Who) {
        let scope: StopScope = scope.text().parse().unwrap();
        let request = ReleaseRequest {
            scope: scope.clone(),
            actor: principal(who),
            reason: "looked into".to_owned(),
        };
        if self.engine.release(request).await.is_ok() {
            only_people(who, true, "release");
            self.stops.retain(|stop| stop.scope != scope);
        }
    }
}

/// Invariant 5: only people who may decide have decided.
fn only_people(who: Who, done: bool, what: &str) {
    assert!(
        !done || who.decides(),
        "invariant 5 is broken: {} could {what}",
        who.name()
    );
}

fn decision(job: Job, who: Who) -> DecisionRequest {
    DecisionRequest {
        artifact: format!("latest:{}", job.id()),
        reason: "looked at".to_owned(),
        changes: vec!["say more in the runbook".to_owned()],
        actor: principal(who),
        lane: None,
        signature: None,
    }
}

fn gate(job: Job, lane: Lane, who: Who) -> GateRequest {
    GateRequest {
        schedule: schedule_id(job, lane),
        actor: principal(who),
    }
}

fn change(job: Job, lane: Lane, who: Who) -> ScheduleChangeRequest {
    ScheduleChangeRequest {
        schedule: schedule_id(job, lane),
        actor: principal(who),
        reason: "it is time".to_owned(),
    }
}
