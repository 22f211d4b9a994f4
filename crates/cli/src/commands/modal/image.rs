//! `moorline modal image …`

use moorline_api::ApiError;
use serde_json::json;

use super::{Modal, time, told};
use crate::args::ImageCommand;
use crate::output;

pub(super) fn run(modal: &Modal<'_>, command: ImageCommand) -> Result<u8, ApiError> {
    modal.with_client(|client| async move {
        match command {
            ImageCommand::List { prefix } => {
                let tags = client
                    .images()
                    .tags(&prefix, modal.environment())
                    .await
                    .map_err(told)?;
                if modal.json() {
                    let tags: Vec<_> = tags
                        .iter()
                        .map(|tag| {
                            json!({
                                "tag": tag.tag,
                                "image_id": tag.image_id,
                                "created_at": tag.created_at,
                                "updated_at": tag.updated_at,
                            })
                        })
                        .collect();
                    output::json(&tags);
                    return Ok(0);
                }
                let rows = tags.into_iter().map(|tag| {
                    vec![
                        tag.tag,
                        tag.image_id,
                        time(tag.created_at),
                        time(tag.updated_at),
                    ]
                });
                output::table(&["NAME", "IMAGE ID", "CREATED", "UPDATED"], rows.collect());
            }
            ImageCommand::Delete { image } => {
                client.images().delete(&image).await.map_err(told)?;
                output::note(&format!("deleted {image}"));
            }
        }
        Ok(0)
    })
}
