//! Deploying an app of functions that are found in files, and reading back what is deployed.
//!
//! A [`Draft`] is an app that is being deployed: images and mounts are made in it by its id, functions are
//! defined, and [`publish`](Draft::publish) puts all of them in force at once. Until then the earlier deployment
//! serves. A function keeps its id from one deployment to the next, as with the official client.
//!
//! Deliberately absent: functions that are serialized Python (another Python would have to load them), classes,
//! web endpoints, GPUs. They are the official client's.

use std::collections::BTreeMap;
use std::time::Duration;

use moorline_modal_proto::client as pb;
use pb::function::{DefinitionType, FunctionType};
use pb::schedule::{Cron, Period, ScheduleOneof};

use super::{Functions, GET};
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::wire::{self, some};

control_plane! {
    APP_BY_NAME = AppGetByDeploymentName(AppGetByDeploymentNameRequest) -> AppGetByDeploymentNameResponse, Read;
    APP_CREATE = AppCreate(AppCreateRequest) -> AppCreateResponse, Keyed;
    DEFINE = FunctionCreate(FunctionCreateRequest) -> FunctionCreateResponse, Keyed;
    LAYOUT = AppGetLayout(AppGetLayoutRequest) -> AppGetLayoutResponse, Read;
    MOUNT = MountGetOrCreate(MountGetOrCreateRequest) -> MountGetOrCreateResponse, Keyed;
    PRECREATE = FunctionPrecreate(FunctionPrecreateRequest) -> FunctionPrecreateResponse, Keyed;
    PUBLISH = AppPublish(AppPublishRequest) -> AppPublishResponse, Keyed;
}

/// When the server calls a function by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Schedule {
    /// Five fields of cron, read in an IANA zone.
    Cron {
        /// Minute, hour, day of month, month, day of week.
        expr: String,
        /// The zone; empty is UTC.
        zone: String,
    },
    /// Some time after the deployment, and again after each such time.
    Period {
        /// Whole seconds.
        seconds: u64,
    },
}

impl Schedule {
    /// Five fields of cron, read in an IANA zone.
    pub fn cron(expr: impl Into<String>, zone: impl Into<String>) -> Self {
        Self::Cron {
            expr: expr.into(),
            zone: zone.into(),
        }
    }

    /// A period of whole seconds.
    pub const fn period(seconds: u64) -> Self {
        Self::Period { seconds }
    }

    fn to_proto(&self) -> Result<pb::Schedule> {
        let schedule = match self {
            Self::Cron { expr, zone } => ScheduleOneof::Cron(Cron {
                cron_string: expr.clone(),
                timezone: zone.clone(),
            }),
            Self::Period { seconds } => {
                let hours = i32::try_from(seconds / 3600).map_err(|_| {
                    let text = format!("a period of {seconds} s is too long");
                    Error::new(ErrorKind::InvalidArgument, text)
                })?;
                // Both are below 60.
                let minutes = i32::try_from(seconds / 60 % 60).unwrap_or(0);
                let rest = u8::try_from(seconds % 60).unwrap_or(0);
                ScheduleOneof::Period(Period {
                    hours,
                    minutes,
                    seconds: rest.into(),
                    ..Period::default()
                })
            }
        };
        Ok(pb::Schedule {
            schedule_oneof: Some(schedule),
        })
    }

    /// None for one that this type does not have: months, or a part of a second.
    fn of(schedule: pb::Schedule) -> Option<Self> {
        match schedule.schedule_oneof? {
            ScheduleOneof::Cron(cron) => Some(Self::Cron {
                expr: cron.cron_string,
                zone: cron.timezone,
            }),
            ScheduleOneof::Period(period) => {
                let whole = period.seconds >= 0.0 && period.seconds.fract() == 0.0;
                if period.years != 0 || period.months != 0 || !whole {
                    return None;
                }
                #[expect(clippy::cast_possible_truncation, reason = "it is whole")]
                let seconds = period.seconds as i64;
                let days = i64::from(period.weeks) * 7 + i64::from(period.days);
                let hours = days * 24 + i64::from(period.hours);
                let seconds = (hours * 60 + i64::from(period.minutes)) * 60 + seconds;
                u64::try_from(seconds)
                    .ok()
                    .map(|seconds| Self::Period { seconds })
            }
        }
    }
}

