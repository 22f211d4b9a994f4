//! Artifacts on their way here: exports, and the job directory in which a person signs on.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::PoisonError;

use futures::StreamExt as _;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::ArtifactId;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::json;
use tempfile::{NamedTempFile, TempDir};

use super::Client;
use super::endpoint::Endpoint;
use super::spread::spread;
use super::wire::{Body, Call};
use crate::artifacts::{ExportReport, ExportRequest};
use crate::directory;
use crate::error::ApiError;
use crate::reauth::ReauthPlan;
use crate::routes::Method;

/// What an export is answered from.
const CONTENT: &str = "/v1/artifacts/{artifact}/content";
/// The records of an export, and the directory of its files.
const RECORDS: &str = "approval.json";
const FILES: &str = "content";

/// What is read of the records.
#[derive(Deserialize)]
struct Records {
    artifact: Named,
}

#[derive(Deserialize)]
struct Named {
    id: ArtifactId,
}

impl Client {
    /// `artifact export` into a directory here: all or nothing.
    ///
    /// The operation itself would write on the server, so what is asked for is what it would write.
    pub(super) async fn export(
        &self,
        _: Endpoint<ExportRequest, ExportReport>,
        request: ExportRequest,
    ) -> Result<ExportReport, ApiError> {
        let out = request.out;
        if out.symlink_metadata().is_ok() {
            let message = format!("{} exists", out.display());
            return Err(ApiError::new(ErrorCode::Usage, message)
                .hint("give the name of a directory to make"));
        }
        let archive = self
            .content(&request.artifact, request.lane.as_deref())
            .await?;
        let unpacking = tokio::task::spawn_blocking(move || {
            let failed = |error: io::Error| {
                let message = format!("can not write {}: {error}", out.display());
                ApiError::new(ErrorCode::Store, message).hint("give a directory that can be made")
            };
            let parent = match out.parent() {
                Some(parent) if parent != Path::new("") => parent,
                _ => Path::new("."),
            };
            fs::create_dir_all(parent).map_err(failed)?;
            let staging = tempfile::Builder::new()
                .prefix(".export-")
                .tempdir_in(parent)
                .map_err(failed)?;
            let root = staging.path().join("export");
            unpack(&archive, &root).map_err(failed)?;
            let records = fs::read(root.join(RECORDS)).map_err(failed)?;
            let records: Records = serde_json::from_slice(&records)
                .map_err(|error| failed(io::Error::other(error)))?;
            let (files, _) = directory::survey(&root).map_err(failed)?;
            for file in files.iter().filter(|file| file.link.is_none()) {
                File::open(&file.source)
                    .and_then(|file| file.sync_all())
                    .map_err(failed)?;
            }
            let export = directory::content_id(&files).map_err(failed)?;
            fs::rename(&root, &out).map_err(failed)?;
            Ok(ExportReport {
                artifact: records.artifact.id,
                export,
                out: out.clone(),
            })
        });
        joined(unpacking.await)
    }

    /// A plan whose job directory is here, as long as this client is.
    pub(super) async fn with_job_here(&self, mut plan: ReauthPlan) -> Result<ReauthPlan, ApiError> {
        if plan.argv.is_none() {
            return Ok(plan);
        }
        let archive = self.content(&plan.content.to_string(), None).await;
        let archive = archive.map_err(|error| match error.code {
            ErrorCode::NotFound => error.hint(
                "only what was submitted as an artifact can be fetched: submit the job, or sign on where the \
                 server is",
            ),
            _ => error,
        })?;
        let unpacking = tokio::task::spawn_blocking(move || {
            let failed = |error: io::Error| {
                let message = format!("can not keep the job directory here: {error}");
                ApiError::new(ErrorCode::Store, message)
            };
            let home = TempDir::with_prefix("moorline-").map_err(failed)?;
            unpack(&archive, &home.path().join("export")).map_err(failed)?;
            Ok(home)
        });
        let home = joined(unpacking.await)?;
        plan.job_dir = home.path().join("export").join(FILES);
        let mut fetched = self.fetched.lock().unwrap_or_else(PoisonError::into_inner);
        fetched.push(home);
        Ok(plan)
    }

