//! The container runtime as a part of the world: opened with it, and asked for containers.
//!
//! An emulator whose machine has no helper or can build no containers still serves everything else; who
//! wants a container is told why there is none.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::container::{Container, ContainerError, ContainerSpec, Runtime, RuntimeOptions};
use crate::emulator::EmulatorOptions;

/// The runtime, or why there is none.
#[derive(Debug)]
pub(crate) struct Engine {
    runtime: Result<Runtime, String>,
}

impl Engine {
    /// Opens it below the state directory.
    pub(crate) fn open(dir: &Path, options: &EmulatorOptions) -> Self {
        let options = RuntimeOptions {
            state_dir: dir.to_owned(),
            helper: options.helper.clone(),
            system: python_dirs(&options.python),
        };
        let runtime = Runtime::new(&options);
        Self {
            runtime: runtime.map_err(|error| error.to_string()),
        }
    }

    /// Starts a container, with no process in it yet.
    pub(crate) async fn start(
        &self,
        spec: ContainerSpec,
    ) -> Result<Arc<Container>, ContainerError> {
        match &self.runtime {
            Ok(runtime) => runtime.start(spec).await,
            Err(reason) => Err(ContainerError::Build {
                reason: reason.clone(),
            }),
        }
    }
}

/// Where the files of an interpreter are: its environment, and the installation that that was made of.
fn python_dirs(python: &Path) -> Vec<PathBuf> {
    let Some(prefix) = python.parent().and_then(Path::parent) else {
        return Vec::new();
    };
    let mut dirs = vec![prefix.to_owned()];
    // PEP 405: an environment names the directory of the interpreter it was made with.
    let config = std::fs::read_to_string(prefix.join("pyvenv.cfg")).unwrap_or_default();
    let home = config.lines().find_map(|line| {
        let (key, value) = line.split_once('=')?;
        (key.trim() == "home").then(|| PathBuf::from(value.trim()))
    });
    dirs.extend(home.as_deref().and_then(Path::parent).map(Path::to_owned));
    dirs.retain(|dir| dir.is_absolute() && dir.is_dir() && dir.parent().is_some());
    dirs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_names_the_installation_that_it_was_made_of() {
        let dir = tempfile::tempdir().unwrap();
        let (venv, base) = (dir.path().join("venv"), dir.path().join("base"));
        std::fs::create_dir_all(venv.join("bin")).unwrap();
        std::fs::create_dir_all(base.join("bin")).unwrap();
        let config = format!("version = 3.11.7\nhome = {}\n", base.join("bin").display());
        std::fs::write(venv.join("pyvenv.cfg"), config).unwrap();
        assert_eq!(python_dirs(&venv.join("bin/python")), [venv, base]);
        assert_eq!(python_dirs(Path::new("python3")), <[PathBuf; 0]>::default());
    }
}
