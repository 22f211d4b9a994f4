//! What is known of an attempt: by its archive on this machine, its sandbox and its volume at Modal.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use moorline_core::attempt::{Attempt, Handle, Outcome};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::ids::AttemptId;
use moorline_modal_client::volume::Volume;
use moorline_modal_client::{Error, ErrorKind};

use super::aimd::Starts;
use super::archive::Archives;
use super::config::ModalConfig;
use super::handle::{self, Place, TAG_ATTEMPT, TAG_OWNER};
use super::outcome::{SandboxEnd, without_record};
use super::remote::Remote;
use super::warm::Index;
use super::{launch, world};
use crate::executor::ExecutorError;
use crate::supervise::guest::{GuestRecord, KEPT_LOG, KEPT_OUTPUTS, RECORD};

/// A record is written before its sandbox ends; how often, and after how long each, it is looked for until
/// it is seen from outside.
const LOOKS: u32 = 100;
/// See [`LOOKS`].
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// A record is small.
const LARGEST_RECORD: usize = 16 << 20;
/// Says that a sandbox was ended by request although the supervisor in it could not be reached.
pub(super) const CANCELLED: &str = "cancelled";

/// The state of an executor: nothing that is not also at Modal or in its directory.
#[derive(Debug)]
pub(super) struct Inner {
    pub(super) config: ModalConfig,
    pub(super) remote: Remote,
    pub(super) archives: Archives,
    pub(super) starts: Arc<Starts>,
    pub(super) warm: Index,
    /// Whether what is old was looked for.
    pub(super) reaped: AtomicBool,
}

/// What was being done with an attempt when Modal's answer was an error.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(Error) -> ExecutorError {
    let what = what.into();
    move |error| ExecutorError::io(what, io::Error::other(error))
}

impl Inner {
    /// The coordinates in a handle, if they are of this Modal.
    pub(super) fn place(&self, handle: &Handle) -> Result<Place, ExecutorError> {
        let place = handle::place(handle)?;
        if place.server == self.remote.server() {
            return Ok(place);
        }
        let what = format!(
            "attempt {}: it ran at {}, and this is {}",
            handle.attempt_id,
            place.server,
            self.remote.server()
        );
        Err(ExecutorError::NotFound { what })
    }

    /// The outcome when it is over. Asks for at most `hold`.
    pub(super) async fn look(
        &self,
        handle: &Handle,
        hold: Duration,
    ) -> Result<Option<Outcome>, ExecutorError> {
        if let Some(record) = self.archives.record(handle.attempt_id)? {
            return Ok(Some(record.outcome));
        }
        let place = match self.place(handle) {
            Ok(place) => place,
            Err(ExecutorError::NotFound { .. }) => {
                return world::elsewhere(&self.archives, handle).await.map(Some);
            }
            Err(error) => return Err(error),
        };
        let end = self.remote.end(&place.sandbox_id, hold).await;
        match end {
            Ok(None) => Ok(None),
            Ok(Some(end)) => self
                .record(handle, &place, &end)
                .await
                .map(|record| Some(record.outcome)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(handle::not_found(handle.attempt_id))
            }
            Err(error) => Err(failed(format!("asking for sandbox {}", place.sandbox_id))(
                error,
            )),
        }
    }

