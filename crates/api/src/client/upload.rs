//! What a path names goes to the server, which reads no path that comes over a network.
//!
//! A directory is packed as a tar archive by the rule of [`directory`], so that the server finds the
//! content that an engine here would have found, with the same content id; a file goes as it is, with its name.
//! References (`live:JOB`, `run:RUN`, `upload:ID`) stay what they are.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};

use moorline_core::error_code::ErrorCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::header::HeaderMap;
use serde::Deserialize;
use tempfile::NamedTempFile;

use super::Client;
use super::wire::{Body, Call, document};
use crate::directory::{self, DirectoryFile};
use crate::error::{ApiError, ErrorDetail};
use crate::routes::Method;

/// Beginnings of what is no path.
const REFERENCES: [&str; 3] = ["live:", "run:", "upload:"];
/// Where files go.
const UPLOADS: &str = "/v1/uploads";

/// What is uploaded for one request.
pub(super) struct Sending<'c> {
    client: &'c Client,
    /// What each upload is here.
    names: Vec<(String, PathBuf)>,
}

/// The answer to an upload.
#[derive(Deserialize)]
struct Uploaded {
    upload: String,
}

/// How much of a directory is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// What is part of a job.
    Job,
    /// All of it, as for what is verified.
    All,
}

impl Client {
    /// Uploads for one request.
    pub(super) const fn sending(&self) -> Sending<'_> {
        Sending {
            client: self,
            names: Vec::new(),
        }
    }
}

impl Sending<'_> {
    /// A job: its directory, a spec file, or a reference.
    pub(super) async fn job(&mut self, path: &Path) -> Result<PathBuf, ApiError> {
        if is_reference(path) {
            return Ok(path.to_owned());
        }
        if path.is_dir() {
            return self.packed(path, Extent::Job).await;
        }
        self.file(path, |error| {
            let message = format!("can not read the job spec {}: {error}", path.display());
            ApiError::new(ErrorCode::Spec, message)
                .hint("give a directory that holds `job_spec.json`, or the path of a spec file")
        })
        .await
    }

    /// An input: a file, or a reference.
    pub(super) async fn input(&mut self, path: &Path) -> Result<PathBuf, ApiError> {
        if is_reference(path) {
            return Ok(path.to_owned());
        }
        self.file(path, |error| {
            let message = format!("can not read the input {}: {error}", path.display());
            ApiError::new(ErrorCode::Inputs, message)
        })
        .await
    }

    /// A job directory.
    pub(super) async fn directory(&mut self, path: &Path) -> Result<PathBuf, ApiError> {
        self.packed(path, Extent::Job).await
    }

    /// A directory with everything in it.
    pub(super) async fn whole_directory(&mut self, path: &Path) -> Result<PathBuf, ApiError> {
        self.packed(path, Extent::All).await
    }

    /// An error of the server, in which uploads are what they are here.
    pub(super) fn told(&self, mut error: ApiError) -> ApiError {
        for (upload, path) in &self.names {
            let id = upload.split_once(':').map_or(upload.as_str(), |(_, id)| id);
            // Of one file, the server names the file itself below the upload.
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let file = format!("{id}/{name}");
            let here = path.display().to_string();
            let told = |text: &str| renamed(&renamed(text, &file, &here), id, &here);
            error.message = told(&error.message);
            error.hint = error.hint.as_deref().map(told);
            for detail in &mut error.details {
                detail.at = told(&detail.at);
                detail.message = told(&detail.message);
            }
        }
        error
    }

    async fn file(
        &mut self,
        path: &Path,
        unreadable: impl FnOnce(io::Error) -> ApiError,
    ) -> Result<PathBuf, ApiError> {
        match std::fs::metadata(path) {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Err(unreadable(io::Error::other("it is no regular file"))),
            Err(error) => return Err(unreadable(error)),
        }
        let name = path
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let target = format!(
            "{UPLOADS}?name={}",
            utf8_percent_encode(&name, NON_ALPHANUMERIC)
        );
        self.send(path, path, target, "application/octet-stream")
            .await
    }

    async fn packed(&mut self, path: &Path, extent: Extent) -> Result<PathBuf, ApiError> {
        let dir = path.to_owned();
        let packing = tokio::task::spawn_blocking(move || pack(&dir, extent));
        let packed = packing.await.map_err(|error| {
            ApiError::new(ErrorCode::Internal, "packing broke off").because(error)
        })??;
        let target = UPLOADS.to_owned();
        self.send(path, packed.path(), target, "application/x-tar")
            .await
    }

    async fn send(
        &mut self,
        what: &Path,
        file: &Path,
        target: String,
        content_type: &'static str,
    ) -> Result<PathBuf, ApiError> {
        let call = Call {
            method: Method::Post,
            target,
            body: Body::File(file.to_owned(), content_type),
            // An upload that nobody names is forgotten.
            repeatable: true,
            deadline: None,
            headers: HeaderMap::new(),
        };
        let uploaded: Uploaded = document(self.client.wire.send(&call).await?).await?;
        self.names.push((uploaded.upload.clone(), what.to_owned()));
        Ok(PathBuf::from(uploaded.upload))
    }
}