    /// An artifact and its records as an archive.
    async fn content(&self, artifact: &str, lane: Option<&str>) -> Result<NamedTempFile, ApiError> {
        let spread = spread(
            Method::Get,
            CONTENT,
            json!({"artifact": artifact, "lane": lane}),
        )?;
        let call = Call {
            method: Method::Get,
            target: spread.target,
            body: Body::None,
            repeatable: true,
            deadline: None,
            headers: HeaderMap::new(),
        };
        let failed = |error: io::Error| {
            let message = "can not keep what the server sends";
            ApiError::new(ErrorCode::Store, message).because(error)
        };
        let mut archive = NamedTempFile::new().map_err(failed)?;
        let mut bytes = self.wire.send(&call).await?.bytes_stream();
        while let Some(chunk) = bytes.next().await {
            let chunk = chunk.map_err(|error| {
                ApiError::new(
                    ErrorCode::Unreachable,
                    "the artifact broke off on its way here",
                )
                .because(error.without_url())
            })?;
            archive.write_all(&chunk).map_err(failed)?;
        }
        Ok(archive)
    }
}

/// Unpacks an archive into a new directory; what would leave it is refused.
fn unpack(archive: &NamedTempFile, root: &Path) -> io::Result<()> {
    fs::create_dir(root)?;
    let mut archive = tar::Archive::new(archive.reopen()?);
    archive.set_preserve_mtime(false);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = entry.path()?.display().to_string();
        let leaves = match entry.link_name()? {
            Some(target) => {
                !entry.header().entry_type().is_symlink()
                    || !directory::stays_inside(&path, &target)
            }
            None => false,
        };
        if leaves || !entry.unpack_in(root)? {
            return Err(io::Error::other(format!("`{path}` would leave it")));
        }
    }
    // By way of another link, a link can lead elsewhere than its text says.
    let (_, unfit) = directory::survey_all(root)?;
    match unfit.into_iter().next() {
        None => Ok(()),
        Some(unfit) => {
            fs::remove_dir_all(root)?;
            Err(io::Error::other(unfit))
        }
    }
}

fn joined<T>(done: Result<Result<T, ApiError>, tokio::task::JoinError>) -> Result<T, ApiError> {
    done.unwrap_or_else(|error| {
        Err(ApiError::new(ErrorCode::Internal, "unpacking broke off").because(error))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn archived(entries: &[(&str, tar::EntryType, &str)]) -> NamedTempFile {
        let file = NamedTempFile::new().unwrap();
        let mut tar = tar::Builder::new(file.reopen().unwrap());
        for (path, kind, text) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            header.set_size(0);
            // Written by hand: the library refuses to write what leaves.
            header.as_gnu_mut().unwrap().name[..path.len()].copy_from_slice(path.as_bytes());
            if *kind == tar::EntryType::Regular {
                header.set_size(text.len() as u64);
                header.set_cksum();
                tar.append(&header, text.as_bytes()).unwrap();
            } else {
                header.as_gnu_mut().unwrap().linkname[..text.len()]
                    .copy_from_slice(text.as_bytes());
                header.set_cksum();
                tar.append(&header, io::empty()).unwrap();
            }
        }
        tar.finish().unwrap();
        file
    }

    #[test]
    fn files_keep_their_executable_bit_and_links_their_target() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("out");
        let archive = archived(&[
            ("content/run.sh", tar::EntryType::Regular, "true\n"),
            ("content/link", tar::EntryType::Symlink, "run.sh"),
        ]);
        unpack(&archive, &root).unwrap();
        let script = root.join("content/run.sh");
        assert_eq!(
            fs::metadata(script).unwrap().permissions().mode() & 0o777,
            0o755
        );
        let link = fs::read_link(root.join("content/link")).unwrap();
        assert_eq!(link, Path::new("run.sh"));
    }

    #[test]
    fn what_leaves_the_directory_is_refused() {
        let entries = [
            ("../out.txt", tar::EntryType::Regular, "x"),
            ("a/../../out.txt", tar::EntryType::Regular, "x"),
            ("link", tar::EntryType::Symlink, "../elsewhere"),
            ("link", tar::EntryType::Symlink, "/etc"),
            ("hard", tar::EntryType::Link, "/etc/passwd"),
        ];
        for entry in entries {
            let home = tempfile::tempdir().unwrap();
            let root = home.path().join("out");
            unpack(&archived(&[entry]), &root).unwrap_err();
            assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1, "{entry:?}");
            assert_eq!(fs::read_dir(&root).unwrap().count(), 0, "{entry:?}");
        }
    }

    #[test]
    fn a_link_that_leaves_by_way_of_another_leaves_nothing_behind() {
        let home = tempfile::tempdir().unwrap();
        let root = home.path().join("out");
        let archive = archived(&[
            ("p/q/file", tar::EntryType::Regular, "x"),
            ("p/q/up", tar::EntryType::Symlink, "../.."),
            ("leaves", tar::EntryType::Symlink, "p/q/up/../secret"),
        ]);
        unpack(&archive, &root).unwrap_err();
        assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
    }
}