    /// The record of an attempt whose sandbox has ended.
    pub(super) async fn record(
        &self,
        handle: &Handle,
        place: &Place,
        end: &SandboxEnd,
    ) -> Result<GuestRecord, ExecutorError> {
        let id = handle.attempt_id;
        let Some(volume) = self.volume(id, place).await? else {
            // Collected by another process meanwhile, or forgotten.
            return self
                .archives
                .record(id)?
                .ok_or_else(|| handle::not_found(id));
        };
        // It ended as one that left a record does, so that one will be seen.
        let looks = if *end == SandboxEnd::Exited(0) {
            LOOKS
        } else {
            1
        };
        for look in 1..=looks {
            match volume.read_to_bytes(RECORD, LARGEST_RECORD).await {
                Ok(bytes) => {
                    return serde_json::from_slice(&bytes).map_err(|error| {
                        ExecutorError::io(
                            format!("reading the record of attempt {id}"),
                            error.into(),
                        )
                    });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(failed(format!("reading the record of attempt {id}"))(error));
                }
            }
            if look < looks {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
        }
        let cancelled = match volume.read_to_bytes(CANCELLED, 0).await {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        let outcome = without_record(end, cancelled, SystemClock.now());
        let record = GuestRecord {
            outcome,
            outputs: Ok(Vec::new()),
        };
        // What it could still say, before it is told and stays so.
        self.archive(handle, place, &record).await?;
        Ok(self.archives.record(id)?.unwrap_or(record))
    }

    pub(super) async fn volume(
        &self,
        id: AttemptId,
        place: &Place,
    ) -> Result<Option<Volume>, ExecutorError> {
        let name = handle::volume(id);
        let found = self.remote.find_volume(&name, &place.environment).await;
        found.map_err(failed(format!("looking for volume `{name}`")))
    }

    /// Copies what an attempt left to this machine and takes it away from Modal.
    pub(super) async fn archive(
        &self,
        handle: &Handle,
        place: &Place,
        record: &GuestRecord,
    ) -> Result<(), ExecutorError> {
        let id = handle.attempt_id;
        let Some(volume) = self.volume(id, place).await? else {
            return match self.archives.record(id)? {
                Some(_) => Ok(()),
                None => Err(handle::not_found(id)),
            };
        };
        let filling = self.archives.fill(id)?;
        match volume.get(KEPT_LOG, &filling.log()).await {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {
                self.save_stdout(place, &filling.log()).await?;
            }
            Err(error) => return Err(failed(format!("fetching the log of attempt {id}"))(error)),
        }
        for file in record.outputs.iter().flatten() {
            let target = filling.output(&file.path)?;
            let got = volume
                .get(&format!("{KEPT_OUTPUTS}/{}", file.path), &target)
                .await;
            got.map_err(failed(format!(
                "fetching the output `{}` of attempt {id}",
                file.path
            )))?;
        }
        filling.finish(&place.owner, handle, record)?;
        match volume.delete().await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // It has a time to live all the same.
            Err(error) => {
                tracing::warn!(attempt = %id, %error, "the attempt's volume was not deleted");
            }
        }
        Ok(())
    }

    /// The sandboxes with these tags whose attempts were not forgotten, newest first.
    pub(super) async fn owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let tag = handle::owner_tag(owner);
        let tags = BTreeMap::from([(TAG_OWNER.to_owned(), tag.clone())]);
        let mut handles: BTreeMap<AttemptId, Handle> = BTreeMap::new();
        for environment in self.environments().await? {
            let listed = self.remote.find(&environment, tags.clone()).await;
            let listed = listed.map_err(failed("listing sandboxes"))?;
            let volumes = self.remote.volumes(&environment).await;
            let volumes = volumes.map_err(failed("listing volumes"))?;
            let kept: BTreeSet<AttemptId> = volumes
                .iter()
                .filter_map(|volume| handle::attempt_of_volume(&volume.name))
                .collect();
            for found in listed {
                let Some(id) = found.tags.get(TAG_ATTEMPT).and_then(|id| id.parse().ok()) else {
                    continue;
                };
                // Without its volume it was forgotten, or is archived.
                if kept.contains(&id) && !handles.contains_key(&id) {
                    let (server, environment) = (self.remote.server(), environment.clone());
                    let place = Place::new(server, environment, found.sandbox_id, &found.tags);
                    handles.insert(id, handle::make(id, &place)?);
                }
            }
        }
        // Read last: what is archived meanwhile is still in one of the two lists.
        for handle in self.archives.owned(&tag)? {
            handles.insert(handle.attempt_id, handle);
        }
        Ok(handles.into_values().collect())
    }

    /// Every environment in which there may be attempts.
    async fn environments(&self) -> Result<Vec<String>, ExecutorError> {
        if self.config.environments {
            let all = self.remote.environments().await;
            return all.map_err(failed("listing environments"));
        }
        Ok(vec![String::new()])
    }

    /// The handle of an attempt that was launched before.
    pub(super) async fn found(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let tag = handle::owner_tag(&attempt.owner);
        let archived = self.archives.owned(&tag)?;
        if let Some(handle) = archived
            .into_iter()
            .find(|handle| handle.attempt_id == attempt.id)
        {
            return Ok(Some(handle));
        }
        let environment = self.environment(attempt)?;
        let tags = BTreeMap::from([(TAG_ATTEMPT.to_owned(), attempt.id.to_string())]);
        let listed = self.remote.find(&environment, tags).await;
        let listed = listed.map_err(failed(format!("looking for attempt {}", attempt.id)))?;
        let Some(newest) = listed.into_iter().next() else {
            return Ok(None);
        };
        self.handle_of(attempt, newest.sandbox_id, &newest.tags)
            .map(Some)
    }

    pub(super) fn handle_of(
        &self,
        attempt: &Attempt,
        sandbox_id: String,
        tags: &BTreeMap<String, String>,
    ) -> Result<Handle, ExecutorError> {
        let environment = self.environment(attempt)?;
        let place = Place::new(self.remote.server(), environment, sandbox_id, tags);
        handle::make(attempt.id, &place)
    }

    pub(super) fn environment(&self, attempt: &Attempt) -> Result<String, ExecutorError> {
        if self.config.environments {
            return Ok(launch::target(&self.config, attempt)?
                .environment
                .to_string());
        }
        Ok(String::new())
    }
}
