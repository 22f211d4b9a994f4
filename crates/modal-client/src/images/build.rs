//! Building: step by step, each looked up first, with the build's log as a stream.

use std::collections::VecDeque;
use std::time::Duration;

use async_stream::try_stream;
use futures::{Stream, StreamExt as _};
use moorline_modal_proto::client as pb;
use pb::generic_result::GenericStatus;

use super::definition::ImageDefinition;
use super::{Image, Images};
use crate::apps::LogLine;
use crate::error::{Error, ErrorKind, Result};
use crate::rpc::{CallOptions, control_plane};
use crate::stream::{Flow, OnClose, Resume, StreamOptions, resume};
use crate::transport::Client;
use crate::wire::{self, Existence};

control_plane! {
    GET_OR_CREATE = ImageGetOrCreate(ImageGetOrCreateRequest) -> ImageGetOrCreateResponse, Keyed;
    JOIN = ImageJoinStreaming(ImageJoinStreamingRequest) -> ImageJoinStreamingResponse, Read;
}

/// How long the server holds one stream of a build open, in seconds.
const HOLD: f32 = 55.0;

/// How an image is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct BuildOptions {
    /// The environment whose builder version counts; the settings' or default one when unset.
    pub environment: Option<String>,
    /// The version of the build rules; the settings' or the environment's when unset.
    pub builder_version: Option<String>,
    /// Builds every layer anew and keeps the result.
    pub force_build: bool,
    /// Builds every layer anew and does not keep the result.
    pub ignore_cache: bool,
}

/// What a build tells.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum BuildEvent {
    /// A step begins, or was found in the cache.
    Step {
        /// From 1.
        number: usize,
        /// How many there are.
        of: usize,
        /// `im-…`.
        image_id: String,
        /// Nothing is built.
        cached: bool,
    },
    /// A piece of the log of the step under way.
    Log(LogLine),
    /// The image is there. The last event.
    Built(Image),
}

impl Images {
    /// Builds an image in an app (`ap-…`), or finds it in the cache.
    ///
    /// # Errors
    /// [`ErrorKind::Remote`] if a step fails; [`Error::remote`] has its text.
    pub async fn build(
        &self,
        app_id: &str,
        definition: &ImageDefinition,
        options: &BuildOptions,
    ) -> Result<Image> {
        let mut events = std::pin::pin!(self.build_events(app_id, definition, options));
        while let Some(event) = events.next().await {
            match event? {
                BuildEvent::Built(image) => return Ok(image),
                BuildEvent::Log(line) => {
                    tracing::debug!(target: "modal::build", "{}", line.text.trim_end());
                }
                BuildEvent::Step { .. } => {}
            }
        }
        Err(Error::new(
            ErrorKind::Protocol,
            "the build ended without a result",
        ))
    }

    /// [`build`](Self::build) with its log. The stream ends after [`BuildEvent::Built`] or an error; the
    /// build itself goes on when the stream is dropped.
    pub fn build_events(
        &self,
        app_id: &str,
        definition: &ImageDefinition,
        options: &BuildOptions,
    ) -> impl Stream<Item = Result<BuildEvent>> + Send + use<> {
        let client = self.client.clone();
        let (app_id, definition, options) =
            (app_id.to_owned(), definition.clone(), options.clone());
        try_stream! {
            let builder_version = builder_version(&client, &options).await?;
            let mut image = match definition.built_base() {
                Some(id) if definition.steps() == 0 => Some(client.images().get(id).await?),
                _ => None,
            };
            let of = definition.steps();
            for number in 0..of {
                let below = image.as_ref().map(|image| image.id.as_str());
                let step = definition.step(number, below.or_else(|| definition.built_base()));
                let (wire_image, force) = step
                    .ok_or_else(|| Error::new(ErrorKind::Protocol, "a step has no image below"))?;
                let request = pb::ImageGetOrCreateRequest {
                    image: Some(wire_image),
                    app_id: app_id.clone(),
                    force_build: force || options.force_build || client.config().force_build,
                    ignore_cache: options.ignore_cache || client.config().ignore_cache,
                    builder_version: builder_version.clone(),
                    ..pb::ImageGetOrCreateRequest::default()
                };
                let reply = client.unary(GET_OR_CREATE, request).await?;
                let image_id = wire::required(reply.image_id, "image id")?;
                let known = reply.result.filter(is_final);
                let cached = known.is_some();
                yield BuildEvent::Step { number: number + 1, of, image_id: image_id.clone(), cached };
                let mut metadata = reply.metadata;
                let result = if let Some(result) = known { result } else {
                    let join = Join::new(client.clone(), &image_id);
                    let hold = Duration::from_secs_f32(HOLD);
                    let options = StreamOptions::new(JOIN.name(), OnClose::Reopen, hold);
                    let mut steps = std::pin::pin!(resume(join, options));
                    let mut outcome = None;
                    while let Some(event) = steps.next().await {
                        match event? {
                            Joined::Log(line) => yield BuildEvent::Log(line),
                            Joined::Result(result, told) => {
                                metadata = told.or(metadata);
                                outcome = Some(*result);
                            }
                        }
                    }
                    outcome.ok_or_else(|| {
                        Error::new(ErrorKind::Protocol, "the build ended without a result")
                    })?
                };
                if let Some(error) = wire::failure(&result) {
                    Err(error.context(format!("image build, step {} of {of}", number + 1)))?;
                }
                image = Some(Image::of(image_id, metadata));
            }
            match image {
                Some(image) => yield BuildEvent::Built(image),
                None => Err(Error::new(ErrorKind::InvalidArgument, "the image has no step"))?,
            }
        }
    }
}

