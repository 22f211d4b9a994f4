//! From the message that defines a layer to what the builder is told, and to the hash of the definition.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_modal_proto::client::{
    DeploymentNamespace, Image as Definition, ImageGetOrCreateRequest,
};
use prost::Message as _;
use sha2::{Digest as _, Sha256};
use tonic::Status;

use super::build::{Base, Order};
use super::dockerfile;
use super::function;
use crate::container::Mount;
use crate::services::content::hex;
use crate::services::{mounts, secrets, volumes};
use crate::world::World;

/// What a request asks for, checked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) definition: Definition,
    /// Hash of everything that decides what comes out, in hexadecimal.
    pub(super) key: String,
    bases: BTreeMap<String, Base>,
    env: BTreeMap<String, String>,
    is_modals: bool,
}

/// Checks a request, and looks up what it names.
pub(super) fn read(world: &World, request: &ImageGetOrCreateRequest) -> Result<Asked, Status> {
    let missing = || Status::invalid_argument("the request has no image");
    let definition = request.image.clone().ok_or_else(missing)?;
    let mut bases = BTreeMap::new();
    for base in &definition.base_images {
        let image = super::built(world, &base.image_id)?;
        let base_of = Base {
            layers: image.layers,
            config: image.config,
            reference: image.reference,
        };
        bases.insert(base.docker_tag.clone(), base_of);
    }
    let env = secrets::env(world, &definition.secret_ids)?;
    if let Some(registry) = &definition.image_registry_config
        && !registry.secret_id.is_empty()
    {
        secrets::env(world, std::slice::from_ref(&registry.secret_id))?;
    }
    let is_modals = request.namespace() == DeploymentNamespace::Global;
    let key = key(world, request, &definition, &env)?;
    Ok(Asked {
        definition,
        key,
        bases,
        env,
        is_modals,
    })
}

/// The hash of a definition. Ids that change from run to run are replaced by what they stand for: a mount
/// by its checksum, secrets by the names of their variables. (Their values are in no file, not even
/// hashed: a build does not run again because one changed.)
fn key(
    world: &World,
    request: &ImageGetOrCreateRequest,
    definition: &Definition,
    env: &BTreeMap<String, String>,
) -> Result<String, Status> {
    let mut plain = definition.clone();
    if !plain.context_mount_id.is_empty() {
        plain.context_mount_id = mounts::checksum_of(world, &plain.context_mount_id)?;
    }
    plain.secret_ids = env.keys().cloned().collect();
    // Maps are encoded in no order.
    let mut args: Vec<(String, String)> =
        std::mem::take(&mut plain.build_args).into_iter().collect();
    args.sort();
    if let Some(registry) = &mut plain.image_registry_config {
        registry.secret_id = String::new();
    }
    let mut hasher = Sha256::new();
    for part in [&plain.encode_to_vec(), request.builder_version.as_bytes()] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    for (name, value) in args {
        for part in [name, value] {
            hasher.update((part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
    }
    hasher.update([u8::from(request.namespace() == DeploymentNamespace::Global)]);
    Ok(hex(&hasher.finalize()))
}

impl Asked {
    /// What is to be run, when a function makes the layer.
    pub(super) fn function(&self, function_id: &str) -> Result<Option<function::Order>, Status> {
        let Some(build) = &self.definition.build_function else {
            return Ok(None);
        };
        let base = self.definition.base_images.first();
        let base = base.and_then(|base| self.bases.get(&base.docker_tag));
        let missing = || Status::invalid_argument("a function that builds needs a base image");
        Ok(Some(function::Order {
            function_id: function_id.to_owned(),
            input: build.input.clone(),
            base: base.cloned().ok_or_else(missing)?,
        }))
    }

    /// The builder's order.
    pub(super) fn order(
        self,
        world: &Arc<World>,
        image_id: &str,
        app_id: &str,
        task_id: &str,
    ) -> Result<Order, Status> {
        let text = self.definition.dockerfile_commands.join("\n");
        let steps = dockerfile::parse(&text)
            .map_err(|error| Status::invalid_argument(error.to_string()))?;
        let (context, adds_python) = match self.definition.context_mount_id.as_str() {
            "" => (None, false),
            id if mounts::is_modals(world, id)? => (None, true),
            id => (Some(mounts::files(world, id)?), false),
        };
        let mut volumes_at = Vec::new();
        for volume in &self.definition.volume_mounts {
            volumes_at.push(Mount {
                source: volumes::subdirectory(world, &volume.volume_id, volume.sub_path())?,
                target: volume.mount_path.clone(),
                read_only: volume.read_only,
            });
        }
        Ok(Order {
            image_id: image_id.to_owned(),
            app_id: app_id.to_owned(),
            task_id: task_id.to_owned(),
            steps,
            bases: self.bases,
            context,
            context_files: self.definition.context_files,
            env: self.env,
            args: self.definition.build_args.into_iter().collect(),
            mounts: volumes_at,
            is_modals: self.is_modals,
            adds_python,
            ground: super::ground(world),
        })
    }
}
