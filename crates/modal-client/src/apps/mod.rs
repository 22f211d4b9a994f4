//! Apps: what is deployed together, and what logs, tags and history belong to.
//!
//! Deliberately absent: publishing functions, which [`functions`](crate::functions) does; this operates what is
//! there and makes apps for sandboxes.

mod logs;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use tokio::task::JoinSet;

pub use logs::{LogBatch, LogFilter, LogLine, LogRange, LogSource};

use crate::error::{Error, ErrorKind, Result};
use crate::keepalive::keep_alive_every;
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::wire::{self, Existence, some, time};

control_plane! {
    CREATE = AppCreate(AppCreateRequest) -> AppCreateResponse, Keyed;
    DISCONNECT = AppClientDisconnect(AppClientDisconnectRequest) -> Empty, Keyed;
    GET_BY_NAME = AppGetByDeploymentName(AppGetByDeploymentNameRequest) -> AppGetByDeploymentNameResponse, Read;
    GET_OR_CREATE = AppGetOrCreate(AppGetOrCreateRequest) -> AppGetOrCreateResponse, Keyed;
    GET_TAGS = AppGetTags(AppGetTagsRequest) -> AppGetTagsResponse, Read;
    HEARTBEAT = AppHeartbeat(AppHeartbeatRequest) -> Empty, Read;
    HISTORY = AppDeploymentHistory(AppDeploymentHistoryRequest) -> AppDeploymentHistoryResponse, Read;
    LIFECYCLE = AppGetLifecycle(AppGetLifecycleRequest) -> AppGetLifecycleResponse, Read;
    LIST = AppList(AppListRequest) -> AppListResponse, Read;
    ROLLBACK = AppRollback(AppRollbackRequest) -> AppRollbackResponse, Keyed;
    SET_TAGS = AppSetTags(AppSetTagsRequest) -> Empty, Keyed;
    STOP = AppStop(AppStopRequest) -> Empty, Keyed;
}

/// An ephemeral app is given up by the server when it hears nothing for some of these.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(15);

/// Where an app is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum AppState {
    /// Created, nothing published.
    Initializing,
    /// Lives as long as its creator is connected.
    Ephemeral,
    /// Ephemeral, and goes on without its creator.
    Detached,
    /// Stays until it is stopped.
    Deployed,
    /// Is being stopped.
    Stopping,
    /// Is no more.
    Stopped,
    /// Switched off by Modal.
    Disabled,
    /// A state that this client does not know.
    Unknown,
}

impl AppState {
    fn of(number: i32) -> Self {
        use pb::AppState as S;
        match S::try_from(number).unwrap_or_default() {
            S::Initializing => Self::Initializing,
            S::Ephemeral => Self::Ephemeral,
            S::Detached | S::DetachedDisconnected => Self::Detached,
            S::Deployed | S::Derived => Self::Deployed,
            S::Stopping => Self::Stopping,
            S::Stopped => Self::Stopped,
            S::Disabled => Self::Disabled,
            S::Unspecified => Self::Unknown,
        }
    }
}

/// One line of the list of apps.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct AppInfo {
    /// `ap-…`.
    pub id: String,
    /// The name of a deployed app.
    pub name: Option<String>,
    /// What it is; for a deployed app its name.
    pub description: String,
    /// Where it is in its life.
    pub state: AppState,
    /// Containers that run now.
    pub running_tasks: u32,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// When it was stopped.
    pub stopped_at: Option<Timestamp>,
}

impl From<pb::app_list_response::AppListItem> for AppInfo {
    fn from(item: pb::app_list_response::AppListItem) -> Self {
        Self {
            state: AppState::of(item.state),
            running_tasks: item.n_running_tasks.try_into().unwrap_or(0),
            created_at: time(item.created_at),
            stopped_at: time(item.stopped_at),
            name: some(item.name),
            id: item.app_id,
            description: item.description,
        }
    }
}

