//! What is in a volume, and changes to it that move no bytes.

use std::collections::{HashSet, VecDeque};

use futures::{Stream, StreamExt as _};
use moorline_modal_proto::client::{
    FileEntry, VolumeCopyFiles2Request, VolumeCopyFilesRequest, VolumeListFiles2Request,
    VolumeListFiles2Response, VolumeListFilesRequest, VolumeListFilesResponse,
    VolumeRemoveFile2Request, VolumeRemoveFileRequest, file_entry::FileType,
};
use tonic::Streaming;

use super::{
    COPY_FILES, COPY_FILES_2, LIST_FILES, LIST_FILES_2, REMOVE_FILE, REMOVE_FILE_2, Version, Volume,
};
use crate::stream::{Flow, OnClose, Resume, StreamOptions, resume};
use crate::{CallOptions, Error, ErrorKind, Result, Rpc};

/// What an entry of a volume is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EntryKind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A socket.
    Socket,
    /// What this client does not know.
    Other,
}

/// A file or directory of a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// From the volume's root, without a slash in front.
    pub path: String,
    /// What it is.
    pub kind: EntryKind,
    /// When its content was changed, in seconds since 1970.
    pub modified: u64,
    /// In bytes.
    pub size: u64,
}

impl From<FileEntry> for Entry {
    fn from(entry: FileEntry) -> Self {
        let kind = match entry.r#type() {
            FileType::File => EntryKind::File,
            FileType::Directory => EntryKind::Directory,
            FileType::Symlink => EntryKind::Symlink,
            FileType::Fifo => EntryKind::Fifo,
            FileType::Socket => EntryKind::Socket,
            FileType::Unspecified => EntryKind::Other,
        };
        Self {
            path: entry.path,
            kind,
            modified: entry.mtime,
            size: entry.size,
        }
    }
}

impl Volume {
    /// The entries below `path`, or the file that `path` is. A listing that breaks off is read again and
    /// goes on with what was not seen yet.
    ///
    /// The stream fails with [`ErrorKind::NotFound`] if there is nothing at `path`.
    pub fn list(
        &self,
        path: &str,
        recursive: bool,
    ) -> impl Stream<Item = Result<Entry>> + Send + use<> {
        let (volume_id, path) = (self.id.clone(), path.to_owned());
        let max_entries = None;
        match self.version {
            Version::V1 => {
                let request = VolumeListFilesRequest {
                    volume_id,
                    path,
                    max_entries,
                    recursive,
                };
                self.listing(LIST_FILES, request).left_stream()
            }
            Version::V2 => {
                let request = VolumeListFiles2Request {
                    volume_id,
                    path,
                    max_entries,
                    recursive,
                };
                self.listing(LIST_FILES_2, request).right_stream()
            }
        }
    }

    /// Removes a file, or a directory with all that is in it.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is nothing at `path`.
    pub async fn remove(&self, path: &str, recursive: bool) -> Result<()> {
        let (volume_id, path) = (self.id.clone(), path.to_owned());
        match self.version {
            Version::V1 => {
                let request = VolumeRemoveFileRequest {
                    volume_id,
                    path,
                    recursive,
                };
                self.client.unary(REMOVE_FILE, request).await
            }
            Version::V2 => {
                let request = VolumeRemoveFile2Request {
                    volume_id,
                    path,
                    recursive,
                };
                self.client.unary(REMOVE_FILE_2, request).await
            }
        }
    }

    /// Copies inside the volume, as `cp` does: into `target` if that is a directory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a recursive copy in a volume of version 1, which has none.
    pub async fn copy(&self, sources: &[&str], target: &str, recursive: bool) -> Result<()> {
        let src_paths = sources.iter().map(ToString::to_string).collect();
        let (volume_id, dst_path) = (self.id.clone(), target.to_owned());
        match self.version {
            Version::V1 if recursive => {
                let message = "a volume of version 1 copies no directories; copy their files";
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            Version::V1 => {
                let request = VolumeCopyFilesRequest {
                    volume_id,
                    src_paths,
                    dst_path,
                    recursive,
                };
                self.client.unary(COPY_FILES, request).await
            }
            Version::V2 => {
                let request = VolumeCopyFiles2Request {
                    volume_id,
                    src_paths,
                    dst_path,
                    recursive,
                };
                self.client.unary(COPY_FILES_2, request).await
            }
        }
    }

    fn listing<Req, Res>(
        &self,
        rpc: Rpc<Req, Res>,
        request: Req,
    ) -> impl Stream<Item = Result<Entry>> + Send + use<Req, Res>
    where
        Req: prost::Message + Clone + 'static,
        Res: prost::Message + Default + Batch + 'static,
    {
        let source = Listing {
            volume: self.clone(),
            rpc,
            request,
            seen: HashSet::new(),
        };
        let hold = self.client.config().retry.attempt_timeout;
        resume(source, StreamOptions::new(rpc.name(), OnClose::Done, hold))
    }
}

/// A part of a listing, of either version.
trait Batch {
    fn entries(self) -> Vec<FileEntry>;
}

impl Batch for VolumeListFilesResponse {
    fn entries(self) -> Vec<FileEntry> {
        self.entries
    }
}

impl Batch for VolumeListFiles2Response {
    fn entries(self) -> Vec<FileEntry> {
        self.entries
    }
}

struct Listing<Req, Res> {
    volume: Volume,
    rpc: Rpc<Req, Res>,
    request: Req,
    /// Paths that were handed out: the order of a second listing need not be that of the first.
    seen: HashSet<String>,
}

impl<Req, Res> Resume for Listing<Req, Res>
where
    Req: prost::Message + Clone + 'static,
    Res: prost::Message + Default + Batch + 'static,
{
    type Message = Res;
    type Item = Entry;

    async fn open(&mut self) -> Result<Streaming<Res>> {
        let options = CallOptions::new().max_retries(0);
        self.volume
            .client
            .server_stream(self.rpc, self.request.clone(), &options)
            .await
    }

    fn accept(&mut self, message: Res, items: &mut VecDeque<Entry>) -> Result<Flow> {
        let new = message
            .entries()
            .into_iter()
            .filter(|entry| self.seen.insert(entry.path.clone()));
        items.extend(new.map(Entry::from));
        Ok(Flow::More)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Config};

    #[test]
    fn a_second_listing_adds_only_what_is_new() {
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let volume = Volume::new(&client, "vo-1".into(), None, None);
        let request = VolumeListFilesRequest::default();
        let mut listing = Listing {
            volume,
            rpc: LIST_FILES,
            request,
            seen: HashSet::new(),
        };
        let batch = |names: &[&str]| VolumeListFilesResponse {
            entries: names
                .iter()
                .map(|name| FileEntry {
                    path: (*name).into(),
                    r#type: 1,
                    mtime: 2,
                    size: 3,
                })
                .collect(),
        };
        let mut items = VecDeque::new();
        listing.accept(batch(&["a", "b"]), &mut items).unwrap();
        listing.accept(batch(&["b", "c"]), &mut items).unwrap();
        let entry = |path: &str| Entry {
            path: path.into(),
            kind: EntryKind::File,
            modified: 2,
            size: 3,
        };
        assert_eq!(items, [entry("a"), entry("b"), entry("c")]);
    }

    #[tokio::test]
    async fn version_1_copies_no_directories() {
        let client = Client::new(Config::new("http://127.0.0.1:1", "a", "b").unwrap()).unwrap();
        let volume = Volume::new(&client, "vo-1".into(), None, None);
        let error = volume.copy(&["a"], "b", true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
    }
}
