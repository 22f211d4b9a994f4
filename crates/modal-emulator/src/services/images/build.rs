//! One build: the steps of a layer, carried out in containers of this machine.
//!
//! A stage is what a FROM begins. Its container is started when the first step needs one, so that an image
//! of names and variables alone costs nothing; what the container changed becomes a layer.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use moorline_modal_proto::client::{FileDescriptor, ImageContextFile};
use tonic::Status;

use super::config::{Config, Reference};
use super::copy::CONTEXT;
use super::dockerfile::{Instruction, Step};
use super::log::BuildLog;
use super::words::expand;
use crate::container::{Container, ContainerSpec, Mount, Network};
use crate::ids;
use crate::services::apps::{self, Line};
use crate::world::World;

/// Where stages hand files to each other.
pub(super) const EXCHANGE: &str = "/__modal/build/exchange";

/// What is to be built.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) image_id: String,
    /// In whose log the build writes, as this task.
    pub(super) app_id: String,
    pub(super) task_id: String,
    pub(super) steps: Vec<Step>,
    /// What FROM may name, beside registries.
    pub(super) bases: BTreeMap<String, Base>,
    /// What COPY reads from: an existing directory.
    pub(super) context: Option<PathBuf>,
    pub(super) context_files: Vec<ImageContextFile>,
    /// Values of secrets.
    pub(super) env: BTreeMap<String, String>,
    /// Values of ARGs.
    pub(super) args: BTreeMap<String, String>,
    /// Volumes.
    pub(super) mounts: Vec<Mount>,
    /// An image of Modal's own: what it installs, this machine has.
    pub(super) is_modals: bool,
    /// The context is a Python build of Modal's.
    pub(super) adds_python: bool,
    /// What a registry's image begins with.
    pub(super) ground: Config,
}

/// An image to build upon.
#[derive(Debug, Clone, Default)]
pub(super) struct Base {
    /// Names of directories of the image store, the newest first.
    pub(super) layers: Vec<String>,
    pub(super) config: Config,
    pub(super) reference: Option<Reference>,
}

/// Why a build ended without an image.
#[derive(Debug)]
pub(super) enum Failure {
    /// For the user: a step failed.
    Step(String),
    /// The emulator stops.
    Stopped,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        Self::Step(status.message().to_owned())
    }
}

/// Carries an order out.
#[derive(Debug)]
pub(super) struct Builder {
    pub(super) world: Arc<World>,
    pub(super) order: Order,
    log: Arc<BuildLog>,
    /// Holds the context files and what stages exchange.
    pub(super) scratch: tempfile::TempDir,
    pub(super) stages: Vec<Stage>,
    /// ARGs before the first FROM.
    global: BTreeMap<String, String>,
    /// An `apt-get update` that no line needed so far.
    pub(super) update_is_due: bool,
}

/// What a FROM begins.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) name: Option<String>,
    pub(super) base: Base,
    args: BTreeMap<String, String>,
    container: Option<Arc<Container>>,
}

impl Builder {
    pub(super) fn new(
        world: Arc<World>,
        order: Order,
        log: Arc<BuildLog>,
    ) -> std::io::Result<Self> {
        let scratch = tempfile::Builder::new()
            .prefix("build-")
            .tempdir_in(&world.storage.images.dir)?;
        std::fs::create_dir(scratch.path().join("exchange"))?;
        let files = scratch.path().join("files");
        std::fs::create_dir(&files)?;
        for file in &order.context_files {
            let Ok(name) = super::super::mounts::inside(&file.filename) else {
                continue;
            };
            let path = files.join(name);
            if let Some(parent) = path.parent() {
                std::fs::create_dir_all(parent)?;
            }
            std::fs::write(path, &file.data)?;
        }
        Ok(Self {
            world,
            order,
            log,
            scratch,
            stages: Vec::new(),
            global: BTreeMap::new(),
            update_is_due: false,
        })
    }

    /// Builds. Whatever comes of it, no container and no file is left but the image's layers.
    pub(super) async fn build(mut self) -> Result<Base, Failure> {
        let world = Arc::clone(&self.world);
        let built = world.stop.run_until_cancelled(self.run()).await;
        let built = built.unwrap_or(Err(Failure::Stopped));
        for stage in &mut self.stages {
            if let Some(container) = stage.container.take() {
                container.stop(Duration::ZERO).await;
                if let Err(error) = container.remove_files() {
                    tracing::warn!(%error, "files of a build were left");
                }
            }
        }
        built
    }

    pub(super) fn say(&self, text: &str) {
        self.write(text, FileDescriptor::Stdout);
    }

    pub(super) fn write(&self, text: &str, descriptor: FileDescriptor) {
        self.log.write(text, descriptor);
        if !self.order.app_id.is_empty() {
            let line = Line {
                app_id: self.order.app_id.clone(),
                task_id: self.order.task_id.clone(),
                image_id: Some(self.order.image_id.clone()),
                fd: descriptor.into(),
                data: Bytes::copy_from_slice(text.as_bytes()),
                ..Line::default()
            };
            apps::log(&self.world, line);
        }
    }

    async fn run(&mut self) -> Result<Base, Failure> {
        let steps = std::mem::take(&mut self.order.steps);
        for (number, step) in steps.iter().enumerate() {
            self.say(&format!("=> Step {number}: {}\n", step.text));
            self.step(&step.instruction, &step.text).await?;
        }
        let Some(mut last) = self.stages.pop() else {
            return Err(Failure::Step("the Dockerfile has no FROM".to_owned()));
        };
        self.seal(&mut last).await?;
        self.say(&format!("Built image {}\n", self.order.image_id));
        Ok(last.base)
    }