/// One deployment of an app.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Deployment {
    /// 1 for the first.
    pub version: u32,
    /// When.
    pub deployed_at: Option<Timestamp>,
    /// By whom.
    pub deployed_by: String,
    /// The client that deployed it.
    pub client_version: String,
    /// The deployment's own tag, if it was given one.
    pub tag: Option<String>,
    /// The version that this one brought back.
    pub rollback_of: Option<u32>,
    /// Whether it can be rolled back to.
    pub rollback_allowed: bool,
    /// Whether it serves now.
    pub in_production: bool,
    /// The commit it was deployed from.
    pub commit: Option<String>,
}

/// What is published where, after a rollback.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Published {
    /// The app's page.
    pub url: String,
    /// Warnings of the server.
    pub warnings: Vec<String>,
}

/// An app that other objects are made in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct App {
    /// `ap-…`.
    pub id: String,
}

/// Calls about apps.
#[derive(Clone, Debug)]
pub struct Apps {
    client: Client,
}

impl Client {
    /// Apps.
    pub fn apps(&self) -> Apps {
        Apps {
            client: self.clone(),
        }
    }
}

impl Apps {
    /// The app of that name, which sandboxes and images can be made in.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it must exist and does not.
    pub async fn lookup(
        &self,
        name: &str,
        environment: Option<&str>,
        existence: Existence,
    ) -> Result<App> {
        wire::check_name("app", name)?;
        let request = pb::AppGetOrCreateRequest {
            app_name: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            object_creation_type: existence.wire(),
        };
        let reply = self.client.unary(GET_OR_CREATE, request).await?;
        Ok(App {
            id: wire::required(reply.app_id, "app id")?,
        })
    }

