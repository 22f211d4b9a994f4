//! What the whole-system tests share. The tests themselves are the binary `tests/system`.

use std::fs;
use std::path::{Path, PathBuf};

use moorline_testkit::moorline::{Moorline, Output};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The root of the repository.
pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .map_or_else(PathBuf::new, Path::to_path_buf)
}

/// A job directory of a test's own.
#[derive(Debug)]
pub struct Job {
    dir: TempDir,
}

impl Job {
    /// A job with this spec; `job_id` is `test` unless the spec says otherwise.
    #[expect(clippy::expect_used, reason = "a test can not go on without its job")]
    pub fn new(mut spec: Value) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the job");
        if spec.get("job_id").is_none() {
            spec["job_id"] = json!("test");
        }
        fs::write(dir.path().join("job_spec.json"), spec.to_string()).expect("write the spec");
        Self { dir }
    }

    /// A job of one step that runs `script` in a shell, with further members of the step.
    pub fn shell(script: &str, step: Value) -> Self {
        let mut merged = json!({"name": "main", "argv": ["/bin/sh", "-c", script]});
        if let (Some(merged), Value::Object(step)) = (merged.as_object_mut(), step) {
            merged.extend(step);
        }
        Self::new(json!({"steps": [merged]}))
    }

    /// Adds a file.
    #[must_use]
    #[expect(clippy::expect_used, reason = "a test can not go on without its job")]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.dir.path().join(name), content).expect("write a file of the job");
        self
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }
}

/// Runs a job to its end with `--json` and further arguments; its output, and the summary it printed.
#[expect(
    clippy::expect_used,
    reason = "a test can not go on without the output"
)]
pub fn run(moorline: &Moorline, job: &Path, arguments: &[&str]) -> (Output, Value) {
    let mut all = vec!["run", job.to_str().expect("a UTF-8 path"), "--json"];
    all.extend(arguments);
    let output = moorline.run(&all).expect("run the job");
    let document = output
        .json()
        .unwrap_or_else(|error| json!({"no_json": error.to_string()}));
    (output, document)
}
