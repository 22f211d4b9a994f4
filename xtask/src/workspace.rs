//! Where things are.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result};
use crate::shell::Shell;

/// The checkout that this command works on.
#[derive(Debug, Clone)]
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
}

impl Workspace {
    /// Asks cargo, which knows about `CARGO_TARGET_DIR` and the configuration files.
    pub(crate) fn locate() -> Result<Self> {
        let answer = Shell::cargo(Path::new(env!("CARGO_MANIFEST_DIR")))
            .args(["metadata", "--no-deps", "--format-version", "1"])
            .quiet()
            .capture()?;
        let json = |source| Error::Json {
            what: "cargo metadata".to_owned(),
            source,
        };
        let metadata: Value = serde_json::from_str(&answer).map_err(json)?;
        let path = |key: &str| {
            metadata
                .get(key)
                .and_then(Value::as_str)
                .map(PathBuf::from)
                .ok_or_else(|| {
                    Error::Refused(format!(
                        "`cargo metadata` has no `{key}`; is cargo current?"
                    ))
                })
        };
        Ok(Self {
            root: path("workspace_root")?,
            target: path("target_directory")?,
        })
    }

    /// The directory of the workspace's `Cargo.toml`.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The target directory.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// Where this command keeps programs that it installed itself. Worth a cache in CI.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Builds all there is, in the development profile: one build for tests and generators.
    pub(crate) fn build_everything(&self) -> Result {
        self.cargo()
            .args(["build", "--workspace", "--all-targets", "--all-features"])
            .run()
    }

    /// A cargo command in the root.
    pub(crate) fn cargo(&self) -> Shell {
        Shell::cargo(&self.root)
    }
}
