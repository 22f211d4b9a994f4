//! Schedules as apps of Modal: [`ModalDeployer`].
//!
//! A schedule is one app with one function, which Modal calls by the schedule's cron or period. The function is a
//! small file of ours (`schedule.py`): it says that the time has come and starts nothing. Tags of the app say
//! whose it is and for which content; when Modal really calls it is read back from the function.
//!
//! Projects may share a workspace. The app of a project's schedule has the project in its name and in a tag, and
//! one that is of another project is neither listed, nor replaced, nor stopped (D-AUDIT-3).
//!
//! Taking a schedule away stops the app: Modal can not pause one.

use std::collections::BTreeMap;
use std::io;

use async_trait::async_trait;
use moorline_core::app_name::{AppPolicy, AppTarget};
use moorline_core::content_id::ContentId;
use moorline_core::lane::Lane;
use moorline_core::processor_ref::ProcessorRef;
use moorline_core::schedule::ScheduleId;
use moorline_modal_client::apps::AppState;
use moorline_modal_client::functions::{FileFunction, Schedule, Scheduled};
use moorline_modal_client::images::{BuildOptions, ImageDefinition};
use moorline_modal_client::transfer::Files;
use moorline_modal_client::{Client, Error, ErrorKind, Existence};
use serde_json::json;

use super::NAME;
use crate::deployer::{Deployable, Deployed, DeployedCadence, Deployer, tag_of};
use crate::executor::ExecutorError;

/// The function's file, and where it is in the container.
const SOURCE: &str = include_str!("schedule.py");
/// See [`SOURCE`]. The name is the module's.
const SOURCE_AT: &str = "/root/moorline_schedule.py";
/// What the function says, beside it.
const WISH_AT: &str = "/root/moorline_schedule.json";
/// The module and the function in it.
const MODULE: &str = "moorline_schedule";
/// See [`MODULE`].
const FUNCTION: &str = "due";
/// Namespace of the apps, beside that of jobs.
const NAMESPACE: &str = "schedules";
/// Tags of an app: that it is ours, and its content.
const TAG_KIND: &str = "moorline";
/// See [`TAG_KIND`].
const TAG_CONTENT: &str = "moorline-content";
/// The project of an app; none for the project that is always there.
const TAG_PROJECT: &str = "moorline-project";
/// See [`TAG_KIND`].
const KIND: &str = "schedule";

/// Deploys schedules to a Modal workspace.
#[derive(Debug, Clone)]
pub struct ModalDeployer {
    client: Result<Client, String>,
    policy: AppPolicy,
    /// Whether the policy's environments are used; see [`ModalConfig::environments`](super::ModalConfig).
    environments: bool,
    image: String,
    /// The project that the schedules are of; none for the one that is always there.
    project: Option<String>,
}

impl ModalDeployer {
    /// To the workspace that the client reaches. `image` has Python. Nothing is sent yet.
    pub fn new(
        client: Client,
        policy: AppPolicy,
        environments: bool,
        image: impl Into<String>,
    ) -> Self {
        Self {
            client: Ok(client),
            policy,
            environments,
            image: image.into(),
            project: None,
        }
    }

    /// For the schedules of this project alone, which has others beside it in the workspace.
    #[must_use]
    pub fn of_project(mut self, project: impl Into<String>) -> Self {
        self.project = Some(project.into());
        self
    }

    /// Stands where Modal is not set up: every call says so, with what is missing.
    pub fn unconfigured(reason: impl Into<String>) -> Self {
        Self {
            client: Err(reason.into()),
            policy: AppPolicy::default(),
            environments: false,
            image: String::new(),
            project: None,
        }
    }

    fn client(&self) -> Result<&Client, ExecutorError> {
        self.client.as_ref().map_err(|reason| {
            ExecutorError::unsupported(NAME, format!("reach Modal, which is not set up: {reason}"))
        })
    }

    fn target(&self, lane: &Lane, job_id: &str) -> Result<AppTarget, ExecutorError> {
        let namespace = match &self.project {
            Some(project) => format!("{project}-{NAMESPACE}"),
            None => NAMESPACE.to_owned(),
        };
        let named = format!("{namespace}/{job_id}@1").parse();
        let processor: ProcessorRef = if let Ok(processor) = named {
            processor
        } else {
            let hash = ContentId::of_bytes(job_id.as_bytes()).to_hex();
            let short: String = hash.chars().take(16).collect();
            format!("{namespace}/j{short}@1")
                .parse()
                .map_err(|error| ExecutorError::unsupported(NAME, format!("{error}")))?
        };
        Ok(self.policy.derive(&processor, lane))
    }

