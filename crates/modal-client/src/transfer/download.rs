//! One GET: a block into a file or into memory, or a body of unknown length as a stream.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures::Stream;
use md5::Md5;
use reqwest::header::{CONTENT_RANGE, ETAG, RANGE};
use reqwest::{Response, StatusCode};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::Transfers;
use super::digest::{hex, md5_of_etag, sha256_of_repr_digest};
use super::retry::{Failed, successful, unsent};
use super::stats::Counters;
use crate::{Error, ErrorKind, Result};

/// How much is collected before it is written to a file.
const WRITE: usize = 1024 * 1024;

/// One block, and how long it is once its zeros are put back.
#[derive(Debug)]
pub(crate) struct Fetch<'a> {
    /// For errors: `block 3 of ...`.
    pub(crate) what: String,
    pub(crate) url: &'a str,
    pub(crate) len: u64,
}

impl Transfers {
    /// Fetches a block into memory.
    pub(crate) async fn fetch(&self, fetch: &Fetch<'_>) -> Result<Bytes> {
        let mut attempts = self.attempts(&fetch.what);
        loop {
            match self.fetch_once(fetch).await {
                Ok(block) => return Ok(block),
                Err(failed) => attempts.after(failed).await?,
            }
        }
    }

    async fn fetch_once(&self, fetch: &Fetch<'_>) -> Result<Bytes, Failed> {
        let mut response = self.get(fetch.url, 0).await?;
        let mut check = Check::of(&response);
        let mut block = BytesMut::new();
        while let Some(chunk) = self.next_chunk(&mut response).await? {
            longer(block.len() as u64 + chunk.len() as u64, fetch.len)?;
            check.update(&chunk);
            block.extend_from_slice(&chunk);
        }
        check.finish()?;
        block.resize(usize::try_from(fetch.len).unwrap_or(usize::MAX), 0);
        Ok(block.freeze())
    }

    /// Fetches a block into `file` at `offset`; the file is as long as it will be, and zero there.
    pub(crate) async fn fetch_into(
        &self,
        fetch: &Fetch<'_>,
        file: &Arc<File>,
        offset: u64,
    ) -> Result<()> {
        // Zeros that the server left out must replace what an attempt that was rejected has written there.
        let mut dirty = 0;
        let mut attempts = self.attempts(&fetch.what);
        loop {
            match self.fetch_into_once(fetch, file, offset, &mut dirty).await {
                Ok(()) => return Ok(()),
                Err(failed) => attempts.after(failed).await?,
            }
        }
    }

    async fn fetch_into_once(
        &self,
        fetch: &Fetch<'_>,
        file: &Arc<File>,
        offset: u64,
        dirty: &mut u64,
    ) -> Result<(), Failed> {
        let mut response = self.get(fetch.url, 0).await?;
        let mut write = Write {
            chunks: Vec::new(),
            len: 0,
            at: 0,
            check: Check::of(&response),
        };
        loop {
            let chunk = self.next_chunk(&mut response).await?;
            let last = chunk.is_none();
            if let Some(chunk) = chunk {
                longer(write.at + write.len as u64 + chunk.len() as u64, fetch.len)?;
                write.len += chunk.len();
                write.chunks.push(chunk);
            }
            if last || write.len >= WRITE {
                *dirty = (*dirty).max(write.at + write.len as u64);
                write = write.run(Arc::clone(file), offset).await?;
            }
            if last {
                break;
            }
        }
        let written = write.at;
        write.check.finish()?;
        zeros(file, offset + written, dirty.saturating_sub(written)).await?;
        Ok(())
    }

