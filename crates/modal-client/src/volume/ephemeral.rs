//! A volume that lives as long as its handle.

use std::ops::Deref;
use std::time::Duration;

use moorline_modal_proto::client::{ObjectCreationType, VolumeHeartbeatRequest};
use tokio::task::JoinHandle;

use super::manage::get_or_create;
use super::{GET_OR_CREATE, HEARTBEAT, Version, Volume};
use crate::{Client, Result};

/// How often the server must hear that the volume is still wanted.
const INTERVAL: Duration = Duration::from_secs(300);

/// A volume without a name, kept by a heartbeat from a task of the current runtime until this is dropped.
/// The server removes it some time after the last one.
#[derive(Debug)]
pub struct Ephemeral {
    volume: Volume,
    heartbeat: JoinHandle<()>,
}

impl Ephemeral {
    /// Makes one.
    pub async fn create(
        client: &Client,
        environment: Option<&str>,
        version: Option<Version>,
    ) -> Result<Self> {
        let environment = client.environment_or_default(environment);
        let request = get_or_create("", environment, version, ObjectCreationType::Ephemeral);
        let response = client.unary(GET_OR_CREATE, request).await?;
        let volume = Volume::new(client, response.volume_id, response.metadata.as_ref(), None);
        Ok(Self {
            heartbeat: start(&volume),
            volume,
        })
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the task ends with the handle that owns it"
)]
fn start(volume: &Volume) -> JoinHandle<()> {
    let (client, volume_id) = (volume.client.clone(), volume.id.clone());
    tokio::spawn(async move {
        let mut beat = tokio::time::interval(INTERVAL);
        beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            beat.tick().await;
            let request = VolumeHeartbeatRequest {
                volume_id: volume_id.clone(),
            };
            if let Err(error) = client.unary(HEARTBEAT, request).await {
                tracing::warn!(%error, volume_id, "the heartbeat of an ephemeral volume failed");
            }
        }
    })
}

impl Deref for Ephemeral {
    type Target = Volume;

    fn deref(&self) -> &Volume {
        &self.volume
    }
}

impl Drop for Ephemeral {
    fn drop(&mut self) {
        self.heartbeat.abort();
    }
}
