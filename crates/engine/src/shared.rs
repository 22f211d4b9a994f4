//! Content for other machines: what a run needs is kept in the store, where machines share one.
//!
//! | what | when it is kept | when it is fetched |
//! |---|---|---|
//! | the job directory, packed | at submission, of a run and of an artifact | before a launch, a review, a promotion |
//! | inputs | at submission | before a launch |
//! | outputs of a step | when the step is done | before the launch of a later step, and before they are published |
//! | the log of an attempt, its last MiB, redacted as it was written | when the attempt is over | when somebody reads it elsewhere |
//!
//! Uploads are kept here by the server that takes them, with an end (`unshare_expired`).
//!
//! What is fetched is what was kept: the store compares bytes with their hash, and a job directory must have
//! the content id that it is asked for by. Names are hashes of what the content is of (`input/<run>/<path>`),
//! so that a run's content can be removed with the run, while the store keeps equal content once.
//!
//! With a store of one machine nothing of this happens: everything is in the state directory.
//!
//! Deliberately absent: content above [`BLOB_LIMIT`]. It stays on its machine, with a warning, and a driver on
//! another one says what it lacks.

use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use futures::TryStreamExt as _;
use moorline_api::ApiError;
use moorline_core::attempt::{Handle, InputFile};
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::{AttemptId, RunId};
use moorline_core::run::{OutputRef, Run};
use moorline_executor::{Executor, ExecutorError, LogChunk, LogCursor};
use moorline_store::BLOB_LIMIT;
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use tracing::warn;

use crate::bundle;
use crate::engine::Inner;
use crate::error::{io_error, store_error};
use crate::export;

/// Bytes of a log that are kept for other machines, counted as text.
const LOG: usize = 1 << 20;

/// Names that are removed at once when their end has come.
const PAGE: u32 = 100;

/// What is kept of the log of an attempt.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptLog {
    /// Chunks before the first one that is here.
    pub(crate) skipped: u64,
    pub(crate) chunks: Vec<LogChunk>,
}

impl Inner {
    /// Whether other machines may have to find what is kept here.
    pub(crate) fn is_shared(&self) -> bool {
        self.store.is_shared()
    }

    /// Keeps a bundle of this machine where others find it, unless it is there.
    pub(crate) async fn share_bundle(&self, id: &ContentId) -> Result<(), ApiError> {
        if !self.is_shared() || self.store.blob_exists(id).await.map_err(store_error)? {
            return Ok(());
        }
        let dir = bundle::location(&self.config.dirs.artifacts(), id);
        let packed = blocking(move || bundle::pack(&dir, BLOB_LIMIT)).await;
        let Some(packed) = packed.map_err(io_error("pack the job directory"))? else {
            too_large(&format!("job directory {id}"));
            return Ok(());
        };
        self.put(id, packed).await
    }

    /// Where a bundle is on this machine, after fetching it when another one kept it.
    ///
    /// # Errors
    /// `ERR_NOT_FOUND` when it is kept nowhere that this machine can look.
    pub(crate) async fn bring_bundle(&self, id: &ContentId) -> Result<PathBuf, ApiError> {
        let artifacts = self.config.dirs.artifacts();
        let here = bundle::location(&artifacts, id);
        if here.is_dir() {
            return Ok(here);
        }
        let packed = if self.is_shared() {
            self.store.blob_get(id).await.map_err(store_error)?
        } else {
            None
        };
        let Some(packed) = packed else {
            let message = format!("the content {id} is not kept on this machine");
            return Err(ApiError::new(ErrorCode::NotFound, message).hint(
                "work where it was submitted, or submit the same directory here: it gets the same id",
            ));
        };
        let id = *id;
        let fetched = blocking(move || bundle::unpack(&packed, id, &artifacts)).await;
        fetched.map_err(io_error(format!("fetch the content {id}")))
    }

    /// Keeps the inputs of a run where other machines find them.
    pub(crate) async fn share_inputs(
        &self,
        run: RunId,
        inputs: &BTreeMap<String, InputFile>,
    ) -> Result<(), ApiError> {
        let files = inputs
            .values()
            .map(|input| (input_name(run, input), input.source.clone()));
        self.share_files(files.collect()).await
    }

    /// The inputs of a run as this machine has them or will have them.
    pub(crate) fn inputs_of(&self, run: &Run) -> BTreeMap<String, InputFile> {
        let kept = self.config.dirs.run(run.id).join("inputs");
        let here = |input: &InputFile| InputFile {
            source: kept.join(&input.path),
            ..input.clone()
        };
        let inputs = run.inputs.iter();
        inputs
            .map(|(name, input)| (name.clone(), here(input)))
            .collect()
    }