    /// The deployed app of that name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn get_deployed(&self, name: &str, environment: Option<&str>) -> Result<App> {
        let request = pb::AppGetByDeploymentNameRequest {
            name: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
        };
        let reply = self.client.unary(GET_BY_NAME, request).await?;
        some(reply.app_id).map(|id| App { id }).ok_or_else(|| {
            let text = format!("no deployed app `{name}` in this environment");
            Error::new(ErrorKind::NotFound, text)
        })
    }

    /// An app without a name that lives as long as the returned value: its heartbeat runs in the
    /// background of this tokio runtime until it is closed or dropped.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create_ephemeral(
        &self,
        description: &str,
        environment: Option<&str>,
        tags: BTreeMap<String, String>,
    ) -> Result<EphemeralApp> {
        let request = pb::AppCreateRequest {
            description: description.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            app_state: pb::AppState::Ephemeral.into(),
            tags: tags.into_iter().collect(),
            ..pb::AppCreateRequest::default()
        };
        let reply = self.client.unary(CREATE, request).await?;
        let app = App {
            id: wire::required(reply.app_id, "app id")?,
        };
        let (client, id) = (self.client.clone(), app.id.clone());
        let heartbeat = keep_alive_every(HEARTBEAT_INTERVAL, "app", move || {
            let (client, app_id) = (client.clone(), id.clone());
            async move {
                client
                    .unary(HEARTBEAT, pb::AppHeartbeatRequest { app_id })
                    .await
            }
        });
        Ok(EphemeralApp {
            client: self.client.clone(),
            app,
            heartbeat,
        })
    }

    /// All apps of an environment that are not long gone.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self, environment: Option<&str>) -> Result<Vec<AppInfo>> {
        let environment_name = self.client.environment_or_default(environment);
        let reply = self
            .client
            .unary(LIST, pb::AppListRequest { environment_name })
            .await?;
        Ok(reply.apps.into_iter().map(AppInfo::from).collect())
    }

    /// Where the app is in its life.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn state(&self, app_id: &str) -> Result<AppState> {
        let request = pb::AppGetLifecycleRequest {
            app_id: app_id.to_owned(),
        };
        let reply = self.client.unary(LIFECYCLE, request).await?;
        Ok(AppState::of(reply.lifecycle.unwrap_or_default().app_state))
    }

    /// Stops the app and everything that runs in it. It can not be started again.
    ///
    /// # Errors
    /// What the server says.
    pub async fn stop(&self, app_id: &str) -> Result<()> {
        let source = pb::AppStopSource::Cli.into();
        self.client
            .unary(
                STOP,
                pb::AppStopRequest {
                    app_id: app_id.to_owned(),
                    source,
                },
            )
            .await?;
        Ok(())
    }

    /// The deployments of an app, newest first.
    ///
    /// # Errors
    /// What the server says.
    pub async fn history(&self, app_id: &str) -> Result<Vec<Deployment>> {
        let request = pb::AppDeploymentHistoryRequest {
            app_id: app_id.to_owned(),
        };
        let reply = self.client.unary(HISTORY, request).await?;
        let production = reply.production_app_version;
        let mut deployments: Vec<_> = reply
            .app_deployment_histories
            .into_iter()
            .map(|item| Deployment {
                version: item.version,
                deployed_at: time(item.deployed_at),
                deployed_by: item.deployed_by,
                client_version: item.client_version,
                tag: some(item.tag),
                rollback_of: Some(item.rollback_version).filter(|version| *version != 0),
                rollback_allowed: item.rollback_allowed,
                in_production: production != 0 && item.version == production,
                commit: item.commit_info.and_then(|commit| some(commit.commit_hash)),
            })
            .collect();
        deployments.sort_by_key(|deployment| std::cmp::Reverse(deployment.version));
        Ok(deployments)
    }

    /// Publishes an earlier version again; the previous one when none is named.
    ///
    /// # Errors
    /// [`ErrorKind::Conflict`] if the app is not deployed or the version can not come back.
    pub async fn rollback(&self, app_id: &str, version: Option<u32>) -> Result<Published> {
        let version = match version {
            None => -1,
            Some(version) => i32::try_from(version).map_err(|_| {
                Error::new(
                    ErrorKind::InvalidArgument,
                    format!("version {version}: too large"),
                )
            })?,
        };
        let request = pb::AppRollbackRequest {
            app_id: app_id.to_owned(),
            version,
        };
        let reply = self.client.unary(ROLLBACK, request).await?;
        let warnings = reply
            .server_warnings
            .into_iter()
            .map(|warning| warning.message)
            .collect();
        Ok(Published {
            url: reply.url,
            warnings,
        })
    }

    /// The tags of an app.
    ///
    /// # Errors
    /// What the server says.
    pub async fn tags(&self, app_id: &str) -> Result<BTreeMap<String, String>> {
        let request = pb::AppGetTagsRequest {
            app_id: app_id.to_owned(),
        };
        Ok(self
            .client
            .unary(GET_TAGS, request)
            .await?
            .tags
            .into_iter()
            .collect())
    }

    /// Replaces the tags of an app.
    ///
    /// # Errors
    /// What the server says.
    pub async fn set_tags(&self, app_id: &str, tags: BTreeMap<String, String>) -> Result<()> {
        let tags = tags.into_iter().collect();
        self.client
            .unary(
                SET_TAGS,
                pb::AppSetTagsRequest {
                    app_id: app_id.to_owned(),
                    tags,
                },
            )
            .await?;
        Ok(())
    }
}

/// An app that lives while this value does. [`close`](Self::close) tells the server at once; dropping it
/// only ends the heartbeat, and the server notices by itself.
#[derive(Debug)]
pub struct EphemeralApp {
    client: Client,
    app: App,
    heartbeat: JoinSet<()>,
}

impl EphemeralApp {
    /// The app.
    pub fn app(&self) -> &App {
        &self.app
    }

    /// Ends the app and what runs in it.
    ///
    /// # Errors
    /// What the server says; it will end the app without heartbeats in any case.
    pub async fn close(mut self) -> Result<()> {
        self.heartbeat.abort_all();
        let request = pb::AppClientDisconnectRequest {
            app_id: self.app.id.clone(),
            reason: pb::AppDisconnectReason::EntrypointCompleted.into(),
            exception: String::new(),
        };
        self.client.unary(DISCONNECT, request).await?;
        Ok(())
    }
}
