//! Published names of images: `name:tag` in an environment, with the images that each has meant.

use std::sync::Arc;

use moorline_modal_proto::client::{
    ImageGetByTagRequest, ImageGetByTagResponse, ImageListTagsItem, ImageListTagsRequest,
    ImageListTagsResponse, ImageNameDeleteRequest, ImagePublishRequest, ImagePublishResponse,
    ImageTagRevisionsItem, ImageTagRevisionsRequest, ImageTagRevisionsResponse,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::call::Call;
use crate::ids;
use crate::services::environments;
use crate::services::named::{USER, now};
use crate::world::World;

/// Items of a page, unless fewer are asked for.
const PAGE: usize = 100;

/// One published name.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Name {
    environment: String,
    /// `name:tag`.
    tag: String,
    created_at: f64,
    /// The newest last; never empty.
    revisions: Vec<Revision>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Revision {
    id: String,
    image_id: String,
    published_at: f64,
}

/// The environment and `name:tag` that a request means.
fn place(world: &World, tag: &str, environment: &str) -> Result<(String, String), Status> {
    let (environment, tag) = match tag.split_once('/') {
        Some((environment, tag)) => (environment, tag),
        None => (environment, tag),
    };
    if tag.is_empty() || tag.contains('/') {
        let text = format!("'{tag}' is no name of an image: write [environment/]name[:tag]");
        return Err(Status::invalid_argument(text));
    }
    let tag = if tag.contains(':') {
        tag.to_owned()
    } else {
        format!("{tag}:latest")
    };
    Ok((environments::resolve(world, environment)?, tag))
}

fn not_found(environment: &str, tag: &str) -> Status {
    Status::not_found(format!(
        "Image '{tag}' not found in environment '{environment}'"
    ))
}

pub(super) async fn publish(
    world: Arc<World>,
    call: Call<ImagePublishRequest>,
) -> Result<ImagePublishResponse, Status> {
    let ImagePublishRequest {
        image_id,
        tag,
        environment_name,
        ..
    } = call.message;
    let (environment, tag) = place(&world, &tag, &environment_name)?;
    super::root(&world, &image_id)?;
    let revision_id = ids::new("ir");
    let revision = Revision {
        id: revision_id.clone(),
        image_id: image_id.clone(),
        published_at: now(),
    };
    let mut state = world.storage.images.state.write();
    let is_it = |name: &&mut Name| name.environment == environment && name.tag == tag;
    if let Some(name) = state.names.iter_mut().find(is_it) {
        name.revisions.push(revision);
    } else {
        let (tag, revisions) = (tag.clone(), vec![revision]);
        state.names.push(Name {
            environment,
            tag,
            created_at: now(),
            revisions,
        });
    }
    call.meta.effect("image.publish", tag);
    Ok(ImagePublishResponse {
        image_id,
        revision_id,
    })
}

pub(super) async fn get_by_tag(
    world: Arc<World>,
    call: Call<ImageGetByTagRequest>,
) -> Result<ImageGetByTagResponse, Status> {
    let asked = call.message;
    let (environment, tag) = place(&world, &asked.tag, &asked.environment_name)?;
    let state = world.storage.images.state.read();
    let found = state
        .names
        .iter()
        .find(|name| name.environment == environment && name.tag == tag);
    let newest = found.and_then(|name| name.revisions.last());
    let newest = newest.ok_or_else(|| not_found(&environment, &tag))?;
    Ok(ImageGetByTagResponse {
        image_id: newest.image_id.clone(),
    })
}

/// One page of what comes after the page token, and the next token.
fn page<T>(all: Vec<T>, token: &str, max: u32) -> Result<(Vec<T>, String), Status> {
    let start: usize = match token {
        "" => 0,
        token => token
            .parse()
            .map_err(|_| Status::invalid_argument("unknown page_token"))?,
    };
    let size = match usize::try_from(max) {
        Ok(max @ 1..) => max.min(PAGE),
        _ => PAGE,
    };
    let end = start.saturating_add(size);
    let next = if end < all.len() {
        end.to_string()
    } else {
        String::new()
    };
    Ok((all.into_iter().skip(start).take(size).collect(), next))
}

pub(super) async fn list_tags(
    world: Arc<World>,
    call: Call<ImageListTagsRequest>,
) -> Result<ImageListTagsResponse, Status> {
    let asked = call.message;
    let environment = environments::resolve(&world, &asked.environment_name)?;
    let state = world.storage.images.state.read();
    let mut items: Vec<ImageListTagsItem> = state
        .names
        .iter()
        .filter(|name| name.environment == environment)
        .filter(|name| name.tag.starts_with(&asked.tag_prefix))
        .filter_map(|name| {
            let newest = name.revisions.last()?;
            let wanted = asked.image_id.is_empty() || asked.image_id == newest.image_id;
            wanted.then(|| ImageListTagsItem {
                tag: name.tag.clone(),
                image_id: newest.image_id.clone(),
                revision_id: newest.id.clone(),
                created_at: name.created_at,
                updated_at: newest.published_at,
                last_published_by: USER.to_owned(),
            })
        })
        .collect();
    items.sort_by(|a, b| a.tag.cmp(&b.tag));
    let (items, next_page_token) = page(items, &asked.page_token, asked.max_objects)?;
    Ok(ImageListTagsResponse {
        items,
        next_page_token,
        environment_name: environment,
    })
}

pub(super) async fn revisions(
    world: Arc<World>,
    call: Call<ImageTagRevisionsRequest>,
) -> Result<ImageTagRevisionsResponse, Status> {
    let asked = call.message;
    let (environment, tag) = place(&world, &asked.tag, &asked.environment_name)?;
    let state = world.storage.images.state.read();
    let found = state
        .names
        .iter()
        .find(|name| name.environment == environment && name.tag == tag);
    let revisions = found
        .into_iter()
        .flat_map(|name| name.revisions.iter().rev());
    let items: Vec<ImageTagRevisionsItem> = revisions
        .map(|revision| ImageTagRevisionsItem {
            image_id: revision.image_id.clone(),
            revision_id: revision.id.clone(),
            created_at: revision.published_at,
            published_by: USER.to_owned(),
        })
        .collect();
    let (items, next_page_token) = page(items, &asked.page_token, asked.max_objects)?;
    Ok(ImageTagRevisionsResponse {
        items,
        next_page_token,
        tag: tag.clone(),
        environment_name: environment.clone(),
    })
}

pub(super) async fn delete(
    world: Arc<World>,
    call: Call<ImageNameDeleteRequest>,
) -> Result<(), Status> {
    let (environment, tag) = place(&world, &call.message.tag, "")?;
    let mut state = world.storage.images.state.write();
    let before = state.names.len();
    state
        .names
        .retain(|name| name.environment != environment || name.tag != tag);
    if state.names.len() == before {
        return Err(not_found(&environment, &tag));
    }
    call.meta.effect("image.name.delete", tag);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_without_gap() {
        let all: Vec<u32> = (0..5).collect();
        assert_eq!(
            page(all.clone(), "", 2).unwrap(),
            (vec![0, 1], "2".to_owned())
        );
        assert_eq!(
            page(all.clone(), "2", 2).unwrap(),
            (vec![2, 3], "4".to_owned())
        );
        assert_eq!(page(all.clone(), "4", 2).unwrap(), (vec![4], String::new()));
        assert_eq!(page(all.clone(), "", 0).unwrap(), (all, String::new()));
    }
}
