//! What an image is made of: a base, and layers of Dockerfile text on it.

use std::collections::BTreeMap;

use moorline_modal_proto::client as pb;

use crate::error::{Error, ErrorKind, Result};

/// How a private registry knows the puller. The secret (`st-…`) holds the credentials under the keys that
/// the official clients use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RegistryAuth {
    /// `REGISTRY_USERNAME` and `REGISTRY_PASSWORD`.
    Static {
        /// The secret's id.
        secret_id: String,
    },
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_REGION`, for ECR.
    Aws {
        /// The secret's id.
        secret_id: String,
    },
    /// `SERVICE_ACCOUNT_JSON`, for Google's Artifact Registry.
    Gcp {
        /// The secret's id.
        secret_id: String,
    },
}

impl RegistryAuth {
    fn wire(&self) -> pb::ImageRegistryConfig {
        let (kind, secret_id) = match self {
            Self::Static { secret_id } => (pb::RegistryAuthType::StaticCreds, secret_id),
            Self::Aws { secret_id } => (pb::RegistryAuthType::Aws, secret_id),
            Self::Gcp { secret_id } => (pb::RegistryAuthType::Gcp, secret_id),
        };
        pb::ImageRegistryConfig {
            registry_auth_type: kind.into(),
            secret_id: secret_id.clone(),
        }
    }
}

/// The reference of an image in a registry: `[host/]name[:tag][@sha256:<64 hex digits>]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageRef(String);

impl ImageRef {
    /// Reads a reference.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] with the rule that it breaks.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            let text = format!("image `{}`: {why}", text.escape_debug());
            Error::new(ErrorKind::InvalidArgument, text)
        };
        // It becomes a line of a Dockerfile, where a space or a line break would begin something else.
        if text.is_empty() || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(bad(
                "must be a reference without spaces, such as `python:3.12-slim`",
            ));
        }
        if text.starts_with('-') {
            return Err(bad("must not begin with a dash"));
        }
        if let Some((name, digest)) = text.split_once('@') {
            let hex = digest.strip_prefix("sha256:").unwrap_or_default();
            let is_hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
            if name.is_empty() || hex.len() != 64 || !hex.chars().all(is_hex) {
                return Err(bad(
                    "a digest is `@sha256:` and 64 lower-case hexadecimal digits",
                ));
            }
        }
        Ok(Self(text.to_owned()))
    }

    /// Whether it names content and not a tag that can move.
    pub fn is_pinned(&self) -> bool {
        self.0.contains('@')
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// One layer: lines of a Dockerfile, run on what is below.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    commands: Vec<String>,
    secret_ids: Vec<String>,
    build_args: BTreeMap<String, String>,
    context_files: BTreeMap<String, bytes::Bytes>,
    context_mount_id: Option<String>,
    gpu: Option<String>,
    force_build: bool,
}

impl Layer {
    /// Lines of a Dockerfile without `FROM`: `RUN …`, `ENV …`, `WORKDIR …`.
    pub fn new<S: Into<String>>(commands: impl IntoIterator<Item = S>) -> Self {
        Self {
            commands: commands.into_iter().map(Into::into).collect(),
            ..Self::default()
        }
    }

    /// Gives the build the variables of a secret, `st-…`.
    #[must_use]
    pub fn secret(mut self, secret_id: impl Into<String>) -> Self {
        self.secret_ids.push(secret_id.into());
        self
    }

    /// Sets an `ARG`.
    #[must_use]
    pub fn build_arg(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.build_args.insert(name.into(), value.into());
        self
    }

    /// Puts a small file into the build's context, for `COPY`.
    #[must_use]
    pub fn context_file(
        mut self,
        name: impl Into<String>,
        content: impl Into<bytes::Bytes>,
    ) -> Self {
        self.context_files.insert(name.into(), content.into());
        self
    }

    /// Makes a mount, `mo-…`, the build's context.
    #[must_use]
    pub fn context_mount(mut self, mount_id: impl Into<String>) -> Self {
        self.context_mount_id = Some(mount_id.into());
        self
    }

    /// Builds on a machine with this GPU (`A10G`, `H100`, …).
    #[must_use]
    pub fn gpu(mut self, gpu: impl Into<String>) -> Self {
        self.gpu = Some(gpu.into());
        self
    }

    /// Builds this layer, and those above it, although they are cached.
    #[must_use]
    pub fn force_build(mut self) -> Self {
        self.force_build = true;
        self
    }

    fn wire(&self) -> pb::Image {
        let gpu_config = self.gpu.as_ref().map(|gpu| pb::GpuConfig {
            count: 1,
            gpu_type: gpu.to_uppercase(),
            ..pb::GpuConfig::default()
        });
        pb::Image {
            dockerfile_commands: self.commands.clone(),
            secret_ids: self.secret_ids.clone(),
            build_args: self.build_args.clone().into_iter().collect(),
            context_files: self
                .context_files
                .iter()
                .map(|(filename, data)| pb::ImageContextFile {
                    filename: filename.clone(),
                    data: data.clone(),
                })
                .collect(),
            context_mount_id: self.context_mount_id.clone().unwrap_or_default(),
            gpu_config,
            ..pb::Image::default()
        }
    }
}

/// Where the layers begin.
#[derive(Clone, Debug, PartialEq)]
enum Base {
    Registry {
        reference: ImageRef,
        auth: Option<RegistryAuth>,
    },
    Built {
        image_id: String,
    },
    Scratch,
}

