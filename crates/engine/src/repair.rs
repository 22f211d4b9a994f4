//! A failed run as the input of a run that repairs (`repair_source`).
//!
//! `moorline run repair --input failed=run:0198c2` gives the input `failed` as one JSON document: what the
//! run came to, what it was given, and what of it was archived. So a repair sees the very statement that the
//! extractor broke at, on every executor, and touches nothing of the run itself.
//!
//! ```json
//! {"version": 1,
//!  "summary": {"run_id": "0198…", "status": "failed", "failure": {"class": "validation", "reason": "…"}},
//!  "params": {},
//!  "inputs": [{"path": "statement/may.ofx", "size": 4711, "hash": "b3:…", "text": "OFXHEADER:100…"}],
//!  "archive": [{"path": "extract-1/transactions.jsonl", "size": 9, "hash": "b3:…", "text": "{}"}]}
//! ```
//!
//! A file has `text` when it is UTF-8, else `base64`, and neither when it is larger than [`MOST_FILE`] or the
//! document would be larger than [`MOST_DOCUMENT`]; `truncated` says so.
//!
//! What such a run leaves is a new artifact to be reviewed like any other: its success changes no source,
//! promotes nothing and enables nothing.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use moorline_api::ApiError;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::{ErrorCode, FailureClass, RunStatus};
use moorline_core::run::Run;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::engine::Inner;
use crate::error::{io_error, store_error};
use crate::export;

/// Bytes of one file that are given.
pub(crate) const MOST_FILE: u64 = 8 << 20;

/// Bytes of all files together that are given.
pub(crate) const MOST_DOCUMENT: u64 = 32 << 20;

/// How an input names a run instead of a file.
const PREFIX: &str = "run:";

/// Inputs that are all files, some of them written for this submission.
pub(crate) struct Staged {
    pub(crate) inputs: BTreeMap<String, PathBuf>,
    /// Held for its `Drop`.
    _written: Option<TempDir>,
}

impl Inner {
    /// Writes a document for every input that names a failed run.
    pub(crate) async fn stage_failed_runs(
        &self,
        asked: &BTreeMap<String, PathBuf>,
    ) -> Result<Staged, ApiError> {
        let mut inputs = asked.clone();
        let mut written = None;
        for (name, path) in &mut inputs {
            let Some(run) = path.to_str().and_then(|path| path.strip_prefix(PREFIX)) else {
                continue;
            };
            let run = self.must_get(self.find(run).await?).await?;
            let document = self.failed_run(&run).await?;
            // Below the state directory, which only its owner reads: it holds what the run was given.
            let failed = || io_error("write the failed run as an input");
            let place = match written.take() {
                Some(place) => place,
                None => tempfile::tempdir_in(self.config.dirs.root()).map_err(failed())?,
            };
            let file = place.path().join(format!("{name}-{}.json", run.id));
            fs::write(&file, document.to_string()).map_err(failed())?;
            *path = file;
            written = Some(place);
        }
        Ok(Staged {
            inputs,
            _written: written,
        })
    }

    /// What a repair is given of a run.
    async fn failed_run(&self, run: &Run) -> Result<Value, ApiError> {
        repairable(run)?;
        let summary = self.store.summary_get(run.id).await.map_err(store_error)?;
        let mut left = MOST_DOCUMENT;
        let mut inputs = Vec::new();
        for input in run.inputs.values() {
            inputs.extend(file(&input.source, &input.path, &mut left)?);
        }
        let archive = export::archive_dir(&self.config.dirs, run);
        let mut archived = Vec::new();
        for path in files_below(&archive).map_err(io_error("read the archive of the run"))? {
            let name = path.strip_prefix(&archive).unwrap_or(&path);
            archived.extend(file(&path, &name.to_string_lossy(), &mut left)?);
        }
        Ok(json!({
            "version": 1,
            "summary": summary,
            "params": run.params,
            "inputs": inputs,
            "archive": archived,
        }))
    }
}

/// A run that is over and failed, and whose files may be read.
fn repairable(run: &Run) -> Result<(), ApiError> {
    let refuse = |why: &str, hint: &str| {
        let message = format!("run {} is no input of a repair: {why} (D-RUN-7)", run.id);
        Err(ApiError::new(ErrorCode::Inputs, message).hint(hint))
    };
    if !run.status.is_terminal() {
        return refuse("it is not over", "wait for it with `moorline runs wait`");
    }
    if run.status == RunStatus::Success {
        return refuse(
            "it succeeded",
            "`moorline runs list --status failed` lists those that failed",
        );
    }
    if run.failure.as_ref().map(|failure| failure.class) == Some(FailureClass::Leak) {
        return refuse(
            "a secret was found in what it left",
            "that is only for the person who looks into the leak",
        );
    }
    Ok(())
}

/// One file of the document; none when it is not there any more.
fn file(source: &Path, path: &str, left: &mut u64) -> Result<Option<Value>, ApiError> {
    let failed = || io_error(format!("read {}", source.display()));
    let opened = match fs::File::open(source) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed())?,
    };
    let size = opened.metadata().map_err(failed())?.len();
    let hash = ContentId::of_reader(opened).map_err(failed())?;
    let mut entry = json!({"path": path, "size": size, "hash": hash});
    if size > MOST_FILE || size > *left {
        entry["truncated"] = json!(true);
        return Ok(Some(entry));
    }
    *left -= size;
    match String::from_utf8(fs::read(source).map_err(failed())?) {
        Ok(text) => entry["text"] = json!(text),
        Err(bytes) => entry["base64"] = json!(BASE64_STANDARD.encode(bytes.as_bytes())),
    }
    Ok(Some(entry))
}

/// Every file below a directory, by path; links are not followed.
fn files_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut pending = vec![dir.to_path_buf()];
    while let Some(dir) = pending.pop() {
        let entries = match fs::read_dir(&dir) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                pending.push(entry.path());
            } else if kind.is_file() {
                found.push(entry.path());
            }
        }
    }
    found.sort_unstable();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_given_as_text_or_bytes_as_long_as_there_is_room() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, bytes: &[u8]| {
            let path = dir.path().join(name);
            fs::write(&path, bytes).unwrap();
            path
        };
        let mut left = 6;
        let text = file(&write("a", b"abc"), "x/a", &mut left)
            .unwrap()
            .unwrap();
        let hash = ContentId::of_bytes(b"abc");
        assert_eq!(
            text,
            json!({"path": "x/a", "size": 3, "hash": hash, "text": "abc"})
        );
        let bytes = file(&write("b", &[255, 0]), "b", &mut left)
            .unwrap()
            .unwrap();
        assert_eq!(bytes["base64"], "/wA=");
        let large = file(&write("c", b"ab"), "c", &mut left).unwrap().unwrap();
        assert_eq!(
            (large["truncated"].clone(), large.get("text")),
            (json!(true), None)
        );
        assert_eq!(
            file(&dir.path().join("none"), "none", &mut left).unwrap(),
            None
        );
    }
}
