//! Schedules at a platform: deploying them, and the comparison with what is really there (D-SCHED-5, L51).
//!
//! The store says what ought to be deployed: every enabled schedule, and nothing else. The platform says what is.
//! Nothing about deployments is remembered, so nothing remembered can be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use moorline_api::{
    ApiError, DeploymentOperations, DeploymentView, DriftFinding, DriftReport, DriftRequest,
    DriftState, Operation, ScheduleChangeRequest,
};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;
use moorline_core::schedule::{Schedule, ScheduleState};
use moorline_executor::deployer::tag_of;
use moorline_executor::{Deployable, Deployed, DeployedCadence, Deployer, ExecutorError};
use moorline_store::{RecordDeployment, RecordDrift, ScheduleFilter};
use serde_json::json;

use crate::engine::{Engine, Inner};
use crate::error::store_error;

#[async_trait]
impl DeploymentOperations for Engine {
    async fn schedule_deploy(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<DeploymentView, ApiError> {
        let inner = &self.inner;
        let subject = format!("schedule/{}", request.schedule);
        let work = inner.deploy(&request);
        inner
            .guarded(Operation::ScheduleDeploy, &request.actor, subject, work)
            .await
    }

    async fn schedule_undeploy(
        &self,
        request: ScheduleChangeRequest,
    ) -> Result<DeploymentView, ApiError> {
        let inner = &self.inner;
        let subject = format!("schedule/{}", request.schedule);
        let work = inner.undeploy(&request);
        inner
            .guarded(Operation::ScheduleUndeploy, &request.actor, subject, work)
            .await
    }

    async fn schedule_drift(&self, request: DriftRequest) -> Result<DriftReport, ApiError> {
        self.inner.drift(request.lane).await
    }
}

impl Inner {
    fn deployer(&self) -> Result<&Arc<dyn Deployer>, ApiError> {
        self.deployer.as_ref().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Config,
                "this build can not deploy schedules to Modal",
            )
            .hint("use a build with the feature `modal`")
        })
    }

    async fn deploy(&self, request: &ScheduleChangeRequest) -> Result<DeploymentView, ApiError> {
        let deployer = self.deployer()?;
        let schedule = self.schedule(&request.schedule).await?;
        let id = &schedule.id;
        if schedule.state != ScheduleState::Enabled {
            let message = format!(
                "the schedule {id} is {}: only an enabled one is deployed (D-SCHED-5)",
                schedule.state
            );
            return Err(ApiError::new(ErrorCode::Conflict, message)
                .hint(format!("`moorline schedule enable {id}` first")));
        }
        let app = deployer.app(id).map_err(|error| unreachable(&error))?;
        let deployable = Deployable {
            id: id.clone(),
            document: schedule.document.clone(),
            content: schedule.content,
        };
        let url = deployer.deploy(&deployable).await;
        let url = url.map_err(|error| unreachable(&error))?;
        let data = json!({"app": app, "content": schedule.content, "schedule": schedule.document});
        self.keep(request, "schedule.deploy", data).await?;
        Ok(DeploymentView {
            schedule: id.clone(),
            app,
            deployed: true,
            changed: true,
            url: Some(url).filter(|url| !url.is_empty()),
        })
    }

    pub(crate) async fn undeploy(
        &self,
        request: &ScheduleChangeRequest,
    ) -> Result<DeploymentView, ApiError> {
        let deployer = self.deployer()?;
        let id = &request.schedule;
        // Not looked for in the store: what was deployed of a schedule that is gone can be taken away too.
        let app = deployer.app(id).map_err(|error| unreachable(&error))?;
        let changed = deployer.undeploy(id).await;
        let changed = changed.map_err(|error| unreachable(&error))?;
        let data = json!({"app": app, "was_deployed": changed});
        self.keep(request, "schedule.undeploy", data).await?;
        Ok(DeploymentView {
            schedule: id.clone(),
            app,
            deployed: false,
            changed,
            url: None,
        })
    }

    async fn keep(
        &self,
        request: &ScheduleChangeRequest,
        operation: &'static str,
        data: serde_json::Value,
    ) -> Result<(), ApiError> {
        let record = RecordDeployment {
            schedule: request.schedule.clone(),
            operation,
            by: request.actor.clone(),
            reason: request.reason.clone(),
            data,
            now: self.now(),
        };
        self.store
            .deployment_record(record)
            .await
            .map_err(store_error)
    }

    async fn drift(&self, lane: Option<Lane>) -> Result<DriftReport, ApiError> {
        let deployer = self.deployer()?;
        let lanes: Vec<Lane> = if let Some(lane) = lane {
            self.lane_settings(&lane)?;
            vec![lane]
        } else {
            let all = self.config.settings.lanes.iter();
            let with = all.filter(|(_, settings)| settings.rules.schedules);
            with.map(|(lane, _)| lane.clone()).collect()
        };
        let mut findings = Vec::new();
        for lane in lanes {
            let filter = ScheduleFilter {
                lane: Some(lane.clone()),
                ..ScheduleFilter::default()
            };
            let schedules = self.store.schedules_list(filter).await;
            let schedules = schedules.map_err(store_error)?;
            findings.extend(compare(deployer.as_ref(), &lane, &schedules).await);
        }
        let now = self.now();
        for finding in findings.iter().filter(|finding| finding.state.is_drift()) {
            let job_id = finding.schedule.as_ref().map(|id| id.job_id().to_owned());
            let record = RecordDrift {
                job_id: job_id.or_else(|| finding.app.clone()).unwrap_or_default(),
                data: json!(finding),
                now,
            };
            self.store.drift_record(record).await.map_err(store_error)?;
        }
        Ok(DriftReport {
            drift: findings.iter().any(|finding| finding.state.is_drift()),
            findings,
        })
    }
}

