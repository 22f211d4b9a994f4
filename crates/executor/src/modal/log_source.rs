//! Where the bytes of a log come from: the archive, the volume of an attempt that is over, or its sandbox.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _};
use moorline_core::attempt::Handle;
use moorline_modal_client::ErrorKind;
use moorline_modal_client::volume::Volume;

use super::handle::{self, Place};
use super::inner::{Inner, failed};
use super::logs::LogBytes;
use super::world;
use crate::executor::ExecutorError;
use crate::local::log_format::decode;
use crate::supervise::guest::{GUEST, KEPT_LOG, LOG, PROGRAM};

/// How long a platform may take to tell what a sandbox of the past has said.
const PATIENCE: Duration = Duration::from_secs(10);
/// More than any log that an attempt may keep.
const LARGEST_LOG: usize = 1 << 30;

impl Inner {
    /// The bytes of the log from an offset on.
    pub(super) async fn log_bytes(
        self: Arc<Self>,
        handle: Handle,
        from: u64,
        follow: bool,
    ) -> Result<LogBytes, ExecutorError> {
        let id = handle.attempt_id;
        if self.archives.record(id)?.is_some() {
            return archived(&self.archives.log(id), from);
        }
        let Ok(place) = self.place(&handle) else {
            world::elsewhere(&self.archives, &handle).await?;
            return archived(&self.archives.log(id), from);
        };
        let ended = match self.remote.end(&place.sandbox_id, Duration::ZERO).await {
            Ok(end) => end.is_some(),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(handle::not_found(id)),
            Err(error) => {
                return Err(failed(format!("asking for sandbox {}", place.sandbox_id))(
                    error,
                ));
            }
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
        let command = [PROGRAM, GUEST, LOG]
            .map(str::to_owned)
            .into_iter()
            .chain([from.to_string()]);
        match self.remote.exec(&place.sandbox_id, command.collect()).await {
            Ok((0, bytes)) => Ok(stream::iter([Ok(bytes)]).boxed()),
            Ok((code, _)) => {
                let what =
                    format!("reading the log of attempt {id}: the supervisor's answer is {code}");
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
        volume: &Volume,
        place: &Place,
        from: u64,
    ) -> Result<LogBytes, ExecutorError> {
        match volume.read_to_bytes(KEPT_LOG, LARGEST_LOG).await {
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

    /// What a sandbox that left no log has said, as far as it can be had.
    pub(super) async fn save_stdout(&self, place: &Place, to: &Path) -> Result<(), ExecutorError> {
        let mut bytes = self.remote.stdout(&place.sandbox_id, 0);
        let mut log = Vec::new();
        let reading = async {
            while let Some(Ok(piece)) = bytes.next().await {
                log.extend_from_slice(&piece);
            }
        };
        // A platform that has forgotten it may also not answer.
        let _unfinished = tokio::time::timeout(PATIENCE, reading).await;
        let complete = memchr::memrchr(b'\n', &log).map_or(0, |end| end + 1);
        log.truncate(complete);
        if log
            .split(|&byte| byte == b'\n')
            .rev()
            .skip(1)
            .any(|line| decode(line).is_none())
        {
            // Not a log of ours: the supervisor was never there.
            return Ok(());
        }
        if log.is_empty() {
            return Ok(());
        }
        std::fs::write(to, log)
            .map_err(|error| ExecutorError::io(format!("writing `{}`", to.display()), error))
    }
}

pub(super) fn archived(path: &Path, from: u64) -> Result<LogBytes, ExecutorError> {
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
