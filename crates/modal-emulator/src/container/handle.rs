//! One container.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpStream;

use super::{ContainerEnd, ContainerError, ContainerSpec, Exec, Network, Process};

/// A running container. Dropping the last handle ends it as [`stop`](Self::stop) with no grace does.
#[derive(Debug)]
pub(crate) struct Container {
    dir: PathBuf,
    spec: ContainerSpec,
}

impl Container {
    pub(super) async fn start(
        dir: PathBuf,
        spec: ContainerSpec,
    ) -> Result<Arc<Self>, ContainerError> {
        tokio::task::yield_now().await;
        Ok(Arc::new(Self { dir, spec }))
    }

    /// The id of its specification.
    pub(crate) fn id(&self) -> &str {
        &self.spec.id
    }

    /// Starts a process. It runs on when the returned handle is dropped.
    pub(crate) async fn exec(&self, exec: Exec) -> Result<Arc<Process>, ContainerError> {
        drop(exec);
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Copies the writable layer, as it is at one moment, to `into`, which must not exist. A container
    /// whose layers are `into` and then those of this one begins where this one is now.
    pub(crate) async fn snapshot(&self, into: &Path) -> Result<(), ContainerError> {
        let _ = into;
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Moves the writable layer of a container that has ended to `into`: as `snapshot`, without a copy.
    pub(crate) async fn into_layer(&self, into: &Path) -> Result<(), ContainerError> {
        let _ = into;
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Copies a directory inside, as it is seen, to `into`, which must not exist: plain files, no layer.
    pub(crate) async fn snapshot_directory(
        &self,
        path: &str,
        into: &Path,
    ) -> Result<(), ContainerError> {
        let _ = (path, into);
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Shows a directory of the host at `path`, below a private writable layer: the host's does not change.
    pub(crate) async fn mount_directory(
        &self,
        path: &str,
        source: &Path,
    ) -> Result<(), ContainerError> {
        let _ = (path, source);
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Takes back what [`mount_directory`](Self::mount_directory) showed at `path`.
    pub(crate) async fn unmount_directory(&self, path: &str) -> Result<(), ContainerError> {
        let _ = path;
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Connects to a port of the container's own loopback.
    pub(crate) async fn connect(&self, port: u16) -> Result<TcpStream, ContainerError> {
        tokio::task::yield_now().await;
        Err(ContainerError::Refused { port })
    }

    /// Changes what of the network is reached, from now on.
    pub(crate) async fn set_network(&self, network: Network) -> Result<(), ContainerError> {
        drop(network);
        tokio::task::yield_now().await;
        Err(ContainerError::Gone)
    }

    /// Ends everything in it: SIGTERM to what was started by `exec`, and SIGKILL to everything after
    /// `grace`. Returns when no process and no mount is left.
    pub(crate) async fn stop(&self, grace: Duration) -> ContainerEnd {
        let _ = grace;
        tokio::task::yield_now().await;
        ContainerEnd::Stopped
    }

    /// Waits for its end.
    pub(crate) async fn wait(&self) -> ContainerEnd {
        tokio::task::yield_now().await;
        ContainerEnd::Stopped
    }

    /// Deletes what a container that has ended leaves in the state directory: its writable layer and logs.
    pub(crate) async fn remove_files(&self) -> Result<(), ContainerError> {
        tokio::task::yield_now().await;
        drop(std::fs::remove_dir_all(&self.dir));
        Ok(())
    }
}
