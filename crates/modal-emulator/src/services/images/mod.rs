//! Images.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tonic::Status;

use crate::world::World;

pub(crate) fn register(rpcs: &mut crate::routes::Rpcs<'_>) {
    let _ = rpcs;
}

/// All images.
#[derive(Debug)]
pub(crate) struct Images {
    dir: PathBuf,
}

/// What a container starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageRoot {
    /// Directories of changes, the newest first, over the machine's own root.
    pub(crate) layers: Vec<PathBuf>,
    /// `ENV`.
    pub(crate) env: BTreeMap<String, String>,
    /// `WORKDIR`.
    pub(crate) workdir: Option<String>,
    /// `CMD`; empty when there is none.
    pub(crate) cmd: Vec<String>,
    /// `ENTRYPOINT`; empty when there is none.
    pub(crate) entrypoint: Vec<String>,
}

impl Images {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let dir = dir.join("images");
        std::fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

/// What a container of the image starts from.
pub(crate) fn root(world: &World, image_id: &str) -> Result<ImageRoot, Status> {
    let _ = (&world.storage.images.dir, image_id);
    Ok(ImageRoot::default())
}

/// Makes an image of a layer (moved here) over another image, for snapshots.
pub(crate) fn adopt_layer(world: &World, layer: &Path, base: &str) -> Result<String, Status> {
    let _ = (&world.storage.images.dir, layer, base);
    Ok(crate::ids::new("im"))
}
