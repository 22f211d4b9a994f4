//! The stores behind the storage RPCs, as one part of the world.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::blobs::Blobs;
use super::content::Content;
use super::dicts::Dicts;
use super::images::Images;
use super::mounts::Mounts;
use super::queues::Queues;
use super::volumes::Volumes;
use super::{blobs, dicts, images, mounts, queues, volumes};
use crate::routes::Rpcs;
use crate::world::World;

/// How often abandoned objects are looked for.
const SWEEP: Duration = Duration::from_mins(1);

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    blobs::register(rpcs);
    mounts::register(rpcs);
    volumes::register(rpcs);
    dicts::register(rpcs);
    queues::register(rpcs);
    images::register(rpcs);
}

/// Blobs, file contents, mounts, volumes, dicts, queues, images.
#[derive(Debug)]
pub(crate) struct Storage {
    pub(crate) blobs: Blobs,
    pub(crate) content: Content,
    pub(crate) mounts: Mounts,
    pub(crate) volumes: Volumes,
    pub(crate) dicts: Dicts,
    pub(crate) queues: Queues,
    pub(crate) images: Images,
}

impl Storage {
    /// Opens all of them below the state directory.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            blobs: Blobs::open(dir)?,
            content: Content::open(dir)?,
            mounts: Mounts::open(dir)?,
            volumes: Volumes::open(dir)?,
            dicts: Dicts::open(dir)?,
            queues: Queues::open(dir)?,
            images: Images::open(dir)?,
        })
    }

    /// Starts the sweeper of what nobody uses any more.
    pub(crate) fn begin(world: &Arc<World>) {
        let (held, stop) = (Arc::downgrade(world), world.stop.clone());
        world.tasks.spawn(async move {
            while stop
                .run_until_cancelled(tokio::time::sleep(SWEEP))
                .await
                .is_some()
            {
                let Some(world) = held.upgrade() else { return };
                volumes::sweep(&world);
                dicts::sweep(&world);
                queues::sweep(&world);
            }
        });
    }

    /// An environment has another name, or (`None`) is gone with all that is in it.
    pub(crate) fn environment_changed(world: &World, old: &str, new: Option<&str>) {
        volumes::environment_changed(world, old, new);
        dicts::environment_changed(world, old, new);
        queues::environment_changed(world, old, new);
    }

    /// Writes what changed.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.mounts.flush()?;
        self.volumes.flush()?;
        self.dicts.flush()?;
        self.queues.flush()?;
        self.images.flush()
    }
}
