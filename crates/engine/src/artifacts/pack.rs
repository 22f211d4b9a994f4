//! A directory becomes files in memory, each read once: the content id is of the bytes that are reviewed.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use moorline_api::ApiError;
use moorline_api::directory::{DirectoryFile, Unfit, survey};
use moorline_core::artifact::files::{Entry, Files, MAX_FILE_BYTES, MAX_TOTAL_BYTES};
use moorline_core::content_id::ContentId;
use moorline_core::denial::Detail;
use moorline_core::error_code::ErrorCode;

use crate::bundle::{self, Bundle};
use crate::engine::Inner;

/// A directory that was read.
pub(super) struct Packed {
    /// Its files.
    pub(super) files: Files,
    /// Content id of what can be packed.
    pub(super) content: ContentId,
    /// What can not be packed: links that leave, sockets, names that are not UTF-8.
    pub(super) unfit: Vec<Detail>,
    sources: Vec<DirectoryFile>,
}

/// Reads a directory.
pub(super) fn pack(dir: &Path) -> Result<Packed, ApiError> {
    let unreadable = |error: io::Error| {
        let message = format!("can not read the directory {}: {error}", dir.display());
        ApiError::new(ErrorCode::Inputs, message)
            .hint("give a directory that holds `job_spec.json`")
    };
    let (sources, unfit) = survey(dir).map_err(unreadable)?;
    let mut files = Files::default();
    let mut total = 0_u64;
    for source in &sources {
        let entry = read(source, &mut total).map_err(|error| {
            unreadable(io::Error::other(format!("{}: {error}", source.relative)))
        })?;
        files.insert(source.relative.clone(), entry);
    }
    let content = files
        .content_id()
        .map_err(|error| unreadable(io::Error::other(error)))?;
    Ok(Packed {
        files,
        content,
        unfit: unfit.into_iter().map(unfit_detail).collect(),
        sources,
    })
}

/// Reads one file. What is too large, by itself or with all before it, is hashed and not kept in memory: it
/// is a finding anyway.
fn read(source: &DirectoryFile, total: &mut u64) -> io::Result<Entry> {
    if let Some(target) = &source.link {
        return Ok(Entry::Link {
            target: target.to_string_lossy().into_owned(),
        });
    }
    let mut file = source.open()?;
    let size = file.metadata()?.len();
    *total = total.saturating_add(size);
    if size > MAX_FILE_BYTES || *total > MAX_TOTAL_BYTES {
        return Ok(Entry::File {
            executable: source.executable,
            content: ContentId::of_reader(file)?,
            size,
            bytes: None,
        });
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    Ok(Entry::file(source.executable, bytes))
}

fn unfit_detail(unfit: Unfit) -> Detail {
    Detail {
        at: unfit.path,
        rule: "D-ART-1".to_owned(),
        message: unfit.why,
        hint: None,
    }
}

impl Packed {
    /// Keeps the content below the artifacts of this machine, unless it is there.
    pub(super) fn keep(self, artifacts: &Path) -> io::Result<PathBuf> {
        Bundle::of(self.content, self.sources).keep(artifacts)
    }
}

impl Inner {
    /// Where a content is kept on this machine.
    pub(super) fn kept(&self, content: &ContentId) -> PathBuf {
        bundle::location(&self.config.dirs.artifacts(), content)
    }

    /// The files of a content as they are kept now, on this machine or where machines share it.
    pub(super) async fn open_kept(&self, content: &ContentId) -> Result<Packed, ApiError> {
        pack(&self.bring_bundle(content).await?)
    }
}