/// A Python function without arguments, found in a file of a mount.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileFunction {
    /// Its name, in the module and in the app.
    pub name: String,
    /// The module, as Python imports it.
    pub module: String,
    /// The image, which has Python.
    pub image_id: String,
    /// Mounts over the image; the module is in one of them, on Python's path (`/root`).
    pub mount_ids: Vec<String>,
    /// When the server calls it by itself.
    pub schedule: Option<Schedule>,
    /// For one call.
    pub timeout: Duration,
}

impl FileFunction {
    /// A function that is called for up to five minutes, by nobody.
    pub fn new(
        name: impl Into<String>,
        module: impl Into<String>,
        image_id: impl Into<String>,
    ) -> Self {
        Self {
            name: name.into(),
            module: module.into(),
            image_id: image_id.into(),
            mount_ids: Vec::new(),
            schedule: None,
            timeout: Duration::from_mins(5),
        }
    }
}

/// What is deployed of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeployedFunction {
    /// `fu-…`.
    pub id: String,
    /// `ap-…`.
    pub app_id: Option<String>,
    /// When the server calls it by itself; none when never.
    pub schedule: Option<Scheduled>,
}

/// A schedule as the server has it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Scheduled {
    /// One that this client could have made.
    Known(Schedule),
    /// One that it could not, such as a period of months.
    Other,
}

/// An app that is being deployed.
#[derive(Debug)]
pub struct Draft {
    client: Client,
    app_id: String,
    name: String,
    /// Ids by name, of the deployment before.
    before: BTreeMap<String, String>,
    functions: BTreeMap<String, String>,
    definitions: BTreeMap<String, String>,
}

impl Functions {
    /// Begins a deployment of the app of that name: a new version of it, or a new app.
    ///
    /// # Errors
    /// What the server says.
    pub async fn draft(&self, app: &str, environment: Option<&str>) -> Result<Draft> {
        wire::check_name("app", app)?;
        let environment_name = self.client.environment_or_default(environment);
        let known = pb::AppGetByDeploymentNameRequest {
            name: app.to_owned(),
            environment_name: environment_name.clone(),
        };
        let known = some(self.client.unary(APP_BY_NAME, known).await?.app_id);
        let (app_id, before) = if let Some(app_id) = known {
            let request = pb::AppGetLayoutRequest {
                app_id: app_id.clone(),
            };
            let layout = self.client.unary(LAYOUT, request).await?.app_layout;
            let ids = layout.unwrap_or_default().function_ids;
            (app_id, ids.into_iter().collect())
        } else {
            let request = pb::AppCreateRequest {
                description: app.to_owned(),
                environment_name,
                app_state: pb::AppState::Initializing.into(),
                ..pb::AppCreateRequest::default()
            };
            let app_id = self.client.unary(APP_CREATE, request).await?.app_id;
            (wire::required(app_id, "app id")?, BTreeMap::new())
        };
        Ok(Draft {
            client: self.client.clone(),
            app_id,
            name: app.to_owned(),
            before,
            functions: BTreeMap::new(),
            definitions: BTreeMap::new(),
        })
    }

    /// What is deployed of a function of an app.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if app or function is not there.
    pub async fn deployed(
        &self,
        app: &str,
        name: &str,
        environment: Option<&str>,
    ) -> Result<DeployedFunction> {
        let request = pb::FunctionGetRequest {
            app_name: app.to_owned(),
            object_tag: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            ..pb::FunctionGetRequest::default()
        };
        let reply = self.client.unary(GET, request).await?;
        let schedule = reply.function.and_then(|data| {
            let ranked = data.ranked_functions.into_iter().next();
            let own = ranked.and_then(|ranked| ranked.function?.schedule);
            data.schedule.or(own)
        });
        let schedule = schedule
            .filter(|schedule| schedule.schedule_oneof.is_some())
            .map(|schedule| Schedule::of(schedule).map_or(Scheduled::Other, Scheduled::Known));
        Ok(DeployedFunction {
            id: wire::required(reply.function_id, "function id")?,
            app_id: reply.handle_metadata.and_then(|data| some(data.app_id)),
            schedule,
        })
    }

    /// The mount of Modal's own Python package, in the version of the protocol that this client speaks: a
    /// container of a function needs it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if the server does not offer that version any more.
    pub async fn runtime_mount(&self) -> Result<String> {
        let request = pb::MountGetOrCreateRequest {
            deployment_name: format!("modal-client-mount-{RUNTIME_VERSION}"),
            namespace: pb::DeploymentNamespace::Global.into(),
            object_creation_type: pb::ObjectCreationType::Unspecified.into(),
            ..pb::MountGetOrCreateRequest::default()
        };
        wire::required(
            self.client.unary(MOUNT, request).await?.mount_id,
            "mount id",
        )
    }
}