    /// Sees to it that everything is here that the next attempt of a run needs.
    pub(crate) async fn bring_run(&self, run: &Run) -> Result<(), ApiError> {
        if !self.is_shared() {
            return Ok(());
        }
        self.bring_bundle(&run.artifact_hash).await?;
        self.bring_inputs(run).await?;
        self.bring_outputs(run).await
    }

    /// Sees to it that the inputs of a run are here.
    pub(crate) async fn bring_inputs(&self, run: &Run) -> Result<(), ApiError> {
        if !self.is_shared() {
            return Ok(());
        }
        for input in self.inputs_of(run).values() {
            if !input.source.exists() {
                self.get_file(&input_name(run.id, input), &input.source)
                    .await?;
            }
        }
        Ok(())
    }

    /// Keeps the outputs of a step that is done where other machines find them.
    pub(crate) async fn share_outputs(
        &self,
        run: &Run,
        step: &str,
        outputs: &[OutputRef],
    ) -> Result<(), ApiError> {
        let kept = export::kept_outputs(&self.config.dirs, run, step);
        let files = outputs.iter().map(|output| {
            let name = output_name(run.id, step, output);
            (name, kept.join(&output.path))
        });
        self.share_files(files.collect()).await
    }

    /// Sees to it that the outputs of every step that is done are here, as they were recorded: a step that was
    /// repeated elsewhere has others than this machine may remember.
    pub(crate) async fn bring_outputs(&self, run: &Run) -> Result<(), ApiError> {
        if !self.is_shared() {
            return Ok(());
        }
        for step in run.steps.iter().filter(|step| step.done) {
            let kept = export::kept_outputs(&self.config.dirs, run, &step.name);
            for output in &step.outputs {
                let to = kept.join(&output.path);
                if !holds(&to, output).map_err(io_error("look at the outputs of a step"))? {
                    let name = output_name(run.id, &step.name, output);
                    self.get_file(&name, &to).await?;
                }
            }
        }
        Ok(())
    }

    /// What is kept of an output for other machines.
    pub(crate) async fn shared_output(
        &self,
        run: RunId,
        step: &str,
        output: &OutputRef,
    ) -> Result<Option<Vec<u8>>, ApiError> {
        if !self.is_shared() {
            return Ok(None);
        }
        let kept = self.store.blob_get(&output_name(run, step, output)).await;
        kept.map_err(store_error)
    }

    /// Keeps the end of the log of an attempt that is over, where only this machine has it. A log that can not
    /// be kept fails nothing.
    pub(crate) async fn share_log(&self, executor: &dyn Executor, handle: &Handle) {
        if !self.is_shared() || !executor.only_here() {
            return;
        }
        // Of an attempt of a machine that is gone nothing is here; what that one kept is better than nothing.
        if let Err(ExecutorError::NotFound { .. }) = executor.observe(handle).await {
            return;
        }
        let keeping = async {
            let kept = read_log(executor, handle).await?;
            let text = serde_json::to_vec(&kept)
                .map_err(|error| ApiError::new(ErrorCode::Internal, error.to_string()))?;
            self.put(&log_name(handle.attempt_id), text).await
        };
        if let Err(error) = keeping.await {
            warn!(attempt = %handle.attempt_id, %error, "could not keep a log for other machines");
        }
    }

    /// What is kept of the log of an attempt of another machine.
    pub(crate) async fn kept_log(&self, attempt: AttemptId) -> Result<Option<KeptLog>, ApiError> {
        let kept = self.store.blob_get(&log_name(attempt)).await;
        let kept = kept.map_err(store_error)?;
        kept.map(|text| {
            serde_json::from_slice(&text).map_err(|error| {
                ApiError::new(ErrorCode::Store, "a kept log can not be read").because(error)
            })
        })
        .transpose()
    }

    /// Removes what is kept of the inputs and outputs of a run.
    pub(crate) async fn unshare_files(&self, run: &Run) -> Result<(), ApiError> {
        let outputs = run.steps.iter().flat_map(|step| {
            let outputs = step.outputs.iter();
            outputs.map(move |output| output_name(run.id, &step.name, output))
        });
        self.unshare(outputs.collect()).await?;
        self.unshare_inputs(run.id, &run.inputs).await
    }

    /// Removes what is kept of the inputs of a run.
    pub(crate) async fn unshare_inputs(
        &self,
        run: RunId,
        inputs: &BTreeMap<String, InputFile>,
    ) -> Result<(), ApiError> {
        let names = inputs.values().map(|input| input_name(run, input));
        self.unshare(names.collect()).await
    }

    /// Removes what is kept of the log of an attempt.
    pub(crate) async fn unshare_log(&self, attempt: AttemptId) -> Result<(), ApiError> {
        self.unshare(vec![log_name(attempt)]).await
    }

