//! Files of a running sandbox.

use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};

use super::definition::seconds;
use super::fs_wire::{self, FileInfo, Operation, WatchEvent, WatchKind};
use super::{ExecSpec, Process, Sandbox, Stdin};
use crate::router::head;
use crate::transfer::{Source, TempFile};
use crate::{Error, ErrorKind, Result};

/// The longest listing.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// How much of standard error is kept.
const MAX_STDERR: usize = 64 * 1024;

/// The files of a running sandbox. Every operation is a command in it; paths are absolute.
///
/// Errors have the kinds of the file system: [`ErrorKind::NotFound`], [`ErrorKind::PermissionDenied`],
/// [`ErrorKind::AlreadyExists`], and [`ErrorKind::Conflict`] for a directory where a file is needed, or the
/// reverse, or that is not empty.
#[derive(Clone, Debug)]
pub struct Filesystem {
    sandbox: Sandbox,
}

impl Sandbox {
    /// Its files.
    pub fn fs(&self) -> Filesystem {
        Filesystem {
            sandbox: self.clone(),
        }
    }
}

impl Filesystem {
    /// The content of a file of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if it is longer.
    pub async fn read(&self, path: &str, limit: usize) -> Result<Bytes> {
        self.answer(&Operation::ReadFile { path }, limit).await
    }

    /// Writes a file of the sandbox to the local file `target`, which has its old content until the new one
    /// is complete. Returns its size.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if `target` can not be written.
    pub async fn download(&self, path: &str, target: &Path) -> Result<u64> {
        let operation = Operation::ReadFile { path };
        let process = self.start(&operation).await?;
        let file = TempFile::create(target, 0, None).await?;
        let content = async {
            let mut output = process.stdout();
            while let Some(chunk) = output.try_next().await? {
                let file = Arc::clone(file.file());
                let written = tokio::task::spawn_blocking(move || {
                    file.write_all_at(&chunk.data, chunk.offset)
                });
                let written = written
                    .await
                    .unwrap_or_else(|error| Err(std::io::Error::other(error)));
                written.map_err(|error| {
                    let message = format!("`{}` can not be written", target.display());
                    Error::new(ErrorKind::Io, message).with_source(error)
                })?;
            }
            Ok(())
        };
        finish(&operation, &process, content).await?;
        let size = file.len().await?;
        file.persist().await?;
        Ok(size)
    }

    /// Writes a file, making missing directories and replacing what is there.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if the source can not be read.
    pub async fn write(&self, path: &str, content: &Source) -> Result<()> {
        let operation = Operation::WriteFile { path };
        let process = self.start(&operation).await?;
        let content = Box::pin(process.stdin().write_all(content));
        finish(&operation, &process, content).await
    }

    /// The entries of a directory.
    ///
    /// # Errors
    /// See [`Filesystem`].
    pub async fn list(&self, path: &str) -> Result<Vec<FileInfo>> {
        fs_wire::list(
            &self
                .answer(&Operation::ListFiles { path }, MAX_ANSWER)
                .await?,
        )
    }

    /// What a path is; a link is not followed.
    ///
    /// # Errors
    /// See [`Filesystem`].
    pub async fn stat(&self, path: &str) -> Result<FileInfo> {
        fs_wire::stat(&self.answer(&Operation::Stat { path }, MAX_ANSWER).await?)
    }

    /// Removes a file, an empty directory, or with `recursive` a directory and what is in it.
    ///
    /// # Errors
    /// See [`Filesystem`].
    pub async fn remove(&self, path: &str, recursive: bool) -> Result<()> {
        self.answer(&Operation::Remove { path, recursive }, MAX_ANSWER)
            .await
            .map(|_| ())
    }

    /// Makes a directory. With `parents`, missing ones above it too, and one that is there is no error.
    ///
    /// # Errors
    /// See [`Filesystem`].
    pub async fn make_directory(&self, path: &str, parents: bool) -> Result<()> {
        self.answer(&Operation::MakeDirectory { path, parents }, MAX_ANSWER)
            .await
            .map(|_| ())
    }

