//! Re-authentication of a source (D-SEC-9), seed 000's tier 2.
//!
//! | step | recorded as | when it is interrupted there |
//! |---|---|---|
//! | a person refreshes the session | `refreshing` | nothing has changed; begin again |
//! | it goes into the secret | `stored` | the next begin goes straight to the probe |
//! | a run tries it | `probing`, with the run | the same run is waited for |
//! | the run ended | `done` or `failed` | |
//!
//! The run's success makes the source active, as any success does (`moorline_core::source`); its schedules are
//! not touched: a person enables them. Deliberately absent: the command and the prompt, which are the command
//! line's, since they belong to the person's own session.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use moorline_api::reauth::{ReauthPlan, ReauthReport, ReauthRequest, ReauthSession};
use moorline_api::secrets::{SecretInput, SecretSetRequest, SecretView};
use moorline_api::{ApiError, Operation, ReauthOperations, SourceSchedule, SubmitRequest};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, RunStatus};
use moorline_core::ids::RunId;
use moorline_core::lane::Lane;
use moorline_core::secret::{Reauth, ReauthStage, SecretChangeKind};
use moorline_core::spec::{Entity, JobSpec, Mode, SecretDecl, SessionArtifact, is_ci};
use moorline_store::{RunFilter, ScheduleFilter};

use crate::engine::{Engine, Inner};
use crate::error::store_error;
use crate::secrets::requirements;
use crate::submit::Origin;

/// Runs of a source that are looked through for one of a lane.
const RUNS: u32 = 200;

/// What reads a source in a lane, and which of its secrets holds the session.
struct Reader {
    lane: Lane,
    spec: Arc<JobSpec>,
    dir: PathBuf,
    /// Content id of the directory.
    content: ContentId,
    /// What a run of it is asked for by.
    job: PathBuf,
    entity: Entity,
    session: SessionArtifact,
    /// The secret's logical name, with its kind, and its keys.
    secret: String,
    keys: Vec<String>,
}

#[async_trait]
impl ReauthOperations for Engine {
    async fn reauth_begin(&self, request: ReauthRequest) -> Result<ReauthPlan, ApiError> {
        let inner = &self.inner;
        let (actor, subject) = named(&request);
        let work = inner.begin_reauth(request);
        inner
            .guarded(Operation::SourceReauth, &actor, subject, work)
            .await
    }

    async fn reauth_store(&self, session: ReauthSession) -> Result<SecretView, ApiError> {
        let inner = &self.inner;
        let (request, values) = session.into_parts();
        let (actor, subject) = named(&request);
        let work = inner.store_session(request, values);
        inner
            .guarded(Operation::SourceReauth, &actor, subject, work)
            .await
    }

    async fn reauth_probe(&self, request: ReauthRequest) -> Result<ReauthReport, ApiError> {
        let (actor, subject) = named(&request);
        let work = Box::pin(self.probe_session(request));
        self.inner
            .guarded(Operation::SourceReauth, &actor, subject, work)
            .await
    }
}

fn named(request: &ReauthRequest) -> (moorline_core::principal::Principal, String) {
    (
        request.actor.clone(),
        format!("source/{}", request.source_id),
    )
}

impl Inner {
    async fn begin_reauth(&self, request: ReauthRequest) -> Result<ReauthPlan, ApiError> {
        self.only_locally()?;
        let reader = self.reader(&request).await?;
        let known = self.reauth(&reader.lane, &request.source_id).await?;
        let Some(plan) = reader.entity.reauth.clone() else {
            let message = format!(
                "the job {} says nothing of how to re-authenticate `{}` (D-SPEC-3)",
                reader.spec.job_id, request.source_id
            );
            return Err(ApiError::new(ErrorCode::Config, message)
                .hint("add `reauth` to the source in the job spec; tier 2 needs it"));
        };
        let waiting = known.filter(|known| {
            known.stage.is_waiting() && known.secret == reader.secret && !request.fresh
        });
        let stage = if let Some(known) = waiting {
            known.stage
        } else {
            self.reached(&request, &reader, ReauthStage::Refreshing, None)
                .await?;
            ReauthStage::Refreshing
        };
        Ok(ReauthPlan {
            source_id: request.source_id,
            lane: reader.lane,
            job_id: reader.spec.job_id.clone(),
            job_dir: reader.dir,
            content: reader.content,
            instructions: plan.instructions,
            argv: plan.argv,
            secret: reader.secret,
            keys: reader.keys,
            ttl_hours: reader.session.ttl_hours,
            stage,
        })
    }

