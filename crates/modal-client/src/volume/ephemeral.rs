//! A volume that lives as long as its handle.

use std::ops::Deref;

use moorline_modal_proto::client::{ObjectCreationType, VolumeHeartbeatRequest};
use tokio::task::JoinSet;

use super::manage::get_or_create;
use super::{GET_OR_CREATE, HEARTBEAT, Version, Volume};
use crate::keepalive::keep_alive;
use crate::{Client, Result, wire};

/// A volume without a name, kept by a heartbeat from a task of the current runtime until this is dropped.
/// The server removes it some time after the last one.
#[derive(Debug)]
pub struct Ephemeral {
    volume: Volume,
    _heartbeat: JoinSet<()>,
}

impl Ephemeral {
    pub(super) async fn create(
        client: &Client,
        environment: Option<&str>,
        version: Option<Version>,
    ) -> Result<Self> {
        let environment = client.environment_or_default(environment);
        let creation = ObjectCreationType::Ephemeral.into();
        let request = get_or_create("", environment, version, creation);
        let response = client.unary(GET_OR_CREATE, request).await?;
        let id = wire::required(response.volume_id, "volume id")?;
        let volume = Volume::new(client, id, response.metadata.as_ref(), None);
        let (client, volume_id) = (client.clone(), volume.id.clone());
        let heartbeat = keep_alive("VolumeHeartbeat", move || {
            let (client, volume_id) = (client.clone(), volume_id.clone());
            async move {
                client
                    .unary(HEARTBEAT, VolumeHeartbeatRequest { volume_id })
                    .await
            }
        });
        Ok(Self {
            volume,
            _heartbeat: heartbeat,
        })
    }
}

impl Deref for Ephemeral {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.volume
    }
}
