//! Sandboxes as objects of an app: made, found, listed, restored.

use std::collections::{BTreeMap, HashSet};

use futures::Stream;
use jiff::Timestamp;
use moorline_modal_proto::client::sandbox_restore_request::SandboxNameOverrideType;
use moorline_modal_proto::client::{
    SandboxGetFromNameRequest, SandboxInfo as InfoMessage, SandboxListRequest,
    SandboxRestoreRequest, SandboxRestoreV2Request, SandboxWaitRequest,
};

use super::definition::tags;
use super::handle::Parts;
use super::network::tunnels_of;
use super::secret::{SecretRef, ids};
use super::{Api, Outcome, Sandbox, SandboxSpec, rpc};
use crate::secrets::SecretValues;
use crate::transport::token_value;
use crate::wire::{self, some, time};
use crate::{CallOptions, Client, Error, ErrorKind, Result};

/// Calls about sandboxes.
#[derive(Clone, Debug)]
pub struct Sandboxes {
    client: Client,
}

impl Client {
    /// Sandboxes.
    pub fn sandboxes(&self) -> Sandboxes {
        Sandboxes {
            client: self.clone(),
        }
    }
}

/// Which sandboxes a listing has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SandboxFilter {
    /// Of one app.
    pub app_id: Option<String>,
    /// Of one environment; the client's otherwise.
    pub environment: Option<String>,
    /// Those that ended as well.
    pub include_finished: bool,
    /// With all of these tags.
    pub tags: BTreeMap<String, String>,
}

impl SandboxFilter {
    /// All that run.
    pub fn new() -> Self {
        Self::default()
    }

    /// Of one app.
    #[must_use]
    pub fn app(mut self, app_id: impl Into<String>) -> Self {
        self.app_id = Some(app_id.into());
        self
    }

    /// Of one environment.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// With this tag.
    #[must_use]
    pub fn tag(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.tags.insert(name.into(), value.into());
        self
    }

    /// Those that ended as well.
    #[must_use]
    pub fn finished(mut self) -> Self {
        self.include_finished = true;
        self
    }
}

/// A sandbox of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SandboxInfo {
    /// `sb-…`.
    pub id: String,
    /// `ap-…`.
    pub app_id: String,
    /// Its name.
    pub name: Option<String>,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// `im-…`.
    pub image_id: String,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// When it began to run.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}

impl From<InfoMessage> for SandboxInfo {
    fn from(info: InfoMessage) -> Self {
        let task = info.task_info.unwrap_or_default();
        let result = info
            .metadata
            .and_then(|metadata| metadata.result)
            .or(task.result);
        Self {
            id: info.id,
            app_id: info.app_id,
            name: some(info.name),
            tags: info
                .tags
                .into_iter()
                .map(|tag| (tag.tag_name, tag.tag_value))
                .collect(),
            image_id: info.image_id,
            created_at: time(info.created_at),
            started_at: time(task.started_at),
            finished_at: time(task.finished_at),
            outcome: Outcome::of(result.as_ref()),
        }
    }
}

impl Sandboxes {
    /// Makes a sandbox by one call and does not wait until it runs.
    ///
    /// With a GPU, or when the settings say so, it is one of the first API: then its inline secrets become
    /// anonymous secrets of the app, and [`Sandbox::wait_until_scheduled`] tells when there was a place.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a spec that can not be; [`ErrorKind::AlreadyExists`] for a name
    /// that is taken; [`ErrorKind::ResourceExhausted`] at a limit of the plan.
    pub async fn create(&self, spec: &SandboxSpec) -> Result<Sandbox> {
        self.create_with(spec, &CallOptions::default()).await
    }

    /// [`create`](Self::create) with options: a key that is kept makes a repeated creation, also by another
    /// process, the same one.
    ///
    /// # Errors
    /// As for `create`.
    pub async fn create_with(&self, spec: &SandboxSpec, options: &CallOptions) -> Result<Sandbox> {
        if spec.is_v1() || !self.client.config().sandbox_v2 {
            return self.create_v1(spec, options).await;
        }
        let request = spec.to_create_v2()?;
        let response = self.client.call(rpc::CREATE_V2, request, options).await?;
        // A set that is not complete is asked for when it is needed.
        let tunnels =
            (response.tunnels.len() == spec.ports.len()).then(|| tunnels_of(&response.tunnels));
        let app_id = response
            .metadata
            .map(|metadata| metadata.app_id)
            .and_then(some);
        let parts = Parts {
            id: wire::required(response.sandbox_id, "sandbox id")?,
            app_id: app_id.or_else(|| Some(spec.app_id.clone())),
            task_id: some(response.task_id),
            token: token_value(&response.sandbox_token).filter(|token| !token.is_empty()),
            access: response.command_router_access,
            tunnels,
            outcome: None,
        };
        Ok(Sandbox::new(&self.client, Api::V2, parts))
    }

