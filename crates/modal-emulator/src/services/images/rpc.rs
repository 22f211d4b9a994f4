//! The RPCs of images, but for their published names.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{
    FileDescriptor, GenericResult, ImageBuildChainGetRequest, ImageBuildChainGetResponse,
    ImageBuildStep, ImageDeleteRequest, ImageFromIdRequest, ImageFromIdResponse,
    ImageGetOrCreateRequest, ImageGetOrCreateResponse, ImageJoinStreamingRequest,
    ImageJoinStreamingResponse, ImageMetadata,
};
use tonic::Status;

use super::build::{Base, Builder, Failure, Order};
use super::log::BuildLog;
use super::{Image, Outcome, Registry, State, function, image_of, order, unknown};
use crate::call::Call;
use crate::clock;
use crate::ids;
use crate::routes::Answers;
use crate::world::World;

/// A stream is never held longer, in seconds. Callers ask for 55.
const HOLD_SECS: f32 = 60.0;

/// An id made of a hash: letters and digits, as every other.
fn id_of(key: &str) -> String {
    const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut number =
        u128::from_str_radix(key.get(..32).unwrap_or_default(), 16).unwrap_or_default();
    let mut id = String::from("im-");
    for _ in 0..22 {
        let digit = usize::try_from(number % 62).unwrap_or_default();
        id.push(char::from(DIGITS.get(digit).copied().unwrap_or(b'0')));
        number /= 62;
    }
    id
}

fn metadata(image: &Image) -> ImageMetadata {
    ImageMetadata {
        workdir: image.config.workdir.clone(),
        image_builder_version: Some(image.builder_version.clone())
            .filter(|version| !version.is_empty()),
        ..ImageMetadata::default()
    }
}

fn result(outcome: &Outcome) -> Option<GenericResult> {
    let (status, exception) = match outcome {
        Outcome::Building => return None,
        Outcome::Built => (GenericStatus::Success, String::new()),
        Outcome::Failed(reason) => (GenericStatus::Failure, reason.clone()),
        Outcome::Interrupted => (GenericStatus::Terminated, "the emulator stopped".to_owned()),
    };
    Some(GenericResult {
        status: status.into(),
        exception,
        ..GenericResult::default()
    })
}

pub(super) async fn get_or_create(
    world: Arc<World>,
    call: Call<ImageGetOrCreateRequest>,
) -> Result<ImageGetOrCreateResponse, Status> {
    let request = call.message;
    let asked = order::read(&world, &request)?;
    let images = &world.storage.images;
    let is_new = request.force_build || request.ignore_cache;
    let known = |state: &State, key: &str| {
        let id = state.cache.get(key).filter(|_| !is_new)?;
        let image = state.images.get(id)?;
        let is_good = matches!(image.outcome, Outcome::Built | Outcome::Building);
        is_good.then(|| ImageGetOrCreateResponse {
            image_id: id.clone(),
            result: result(&image.outcome),
            metadata: Some(metadata(image)),
        })
    };
    if let Some(answer) = known(&images.state.read(), &asked.key) {
        return Ok(answer);
    }
    let id = if is_new {
        ids::new("im")
    } else {
        id_of(&asked.key)
    };
    let task_id = ids::new("ta");
    let registry = asked.definition.image_registry_config.as_ref();
    let image = Image {
        base: asked
            .definition
            .base_images
            .first()
            .map(|base| base.image_id.clone()),
        registry: registry
            .filter(|registry| registry.registry_auth_type != 0)
            .map(|registry| Registry {
                auth: registry.registry_auth_type,
                secret_id: registry.secret_id.clone(),
            }),
        builder_version: request.builder_version.clone(),
        outcome: Outcome::Building,
        app_id: request.app_id.clone(),
        task_id: task_id.clone(),
        finished_at: 0.0,
        ..image_of(Base::default())
    };
    let key = asked.key.clone();
    let work = match asked.function(&request.build_function_id)? {
        Some(order) => Work::Function(order),
        None => Work::Dockerfile(asked.order(&world, &id, &request.app_id, &task_id)?),
    };
    {
        let mut state = images.state.write();
        // Another caller may have begun the same build meanwhile.
        if let Some(answer) = known(&state, &key) {
            return Ok(answer);
        }
        state.images.insert(id.clone(), image);
        if !request.ignore_cache {
            state.cache.insert(key, id.clone());
        }
    }
    let log = Arc::new(BuildLog::default());
    images.logs().insert(id.clone(), Arc::clone(&log));
    call.meta.effect("image.build", &id);
    let building = build(Arc::clone(&world), id.clone(), work, log);
    world.tasks.spawn(building);
    Ok(ImageGetOrCreateResponse {
        image_id: id,
        result: None,
        metadata: None,
    })
}

/// What makes the layer.
#[derive(Debug)]
enum Work {
    Dockerfile(Order),
    Function(function::Order),
}