    /// The body of an object of any length; goes on where it broke off. An MD5 in its entity tag is checked
    /// at the end.
    pub(crate) fn stream(
        &self,
        what: String,
        url: String,
    ) -> impl Stream<Item = Result<Bytes>> + use<> {
        let this = self.clone();
        async_stream::try_stream! {
            let mut at = 0_u64;
            let mut total = None;
            let mut failures = 0;
            let mut md5 = None;
            let mut hash = Md5::new();
            'open: loop {
                let mut attempts = this.attempts(&what);
                let mut response = loop {
                    match this.get(&url, at).await {
                        Ok(response) => break response,
                        Err(failed) => attempts.after(failed).await?,
                    }
                };
                let mut skip = at.saturating_sub(begins_at(&response));
                if at == 0 {
                    total = response.content_length();
                    md5 = etag(&response).and_then(md5_of_etag);
                }
                loop {
                    match this.next_chunk(&mut response).await {
                        Ok(None) => break 'open,
                        Ok(Some(mut chunk)) => {
                            let skipped = skip.min(chunk.len() as u64);
                            skip -= skipped;
                            chunk = chunk.split_off(usize::try_from(skipped).unwrap_or(chunk.len()));
                            if chunk.is_empty() {
                                continue;
                            }
                            failures = 0;
                            at += chunk.len() as u64;
                            hash.update(&chunk);
                            yield chunk;
                        }
                        Err(Failed::For(error)) => Err(error.context(&what))?,
                        Err(Failed::Again(error, _)) => {
                            failures += 1;
                            tracing::debug!(what, at, %error, "a download broke off");
                            if failures < this.options.attempts {
                                Counters::add(&this.counters.retries, 1);
                                break;
                            }
                            Err(error.context(&what))?;
                        }
                    }
                }
                if total == Some(at) {
                    break;
                }
            }
            if total.is_some_and(|total| total != at) {
                let message = format!("{what}: {at} bytes arrived of {}", total.unwrap_or_default());
                Err(Error::new(ErrorKind::Protocol, message))?;
            }
            let hash = hex(&hash.finalize());
            if md5.is_some_and(|md5| md5 != hash) {
                let message = format!("{what}: what arrived does not have the MD5 that was announced");
                Err(Error::new(ErrorKind::Protocol, message))?;
            }
        }
    }

    async fn get(&self, url: &str, from: u64) -> Result<Response, Failed> {
        let mut request = self.http.get(url);
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        Counters::add(&self.counters.requests, 1);
        let response = self.moving(request.send()).await?.map_err(unsent)?;
        successful(response, &self.options).await
    }

    async fn next_chunk(&self, response: &mut Response) -> Result<Option<Bytes>, Failed> {
        let chunk = self.moving(response.chunk()).await?.map_err(unsent)?;
        Counters::add(
            &self.counters.bytes_received,
            chunk.as_ref().map_or(0, Bytes::len),
        );
        Ok(chunk)
    }
}

/// Compares a body with the `Repr-Digest` that came with it, if one did.
struct Check {
    expected: Option<[u8; 32]>,
    sha256: Sha256,
}

impl Check {
    fn of(response: &Response) -> Self {
        let header = response
            .headers()
            .get("repr-digest")
            .and_then(|value| value.to_str().ok());
        Self {
            expected: header.and_then(sha256_of_repr_digest),
            sha256: Sha256::new(),
        }
    }

    fn update(&mut self, chunk: &[u8]) {
        if self.expected.is_some() {
            self.sha256.update(chunk);
        }
    }

    fn finish(self) -> Result<(), Failed> {
        let Some(expected) = self.expected else {
            return Ok(());
        };
        let actual: [u8; 32] = self.sha256.finalize().into();
        if actual == expected {
            return Ok(());
        }
        let message = format!(
            "it arrived with SHA-256 {}, announced was {}",
            hex(&actual),
            hex(&expected)
        );
        Err(Failed::again(Error::new(ErrorKind::Protocol, message)))
    }
}

/// What has arrived of a block and is not in the file yet.
struct Write {
    chunks: Vec<Bytes>,
    len: usize,
    /// How much of the block is in the file.
    at: u64,
    check: Check,
}

impl Write {
    /// Writes and hashes on a thread for blocking work.
    async fn run(mut self, file: Arc<File>, offset: u64) -> Result<Self> {
        let written = tokio::task::spawn_blocking(move || {
            for chunk in self.chunks.drain(..) {
                file.write_all_at(&chunk, offset + self.at)?;
                self.check.update(&chunk);
                self.at += chunk.len() as u64;
            }
            self.len = 0;
            Ok(self)
        });
        written
            .await
            .unwrap_or_else(|error| Err(std::io::Error::other(error)))
            .map_err(unwritten)
    }
}

