//! Where containers are made.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use moorline_sandbox_tools::base::{self, System};

use super::{Container, ContainerError, ContainerSpec};

/// The host name of every container, as Modal's.
pub(super) const HOSTNAME: &str = "modal";

/// What a [`Runtime`] needs of the machine.
#[derive(Debug, Clone)]
pub(crate) struct RuntimeOptions {
    /// Holds `containers/<id>/` and `base/`, and must be one runtime's alone. Made when it is missing; best
    /// on a file system with space. It may not be in a directory that containers see.
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
    helper: PathBuf,
    containers: PathBuf,
    base: PathBuf,
    system: System,
}

impl Runtime {
    /// Prepares the state directory.
    ///
    /// # Errors
    /// Those of the file system, and when a directory of `system` or the helper is missing.
    pub(crate) fn new(options: &RuntimeOptions) -> io::Result<Self> {
        let told = |path: &Path, error: &io::Error| {
            io::Error::new(error.kind(), format!("`{}`: {error}", path.display()))
        };
        let state = &options.state_dir;
        let containers = state.join("containers");
        fs::create_dir_all(&containers).map_err(|error| told(&containers, &error))?;
        let state = fs::canonicalize(state).map_err(|error| told(state, &error))?;
        let helper =
            fs::canonicalize(&options.helper).map_err(|error| told(&options.helper, &error))?;
        // What containers write may be set-uid; other users of the machine shall not come near it.
        fs::set_permissions(&state, fs::Permissions::from_mode(0o700))?;
        let system = System::new(&options.system)?;
        if let Some(holding) = system.holding(&state) {
            let why = format!(
                "the state directory `{}` is in `{}`, which containers see; choose one elsewhere",
                state.display(),
                holding.display()
            );
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let base = state.join("base");
        let new = state.join("base.new");
        for old in [&new, &base] {
            match fs::remove_dir_all(old) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(told(old, &error));
                }
                _ => {}
            }
        }
        base::build(&new, &system, HOSTNAME)?;
        fs::rename(&new, &base).map_err(|error| told(&base, &error))?;
        Ok(Self {
            helper,
            containers: state.join("containers"),
            base,
            system,
        })
    }

    /// Starts a container, with no process in it yet.
    pub(crate) async fn start(
        &self,
        spec: ContainerSpec,
    ) -> Result<Arc<Container>, ContainerError> {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if spec.id.is_empty() || !spec.id.bytes().all(is_plain) {
            return Err(ContainerError::Invalid {
                what: format!("the container's id `{}`", spec.id),
                why: "it must be of letters, digits, `-` and `_`".to_owned(),
            });
        }
        let place = Place {
            dir: self.containers.join(&spec.id),
            base: self.base.clone(),
            helper: self.helper.clone(),
            system: self.system.directories().to_vec(),
        };
        Container::start(place, spec).await
    }
}

/// What the runtime gives every container.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) dir: PathBuf,
    pub(super) base: PathBuf,
    pub(super) helper: PathBuf,
    pub(super) system: Vec<PathBuf>,
}