/// Builds, and records how it ended.
async fn build(world: Arc<World>, id: String, work: Work, log: Arc<BuildLog>) {
    let built = match work {
        Work::Function(order) => Box::pin(function::build(&world, order, &log)).await,
        Work::Dockerfile(order) => {
            match Builder::new(Arc::clone(&world), order, Arc::clone(&log)) {
                Ok(builder) => Box::pin(builder.build()).await,
                Err(error) => Err(Failure::Step(format!(
                    "no directory for the build: {error}"
                ))),
            }
        }
    };
    let outcome = match &built {
        Ok(_) => Outcome::Built,
        Err(Failure::Step(reason)) => Outcome::Failed(reason.clone()),
        Err(Failure::Stopped) => Outcome::Interrupted,
    };
    if let Outcome::Failed(reason) = &outcome {
        let text = format!("Build failed: {reason}\n");
        log.write(&text, FileDescriptor::Stderr);
    }
    {
        let mut state = world.storage.images.state.write();
        if let Some(image) = state.images.get_mut(&id) {
            if let Ok(base) = built {
                image.layers = base.layers;
                image.config = base.config;
                image.reference = base.reference;
            }
            image.outcome = outcome.clone();
            image.finished_at = clock::seconds();
        }
    }
    if outcome == Outcome::Built {
        world.journal.record("image.built", &id, None);
    }
    log.end(result(&outcome).unwrap_or_default());
}

pub(super) async fn join(
    world: Arc<World>,
    call: Call<ImageJoinStreamingRequest>,
) -> Result<Answers<ImageJoinStreamingResponse>, Status> {
    let request = call.message;
    let image = world
        .storage
        .images
        .state
        .read()
        .images
        .get(&request.image_id)
        .cloned();
    let image = image.ok_or_else(|| unknown(&request.image_id))?;
    let log = world.storage.images.log(&request.image_id);
    let told = result(&image.outcome);
    let Some(log) = log.filter(|_| {
        told.is_none() || request.include_logs_for_finished || request.last_entry_id.is_empty()
    }) else {
        // The log of an earlier run is in the log of its app.
        let last = ImageJoinStreamingResponse {
            result: told,
            eof: true,
            metadata: Some(metadata(&image)),
            ..ImageJoinStreamingResponse::default()
        };
        return Ok(futures::stream::iter([Ok(last)]).boxed());
    };
    let seen: usize = match request.last_entry_id.split('-').next().unwrap_or_default() {
        "" => 0,
        number => number
            .parse()
            .map_err(|_| Status::invalid_argument("unknown last_entry_id"))?,
    };
    let secs = request.timeout.clamp(0.0, HOLD_SECS);
    let hold = Duration::try_from_secs_f32(secs).unwrap_or_default();
    let id = request.image_id;
    let answers = futures::stream::unfold(Some(seen), move |seen| {
        let (world, log, id) = (Arc::clone(&world), Arc::clone(&log), id.clone());
        async move {
            let news = log.after(seen?, hold).await?;
            let is_end = news.result.is_some();
            let state = world.storage.images.state.read();
            let answer = ImageJoinStreamingResponse {
                task_logs: news.entries,
                entry_id: format!("{}-0", news.seen),
                eof: is_end,
                metadata: state.images.get(&id).filter(|_| is_end).map(metadata),
                result: news.result,
            };
            Some((Ok(answer), (!is_end).then_some(news.seen)))
        }
    });
    // The whole stream is held that long, whatever it says meanwhile: then the caller comes again.
    let over = tokio::time::sleep(hold);
    Ok(answers.take_until(over).boxed())
}

pub(super) async fn from_id(
    world: Arc<World>,
    call: Call<ImageFromIdRequest>,
) -> Result<ImageFromIdResponse, Status> {
    let image = super::built(&world, &call.message.image_id)?;
    Ok(ImageFromIdResponse {
        image_id: call.message.image_id,
        metadata: Some(metadata(&image)),
    })
}

pub(super) async fn delete(
    world: Arc<World>,
    call: Call<ImageDeleteRequest>,
) -> Result<(), Status> {
    let id = call.message.image_id;
    let mut state = world.storage.images.state.write();
    state.images.remove(&id).ok_or_else(|| unknown(&id))?;
    state.cache.retain(|_, image| *image != id);
    // Layers stay until the next start: containers may stand on them, and other images.
    call.meta.effect("image.delete", id);
    Ok(())
}

pub(super) async fn chain(
    world: Arc<World>,
    call: Call<ImageBuildChainGetRequest>,
) -> Result<ImageBuildChainGetResponse, Status> {
    let state = world.storage.images.state.read();
    let mut id = call.message.image_id;
    let mut image = state.images.get(&id).ok_or_else(|| unknown(&id))?;
    let mut build_steps = Vec::new();
    loop {
        if !image.task_id.is_empty() && image.outcome != Outcome::Building {
            build_steps.insert(
                0,
                ImageBuildStep {
                    image_id: id.clone(),
                    started_at: Some(clock::message(image.started_at)),
                    // A moment later: the last line carries the time at which it was written.
                    finished_at: Some(clock::message(image.finished_at + 1.0)),
                    builder_app_id: image.app_id.clone(),
                    builder_task_id: image.task_id.clone(),
                },
            );
        }
        let Some(base) = &image.base else { break };
        let Some(found) = state.images.get(base) else {
            break;
        };
        (id, image) = (base.clone(), found);
    }
    Ok(ImageBuildChainGetResponse { build_steps })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_hashes_look_like_all_ids() {
        let id = id_of(&"0f".repeat(32));
        assert_eq!(
            (id.len(), id.as_str()),
            (25, id_of(&"0f".repeat(32)).as_str())
        );
        assert!(
            id.strip_prefix("im-")
                .unwrap()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric())
        );
        assert_ne!(id, id_of(&"0e".repeat(32)));
    }
}