    /// Makes a layer of what the stage's container changed.
    async fn seal(&self, stage: &mut Stage) -> Result<(), Failure> {
        let Some(container) = stage.container.take() else {
            return Ok(());
        };
        container.stop(Duration::ZERO).await;
        let name = ids::new("layer");
        let taken = container.into_layer(&self.world.storage.images.dir.join(&name));
        let removed = container.remove_files();
        taken
            .and(removed)
            .map_err(|error| Failure::Step(super::told(&error)))?;
        stage.base.layers.insert(0, name);
        Ok(())
    }

    pub(super) fn stage(&mut self) -> Result<&mut Stage, Failure> {
        let missing = || Failure::Step("the Dockerfile must begin with FROM".to_owned());
        self.stages.last_mut().ok_or_else(missing)
    }

    async fn step(&mut self, instruction: &Instruction, text: &str) -> Result<(), Failure> {
        match instruction {
            Instruction::From { image, name } => self.from(image, name.clone()).await?,
            Instruction::Arg { name, default } => self.arg(name, default.as_deref()),
            Instruction::Run(command) => self.run_step(command, text).await?,
            Instruction::Copy {
                from,
                chmod,
                sources,
                target,
            } => {
                self.copy_step(from.as_deref(), chmod.as_deref(), sources, target)
                    .await?;
            }
            Instruction::Env(pairs) => {
                let stage = self.stage()?;
                let known = stage.variables();
                for (name, value) in pairs {
                    stage
                        .base
                        .config
                        .env
                        .insert(expand(name, &known), expand(value, &known));
                }
            }
            Instruction::Workdir(dir) => {
                let stage = self.stage()?;
                let dir = expand(dir, &stage.variables());
                let dir = stage.base.config.below(&dir);
                stage.base.config.workdir = Some(dir);
            }
            Instruction::User(user) => {
                let stage = self.stage()?;
                let user = expand(user, &stage.variables());
                stage.base.config.user = Some(user);
            }
            Instruction::Cmd(command) => {
                let config = &mut self.stage()?.base.config;
                config.cmd = config.argv(command);
            }
            Instruction::Entrypoint(command) => {
                let config = &mut self.stage()?.base.config;
                config.entrypoint = config.argv(command);
                // As in a real builder: the command of a base is not that of another entrypoint.
                config.cmd.clear();
            }
            Instruction::Shell(argv) => self.stage()?.base.config.shell = Some(argv.clone()),
            Instruction::Noted => {
                self.stage()?;
            }
        }
        Ok(())
    }

    async fn from(&mut self, image: &str, name: Option<String>) -> Result<(), Failure> {
        let image = expand(image, &self.global);
        let earlier = self.stages.iter().position(|stage| {
            stage
                .name
                .as_deref()
                .is_some_and(|name| name.eq_ignore_ascii_case(&image))
        });
        let base = if let Some(at) = earlier {
            let mut stage = self.stages.remove(at);
            self.seal(&mut stage).await?;
            let base = stage.base.clone();
            self.stages.insert(at, stage);
            base
        } else if let Some(base) = self.order.bases.get(&image) {
            base.clone()
        } else {
            let reference = Reference::parse(&image).map_err(Failure::Step)?;
            if let Some(digest) = &reference.digest {
                self.say(&format!("{} is pinned to {digest}\n", reference.name));
            }
            Base {
                layers: Vec::new(),
                config: self.order.ground.clone(),
                reference: Some(reference),
            }
        };
        self.stages.push(Stage {
            name,
            base,
            args: BTreeMap::new(),
            container: None,
        });
        Ok(())
    }

    fn arg(&mut self, name: &str, default: Option<&str>) {
        let given = self.order.args.get(name).cloned();
        if let Some(stage) = self.stages.last_mut() {
            let known = stage.variables();
            let value = given
                .or_else(|| default.map(|default| expand(default, &known)))
                .or_else(|| self.global.get(name).cloned());
            stage
                .args
                .extend(value.map(|value| (name.to_owned(), value)));
        } else {
            let value = given.or_else(|| default.map(|default| expand(default, &self.global)));
            self.global
                .extend(value.map(|value| (name.to_owned(), value)));
        }
    }

    /// The container of the current stage.
    pub(super) async fn container(&mut self) -> Result<Arc<Container>, Failure> {
        if let Some(container) = &self.stage()?.container {
            return Ok(Arc::clone(container));
        }
        let store = self.world.storage.images.dir.clone();
        let mut mounts = vec![Mount {
            source: self.scratch.path().join("exchange"),
            target: EXCHANGE.to_owned(),
            read_only: false,
        }];
        if let Some(context) = &self.order.context {
            mounts.push(Mount {
                source: context.clone(),
                target: CONTEXT.to_owned(),
                read_only: true,
            });
        }
        mounts.push(Mount {
            source: self.scratch.path().join("files"),
            target: format!("{CONTEXT}-files"),
            read_only: true,
        });
        mounts.extend(self.order.mounts.iter().cloned());
        let stage = self.stage()?;
        let layers = stage
            .base
            .layers
            .iter()
            .map(|layer| store.join(layer))
            .collect();
        let spec = ContainerSpec {
            id: ids::new("build"),
            layers,
            mounts,
            network: Network::Open,
            ..ContainerSpec::default()
        };
        let started = self.world.runtime.start(spec).await;
        let container = started.map_err(|error| Failure::Step(super::told(&error)))?;
        self.stage()?.container = Some(Arc::clone(&container));
        Ok(container)
    }
}

impl Stage {
    /// What a `$name` may mean: variables of the image before arguments.
    pub(super) fn variables(&self) -> BTreeMap<String, String> {
        let mut all = self.args.clone();
        all.extend(self.base.config.env.clone());
        all
    }
}
