//! Where containers are made.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::{Container, ContainerError, ContainerSpec};

/// What a [`Runtime`] needs of the machine.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeOptions {
    /// Holds `containers/<id>/` and `base/`. Made when it is missing; best on a file system with space.
    pub(crate) state_dir: PathBuf,
    /// The binary `modal-sandbox-fs-tools`, or one whose `main` begins with
    /// [`helper_main`](moorline_sandbox_tools::helper_main).
    pub(crate) helper: PathBuf,
    /// Directories of the machine beside the usual ones of a system that are seen inside, at the same path:
    /// those of the Python interpreter (`sys.prefix`, `sys.base_prefix`), for one. Each has the container's
    /// writable layer above it.
    pub(crate) system: Vec<PathBuf>,
}

/// Makes containers below one state directory.
#[derive(Debug)]
pub(crate) struct Runtime {
    options: RuntimeOptions,
}

impl Runtime {
    /// Prepares the state directory.
    pub(crate) fn new(options: RuntimeOptions) -> io::Result<Self> {
        std::fs::create_dir_all(options.state_dir.join("containers"))?;
        Ok(Self { options })
    }

    /// Starts a container, with no process in it yet.
    pub(crate) async fn start(&self, spec: ContainerSpec) -> Result<Arc<Container>, ContainerError> {
        let dir = self.options.state_dir.join("containers").join(&spec.id);
        Container::start(dir, spec).await
    }
}
