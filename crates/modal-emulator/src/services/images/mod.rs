//! Images: what containers start from.
//!
//! There is no container engine: every image is this machine's own root file system below the layers that
//! its builds made. A `FROM` of a registry is recorded and brings nothing; RUN and COPY are carried out for
//! real, in containers, and what they change becomes a layer. docs/emulator.md says what follows from that.
//!
//! An image's id is made of the hash of its definition, so that the same definition is the same image.

mod build;
mod config;
mod copy;
mod copying;
mod dockerfile;
mod function;
mod log;
mod names;
mod order;
mod recipe;
mod rpc;
mod run;
mod words;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use tonic::Status;

use self::build::Base;
use self::config::{Config, Reference};
use self::log::BuildLog;
use super::named::now;
use crate::container::ContainerError;
use crate::ids;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::world::World;

/// Where programs are looked for.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("ImageGetOrCreate", rpc::get_or_create);
    rpcs.stream("ImageJoinStreaming", rpc::join);
    rpcs.read("ImageFromId", rpc::from_id);
    rpcs.write("ImageDelete", rpc::delete);
    rpcs.read("ImageBuildChainGet", rpc::chain);
    rpcs.write("ImagePublish", names::publish);
    rpcs.read("ImageGetByTag", names::get_by_tag);
    rpcs.read("ImageListTags", names::list_tags);
    rpcs.read("ImageTagRevisions", names::revisions);
    rpcs.write("ImageNameDelete", names::delete);
}

/// Images, with their layers in `DIR/images/<layer>`.
#[derive(Debug)]
pub(crate) struct Images {
    dir: PathBuf,
    state: Kept<State>,
    /// Logs of the builds of this run, by image.
    logs: Mutex<HashMap<String, Arc<BuildLog>>>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct State {
    images: BTreeMap<String, Image>,
    /// Hash of a definition to the image that it last made.
    cache: BTreeMap<String, String>,
    names: Vec<names::Name>,
}

/// One image.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Image {
    /// Names of directories, its own and those of its bases, the newest first.
    layers: Vec<String>,
    /// The image that it was built upon.
    base: Option<String>,
    config: Config,
    /// The registry's image at the bottom.
    reference: Option<Reference>,
    /// How the registry was to be spoken to, and the secret for it.
    registry: Option<Registry>,
    builder_version: String,
    outcome: Outcome,
    app_id: String,
    /// In whose name the build wrote its log.
    task_id: String,
    started_at: f64,
    finished_at: f64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Registry {
    /// A `RegistryAuthType`.
    auth: i32,
    secret_id: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Outcome {
    Building,
    Built,
    /// With the reason.
    Failed(String),
    /// The emulator stopped meanwhile.
    Interrupted,
}

/// What a container starts from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ImageRoot {
    /// Layers, the newest first, over the machine's own root.
    pub(crate) layers: Vec<PathBuf>,
    /// `ENV`, and a `PATH`.
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
        let state: Kept<State> = Kept::open(dir, "images")?;
        let dir = dir.join("images");
        fs::create_dir_all(&dir)?;
        for image in state.write().images.values_mut() {
            if image.outcome == Outcome::Building {
                image.outcome = Outcome::Interrupted;
            }
        }
        let images = Self {
            dir,
            state,
            logs: Mutex::default(),
        };
        images.remove_unused()?;
        Ok(images)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.state.flush()
    }

    /// Removes the layers of no image. Only while no container runs: one may stand on them.
    fn remove_unused(&self) -> io::Result<()> {
        let state = self.state.read();
        let used: HashSet<&str> = state
            .images
            .values()
            .flat_map(|image| &image.layers)
            .map(String::as_str)
            .collect();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if !used.contains(&*entry.file_name().to_string_lossy()) {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    fn logs(&self) -> MutexGuard<'_, HashMap<String, Arc<BuildLog>>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, id: &str) -> Option<Arc<BuildLog>> {
        self.logs().get(id).cloned()
    }
}

/// The refusal for an id that no image has, in the words that the SDKs look for.
fn unknown(id: &str) -> Status {
    Status::not_found(format!("Could not find image with ID {id}"))
}

/// A built image.
fn built(world: &World, id: &str) -> Result<Image, Status> {
    let state = world.storage.images.state.read();
    let image = state.images.get(id).ok_or_else(|| unknown(id))?;
    match &image.outcome {
        Outcome::Built => Ok(image.clone()),
        Outcome::Building => Err(Status::failed_precondition(format!(
            "Image {id} is still being built"
        ))),
        Outcome::Failed(_) | Outcome::Interrupted => Err(Status::failed_precondition(format!(
            "the build of image {id} failed"
        ))),
    }
}

/// What a container of the image starts from.
///
/// # Errors
/// `NOT_FOUND` for an unknown id; `FAILED_PRECONDITION` for an image that is not built.
pub(crate) fn root(world: &World, image_id: &str) -> Result<ImageRoot, Status> {
    let image = built(world, image_id)?;
    let dir = &world.storage.images.dir;
    let mut env = ground(world).env;
    env.extend(image.config.env);
    Ok(ImageRoot {
        layers: image.layers.iter().map(|layer| dir.join(layer)).collect(),
        env,
        workdir: image.config.workdir,
        cmd: image.config.cmd,
        entrypoint: image.config.entrypoint,
    })
}

/// What every image begins with: a `PATH` on which the configured Python comes first.
fn ground(world: &World) -> Config {
    let python = world
        .options
        .python
        .parent()
        .filter(|dir| dir.is_absolute());
    let path = match python {
        Some(dir) => format!("{}:{PATH}", dir.display()),
        None => PATH.to_owned(),
    };
    Config {
        env: BTreeMap::from([("PATH".to_owned(), path)]),
        ..Config::default()
    }
}

/// Makes an image of a layer over another image. The directory is moved; it is one that a container's
/// `snapshot` or `into_layer` made. Without a base (an empty id) it lies over the machine's root alone.
///
/// # Errors
/// Those of [`root`] for the base; `FAILED_PRECONDITION` when the directory can not be moved.
pub(crate) fn adopt_layer(world: &World, layer: &Path, base: &str) -> Result<String, Status> {
    let images = &world.storage.images;
    let name = ids::new("layer");
    let mut image = match base {
        "" => image_of(Base {
            config: ground(world),
            ..Base::default()
        }),
        base => Image {
            base: Some(base.to_owned()),
            ..built(world, base)?
        },
    };
    fs::rename(layer, images.dir.join(&name)).map_err(|error| {
        Status::failed_precondition(format!("the snapshot can not be kept: {error}"))
    })?;
    image.layers.insert(0, name);
    let id = ids::new("im");
    images.state.write().images.insert(id.clone(), image);
    Ok(id)
}

/// A built image that no RPC asked for.
fn image_of(base: Base) -> Image {
    Image {
        layers: base.layers,
        base: None,
        config: base.config,
        reference: base.reference,
        registry: None,
        builder_version: String::new(),
        outcome: Outcome::Built,
        app_id: String::new(),
        task_id: String::new(),
        started_at: now(),
        finished_at: now(),
    }
}

/// What a container's refusal says, with its cause.
fn told(error: &ContainerError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
