//! Images: built from a registry's image and layers of Dockerfile text, kept by the server under the hash
//! of what they are made of, and named by tags.
//!
//! Deliberately absent: local files in images ([`crate::mount`] makes the context for them), and images
//! from Python functions.

mod build;
mod definition;

use jiff::Timestamp;
use moorline_modal_proto::client as pb;

pub use build::{BuildEvent, BuildOptions};
pub use definition::{ImageDefinition, ImageRef, Layer, RegistryAuth};

use crate::error::Result;
use crate::rpc::control_plane;
use crate::transport::Client;
use crate::wire::{self, some, time};

control_plane! {
    DELETE = ImageDelete(ImageDeleteRequest) -> Empty, Keyed;
    FROM_ID = ImageFromId(ImageFromIdRequest) -> ImageFromIdResponse, Read;
    GET_BY_TAG = ImageGetByTag(ImageGetByTagRequest) -> ImageGetByTagResponse, Read;
    LIST_TAGS = ImageListTags(ImageListTagsRequest) -> ImageListTagsResponse, Read;
    PUBLISH = ImagePublish(ImagePublishRequest) -> ImagePublishResponse, Keyed;
}

/// Objects a page of a list.
const PAGE: u32 = 100;

/// An image that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Image {
    /// `im-…`.
    pub id: String,
    /// The Python in it, if it was looked for.
    pub python_version: Option<String>,
    /// The directory that containers start in, if the image says so.
    pub workdir: Option<String>,
    /// The version of the rules that it was built by.
    pub builder_version: Option<String>,
}

impl Image {
    fn of(id: String, metadata: Option<pb::ImageMetadata>) -> Self {
        let metadata = metadata.unwrap_or_default();
        Self {
            id,
            python_version: metadata.python_version_info,
            workdir: metadata.workdir,
            builder_version: metadata.image_builder_version,
        }
    }
}

/// A name of an image.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ImageTag {
    /// The name.
    pub tag: String,
    /// The image it stands for now, `im-…`.
    pub image_id: String,
    /// Which publication it is.
    pub revision_id: Option<String>,
    /// When the name was first used.
    pub created_at: Option<Timestamp>,
    /// When it last moved.
    pub updated_at: Option<Timestamp>,
    /// Who moved it.
    pub published_by: Option<String>,
}

/// Calls about images.
#[derive(Clone, Debug)]
pub struct Images {
    pub(super) client: Client,
}

impl Client {
    /// Images.
    pub fn images(&self) -> Images {
        Images {
            client: self.clone(),
        }
    }
}

impl Images {
    /// The image of that id, `im-…`.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub async fn get(&self, image_id: &str) -> Result<Image> {
        let request = pb::ImageFromIdRequest {
            image_id: image_id.to_owned(),
        };
        let reply = self.client.unary(FROM_ID, request).await?;
        Ok(Image::of(
            wire::required(reply.image_id, "image id")?,
            reply.metadata,
        ))
    }

    /// The id of the image that a tag stands for.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub async fn resolve_tag(&self, tag: &str, environment: Option<&str>) -> Result<String> {
        let request = pb::ImageGetByTagRequest {
            tag: tag.to_owned(),
            environment_name: self.client.environment_or_default(environment),
        };
        let reply = self.client.unary(GET_BY_TAG, request).await?;
        wire::required(reply.image_id, "image id")
    }

    /// Names an image, or moves a name to it.
    ///
    /// # Errors
    /// What the server says.
    pub async fn publish(
        &self,
        image_id: &str,
        tag: &str,
        environment: Option<&str>,
    ) -> Result<()> {
        let request = pb::ImagePublishRequest {
            image_id: image_id.to_owned(),
            tag: tag.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            allow_public: false,
        };
        self.client.unary(PUBLISH, request).await.map(drop)
    }

    /// The names of images that begin with `prefix`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn tags(&self, prefix: &str, environment: Option<&str>) -> Result<Vec<ImageTag>> {
        let mut all = Vec::new();
        let mut page_token = String::new();
        loop {
            let request = pb::ImageListTagsRequest {
                environment_name: self.client.environment_or_default(environment),
                tag_prefix: prefix.to_owned(),
                max_objects: PAGE,
                page_token: page_token.clone(),
                ..pb::ImageListTagsRequest::default()
            };
            let reply = self.client.unary(LIST_TAGS, request).await?;
            all.extend(reply.items.into_iter().map(|item| ImageTag {
                created_at: time(item.created_at),
                updated_at: time(item.updated_at),
                revision_id: some(item.revision_id),
                published_by: some(item.last_published_by),
                tag: item.tag,
                image_id: item.image_id,
            }));
            if reply.next_page_token.is_empty() || reply.next_page_token == page_token {
                return Ok(all);
            }
            page_token = reply.next_page_token;
        }
    }

    /// Deletes an image.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none.
    pub async fn delete(&self, image_id: &str) -> Result<()> {
        self.client
            .unary(
                DELETE,
                pb::ImageDeleteRequest {
                    image_id: image_id.to_owned(),
                },
            )
            .await
    }
}