/// The version of the build rules: asked of the environment unless it is set.
async fn builder_version(client: &Client, options: &BuildOptions) -> Result<String> {
    let set = options
        .builder_version
        .clone()
        .or_else(|| client.config().image_builder_version.clone());
    if let Some(version) = set {
        return Ok(version);
    }
    let environment = options.environment.as_deref();
    let environment = client
        .environments()
        .lookup(environment, Existence::MustExist)
        .await?;
    Ok(environment.image_builder_version.unwrap_or_default())
}

fn is_final(result: &pb::GenericResult) -> bool {
    result.status() != GenericStatus::Unspecified
}

/// What the stream of a build gives.
enum Joined {
    Log(LogLine),
    Result(Box<pb::GenericResult>, Option<pb::ImageMetadata>),
}

/// The stream of one step's build.
struct Join {
    client: Client,
    request: pb::ImageJoinStreamingRequest,
    /// The result came; lines of the log may still follow until the stream closes.
    complete: bool,
}

impl Join {
    fn new(client: Client, image_id: &str) -> Self {
        let request = pb::ImageJoinStreamingRequest {
            image_id: image_id.to_owned(),
            timeout: HOLD,
            last_entry_id: String::new(),
            include_logs_for_finished: true,
        };
        Self {
            client,
            request,
            complete: false,
        }
    }
}

impl Resume for Join {
    type Message = pb::ImageJoinStreamingResponse;
    type Item = Joined;

    async fn open(&mut self) -> Result<tonic::Streaming<Self::Message>> {
        let options = CallOptions::new().max_retries(0);
        self.client
            .server_stream(JOIN, self.request.clone(), &options)
            .await
    }

    fn accept(&mut self, message: Self::Message, items: &mut VecDeque<Joined>) -> Result<Flow> {
        let repeated =
            !message.entry_id.is_empty() && message.entry_id == self.request.last_entry_id;
        if !message.entry_id.is_empty() {
            self.request.last_entry_id.clone_from(&message.entry_id);
        }
        if !repeated {
            let lines = message
                .task_logs
                .into_iter()
                .filter(|line| !line.data.is_empty());
            items.extend(lines.map(|line| Joined::Log(LogLine::of(line))));
        }
        if let Some(result) = message.result.filter(is_final)
            && !self.complete
        {
            self.complete = true;
            items.push_back(Joined::Result(Box::new(result), message.metadata));
        }
        Ok(if message.eof && self.complete {
            Flow::Done
        } else {
            Flow::More
        })
    }

    fn is_complete(&self) -> bool {
        self.complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_behind_the_result_are_still_taken_and_the_result_once() {
        let config = crate::Config::new("http://127.0.0.1:1", "ak", "as").unwrap();
        let mut join = Join::new(Client::new(config).unwrap(), "im-1");
        let line = |entry: &str| pb::ImageJoinStreamingResponse {
            task_logs: vec![pb::TaskLogs {
                data: "x".into(),
                ..Default::default()
            }],
            entry_id: entry.into(),
            ..Default::default()
        };
        let success = pb::GenericResult {
            status: GenericStatus::Success.into(),
            ..Default::default()
        };
        let result = |eof| pb::ImageJoinStreamingResponse {
            result: Some(success.clone()),
            eof,
            ..Default::default()
        };
        let mut items = VecDeque::new();
        assert_eq!(join.accept(line("1"), &mut items).unwrap(), Flow::More);
        assert_eq!(join.accept(line("1"), &mut items).unwrap(), Flow::More);
        assert_eq!(join.accept(result(false), &mut items).unwrap(), Flow::More);
        assert_eq!(join.accept(line("2"), &mut items).unwrap(), Flow::More);
        assert_eq!(join.accept(result(true), &mut items).unwrap(), Flow::Done);
        let kinds: Vec<_> = items
            .iter()
            .map(|item| matches!(item, Joined::Log(_)))
            .collect();
        assert_eq!(kinds, [true, false, true]);
    }
}