    async fn store_session(
        &self,
        request: ReauthRequest,
        values: BTreeMap<String, SecretInput>,
    ) -> Result<SecretView, ApiError> {
        self.only_locally()?;
        let reader = self.reader(&request).await?;
        let set = SecretSetRequest {
            lane: Some(reader.lane.to_string()),
            secret: reader.secret.clone(),
            values,
            ttl_hours: Some(reader.session.ttl_hours),
            warn_hours: Some(reader.session.warn_hours),
            source_id: Some(request.source_id.clone()),
            actor: request.actor.clone(),
            reason: Some(format!("re-authentication of {}", request.source_id)),
        };
        let lane = reader.lane.clone();
        let view = self.keep_secret(SecretChangeKind::Set, lane, set).await?;
        self.reached(&request, &reader, ReauthStage::Stored, None)
            .await?;
        Ok(view)
    }

    /// Records a stage.
    async fn reached(
        &self,
        request: &ReauthRequest,
        reader: &Reader,
        stage: ReauthStage,
        probe: Option<RunId>,
    ) -> Result<Reauth, ApiError> {
        let now = self.now();
        let known = self.reauth(&reader.lane, &request.source_id).await?;
        let begun = match stage {
            ReauthStage::Refreshing => now,
            _ => known.as_ref().map_or(now, |known| known.started_at),
        };
        let reauth = Reauth {
            source_id: request.source_id.clone(),
            lane: reader.lane.clone(),
            stage,
            secret: reader.secret.clone(),
            probe,
            by: request.actor.clone(),
            started_at: begun,
            updated_at: now,
        };
        let recorded = self.store.reauth_record(reauth.clone()).await;
        recorded.map_err(store_error)?;
        self.changed.notify_waiters();
        Ok(reauth)
    }

    async fn reauth(&self, lane: &Lane, source_id: &str) -> Result<Option<Reauth>, ApiError> {
        self.store
            .reauth_get(lane, source_id)
            .await
            .map_err(store_error)
    }

    /// A pipeline is nobody who could sign on.
    fn only_locally(&self) -> Result<(), ApiError> {
        if !is_ci(self.config.ci.as_deref()) {
            return Ok(());
        }
        let message =
            "a session is refreshed by a person on their own machine, and `CI` is set (D-SEC-9)";
        Err(ApiError::new(ErrorCode::CiSafety, message)
            .hint("run it where you can sign on; unset `CI` there if it is set by mistake"))
    }

    /// What the lane points to for a job that reads the source; where lanes need no promotion, what ran there
    /// last.
    async fn reader(&self, request: &ReauthRequest) -> Result<Reader, ApiError> {
        let lane = self.lane_named(request.lane.as_deref())?;
        let (spec, content, job) = match self.promoted(&lane, &request.source_id).await? {
            Some(found) => found,
            None => self.ran(&lane, &request.source_id).await?,
        };
        let of_source = |entity: &&Entity| entity.source_id == request.source_id;
        let entities = spec
            .portfolio
            .iter()
            .flat_map(|portfolio| &portfolio.entities);
        let entity = entities.clone().find(of_source).cloned();
        let entity = entity.ok_or_else(|| no_reader(&lane, &request.source_id))?;
        let (session, declared) = session(&spec, &entity, request.secret.as_deref())?;
        let requirement = requirements([declared])?;
        let requirement = requirement.first();
        let dir = self.bring_bundle(&content).await?;
        Ok(Reader {
            secret: requirement.map_or_else(String::new, |found| found.secret().kebab()),
            keys: declared.keys.clone(),
            session: session.clone(),
            spec: Arc::clone(&spec),
            entity,
            lane,
            dir,
            content,
            job,
        })
    }

    async fn promoted(
        &self,
        lane: &Lane,
        source_id: &str,
    ) -> Result<Option<(Arc<JobSpec>, ContentId, PathBuf)>, ApiError> {
        for promotion in self.store.live_list().await.map_err(store_error)? {
            if promotion.lane != *lane {
                continue;
            }
            let found = self.store.artifact_get(promotion.artifact).await;
            let Some(artifact) = found.map_err(store_error)? else {
                continue;
            };
            if artifact.source_id.as_deref() != Some(source_id) {
                continue;
            }
            let dir = self.live_dir(lane, &artifact.job_id).await?;
            let settings = self.lane_settings(lane)?;
            let spec = crate::submit::load(&dir, settings)?.spec;
            let job = PathBuf::from(format!("live:{}", artifact.job_id));
            return Ok(Some((spec, artifact.content, job)));
        }
        Ok(None)
    }