    async fn create_v1(&self, spec: &SandboxSpec, options: &CallOptions) -> Result<Sandbox> {
        spec.validate()?;
        let mut inline = SecretValues::new();
        for secret in &spec.secrets {
            if let SecretRef::Inline(values) = secret {
                inline.extend(values.clone());
            }
        }
        inline.extend(spec.env.clone());
        let mut secret_ids = ids(&spec.secrets);
        if !inline.is_empty() {
            let secret = self
                .client
                .secrets()
                .create_anonymous(&spec.app_id, &inline)
                .await?;
            secret_ids.push(secret.id);
        }
        let request = spec.to_create_v1(secret_ids)?;
        let response = self.client.call(rpc::CREATE, request, options).await?;
        let parts = Parts {
            id: wire::required(response.sandbox_id, "sandbox id")?,
            app_id: Some(spec.app_id.clone()),
            ..Parts::default()
        };
        Ok(Sandbox::new(&self.client, Api::V1, parts))
    }

    /// The sandbox of an id, running or not.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the name that the official clients have for it"
    )]
    pub async fn from_id(&self, sandbox_id: &str) -> Result<Sandbox> {
        let api = Api::of_id(sandbox_id);
        let call = match api {
            Api::V1 => rpc::WAIT,
            Api::V2 => rpc::WAIT_V2,
        };
        let request = SandboxWaitRequest {
            sandbox_id: sandbox_id.to_owned(),
            timeout: 0.0,
        };
        let response = self.client.unary(call, request).await?;
        let parts = Parts {
            id: sandbox_id.to_owned(),
            app_id: response.metadata.and_then(|metadata| some(metadata.app_id)),
            outcome: Outcome::of(response.result.as_ref()),
            ..Parts::default()
        };
        Ok(Sandbox::new(&self.client, api, parts))
    }

    /// The running sandbox of a name in an app, of either API.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if none of that name runs.
    #[expect(
        clippy::wrong_self_convention,
        reason = "the name that the official clients have for it"
    )]
    pub async fn from_name(
        &self,
        app_name: &str,
        name: &str,
        environment: Option<&str>,
    ) -> Result<Sandbox> {
        let request = SandboxGetFromNameRequest {
            sandbox_name: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            app_name: app_name.to_owned(),
            include_terminated: false,
        };
        let response = match self.client.unary(rpc::FROM_NAME_V2, request.clone()).await {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.client.unary(rpc::FROM_NAME, request).await?
            }
            response => response?,
        };
        let id = wire::required(response.sandbox_id, "sandbox id")?;
        let api = Api::of_id(&id);
        let app_id = response.metadata.and_then(|metadata| some(metadata.app_id));
        Ok(Sandbox::new(
            &self.client,
            api,
            Parts {
                id,
                app_id,
                ..Parts::default()
            },
        ))
    }

    /// The sandboxes of both APIs that a filter lets pass, the newest first, fetched as they are read.
    pub fn list(
        &self,
        filter: SandboxFilter,
    ) -> impl Stream<Item = Result<SandboxInfo>> + Send + use<> {
        let client = self.client.clone();
        async_stream::try_stream! {
            let mut seen = HashSet::new();
            let mut before_timestamp = 0.0;
            loop {
                let request = SandboxListRequest {
                    app_id: filter.app_id.clone().unwrap_or_default(),
                    before_timestamp,
                    environment_name: client.environment_or_default(filter.environment.as_deref()),
                    include_finished: filter.include_finished,
                    tags: tags(&filter.tags),
                };
                let page = client.unary(rpc::LIST_V2, request).await?.sandboxes;
                let Some(last) = page.last().map(|info| info.created_at) else { return };
                let mut progress = false;
                for info in page {
                    if seen.insert(info.id.clone()) {
                        progress = true;
                        yield SandboxInfo::from(info);
                    }
                }
                // A server that does not heed the position would be asked forever.
                if !progress {
                    return;
                }
                before_timestamp = last;
            }
        }
    }

    /// Makes a sandbox from a memory snapshot, under a name of its own or none.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is no such snapshot.
    pub async fn restore(&self, snapshot_id: &str, name: Option<&str>) -> Result<Sandbox> {
        if let Some(name) = name {
            wire::check_name("sandbox", name)?;
        }
        let request = moorline_modal_proto::client::SandboxSnapshotGetRequest {
            snapshot_id: snapshot_id.to_owned(),
        };
        let snapshot = self.client.unary(rpc::SNAPSHOT_GET, request).await?;
        let override_type = match name {
            Some(_) => SandboxNameOverrideType::String,
            None => SandboxNameOverrideType::None,
        };
        let (snapshot_id, name) = (snapshot_id.to_owned(), name.unwrap_or_default().to_owned());
        if !snapshot.handle_metadata.unwrap_or_default().is_v2 {
            let request = SandboxRestoreRequest {
                snapshot_id,
                sandbox_name_override: name,
                sandbox_name_override_type: override_type.into(),
                ..SandboxRestoreRequest::default()
            };
            let id = self.client.unary(rpc::RESTORE, request).await?.sandbox_id;
            return self.from_id(&wire::required(id, "sandbox id")?).await;
        }
        let request = SandboxRestoreV2Request {
            snapshot_id,
            sandbox_name_override: name,
            sandbox_name_override_type: override_type.into(),
        };
        let response = self.client.unary(rpc::RESTORE_V2, request).await?;
        let parts = Parts {
            id: wire::required(response.sandbox_id, "sandbox id")?,
            app_id: response
                .metadata
                .map(|metadata| metadata.app_id)
                .and_then(some),
            task_id: some(response.task_id),
            access: response.command_router_access,
            ..Parts::default()
        };
        Ok(Sandbox::new(&self.client, Api::V2, parts))
    }
}