/// The schedules of a lane and what is deployed there.
async fn compare(
    deployer: &dyn Deployer,
    lane: &Lane,
    schedules: &[Schedule],
) -> Vec<DriftFinding> {
    let mut deployed: BTreeMap<String, Deployed> = match deployer.deployed(lane).await {
        Ok(deployed) => deployed
            .into_iter()
            .map(|one| (one.app.clone(), one))
            .collect(),
        Err(error) => return vec![unverified(lane, &error)],
    };
    let mut findings = Vec::new();
    for schedule in schedules {
        let app = match deployer.app(&schedule.id) {
            Ok(app) => app,
            Err(error) => {
                findings.push(unverified(lane, &error));
                continue;
            }
        };
        let there = deployed.remove(&app);
        findings.push(judge(lane, schedule, app, there));
    }
    findings.extend(deployed.into_values().map(|one| DriftFinding {
        lane: lane.clone(),
        schedule: None,
        differences: vec!["it is deployed, and the lane has no such schedule".to_owned()],
        hint: Some(format!("`modal app stop {}` takes it away", one.app)),
        app: Some(one.app),
        state: DriftState::Extra,
    }));
    findings
}

/// One schedule and what is deployed of it.
fn judge(lane: &Lane, schedule: &Schedule, app: String, there: Option<Deployed>) -> DriftFinding {
    let id = &schedule.id;
    let enabled = schedule.state == ScheduleState::Enabled;
    let deploy = || Some(format!("`moorline schedule deploy {id}`"));
    let (state, differences, hint) = match (enabled, there) {
        (false, None) => (DriftState::Equal, Vec::new(), None),
        (true, None) => (
            DriftState::Missing,
            vec!["it is enabled, and not deployed".to_owned()],
            deploy(),
        ),
        (false, Some(_)) => (
            DriftState::Extra,
            vec![format!("it is {}, and still deployed", schedule.state)],
            Some(format!("`moorline schedule undeploy {id}`")),
        ),
        (true, Some(there)) => match differences(schedule, &there) {
            none if none.is_empty() => (DriftState::Equal, none, None),
            some => (DriftState::Different, some, deploy()),
        },
    };
    DriftFinding {
        lane: lane.clone(),
        schedule: Some(id.clone()),
        app: Some(app),
        state,
        differences,
        hint,
    }
}

fn differences(schedule: &Schedule, there: &Deployed) -> Vec<String> {
    let mut differences = Vec::new();
    let wanted = DeployedCadence::of(&schedule.document);
    if there.cadence != wanted {
        differences.push(format!(
            "it is due {}, and deployed {}",
            shown(wanted.as_ref()),
            shown(there.cadence.as_ref())
        ));
    }
    let content = tag_of(&schedule.content);
    if there.content.as_ref() != Some(&content) {
        differences.push(format!(
            "it starts the content {content}, and was deployed for {}",
            there.content.as_deref().unwrap_or("none that is known")
        ));
    }
    differences
}

fn shown(cadence: Option<&DeployedCadence>) -> String {
    match cadence {
        Some(DeployedCadence::Cron { expr, time_zone }) => format!("at `{expr}` in {time_zone}"),
        Some(DeployedCadence::Periodic { period_seconds }) => format!("every {period_seconds} s"),
        Some(DeployedCadence::Other) => "in a way that Moorline does not deploy".to_owned(),
        None => "without a schedule".to_owned(),
    }
}

fn unverified(lane: &Lane, error: &ExecutorError) -> DriftFinding {
    DriftFinding {
        lane: lane.clone(),
        schedule: None,
        app: None,
        state: DriftState::Unverified,
        differences: vec![unreachable(error).message],
        hint: Some("reach Modal and compare again; until then nothing is known".to_owned()),
    }
}

/// What a deployer's error means to a caller: its whole chain of causes, which holds no secret.
fn unreachable(error: &ExecutorError) -> ApiError {
    let code = match error {
        ExecutorError::Unsupported { .. } => ErrorCode::Config,
        _ => ErrorCode::Provider,
    };
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        message = format!("{message}: {source}");
        cause = source.source();
    }
    ApiError::new(code, message)
}
