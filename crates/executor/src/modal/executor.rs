//! [`ModalExecutor`]: the [`Executor`] of Modal's sandboxes.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use moorline_core::attempt::{Attempt, Handle, Observation, Outcome};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::ids::AttemptId;
use moorline_modal_client::{Error, ErrorKind};
use moorline_secrets::SecretEnv;

use super::aimd::Starts;
use super::archive::Archives;
use super::config::ModalConfig;
use super::handle::{self, Place, TAG_ATTEMPT, TAG_OWNER, TAG_WARM};
use super::logs::{self, LogBytes};
use super::outcome::{SandboxEnd, without_record};
use super::remote::Remote;
use super::start::Launcher;
use super::warm::Index;
use super::{NAME, launch, snapshot};
use crate::executor::{Capabilities, CollectedFile, Executor, ExecutorError, LogChunk, LogCursor};
use crate::supervise::guest::{
    CANCEL, GUEST, GuestRecord, KEPT_LOG, KEPT_OUTPUTS, LOG, PROGRAM, RECORD,
};

/// How long one question for a sandbox's end may be held by the server.
const HOLD: Duration = Duration::from_secs(10);
/// A record is written before its sandbox ends; how long it may take to be seen from outside.
const SETTLES_WITHIN: Duration = Duration::from_secs(10);
/// A record is small.
const LARGEST_RECORD: usize = 16 << 20;
/// Says that a sandbox was ended by request although the supervisor in it could not be reached.
const CANCELLED: &str = "cancelled";

/// Runs attempts in Modal's sandboxes. See [the module](super).
///
/// Its methods need a tokio runtime with I/O and time. It is cheap to make, connects at the first call, and
/// holds no state that is not also at Modal or below [`ModalConfig::root`].
#[derive(Debug, Clone)]
pub struct ModalExecutor {
    pub(super) inner: Arc<Inner>,
}

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

impl ModalExecutor {
    /// Prepares the directory for what is kept. Nothing is sent yet.
    ///
    /// # Errors
    /// When the directory can not be made.
    pub fn new(config: ModalConfig) -> Result<Self, ExecutorError> {
        let archives = Archives::open(&config.root)?;
        let inner = Inner {
            remote: Remote::new(config.client.clone()),
            archives,
            starts: Starts::new(config.starts),
            warm: Index::new(&config.root, config.warm.entries),
            reaped: AtomicBool::new(false),
            config,
        };
        Ok(Self { inner: Arc::new(inner) })
    }
}

/// What was being done with an attempt when Modal's answer was an error.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(Error) -> ExecutorError {
    let what = what.into();
    move |error| ExecutorError::io(what, io::Error::other(error))
}

impl Inner {
    /// The coordinates in a handle, if they are of this Modal.
    fn place(&self, handle: &Handle) -> Result<Place, ExecutorError> {
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
    async fn look(&self, handle: &Handle, hold: Duration) -> Result<Option<Outcome>, ExecutorError> {
        if let Some(record) = self.archives.record(handle.attempt_id)? {
            return Ok(Some(record.outcome));
        }
        let place = match self.place(handle) {
            Ok(place) => place,
            Err(error) => return self.ended_with_its_world(handle, error).map(Some),
        };
        let end = self.remote.end(&place.sandbox_id, hold).await;
        match end {
            Ok(None) => Ok(None),
            Ok(Some(end)) => self.record(handle, &place, &end).await.map(|record| Some(record.outcome)),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(handle::not_found(handle.attempt_id))
            }
            Err(error) => Err(failed(format!("asking for sandbox {}", place.sandbox_id))(error)),
        }
    }