async fn zeros(file: &Arc<File>, mut at: u64, mut count: u64) -> Result<()> {
    if count == 0 {
        return Ok(());
    }
    let file = Arc::clone(file);
    let written = tokio::task::spawn_blocking(move || {
        let zeros = vec![0; WRITE];
        while count > 0 {
            let length = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(zeros.len());
            file.write_all_at(zeros.get(..length).unwrap_or_default(), at)?;
            at += length as u64;
            count -= length as u64;
        }
        Ok(())
    });
    written
        .await
        .unwrap_or_else(|error| Err(std::io::Error::other(error)))
        .map_err(unwritten)
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new(ErrorKind::Io, "what was downloaded can not be written").with_source(error)
}

fn longer(len: u64, expected: u64) -> Result<(), Failed> {
    if len <= expected {
        return Ok(());
    }
    let message = format!("more than the expected {expected} bytes arrived");
    Err(Failed::again(Error::new(ErrorKind::Protocol, message)))
}

fn etag(response: &Response) -> Option<&str> {
    response.headers().get(ETAG)?.to_str().ok()
}

/// Where in the object the body begins: a server may ignore that a range was asked for.
fn begins_at(response: &Response) -> u64 {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return 0;
    }
    let range = response
        .headers()
        .get(CONTENT_RANGE)
        .and_then(|range| range.to_str().ok());
    range
        .and_then(|range| range.strip_prefix("bytes "))
        .and_then(|range| range.split_once('-'))
        .and_then(|(start, _)| start.parse().ok())
        .unwrap_or(0)
}

/// A file that takes its name when it is complete, and is removed otherwise.
#[derive(Debug)]
pub(crate) struct TempFile {
    temp: NamedTempFile,
    file: Arc<File>,
    target: PathBuf,
}

impl TempFile {
    /// Makes one beside `target`, of `len` zero bytes; missing directories are made too.
    pub(crate) async fn create(target: &Path, len: u64, mode: Option<u32>) -> Result<Self> {
        let target = target.to_owned();
        Self::blocking(move || {
            let directory = match target.parent() {
                Some(parent) if !parent.as_os_str().is_empty() => parent,
                _ => Path::new("."),
            };
            let failed = |what: &str, error: std::io::Error| {
                let message = format!("{what} `{}`", target.display());
                Error::new(ErrorKind::Io, message).with_source(error)
            };
            std::fs::create_dir_all(directory)
                .map_err(|error| failed("no directory for", error))?;
            let temp = tempfile::Builder::new()
                .prefix(".modal-download-")
                .permissions(std::fs::Permissions::from_mode(mode.unwrap_or(0o666)))
                .tempfile_in(directory)
                .map_err(|error| failed("no file beside", error))?;
            temp.as_file()
                .set_len(len)
                .map_err(|error| failed("no room for", error))?;
            let file = temp
                .as_file()
                .try_clone()
                .map_err(|error| failed("no handle for", error))?;
            Ok(Self {
                temp,
                file: Arc::new(file),
                target,
            })
        })
        .await
    }

    /// What is written to, at offsets.
    pub(crate) fn file(&self) -> &Arc<File> {
        &self.file
    }

    /// How long it is.
    pub(crate) async fn len(&self) -> Result<u64> {
        let file = Arc::clone(&self.file);
        Self::blocking(move || Ok(file.metadata().map_err(unwritten)?.len())).await
    }

    /// Puts the file in its place, over one that is there.
    pub(crate) async fn persist(self) -> Result<()> {
        Self::blocking(move || {
            let Self { temp, target, .. } = self;
            temp.persist(&target).map_err(|error| {
                let message = format!("`{}` can not be put in its place", target.display());
                Error::new(ErrorKind::Io, message).with_source(error.error)
            })?;
            Ok(())
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        work: impl FnOnce() -> Result<T> + Send + 'static,
    ) -> Result<T> {
        tokio::task::spawn_blocking(work)
            .await
            .unwrap_or_else(|error| {
                Err(Error::new(ErrorKind::Io, "writing was broken off").with_source(error))
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_appears_when_it_is_complete() {
        let directory = tempfile::tempdir().unwrap();
        let target = directory.path().join("new/content");
        let temp = TempFile::create(&target, 5, None).await.unwrap();
        temp.file().write_all_at(b"abc", 0).unwrap();
        assert!(!target.exists());
        temp.persist().await.unwrap();
        assert_eq!(std::fs::read(&target).unwrap(), b"abc\0\0");
        drop(TempFile::create(&target, 9, None).await.unwrap());
        let names: Vec<_> = std::fs::read_dir(target.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(names, ["content"], "an abandoned download leaves nothing");
    }
}
