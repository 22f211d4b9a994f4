//! The local files of one upload, and the names they get.

use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::source::Source;
use crate::{Error, ErrorKind, Result};

/// Permission bits of content that comes from no file.
const DEFAULT_MODE: u32 = 0o644;

/// A list of what to upload: files, directories, bytes. Nothing is read before the upload.
///
/// ```
/// use moorline_modal_client::transfer::Files;
///
/// let files = Files::new()
///     .file("target/release/job", "/bin/job")
///     .directory("assets", "/assets")
///     .bytes("{}", "/config.json");
/// # let _ = files;
/// ```
#[derive(Clone, Debug, Default)]
pub struct Files {
    items: Vec<Item>,
}

#[derive(Clone, Debug)]
enum Item {
    File {
        local: PathBuf,
        remote: String,
        mode: Option<u32>,
    },
    Directory {
        local: PathBuf,
        remote: String,
    },
    Bytes {
        content: Bytes,
        remote: String,
        mode: u32,
    },
}

/// One file as it is uploaded.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    pub(crate) source: Source,
    pub(crate) remote: String,
    pub(crate) mode: u32,
}

impl Files {
    /// None.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a local file, with its permission bits.
    #[must_use]
    pub fn file(mut self, local: impl Into<PathBuf>, remote: impl Into<String>) -> Self {
        self.items.push(Item::File {
            local: local.into(),
            remote: remote.into(),
            mode: None,
        });
        self
    }

    /// Adds a local file with other permission bits.
    #[must_use]
    pub fn file_with_mode(
        mut self,
        local: impl Into<PathBuf>,
        remote: impl Into<String>,
        mode: u32,
    ) -> Self {
        self.items.push(Item::File {
            local: local.into(),
            remote: remote.into(),
            mode: Some(mode),
        });
        self
    }

    /// Adds every regular file below a local directory. Links to files are followed, links to directories
    /// are not; sockets, pipes and devices are left out, and so are empty directories.
    #[must_use]
    pub fn directory(mut self, local: impl Into<PathBuf>, remote: impl Into<String>) -> Self {
        self.items.push(Item::Directory {
            local: local.into(),
            remote: remote.into(),
        });
        self
    }

    /// Adds a file of these bytes, with the permission bits 0644.
    #[must_use]
    pub fn bytes(mut self, content: impl Into<Bytes>, remote: impl Into<String>) -> Self {
        let (content, remote) = (content.into(), remote.into());
        self.items.push(Item::Bytes {
            content,
            remote,
            mode: DEFAULT_MODE,
        });
        self
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Looks at every file: sizes, permission bits, names.
    pub(crate) async fn resolve(&self) -> Result<Vec<Upload>> {
        let mut uploads = Vec::new();
        for item in &self.items {
            match item {
                Item::File {
                    local,
                    remote,
                    mode,
                } => {
                    uploads.push(upload(local.clone(), file_name(remote)?, *mode).await?);
                }
                Item::Bytes {
                    content,
                    remote,
                    mode,
                } => {
                    let source = Source::bytes(content.clone());
                    uploads.push(Upload {
                        source,
                        remote: file_name(remote)?,
                        mode: *mode,
                    });
                }
                Item::Directory { local, remote } => {
                    for (path, relative) in files_below(local.clone()).await? {
                        let name = format!("{}/{relative}", remote.trim_end_matches('/'));
                        uploads.push(upload(path, name, None).await?);
                    }
                }
            }
        }
        Ok(uploads)
    }
}

async fn upload(local: PathBuf, remote: String, mode: Option<u32>) -> Result<Upload> {
    let source = Source::file(local).await?;
    let mode = mode.or_else(|| source.mode()).unwrap_or(DEFAULT_MODE) & 0o7777;
    Ok(Upload {
        source,
        remote,
        mode,
    })
}

fn file_name(remote: &str) -> Result<String> {
    if remote.is_empty() || remote.ends_with('/') {
        let message = format!("`{remote}` names no file; say what the file is called there");
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    Ok(remote.to_owned())
}

/// The files below a directory with their paths from it, in the order of their names.
async fn files_below(root: PathBuf) -> Result<Vec<(PathBuf, String)>> {
    let walked = tokio::task::spawn_blocking(move || {
        let mut files = Vec::new();
        let mut directories = vec![(root, String::new())];
        while let Some((directory, prefix)) = directories.pop() {
            let failed = |error: std::io::Error| {
                let message = format!("`{}` can not be listed", directory.display());
                Error::new(ErrorKind::Io, message).with_source(error)
            };
            for entry in std::fs::read_dir(&directory).map_err(failed)? {
                let entry = entry.map_err(failed)?;
                let path = entry.path();
                let name = entry
                    .file_name()
                    .into_string()
                    .map_err(|_| not_unicode(&path))?;
                let relative = format!("{prefix}{name}");
                if entry.file_type().map_err(failed)?.is_dir() {
                    directories.push((path, format!("{relative}/")));
                } else if path.is_file() {
                    files.push((path, relative));
                }
            }
        }
        files.sort_unstable_by(|a, b| a.1.cmp(&b.1));
        Ok(files)
    });
    walked.await.unwrap_or_else(|error| {
        Err(Error::new(ErrorKind::Io, "a directory could not be listed").with_source(error))
    })
}

fn not_unicode(path: &Path) -> Error {
    let message = format!(
        "the name of `{}` is not UTF-8, which a remote path has to be",
        path.display()
    );
    Error::new(ErrorKind::InvalidArgument, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[tokio::test]
    async fn a_directory_is_every_file_below_it() {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        std::fs::create_dir_all(at("b/c")).unwrap();
        std::fs::create_dir(at("empty")).unwrap();
        std::fs::write(at("b/c/deep"), "deep").unwrap();
        std::fs::write(at("a"), "a").unwrap();
        std::fs::set_permissions(at("a"), PermissionsExt::from_mode(0o750)).unwrap();
        std::os::unix::fs::symlink("a", at("link")).unwrap();
        std::os::unix::fs::symlink("..", at("b/up")).unwrap();
        let files = Files::new()
            .directory(root.path(), "/there/")
            .bytes("x", "x")
            .file_with_mode(at("a"), "/a", 0o600);
        let uploads = files.resolve().await.unwrap();
        let shown: Vec<_> = uploads
            .iter()
            .map(|file| (file.remote.as_str(), file.mode, file.source.len()))
            .collect();
        let default = std::fs::metadata(at("b/c/deep"))
            .unwrap()
            .permissions()
            .mode()
            & 0o7777;
        assert_eq!(
            shown,
            [
                ("/there/a", 0o750, 1),
                ("/there/b/c/deep", default, 4),
                ("/there/link", 0o750, 1),
                ("x", 0o644, 1),
                ("/a", 0o600, 1),
            ]
        );
    }

    #[tokio::test]
    async fn a_file_needs_a_name_there_and_to_be_here() {
        let nameless = Files::new()
            .bytes("x", "/there/")
            .resolve()
            .await
            .unwrap_err();
        assert_eq!(nameless.kind(), ErrorKind::InvalidArgument);
        let missing = Files::new()
            .file("/does/not/exist", "/x")
            .resolve()
            .await
            .unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::Io);
    }
}