    /// Reports changes to a file, to what is directly in a directory, or with `recursive` below it: of the
    /// given kinds, or of all if none is given, until `timeout`.
    ///
    /// # Errors
    /// See [`Filesystem`]; those of the watch itself come from [`Watch::next`].
    pub async fn watch(
        &self,
        path: &str,
        recursive: bool,
        kinds: &[WatchKind],
        timeout: Option<Duration>,
    ) -> Result<Watch> {
        let names = || {
            kinds
                .iter()
                .flat_map(|kind| kind.names())
                .copied()
                .collect()
        };
        let operation = Operation::Watch {
            path,
            recursive,
            filter: (!kinds.is_empty()).then(names),
            timeout_secs: timeout.map(seconds),
        };
        let process = self.start(&operation).await?;
        let lines = Box::pin(process.stdout().lines());
        let (path, stdin) = (path.to_owned(), process.stdin());
        Ok(Watch {
            path,
            process,
            lines,
            stdin,
        })
    }

    async fn start(&self, operation: &Operation<'_>) -> Result<Process> {
        self.sandbox
            .exec(&ExecSpec::new(operation.command()?))
            .await
    }

    async fn answer(&self, operation: &Operation<'_>, limit: usize) -> Result<Bytes> {
        let process = self.start(operation).await?;
        finish(operation, &process, process.stdout().read_to_end(limit)).await
    }
}

/// Runs `work` beside the command, and prefers what the command says about a failure over what it did to
/// `work`: a tool that gives up closes its input.
async fn finish<T>(
    operation: &Operation<'_>,
    process: &Process,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    let (worked, stderr, exit) =
        futures::join!(work, head(process.stderr(), MAX_STDERR), process.wait());
    match (worked, exit) {
        (Ok(value), Ok(exit)) if exit.is_success() => Ok(value),
        // Too long an answer, or a local failure, is told as such.
        (Err(error), _) if matches!(error.kind(), ErrorKind::ResourceExhausted | ErrorKind::Io) => {
            Err(error)
        }
        (_, Ok(exit)) if !exit.is_success() => Err(operation.failure(exit.code(), &stderr?)),
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(_), Ok(exit)) => Err(operation.failure(exit.code(), &stderr?)),
    }
}

/// A watch of a path. Dropping it stops nothing in the sandbox: [`close`](Self::close) it, or give it a
/// timeout.
pub struct Watch {
    path: String,
    process: Process,
    lines: Pin<Box<dyn Stream<Item = Result<String>> + Send>>,
    stdin: Stdin,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl Watch {
    /// The next change; `None` when the time is over. Cancel-safe.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is nothing at the path; [`ErrorKind::Unimplemented`] for a file
    /// system that can not be watched.
    pub async fn next(&mut self) -> Result<Option<WatchEvent>> {
        while let Some(line) = self.lines.try_next().await? {
            if let Some(event) = WatchEvent::of_line(&line) {
                return Ok(Some(event));
            }
        }
        self.end().await.map(|()| None)
    }

    /// Ends it.
    ///
    /// # Errors
    /// As [`next`](Self::next).
    pub async fn close(mut self) -> Result<()> {
        match self.stdin.close().await {
            // It has ended by itself.
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            closed => closed?,
        }
        self.end().await
    }

    async fn end(&self) -> Result<()> {
        let (stderr, exit) =
            futures::join!(head(self.process.stderr(), MAX_STDERR), self.process.wait());
        let exit = exit?;
        if exit.is_success() {
            return Ok(());
        }
        let path = &self.path;
        let operation = Operation::Watch {
            path,
            recursive: false,
            filter: None,
            timeout_secs: None,
        };
        Err(operation.failure(exit.code(), &stderr?))
    }
}