impl Sandbox {
    /// Its tags.
    ///
    /// # Errors
    /// What the server says.
    pub async fn tags(&self) -> Result<BTreeMap<String, String>> {
        let request = moorline_modal_proto::client::SandboxTagsGetRequest {
            sandbox_id: self.id().to_owned(),
        };
        let response = self.call(rpc::TAGS_GET, rpc::TAGS_GET_V2, request).await?;
        Ok(response
            .tags
            .into_iter()
            .map(|tag| (tag.tag_name, tag.tag_value))
            .collect())
    }

    /// Replaces its tags.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for what can not be a tag.
    pub async fn set_tags(&self, new: &BTreeMap<String, String>) -> Result<()> {
        super::definition::check_tags(new)?;
        let request = moorline_modal_proto::client::SandboxTagsSetRequest {
            environment_name: self.client().environment_or_default(None),
            sandbox_id: self.id().to_owned(),
            tags: tags(new),
        };
        self.call(rpc::TAGS_SET, rpc::TAGS_SET_V2, request).await
    }

    /// Gives it a name.
    ///
    /// # Errors
    /// [`ErrorKind::AlreadyExists`] if another one has it; [`ErrorKind::Unimplemented`] in the first API.
    pub async fn set_name(&self, name: &str) -> Result<()> {
        wire::check_name("sandbox", name)?;
        if self.api() == Api::V1 {
            let message = "a sandbox of the first API can not be renamed";
            return Err(Error::new(ErrorKind::Unimplemented, message));
        }
        let request = moorline_modal_proto::client::SandboxSetNameRequest {
            sandbox_id: self.id().to_owned(),
            name: name.to_owned(),
        };
        self.call(rpc::SET_NAME, rpc::SET_NAME, request)
            .await
            .map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_modal_proto::client::{GenericResult, SandboxTag, TaskInfo};

    #[test]
    fn a_listing_tells_times_tags_and_end() {
        let message = InfoMessage {
            id: "sb-1".into(),
            created_at: 1.0,
            task_info: Some(TaskInfo {
                started_at: 2.0,
                finished_at: 3.0,
                result: Some(GenericResult {
                    status: 2,
                    exitcode: 7,
                    ..GenericResult::default()
                }),
                ..TaskInfo::default()
            }),
            app_id: "ap-1".into(),
            tags: vec![SandboxTag {
                tag_name: "a".into(),
                tag_value: "b".into(),
            }],
            image_id: "im-1".into(),
            ..InfoMessage::default()
        };
        let expected = SandboxInfo {
            id: "sb-1".into(),
            app_id: "ap-1".into(),
            name: None,
            tags: [("a".to_owned(), "b".to_owned())].into(),
            image_id: "im-1".into(),
            created_at: time(1.0),
            started_at: time(2.0),
            finished_at: time(3.0),
            outcome: Some(Outcome::Exited { code: 7 }),
        };
        assert_eq!(SandboxInfo::from(message), expected);
    }
}