    /// The environment of a call; the client's own when it has no name.
    fn environment<'t>(&self, target: &'t AppTarget) -> Option<&'t str> {
        let named = target.environment.as_str();
        (self.environments && !named.is_empty()).then_some(named)
    }

    /// Whether an app with these tags is of this project.
    fn owns(&self, tags: &BTreeMap<String, String>) -> bool {
        tags.get(TAG_PROJECT) == self.project.as_ref()
    }

    /// Refuses where an app of that name is another project's: two names may come out alike.
    async fn not_another_s(&self, app: &str, environment: Option<&str>) -> Result<(), Error> {
        let Ok(client) = &self.client else {
            return Ok(());
        };
        let tags = match client.apps().get_deployed(app, environment).await {
            Ok(found) => client.apps().tags(&found.id).await?,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        if tags.is_empty() || self.owns(&tags) {
            return Ok(());
        }
        let message = "an app of that name is there, of another project";
        Err(Error::new(ErrorKind::AlreadyExists, message))
    }

    /// An app of a schedule, as it is deployed; none for an app that is not one of the project's schedules.
    async fn read(
        &self,
        app_id: &str,
        name: &str,
        environment: Option<&str>,
    ) -> Result<Option<Deployed>, Error> {
        let Ok(client) = &self.client else {
            return Ok(None);
        };
        let mut tags = client.apps().tags(app_id).await?;
        if tags.get(TAG_KIND).map(String::as_str) != Some(KIND) || !self.owns(&tags) {
            return Ok(None);
        }
        let cadence = match client
            .functions()
            .deployed(name, FUNCTION, environment)
            .await
        {
            Ok(function) => function.schedule.map(cadence),
            // Somebody deployed the app without the function.
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        Ok(Some(Deployed {
            app: name.to_owned(),
            content: tags.remove(TAG_CONTENT),
            cadence,
        }))
    }
}

fn cadence(schedule: Scheduled) -> DeployedCadence {
    match schedule {
        Scheduled::Known(Schedule::Cron { expr, zone }) => DeployedCadence::Cron {
            expr,
            time_zone: if zone.is_empty() {
                "UTC".to_owned()
            } else {
                zone
            },
        },
        Scheduled::Known(Schedule::Period { seconds }) => DeployedCadence::Periodic {
            period_seconds: seconds,
        },
        _ => DeployedCadence::Other,
    }
}

fn failed(what: String) -> impl FnOnce(Error) -> ExecutorError {
    move |error| ExecutorError::io(what, io::Error::other(error))
}

#[async_trait]
impl Deployer for ModalDeployer {
    fn app(&self, id: &ScheduleId) -> Result<String, ExecutorError> {
        Ok(self.target(id.lane(), id.job_id())?.app.to_string())
    }

    async fn deploy(&self, schedule: &Deployable) -> Result<String, ExecutorError> {
        let client = self.client()?;
        let target = self.target(schedule.id.lane(), schedule.id.job_id())?;
        let app = target.app.to_string();
        let environment = self.environment(&target);
        let due = match DeployedCadence::of(&schedule.document) {
            Some(DeployedCadence::Cron { expr, time_zone }) => Schedule::cron(expr, time_zone),
            Some(DeployedCadence::Periodic { period_seconds }) => Schedule::period(period_seconds),
            Some(DeployedCadence::Other) | None => {
                return Err(ExecutorError::unsupported(
                    NAME,
                    "deploy a schedule without a cadence",
                ));
            }
        };
        let content = tag_of(&schedule.content);
        let wish = json!({
            "schedule": schedule.id, "content": schedule.content,
            // Names of partitions are short.
            "partition": tag_of(&ContentId::of_bytes(schedule.id.to_string().as_bytes())),
        });
        let work = async {
            if let Some(environment) = environment {
                let environments = client.environments();
                environments
                    .lookup(Some(environment), Existence::CreateIfMissing)
                    .await?;
            }
            self.not_another_s(&app, environment).await?;
            let mut draft = client.functions().draft(&app, environment).await?;
            let definition = ImageDefinition::from_registry(&self.image)?;
            let mut options = BuildOptions::default();
            options.environment = environment.map(str::to_owned);
            let image = client
                .images()
                .build(draft.app_id(), &definition, &options)
                .await?;
            let files = Files::new()
                .bytes(SOURCE.as_bytes().to_vec(), SOURCE_AT)
                .bytes(wish.to_string().into_bytes(), WISH_AT);
            let own = client.mounts().create(Some(draft.app_id()), &files).await?;
            let mut function = FileFunction::new(FUNCTION, MODULE, image.id);
            function.mount_ids = vec![client.functions().runtime_mount().await?, own];
            function.schedule = Some(due);
            draft.function(&function).await?;
            let mut tags = BTreeMap::from([
                (TAG_KIND.to_owned(), KIND.to_owned()),
                (TAG_CONTENT.to_owned(), content),
            ]);
            let project = self.project.clone();
            tags.extend(project.map(|project| (TAG_PROJECT.to_owned(), project)));
            draft.publish(tags).await
        };
        work.await
            .map_err(failed(format!("deploying the app `{app}`")))
    }

    async fn undeploy(&self, id: &ScheduleId) -> Result<bool, ExecutorError> {
        let client = self.client()?;
        let target = self.target(id.lane(), id.job_id())?;
        let app = target.app.to_string();
        let work = async {
            match client
                .apps()
                .get_deployed(&app, self.environment(&target))
                .await
            {
                Ok(found) => {
                    let tags = client.apps().tags(&found.id).await?;
                    // What has no tags was deployed by hand, under the name that is ours.
                    if tags.is_empty() || self.owns(&tags) {
                        client.apps().stop(&found.id).await.map(|()| true)
                    } else {
                        Ok(false)
                    }
                }
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        };
        work.await
            .map_err(failed(format!("stopping the app `{app}`")))
    }

    async fn deployed(&self, lane: &Lane) -> Result<Vec<Deployed>, ExecutorError> {
        let client = self.client()?;
        // Any name tells the lane's environment, and how names of the lane end where that tells lanes apart.
        let target = self.target(lane, "x")?;
        let environment = self.environment(&target);
        let example = target.app.to_string();
        let (before, after) = example.rsplit_once("-x-").unwrap_or((&example, ""));
        let work = async {
            let mut found = Vec::new();
            for app in client.apps().list(environment).await? {
                let Some(name) = app.name.filter(|_| app.state == AppState::Deployed) else {
                    continue;
                };
                let of_lane = name
                    .strip_prefix(before)
                    .is_some_and(|rest| rest.starts_with('-'))
                    && name.ends_with(after);
                if of_lane {
                    found.extend(self.read(&app.id, &name, environment).await?);
                }
            }
            Ok(found)
        };
        work.await.map_err(failed(format!(
            "asking Modal for the schedules of the lane `{lane}`"
        )))
    }
}