    /// An attempt of an emulator that is gone went with it: everything that ran there has ended.
    fn ended_with_its_world(
        &self,
        handle: &Handle,
        error: ExecutorError,
    ) -> Result<Outcome, ExecutorError> {
        let Ok(place) = handle::place(handle) else { return Err(error) };
        if !Remote::is_local(&place.server) {
            return Err(error);
        }
        let words = format!("the emulator at {} that it ran in is gone", place.server);
        let mut outcome = without_record(&SandboxEnd::Terminated, false, SystemClock.now());
        outcome.exit = moorline_core::attempt::Exit::Lost { reason: words };
        let record = GuestRecord { outcome, outputs: Ok(Vec::new()) };
        let filling = self.archives.fill(handle.attempt_id)?;
        filling.finish(&place.owner, handle, &record)?;
        let kept = self.archives.record(handle.attempt_id)?;
        Ok(kept.unwrap_or(record).outcome)
    }

    /// The record of an attempt whose sandbox has ended.
    async fn record(
        &self,
        handle: &Handle,
        place: &Place,
        end: &SandboxEnd,
    ) -> Result<GuestRecord, ExecutorError> {
        let id = handle.attempt_id;
        let Some(volume) = self.volume(id, place).await? else {
            // Collected by another process meanwhile, or forgotten.
            return self.archives.record(id)?.ok_or_else(|| handle::not_found(id));
        };
        let began = tokio::time::Instant::now();
        loop {
            match volume.read_to_bytes(RECORD, LARGEST_RECORD).await {
                Ok(bytes) => {
                    return serde_json::from_slice(&bytes).map_err(|error| {
                        ExecutorError::io(format!("reading the record of attempt {id}"), error.into())
                    });
                }
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(failed(format!("reading the record of attempt {id}"))(error)),
            }
            // It ended as one that left a record does.
            let expected = *end == SandboxEnd::Exited(0) && began.elapsed() < SETTLES_WITHIN;
            if !expected {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        let cancelled = match volume.read_to_bytes(CANCELLED, 0).await {
            Ok(_) => true,
            Err(error) => error.kind() != ErrorKind::NotFound,
        };
        let outcome = without_record(end, cancelled, SystemClock.now());
        let record = GuestRecord { outcome, outputs: Ok(Vec::new()) };
        // What it could still say, before it is told and stays so.
        self.archive(handle, place, &record).await?;
        Ok(self.archives.record(id)?.unwrap_or(record))
    }

    async fn volume(
        &self,
        id: AttemptId,
        place: &Place,
    ) -> Result<Option<moorline_modal_client::volume::Volume>, ExecutorError> {
        let name = handle::volume(id);
        let found = self.remote.find_volume(&name, &place.environment).await;
        found.map_err(failed(format!("looking for volume `{name}`")))
    }

    /// Copies what an attempt left to this machine and takes it away from Modal.
    async fn archive(
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
            let got = volume.get(&format!("{KEPT_OUTPUTS}/{}", file.path), &target).await;
            got.map_err(failed(format!("fetching the output `{}` of attempt {id}", file.path)))?;
        }
        filling.finish(&place.owner, handle, record)?;
        match volume.delete().await {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            // It has a time to live all the same.
            Err(error) => tracing::warn!(attempt = %id, %error, "the attempt's volume was not deleted"),
        }
        Ok(())
    }

    /// What a sandbox that left no log has said, as far as it can be had.
    async fn save_stdout(&self, place: &Place, to: &std::path::Path) -> Result<(), ExecutorError> {
        let mut bytes = self.remote.stdout(&place.sandbox_id, 0);
        let mut log = Vec::new();
        let reading = async {
            while let Some(Ok(piece)) = bytes.next().await {
                log.extend_from_slice(&piece);
            }
        };
        // A platform that has forgotten it may also not answer.
        let _unfinished = tokio::time::timeout(SETTLES_WITHIN, reading).await;
        let complete = memchr::memrchr(b'\n', &log).map_or(0, |end| end + 1);
        log.truncate(complete);
        if log.split(|&byte| byte == b'\n').rev().skip(1).any(|line| {
            crate::local::log_format::decode(line).is_none()
        }) {
            // Not a log of ours: the supervisor was never there.
            return Ok(());
        }
        if log.is_empty() {
            return Ok(());
        }
        std::fs::write(to, log)
            .map_err(|error| ExecutorError::io(format!("writing `{}`", to.display()), error))
    }

    /// The bytes of the log from an offset on.
    async fn log_bytes(
        self: Arc<Self>,
        handle: Handle,
        from: u64,
        follow: bool,
    ) -> Result<LogBytes, ExecutorError> {
        let id = handle.attempt_id;
        if self.archives.record(id)?.is_some() {
            return archived(&self.archives.log(id), from);
        }
        let place = match self.place(&handle) {
            Ok(place) => place,
            Err(error) => {
                self.ended_with_its_world(&handle, error)?;
                return archived(&self.archives.log(id), from);
            }
        };
        let ended = match self.remote.end(&place.sandbox_id, Duration::ZERO).await {
            Ok(end) => end.is_some(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(handle::not_found(id)),
            Err(error) => return Err(failed(format!("asking for sandbox {}", place.sandbox_id))(error)),
        };
        if ended {
            let Some(volume) = self.volume(id, &place).await? else {
                return match self.archives.record(id)? {
                    Some(_) => archived(&self.archives.log(id), from),
                    None => Err(handle::not_found(id)),
                };
            };
            return self.kept_log(&volume, &place, from).await;
        }
        if follow {
            return Ok(self.remote.stdout(&place.sandbox_id, from));
        }
        let command = [PROGRAM, GUEST, LOG].map(str::to_owned).into_iter().chain([from.to_string()]);
        match self.remote.exec(&place.sandbox_id, command.collect()).await {
            Ok((0, bytes)) => Ok(stream::iter([Ok(bytes)]).boxed()),
            Ok((code, _)) => {
                let what = format!("reading the log of attempt {id}: the supervisor's answer is {code}");
                Err(ExecutorError::io(what, io::ErrorKind::Other.into()))
            }
            // It has ended between the two questions.
            Err(_) if matches!(self.look(&handle, Duration::ZERO).await, Ok(Some(_))) => {
                Box::pin(Self::log_bytes(Arc::clone(&self), handle, from, false)).await
            }
            Err(error) => Err(failed(format!("reading the log of attempt {id}"))(error)),
        }
    }

    /// The log that a sandbox left in its volume; what it said, if it left none.
    async fn kept_log(
        &self,
        volume: &moorline_modal_client::volume::Volume,
        place: &Place,
        from: u64,
    ) -> Result<LogBytes, ExecutorError> {
        let limit = usize::MAX;
        match volume.read_to_bytes(KEPT_LOG, limit).await {
            Ok(bytes) => {
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(bytes.len());
                Ok(stream::iter([Ok(bytes.slice(from..))]).boxed())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Ok(self.remote.stdout(&place.sandbox_id, from))
            }
            Err(error) => Err(failed("reading a log")(error)),
        }
    }

    /// The sandboxes with these tags whose attempts were not forgotten, newest first.
    async fn owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        let tag = handle::owner_tag(owner);
        let tags = BTreeMap::from([(TAG_OWNER.to_owned(), tag.clone())]);
        let mut handles: BTreeMap<AttemptId, Handle> = BTreeMap::new();
        for environment in self.environments().await? {
            let listed = self.remote.find(&environment, tags.clone()).await;
            let listed = listed.map_err(failed("listing sandboxes"))?;
            let volumes = self.remote.volumes(&environment).await;
            let volumes = volumes.map_err(failed("listing volumes"))?;
            let kept: BTreeSet<AttemptId> =
                volumes.iter().filter_map(|volume| handle::attempt_of_volume(&volume.name)).collect();
            for found in listed {
                let Some(id) = found.tags.get(TAG_ATTEMPT).and_then(|id| id.parse().ok()) else {
                    continue;
                };
                // Without its volume it was forgotten, or is archived.
                if kept.contains(&id) && !handles.contains_key(&id) {
                    let place = Place {
                        server: self.remote.server(),
                        environment: environment.clone(),
                        owner: tag.clone(),
                        warm: found.tags.get(TAG_WARM).cloned(),
                        sandbox_id: found.sandbox_id,
                    };
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
        if let Some(handle) = archived.into_iter().find(|handle| handle.attempt_id == attempt.id) {
            return Ok(Some(handle));
        }
        let environment = self.environment(attempt)?;
        let tags = BTreeMap::from([(TAG_ATTEMPT.to_owned(), attempt.id.to_string())]);
        let listed = self.remote.find(&environment, tags).await;
        let listed = listed.map_err(failed(format!("looking for attempt {}", attempt.id)))?;
        let Some(newest) = listed.into_iter().next() else { return Ok(None) };
        let warm = newest.tags.get(TAG_WARM).map(String::as_str);
        self.handle_of(attempt, newest.sandbox_id, warm).map(Some)
    }

    pub(super) fn handle_of(
        &self,
        attempt: &Attempt,
        sandbox_id: String,
        warm: Option<&str>,
    ) -> Result<Handle, ExecutorError> {
        let place = Place {
            server: self.remote.server(),
            environment: self.environment(attempt)?,
            owner: handle::owner_tag(&attempt.owner),
            warm: warm.map(str::to_owned),
            sandbox_id,
        };
        handle::make(attempt.id, &place)
    }

    pub(super) fn environment(&self, attempt: &Attempt) -> Result<String, ExecutorError> {
        if self.config.environments {
            return Ok(launch::target(&self.config, attempt)?.environment.to_string());
        }
        Ok(String::new())
    }
}

fn archived(path: &std::path::Path, from: u64) -> Result<LogBytes, ExecutorError> {
    use std::io::{Read as _, Seek as _};
    let fail = |error| ExecutorError::io(format!("reading `{}`", path.display()), error);
    let mut file = match std::fs::File::open(path) {
        Ok(file) => file,
        // It said nothing.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(stream::empty().boxed()),
        Err(error) => return Err(fail(error)),
    };
    file.seek(io::SeekFrom::Start(from)).map_err(fail)?;
    let bytes = stream::try_unfold(file, |mut file| async move {
        let mut piece = vec![0; 256 << 10];
        let length = file
            .read(&mut piece)
            .map_err(|error| ExecutorError::io("reading an archived log", error))?;
        piece.truncate(length);
        Ok((length > 0).then(|| (Bytes::from(piece), file)))
    });
    Ok(bytes.boxed())
}

#[async_trait]
impl Executor for ModalExecutor {
    fn capabilities(&self) -> Capabilities {
        let inner = &self.inner;
        Capabilities {
            name: NAME.to_owned(),
            protections: launch::isolation().protections,
            missing: Vec::new(),
            egress_allow_list: true,
            gpu: true,
            platform: vec![
                ("server".to_owned(), inner.remote.server()),
                ("default image".to_owned(), inner.config.default_image.clone()),
            ],
        }
    }

    async fn launch(&self, attempt: &Attempt, secrets: &SecretEnv) -> Result<Handle, ExecutorError> {
        Launcher::new(&self.inner, attempt, secrets)?.launch().await
    }

    async fn observe(&self, handle: &Handle) -> Result<Observation, ExecutorError> {
        Ok(match self.inner.look(handle, Duration::ZERO).await? {
            Some(outcome) => Observation::Over(Box::new(outcome)),
            None => Observation::Running,
        })
    }

    async fn wait(&self, handle: &Handle) -> Result<Outcome, ExecutorError> {
        let over = async {
            loop {
                if let Some(outcome) = self.inner.look(handle, HOLD).await? {
                    return Ok(outcome);
                }
            }
        };
        let snapshot = snapshot::when_held(&self.inner, handle);
        tokio::pin!(over, snapshot);
        tokio::select! {
            outcome = &mut over => outcome,
            () = snapshot => over.await,
        }
    }

    fn logs(
        &self,
        handle: &Handle,
        from: LogCursor,
        follow: bool,
    ) -> BoxStream<'static, Result<LogChunk, ExecutorError>> {
        let (inner, handle) = (Arc::clone(&self.inner), handle.clone());
        stream::once(inner.log_bytes(handle, from.0, follow))
            .flat_map(move |bytes| match bytes {
                Ok(bytes) => logs::frames(bytes, from),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            })
            .boxed()
    }

    async fn cancel(&self, handle: &Handle, grace: Duration) -> Result<(), ExecutorError> {
        let inner = &self.inner;
        if inner.look(handle, Duration::ZERO).await?.is_some() {
            return Ok(());
        }
        let place = inner.place(handle)?;
        let millis = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX);
        let command = [PROGRAM, GUEST, CANCEL].map(str::to_owned).into_iter().chain([millis.to_string()]);
        let asked = inner.remote.exec(&place.sandbox_id, command.collect()).await;
        let why = match asked {
            Ok((0, _)) => return Ok(()),
            Ok((code, _)) => format!("the supervisor's answer is {code}"),
            Err(error) => error.to_string(),
        };
        if inner.look(handle, Duration::ZERO).await?.is_some() {
            return Ok(());
        }
        // The supervisor can not be reached, so the platform is asked to end it all.
        tracing::warn!(attempt = %handle.attempt_id, why, "its sandbox is terminated without its grace");
        if let Some(volume) = inner.volume(handle.attempt_id, &place).await? {
            let mark = moorline_modal_client::transfer::Files::new().bytes("", CANCELLED);
            let options = moorline_modal_client::volume::PutOptions::new().overwrite();
            volume.put(&mark, options).await.map_err(failed("noting the request to cancel"))?;
        }
        let ended = inner.remote.terminate(&place.sandbox_id).await;
        ended.map_err(failed(format!("terminating sandbox {}", place.sandbox_id)))
    }

    async fn find_owned(&self, owner: &str) -> Result<Vec<Handle>, ExecutorError> {
        self.inner.owned(owner).await
    }

    async fn withdraw(&self, attempt: &Attempt) -> Result<Option<Handle>, ExecutorError> {
        let inner = &self.inner;
        if let Some(handle) = inner.found(attempt).await? {
            return Ok(Some(handle));
        }
        // A creation that is still on its way names this volume, and fails without it.
        let (name, environment) = (handle::volume(attempt.id), inner.environment(attempt)?);
        let volume = inner.remote.find_volume(&name, &environment).await;
        if let Some(volume) = volume.map_err(failed(format!("looking for volume `{name}`")))? {
            match volume.delete().await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(format!("deleting volume `{name}`"))(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        inner.found(attempt).await
    }

    async fn collect(&self, handle: &Handle) -> Result<Vec<CollectedFile>, ExecutorError> {
        let (inner, id) = (&self.inner, handle.attempt_id);
        if let Some(record) = inner.archives.record(id)? {
            return inner.archives.outputs(id, record);
        }
        let place = inner.place(handle)?;
        let end = match inner.remote.end(&place.sandbox_id, Duration::ZERO).await {
            Ok(None) => return Err(ExecutorError::StillRunning),
            Ok(Some(end)) => end,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(handle::not_found(id)),
            Err(error) => return Err(failed(format!("asking for sandbox {}", place.sandbox_id))(error)),
        };
        let record = inner.record(handle, &place, &end).await?;
        inner.archive(handle, &place, &record).await?;
        let record = inner.archives.record(id)?.unwrap_or(record);
        inner.archives.outputs(id, record)
    }

    async fn forget(&self, handle: &Handle) -> Result<(), ExecutorError> {
        let (inner, id) = (&self.inner, handle.attempt_id);
        match inner.look(handle, Duration::ZERO).await {
            Ok(None) => return Err(ExecutorError::StillRunning),
            Ok(Some(_)) | Err(ExecutorError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Ok(place) = inner.place(handle)
            && let Some(volume) = inner.volume(id, &place).await?
        {
            match volume.delete().await {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(format!("deleting what attempt {id} left"))(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        inner.archives.remove(id)
    }
}