/// An image to be built. Equal definitions are one image: the server keeps what it has built.
#[derive(Clone, Debug, PartialEq)]
pub struct ImageDefinition {
    base: Base,
    layers: Vec<Layer>,
}

impl ImageDefinition {
    /// Begins with an image of a registry.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is no [`ImageRef`].
    pub fn from_registry(reference: &str) -> Result<Self> {
        let base = Base::Registry {
            reference: ImageRef::parse(reference)?,
            auth: None,
        };
        Ok(Self {
            base,
            layers: Vec::new(),
        })
    }

    /// Begins with an image of a private registry.
    ///
    /// # Errors
    /// As for [`from_registry`](Self::from_registry).
    pub fn from_private_registry(reference: &str, auth: RegistryAuth) -> Result<Self> {
        let base = Base::Registry {
            reference: ImageRef::parse(reference)?,
            auth: Some(auth),
        };
        Ok(Self {
            base,
            layers: Vec::new(),
        })
    }

    /// Begins with an image that was built, `im-…`.
    pub fn from_image(image_id: impl Into<String>) -> Self {
        Self {
            base: Base::Built {
                image_id: image_id.into(),
            },
            layers: Vec::new(),
        }
    }

    /// Begins with nothing.
    pub fn from_scratch() -> Self {
        Self {
            base: Base::Scratch,
            layers: Vec::new(),
        }
    }

    /// Adds a layer.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds a layer of these Dockerfile lines.
    #[must_use]
    pub fn dockerfile_commands<S: Into<String>>(
        self,
        commands: impl IntoIterator<Item = S>,
    ) -> Self {
        self.layer(Layer::new(commands))
    }

    /// How many builds it takes when nothing is cached.
    pub fn steps(&self) -> usize {
        self.layers.len() + usize::from(!matches!(self.base, Base::Built { .. }))
    }

    /// The id it begins with, if that is built already.
    pub(super) fn built_base(&self) -> Option<&str> {
        match &self.base {
            Base::Built { image_id } => Some(image_id),
            Base::Registry { .. } | Base::Scratch => None,
        }
    }

    /// What one step sends: the image and whether it is to be built anyway. `below` is the id of the step
    /// before.
    pub(super) fn step(&self, number: usize, below: Option<&str>) -> Option<(pb::Image, bool)> {
        let first_layer = usize::from(!matches!(self.base, Base::Built { .. }));
        if number < first_layer {
            let line = |base: &str| vec![format!("FROM {base}")];
            let image = match &self.base {
                Base::Registry { reference, auth } => pb::Image {
                    dockerfile_commands: line(reference.as_str()),
                    image_registry_config: auth.as_ref().map(RegistryAuth::wire),
                    ..pb::Image::default()
                },
                Base::Scratch => pb::Image {
                    dockerfile_commands: line("scratch"),
                    ..pb::Image::default()
                },
                Base::Built { .. } => return None,
            };
            return Some((image, false));
        }
        let layer = self.layers.get(number - first_layer)?;
        let mut image = layer.wire();
        image.dockerfile_commands.insert(0, "FROM base".to_owned());
        image.base_images = vec![pb::BaseImage {
            image_id: below?.to_owned(),
            docker_tag: "base".to_owned(),
        }];
        let force = self
            .layers
            .iter()
            .take(number - first_layer + 1)
            .any(|layer| layer.force_build);
        Some((image, force))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_one_word_and_its_digest_is_complete() {
        let digest = "0123456789abcdef".repeat(4);
        let pinned = format!("ghcr.io/o/n:1@sha256:{digest}");
        assert!(ImageRef::parse(&pinned).unwrap().is_pinned());
        assert!(!ImageRef::parse("alpine:3.20").unwrap().is_pinned());
        for bad in [
            "",
            "a b",
            "a\nRUN x",
            "-x",
            "a@sha256:12",
            "@sha256:",
            "a@md5:1",
        ] {
            assert_eq!(
                ImageRef::parse(bad).unwrap_err().kind(),
                ErrorKind::InvalidArgument,
                "{bad}"
            );
        }
    }

    #[test]
    fn each_layer_is_built_on_the_one_below() {
        let image = ImageDefinition::from_registry("alpine:3.20")
            .unwrap()
            .dockerfile_commands(["RUN a"])
            .layer(Layer::new(["RUN b"]).secret("st-1").force_build())
            .dockerfile_commands(["RUN c"]);
        assert_eq!(image.steps(), 4);
        let step = |number| image.step(number, Some("im-below")).unwrap();
        assert_eq!(step(0).0.dockerfile_commands, ["FROM alpine:3.20"]);
        assert_eq!(step(1).0.dockerfile_commands, ["FROM base", "RUN a"]);
        assert_eq!(step(2).0.secret_ids, ["st-1"]);
        assert_eq!(step(2).0.base_images[0].image_id, "im-below");
        let forced: Vec<_> = (0..4).map(|number| step(number).1).collect();
        assert_eq!(forced, [false, false, true, true]);
        assert!(image.step(4, Some("im-below")).is_none());
    }

    #[test]
    fn an_image_that_is_built_takes_no_step_of_its_own() {
        let image = ImageDefinition::from_image("im-1").dockerfile_commands(["RUN a"]);
        assert_eq!((image.steps(), image.built_base()), (1, Some("im-1")));
        assert_eq!(
            image.step(0, Some("im-1")).unwrap().0.base_images[0].image_id,
            "im-1"
        );
    }
}