fn is_reference(path: &Path) -> bool {
    path.to_str()
        .is_some_and(|text| REFERENCES.iter().any(|prefix| text.starts_with(prefix)))
}

/// A text in which a local path stands where the server named an upload, or where it is on the server: in the
/// place of the beginning of a word, up to the end of `id`.
fn renamed(text: &str, id: &str, path: &str) -> String {
    let mut renamed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(id) {
        let word = before
            .rfind(|character: char| character.is_whitespace() || "`\"'(".contains(character))
            .map_or(0, |at| at + 1);
        renamed.push_str(before.get(..word).unwrap_or(before));
        renamed.push_str(path);
        rest = after;
    }
    renamed.push_str(rest);
    renamed
}

/// Packs a directory into a file that is gone when it is dropped. The same files give the same archive.
fn pack(dir: &Path, extent: Extent) -> Result<NamedTempFile, ApiError> {
    let unreadable = |error: io::Error| {
        let message = format!("can not read the directory {}: {error}", dir.display());
        ApiError::new(ErrorCode::Inputs, message)
    };
    let (mut files, unfit) = match extent {
        Extent::Job => directory::survey(dir),
        Extent::All => directory::survey_all(dir),
    }
    .map_err(unreadable)?;
    if !unfit.is_empty() {
        let count = unfit.len();
        let plural = if count == 1 { "entry" } else { "entries" };
        let message = format!(
            "{}: {count} {plural} can not be part of a job",
            dir.display()
        );
        let details = unfit.into_iter().map(|unfit| ErrorDetail {
            at: unfit.path,
            rule: "D-ART-1".to_owned(),
            message: unfit.why,
            hint: None,
        });
        return Err(ApiError::new(ErrorCode::Inputs, message)
            .hint("a job directory holds plain files, and links that stay inside it")
            .with_details(details.collect()));
    }
    files.sort_by(|a, b| a.relative.cmp(&b.relative));
    let archive = NamedTempFile::new().map_err(unreadable)?;
    write(archive.as_file(), &files).map_err(unreadable)?;
    Ok(archive)
}

fn write(archive: &File, files: &[DirectoryFile]) -> io::Result<()> {
    let mut tar = tar::Builder::new(BufWriter::new(archive));
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        if let Some(target) = &file.link {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_mode(0o777);
            header.set_size(0);
            tar.append_link(&mut header, &file.relative, target)?;
        } else {
            let content = File::open(&file.source)?;
            header.set_mode(if file.executable { 0o755 } else { 0o644 });
            header.set_size(content.metadata()?.len());
            tar.append_data(&mut header, &file.relative, content)?;
        }
    }
    tar.into_inner()?.flush()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_directory_is_packed_the_same_way_each_time() {
        let dir = tempfile::tempdir().unwrap();
        let long = format!("{}/{}", "d".repeat(120), "f".repeat(120));
        fs::create_dir_all(dir.path().join(&long).parent().unwrap()).unwrap();
        for (name, text) in [("b.txt", "two"), ("a.sh", "one"), (long.as_str(), "deep")] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        fs::set_permissions(dir.path().join("a.sh"), fs::Permissions::from_mode(0o700)).unwrap();
        symlink("a.sh", dir.path().join("link")).unwrap();
        fs::create_dir(dir.path().join(".git")).unwrap();
        fs::write(dir.path().join(".git/config"), "x").unwrap();
        let read = |packed: &NamedTempFile| fs::read(packed.path()).unwrap();
        let packed = pack(dir.path(), Extent::Job).unwrap();
        assert_eq!(read(&packed), read(&pack(dir.path(), Extent::Job).unwrap()));

        let mut archive = tar::Archive::new(File::open(packed.path()).unwrap());
        let entries: Vec<(String, u32)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let path = entry.path().unwrap().display().to_string();
                (path, entry.header().mode().unwrap())
            })
            .collect();
        let expected = [
            ("a.sh".to_owned(), 0o755),
            ("b.txt".to_owned(), 0o644),
            (long, 0o644),
            ("link".to_owned(), 0o777),
        ];
        assert_eq!(entries, expected);
    }

    #[test]
    fn what_can_not_be_packed_is_told_all_at_once() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/etc/passwd", dir.path().join("a")).unwrap();
        symlink("../b", dir.path().join("b")).unwrap();
        let error = pack(dir.path(), Extent::Job).unwrap_err();
        assert_eq!(error.code, ErrorCode::Inputs);
        let mut found: Vec<_> = error
            .details
            .iter()
            .map(|found| found.at.as_str())
            .collect();
        found.sort_unstable();
        assert_eq!(found, ["a", "b"]);
    }

    #[test]
    fn an_error_names_what_was_uploaded_as_it_is_called_here() {
        let told = |text| renamed(text, "0190", "/home/ada/job");
        assert_eq!(
            told("/srv/state/uploads/0190/job_spec.json: 2 violations (`upload:0190`)"),
            "/home/ada/job/job_spec.json: 2 violations (`/home/ada/job`)"
        );
        assert_eq!(told("nothing of it"), "nothing of it");
    }

    #[test]
    fn references_are_no_paths() {
        assert!(is_reference(Path::new("live:report")));
        assert!(is_reference(Path::new("run:latest")));
        assert!(!is_reference(Path::new("/home/ada/live:report")));
    }
}