    async fn ran(
        &self,
        lane: &Lane,
        source_id: &str,
    ) -> Result<(Arc<JobSpec>, ContentId, PathBuf), ApiError> {
        if self.lane_settings(lane)?.rules.requires_approval {
            return Err(no_reader(lane, source_id));
        }
        let filter = RunFilter {
            source_id: Some(source_id.to_owned()),
            limit: RUNS,
            ..RunFilter::default()
        };
        let runs = self.store.runs_list(filter).await.map_err(store_error)?;
        let run = runs.into_iter().find(|run| run.lane == *lane);
        let run = run.ok_or_else(|| no_reader(lane, source_id))?;
        let dir = self.bring_bundle(&run.artifact_hash).await?;
        Ok((self.spec_of(&run).await?, run.artifact_hash, dir))
    }
}

impl Engine {
    async fn probe_session(&self, request: ReauthRequest) -> Result<ReauthReport, ApiError> {
        let inner = &self.inner;
        inner.only_locally()?;
        let reader = inner.reader(&request).await?;
        let known = inner.reauth(&reader.lane, &request.source_id).await?;
        let Some(known) = known.filter(|known| known.stage.is_waiting()) else {
            let message = format!(
                "no fresh session of `{}` waits to be tried",
                request.source_id
            );
            return Err(ApiError::new(ErrorCode::Conflict, message).hint(format!(
                "begin with `moorline sources reauth {}`",
                request.source_id
            )));
        };
        let begun = known.probe.filter(|_| known.stage == ReauthStage::Probing);
        let probe = if let Some(probe) = begun {
            probe
        } else {
            let submit = SubmitRequest {
                job: reader.job.clone(),
                inputs: BTreeMap::new(),
                params: serde_json::Map::new(),
                mode: Some(Mode::Real),
                lane: Some(reader.lane.to_string()),
                executor: None,
                isolation: None,
                // One probe for each session that was stored, also when this is interrupted here.
                idempotency_key: Some(format!(
                    "reauth/{}/{}/{}",
                    reader.lane,
                    request.source_id,
                    known.updated_at.as_microsecond()
                )),
                actor: request.actor.clone(),
            };
            let run = Box::pin(self.start_from(&submit, Origin::Reauth)).await?;
            let stage = ReauthStage::Probing;
            inner
                .reached(&request, &reader, stage, Some(run.id))
                .await?;
            run.id
        };
        let summary = inner.wait(probe).await?;
        let stage = if summary.status == RunStatus::Success {
            ReauthStage::Done
        } else {
            ReauthStage::Failed
        };
        let reauth = inner.reached(&request, &reader, stage, Some(probe)).await?;
        let source = inner
            .store
            .source_get(&request.source_id)
            .await
            .map_err(store_error)?;
        let filter = ScheduleFilter {
            lane: Some(reader.lane.clone()),
            source_id: Some(request.source_id.clone()),
            ..ScheduleFilter::default()
        };
        let schedules = inner
            .store
            .schedules_list(filter)
            .await
            .map_err(store_error)?;
        Ok(ReauthReport {
            reauth,
            probe: summary,
            source_state: source.map(|source| source.state),
            schedules: schedules
                .into_iter()
                .map(|schedule| SourceSchedule {
                    schedule: schedule.id,
                    state: schedule.state,
                })
                .collect(),
        })
    }
}

fn no_reader(lane: &Lane, source_id: &str) -> ApiError {
    let message = format!("no job reads the source `{source_id}` in lane {lane}");
    ApiError::new(ErrorCode::NotFound, message).hint(
        "promote the job to the lane first; in a lane that needs no promotion, run it there once",
    )
}

/// The session of a source, and the secret that holds it.
fn session<'s>(
    spec: &'s JobSpec,
    entity: &'s Entity,
    wanted: Option<&str>,
) -> Result<(&'s SessionArtifact, &'s SecretDecl), ApiError> {
    let source = &entity.source_id;
    let mut found = entity
        .session_artifacts
        .iter()
        .filter(|artifact| wanted.is_none_or(|wanted| artifact.secret == wanted));
    let (Some(artifact), more) = (found.next(), found.next()) else {
        let message = format!("the source `{source}` has no such session (D-SEC-9)");
        return Err(ApiError::new(ErrorCode::Config, message)
            .hint("name a secret of its `session_artifacts` with `--secret NAME`"));
    };
    if more.is_some() {
        let message = format!("the source `{source}` has several sessions");
        return Err(ApiError::new(ErrorCode::Usage, message)
            .hint("say which with `--secret NAME`, one after the other"));
    }
    let declared = spec
        .secrets
        .iter()
        .find(|secret| secret.name == artifact.secret);
    let declared = declared.ok_or_else(|| {
        let message = format!("the job declares no secret `{}`", artifact.secret);
        ApiError::new(ErrorCode::Spec, message)
    })?;
    Ok((artifact, declared))
}
