//! Sandboxes: containers that run one process, commands beside it, and what surrounds them.
//!
//! * [`Sandboxes::create`] makes one from a [`SandboxSpec`] by a single call. [`Sandbox`] is its handle:
//!   standard streams by offset, end, tags, tunnels, snapshots, network.
//! * [`Sandbox::exec`] runs a command in it, once, however often the call is repeated; [`Process`] is its
//!   handle and can be found again by its id.
//! * [`Sandbox::fs`] reads and writes its files through the tool that Modal has in every sandbox.
//! * What the second API can not do (GPUs) goes through the first, by the same handle.
//!
//! ```no_run
//! use futures::TryStreamExt as _;
//! use moorline_modal_client::images::{BuildOptions, ImageDefinition};
//! use moorline_modal_client::sandbox::SandboxSpec;
//! use moorline_modal_client::{Client, Config, Existence, Result};
//!
//! #[tokio::main]
//! async fn main() -> Result<()> {
//!     let client = Client::new(Config::from_process_env()?)?;
//!     let app = client.apps().lookup("example", None, Existence::CreateIfMissing).await?;
//!     let python = ImageDefinition::from_registry("python:3.12-slim")?;
//!     let image = client.images().build(&app.id, &python, &BuildOptions::default()).await?;
//!     let command = ["python", "-uc", "for i in range(3): print('line', i)"];
//!     let spec = SandboxSpec::new(&app.id, &image.id).command(command);
//!     let sandbox = client.sandboxes().create(&spec).await?;
//!     let mut lines = std::pin::pin!(sandbox.stdout().await?.lines());
//!     while let Some(line) = lines.try_next().await? {
//!         println!("{line}");
//!     }
//!     println!("the sandbox {}", sandbox.wait().await?);
//!     sandbox.terminate().await
//! }
//! ```
//!
//! Deliberately absent: sidecar containers, persistent sandboxes, cloud bucket mounts, network file systems,
//! and policies that write secrets into requests.

mod collection;
mod definition;
mod egress;
mod exec;
mod fs;
mod fs_wire;
mod handle;
mod network;
mod outcome;
mod rpc;
mod secret;
mod snapshot;
mod spec;
mod stdin;
mod v1;

pub use collection::{SandboxFilter, SandboxInfo, Sandboxes};
pub use definition::MAX_COMMAND;
pub use egress::Egress;
pub use exec::{ExecSpec, Process, Pty};
pub use fs::{Filesystem, Watch};
pub use fs_wire::{FileInfo, FileKind, WatchEvent, WatchKind};
pub use handle::{SCHEDULING_TIMEOUT, Sandbox};
pub use network::{ConnectToken, Tunnel};
pub use outcome::{ExecExit, Outcome};
pub use secret::SecretRef;
pub use spec::{Gpu, Port, Probe, Resources, SandboxSpec, VolumeAt};
pub use stdin::Stdin;

pub use crate::router::{Chunk, CommandRouter, Output};

/// Which of Modal's sandbox APIs a sandbox is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// The first, which has GPUs.
    V1,
    /// The second.
    V2,
}

impl Api {
    /// The shape of the id tells: `sb-` and 22 letters or digits is the first, every other the second.
    pub(crate) fn of_id(sandbox_id: &str) -> Self {
        let first = sandbox_id.strip_prefix("sb-").is_some_and(|rest| {
            rest.len() == 22 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric())
        });
        if first { Self::V1 } else { Self::V2 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shape_of_an_id_tells_its_api() {
        assert_eq!(Api::of_id("sb-0123456789abcdefABCDEF"), Api::V1);
        for id in [
            "sb-0123456789abcdefABCDE",
            "sb-0123456789abcdefABCDEFG",
            "sb-0123456789abcdefABCDE-",
            "x",
        ] {
            assert_eq!(Api::of_id(id), Api::V2, "{id}");
        }
    }
}