/// The version of Modal's Python package whose protocol this client was written against.
const RUNTIME_VERSION: &str = "1.6.4";

impl Draft {
    /// The app that images and mounts of the deployment are made in.
    pub fn app_id(&self) -> &str {
        &self.app_id
    }

    /// Defines a function of the deployment and returns its id.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a schedule that the server does not take.
    pub async fn function(&mut self, function: &FileFunction) -> Result<String> {
        let formats = || vec![pb::DataFormat::Pickle.into(), pb::DataFormat::Cbor.into()];
        let request = pb::FunctionPrecreateRequest {
            app_id: self.app_id.clone(),
            function_name: function.name.clone(),
            existing_function_id: self.before.get(&function.name).cloned().unwrap_or_default(),
            function_type: FunctionType::Function.into(),
            supported_input_formats: formats(),
            supported_output_formats: formats(),
            ..pb::FunctionPrecreateRequest::default()
        };
        let id = self.client.unary(PRECREATE, request).await?.function_id;
        let id = wire::required(id, "function id")?;
        let schedule = function.schedule.as_ref().map(Schedule::to_proto);
        let schedule = schedule.transpose()?;
        let definition = pb::Function {
            module_name: function.module.clone(),
            function_name: function.name.clone(),
            implementation_name: function.name.clone(),
            app_name: self.name.clone(),
            mount_ids: function.mount_ids.clone(),
            image_id: function.image_id.clone(),
            definition_type: DefinitionType::File.into(),
            function_type: FunctionType::Function.into(),
            timeout_secs: u32::try_from(function.timeout.as_secs()).unwrap_or(u32::MAX),
            schedule: schedule.clone(),
            supported_input_formats: formats(),
            supported_output_formats: formats(),
            ..pb::Function::default()
        };
        let request = pb::FunctionCreateRequest {
            function: Some(definition),
            app_id: self.app_id.clone(),
            schedule,
            existing_function_id: id.clone(),
            ..pb::FunctionCreateRequest::default()
        };
        let reply = self.client.unary(DEFINE, request).await?;
        for warning in reply.server_warnings {
            tracing::warn!(
                app = self.name,
                function = function.name,
                "{}",
                warning.message
            );
        }
        let id = wire::required(reply.function_id, "function id")?;
        let definition = reply
            .handle_metadata
            .and_then(|data| some(data.definition_id));
        if let Some(definition) = definition {
            self.definitions.insert(id.clone(), definition);
        }
        self.functions.insert(function.name.clone(), id.clone());
        Ok(id)
    }

    /// Puts the defined functions in force, and no others; the app's page.
    ///
    /// # Errors
    /// What the server says; then the deployment before stays in force.
    pub async fn publish(self, tags: BTreeMap<String, String>) -> Result<String> {
        let request = pb::AppPublishRequest {
            app_id: self.app_id,
            name: self.name,
            app_state: pb::AppState::Deployed.into(),
            function_ids: self.functions.into_iter().collect(),
            definition_ids: self.definitions.into_iter().collect(),
            client_version: RUNTIME_VERSION.to_owned(),
            tags: tags.into_iter().collect(),
            ..pb::AppPublishRequest::default()
        };
        let reply = self.client.unary(PUBLISH, request).await?;
        for warning in reply.server_warnings {
            tracing::warn!("{}", warning.message);
        }
        Ok(reply.url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_are_the_same_on_the_wire_and_back() {
        let cron = Schedule::Cron {
            expr: "15 6 * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
        };
        let periods =
            [60, 3599, 86_400, 90_061, 31_536_000].map(|seconds| Schedule::Period { seconds });
        for schedule in [cron].into_iter().chain(periods) {
            let there = schedule.to_proto().unwrap();
            assert_eq!(Schedule::of(there), Some(schedule));
        }
    }

    #[test]
    fn a_schedule_that_this_client_does_not_make_is_not_mistaken() {
        let of = |period| {
            Schedule::of(pb::Schedule {
                schedule_oneof: Some(ScheduleOneof::Period(period)),
            })
        };
        let months = Period {
            months: 1,
            ..Period::default()
        };
        let half = Period {
            seconds: 0.5,
            ..Period::default()
        };
        let day = Period {
            days: 1,
            seconds: 1.0,
            ..Period::default()
        };
        assert_eq!(of(months), None);
        assert_eq!(of(half), None);
        assert_eq!(of(day), Some(Schedule::Period { seconds: 86_401 }));
    }
}
