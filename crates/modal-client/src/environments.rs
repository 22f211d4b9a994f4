//! Environments: the parts that a workspace is divided into, with their settings and budgets.

use jiff::Timestamp;
use moorline_modal_proto::client as pb;

use crate::error::Result;
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::wire::{self, Existence, some, time};

control_plane! {
    CREATE = EnvironmentCreate(EnvironmentCreateRequest) -> Empty, Keyed;
    DELETE = EnvironmentDelete(EnvironmentDeleteRequest) -> Empty, Keyed;
    GET_BUDGET = EnvironmentGetBudget(EnvironmentGetBudgetRequest) -> EnvironmentGetBudgetResponse, Read;
    GET_OR_CREATE = EnvironmentGetOrCreate(EnvironmentGetOrCreateRequest) -> EnvironmentGetOrCreateResponse, Keyed;
    LIST = EnvironmentList(Empty) -> EnvironmentListResponse, Read;
    SET_BUDGET = EnvironmentSetBudget(EnvironmentSetBudgetRequest) -> Empty, Keyed;
    UPDATE = EnvironmentUpdate(EnvironmentUpdateRequest) -> EnvironmentListItem, Keyed;
}

/// One environment of a workspace.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct EnvironmentInfo {
    /// `en-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What stands in the host names of its web endpoints; none for the default environment.
    pub web_suffix: Option<String>,
    /// Whether calls that name none mean this one.
    pub is_default: bool,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// Containers at once.
    pub tasks: Usage,
    /// GPUs at once.
    pub gpus: Usage,
    /// What may be spent and was spent in this cycle.
    pub budget: Budget,
    /// The image builder version of its images.
    pub image_builder_version: Option<String>,
}

/// How much is in use, and the most that may be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// In use now.
    pub current: u32,
    /// At most; without limit of its own when unset.
    pub limit: Option<u32>,
}

/// The budget of a billing cycle, in US dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Budget {
    /// What was set for this environment.
    pub set: Option<f64>,
    /// What holds, with the workspace's limits.
    pub limit: f64,
    /// What was spent.
    pub spent: f64,
    /// Nothing more starts.
    pub reached: bool,
}

impl From<pb::EnvironmentListItem> for EnvironmentInfo {
    fn from(item: pb::EnvironmentListItem) -> Self {
        let usage = |current: i32, limit: Option<i32>| Usage {
            current: current.try_into().unwrap_or(0),
            limit: limit.and_then(|limit| limit.try_into().ok()),
        };
        Self {
            tasks: usage(item.current_concurrent_tasks, item.max_concurrent_tasks),
            gpus: usage(item.current_concurrent_gpus, item.max_concurrent_gpus),
            budget: Budget {
                set: item.cycle_budget_dollars,
                limit: item.effective_cycle_spend_limit,
                spent: item.current_cycle_usage,
                reached: item.spend_limit_reached,
            },
            web_suffix: some(item.webhook_suffix),
            is_default: item.default,
            created_at: time(item.created_at),
            image_builder_version: item.image_builder_version,
            id: item.environment_id,
            name: item.name,
        }
    }
}

/// An environment, as a lookup gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// `en-…`.
    pub id: String,
    /// Its name; the default environment's own name when none was asked for.
    pub name: String,
    /// The image builder version of its images.
    pub image_builder_version: Option<String>,
    /// What stands in the host names of its web endpoints.
    pub web_suffix: Option<String>,
}

/// What to change of an environment; what is unset stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EnvironmentUpdate {
    /// A new name.
    pub name: Option<String>,
    /// A new suffix of web endpoints.
    pub web_suffix: Option<String>,
    /// The most containers at once.
    pub max_tasks: Option<u32>,
    /// The most GPUs at once.
    pub max_gpus: Option<u32>,
    /// The image builder version.
    pub image_builder_version: Option<String>,
}

/// Calls about environments.
#[derive(Clone, Debug)]
pub struct Environments {
    client: Client,
}

impl Client {
    /// Environments.
    pub fn environments(&self) -> Environments {
        Environments {
            client: self.clone(),
        }
    }
}

impl Environments {
    /// All environments of the workspace.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self) -> Result<Vec<EnvironmentInfo>> {
        let reply = self.client.unary(LIST, ()).await?;
        Ok(reply.items.into_iter().map(EnvironmentInfo::from).collect())
    }

    /// The environment of that name, or of the settings, or the workspace's default.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if it must exist and does not.
    pub async fn lookup(&self, name: Option<&str>, existence: Existence) -> Result<Environment> {
        let request = pb::EnvironmentGetOrCreateRequest {
            deployment_name: self.client.environment_or_default(name),
            object_creation_type: existence.wire(),
        };
        let reply = self.client.unary(GET_OR_CREATE, request).await?;
        let metadata = reply.metadata.unwrap_or_default();
        let settings = metadata.settings.unwrap_or_default();
        Ok(Environment {
            id: wire::required(reply.environment_id, "environment id")?,
            name: metadata.name,
            image_builder_version: some(settings.image_builder_version),
            web_suffix: some(settings.webhook_suffix),
        })
    }

    /// Creates an environment.
    ///
    /// # Errors
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) if there is one of that name.
    pub async fn create(&self, name: &str) -> Result<()> {
        wire::check_name("environment", name)?;
        let request = pb::EnvironmentCreateRequest {
            name: name.to_owned(),
            ..Default::default()
        };
        self.client.unary(CREATE, request).await
    }

    /// Changes an environment.
    ///
    /// # Errors
    /// What the server says.
    pub async fn update(&self, name: &str, change: EnvironmentUpdate) -> Result<EnvironmentInfo> {
        let number = |value: Option<u32>| value.map(|value| value.try_into().unwrap_or(i32::MAX));
        let request = pb::EnvironmentUpdateRequest {
            current_name: name.to_owned(),
            name: change.name,
            web_suffix: change.web_suffix,
            max_concurrent_tasks: number(change.max_tasks),
            max_concurrent_gpus: number(change.max_gpus),
            image_builder_version: change.image_builder_version,
            ..Default::default()
        };
        Ok(self.client.unary(UPDATE, request).await?.into())
    }

    /// Deletes an environment with everything in it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete(&self, name: &str) -> Result<()> {
        self.client
            .unary(
                DELETE,
                pb::EnvironmentDeleteRequest {
                    name: name.to_owned(),
                },
            )
            .await
    }

    /// The budget of an environment, `en-…`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn budget(&self, environment_id: &str) -> Result<Budget> {
        let request = pb::EnvironmentGetBudgetRequest {
            environment_id: environment_id.to_owned(),
        };
        let reply = self.client.unary(GET_BUDGET, request).await?;
        Ok(Budget {
            set: reply.cycle_budget_dollars,
            limit: reply.effective_cycle_spend_limit,
            spent: reply.current_cycle_usage,
            reached: reply.spend_limit_reached,
        })
    }

    /// Sets the budget of a cycle in US dollars; `None` removes it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn set_budget(&self, environment_id: &str, dollars: Option<f64>) -> Result<()> {
        let request = pb::EnvironmentSetBudgetRequest {
            environment_id: environment_id.to_owned(),
            cycle_budget_dollars: dollars,
            clear_budget: dollars.is_none(),
        };
        self.client.unary(SET_BUDGET, request).await
    }
}
