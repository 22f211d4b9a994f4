//! Classes: names for service functions. All that a client needs is in the function `<Class>.*`.

use std::sync::Arc;

use moorline_modal_proto::client::object::HandleMetadataOneof;
use moorline_modal_proto::client::{
    ClassCreateRequest, ClassCreateResponse, ClassGetRequest, ClassGetResponse, Object,
};
use tonic::Status;

use crate::call::Call;
use crate::routes::Rpcs;
use crate::services::apps;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("ClassCreate", create);
    rpcs.read("ClassGet", get);
}

/// A class, for layouts.
pub(crate) fn object(world: &World, class_id: &str) -> Option<Object> {
    let handle = world.functions.catalog.read().class_handle(class_id)?;
    Some(Object {
        object_id: class_id.to_owned(),
        handle_metadata_oneof: Some(HandleMetadataOneof::ClassHandleMetadata(handle)),
    })
}

async fn create(
    world: Arc<World>,
    call: Call<ClassCreateRequest>,
) -> Result<ClassCreateResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    apps::live(&world, &request.app_id)?;
    if !request.methods.is_empty() && !request.only_class_function {
        let text = "a class with a function for each method is of older clients than 0.67";
        return Err(Status::failed_precondition(text));
    }
    let existing = Some(request.existing_class_id.as_str()).filter(|id| !id.is_empty());
    let mut catalog = world.functions.catalog.write();
    let class_id = catalog.class_create(existing, &request.app_id);
    meta.effect("class.create", &class_id);
    let handle_metadata = catalog.class_handle(&class_id);
    Ok(ClassCreateResponse {
        class_id,
        handle_metadata,
    })
}

async fn get(world: Arc<World>, call: Call<ClassGetRequest>) -> Result<ClassGetResponse, Status> {
    let request = call.message;
    let app = apps::deployed(&world, &request.app_name, &request.environment_name)?;
    let version = u32::try_from(request.app_version).unwrap_or(0);
    let layout = apps::layout_of_version(&world, &app.id, version)?;
    let Some(class_id) = layout.class_ids.get(&request.object_tag).cloned() else {
        let (app, class) = (request.app_name, request.object_tag);
        return Err(Status::not_found(format!(
            "App '{app}' has no class '{class}'"
        )));
    };
    let handle_metadata = world.functions.catalog.read().class_handle(&class_id);
    Ok(ClassGetResponse {
        class_id,
        handle_metadata,
        ..ClassGetResponse::default()
    })
}