    /// Removes what was kept with an end that has come, such as uploads: how much it was.
    pub(crate) async fn unshare_expired(&self) -> Result<usize, ApiError> {
        if !self.is_shared() {
            return Ok(0);
        }
        let mut removed = 0;
        loop {
            let expired = self.store.blobs_expired(self.now(), PAGE).await;
            let expired = expired.map_err(store_error)?;
            if expired.is_empty() {
                return Ok(removed);
            }
            removed += expired.len();
            self.unshare(expired).await?;
        }
    }

    /// Keeps files under these names.
    async fn share_files(&self, files: Vec<(ContentId, PathBuf)>) -> Result<(), ApiError> {
        if self.is_shared() {
            for (name, file) in files {
                self.put_file(&name, &file).await?;
            }
        }
        Ok(())
    }

    /// Removes what is kept under these names.
    async fn unshare(&self, names: Vec<ContentId>) -> Result<(), ApiError> {
        if self.is_shared() {
            for name in names {
                self.store.blob_remove(&name).await.map_err(store_error)?;
            }
        }
        Ok(())
    }

    async fn put(&self, name: &ContentId, bytes: Vec<u8>) -> Result<(), ApiError> {
        let put = self.store.blob_put(name, bytes, None).await;
        put.map_err(store_error)
    }

    async fn put_file(&self, name: &ContentId, file: &Path) -> Result<(), ApiError> {
        let reading = || io_error(format!("read {}", file.display()));
        let size = fs::metadata(file).map_err(reading())?.len();
        if size > BLOB_LIMIT as u64 {
            too_large(&file.display().to_string());
            return Ok(());
        }
        let path = file.to_owned();
        let bytes = blocking(move || fs::read(path)).await.map_err(reading())?;
        self.put(name, bytes).await
    }

    async fn get_file(&self, name: &ContentId, to: &Path) -> Result<(), ApiError> {
        let Some(bytes) = self.store.blob_get(name).await.map_err(store_error)? else {
            let message = format!(
                "{} is neither on this machine nor in the store that machines share",
                to.display()
            );
            return Err(ApiError::new(ErrorCode::NotFound, message).hint(format!(
                "files of more than {} MiB stay where they were made: run it there",
                BLOB_LIMIT >> 20
            )));
        };
        let path = to.to_owned();
        let written = blocking(move || write_synced(&path, &bytes)).await;
        written.map_err(io_error(format!("write {}", to.display())))
    }
}

/// The end of a log, as long as it may be.
async fn read_log(executor: &dyn Executor, handle: &Handle) -> Result<KeptLog, ApiError> {
    let (mut kept, mut size, mut skipped) = (VecDeque::new(), 0, 0);
    let mut chunks = executor.logs(handle, LogCursor::default(), false);
    loop {
        let chunk = match chunks.try_next().await {
            Ok(Some(chunk)) => chunk,
            Ok(None) | Err(ExecutorError::NotFound { .. }) => break,
            Err(error) => return Err(crate::attempt::executor_error(&error)),
        };
        size += chunk.text.len();
        kept.push_back(chunk);
        while size > LOG
            && let Some(first) = kept.pop_front()
        {
            size -= first.text.len();
            skipped += 1;
        }
    }
    let chunks = kept.into();
    Ok(KeptLog { skipped, chunks })
}

fn input_name(run: RunId, input: &InputFile) -> ContentId {
    name(&format!("input/{run}/{}", input.path))
}

/// With the hash: a step that is repeated has other outputs at the same path.
fn output_name(run: RunId, step: &str, output: &OutputRef) -> ContentId {
    let OutputRef { path, hash, .. } = output;
    name(&format!("output/{run}/{step}/{hash}/{path}"))
}

fn log_name(attempt: AttemptId) -> ContentId {
    name(&format!("log/{attempt}"))
}

fn name(text: &str) -> ContentId {
    ContentId::of_bytes(text.as_bytes())
}

/// Whether a file is the output that was recorded.
fn holds(file: &Path, output: &OutputRef) -> io::Result<bool> {
    match fs::File::open(file) {
        Ok(open) => {
            Ok(open.metadata()?.len() == output.size && ContentId::of_reader(open)? == output.hash)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes a file under a temporary name of its own, syncs it and renames it: another process may be writing the
/// same one.
fn write_synced(to: &Path, bytes: &[u8]) -> io::Result<()> {
    use std::io::Write as _;
    let parent = to.parent().unwrap_or(to);
    crate::dirs::private_dir(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(to).map(drop).map_err(|error| error.error)
}

fn too_large(what: &str) {
    warn!(
        what,
        "larger than {} MiB: it stays on this machine, and no other can go on with it",
        BLOB_LIMIT >> 20
    );
}

/// Runs what reads or writes much on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => Err(io::Error::other(error)),
    }
}
