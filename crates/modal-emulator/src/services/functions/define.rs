//! RPCs by which functions are defined, found and bound.

use std::collections::BTreeMap;
use std::sync::Arc;

use moorline_modal_proto::client::function_data::RankedFunction;
use moorline_modal_proto::client::{
    Function, FunctionBindParamsRequest, FunctionBindParamsResponse, FunctionCreateRequest,
    FunctionCreateResponse, FunctionData, FunctionGetByIdRequest, FunctionGetByIdResponse,
    FunctionGetRequest, FunctionGetResponse, FunctionOptions, FunctionPrecreateRequest,
    FunctionPrecreateResponse,
};
use tonic::{Code, Status};

use super::catalog::{Bound, Catalog};
use super::no_function;
use super::stored::Stored;
use crate::call::Call;
use crate::http::gateway;
use crate::routes::Rpcs;
use crate::services::apps;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("FunctionPrecreate", precreate);
    rpcs.write("FunctionCreate", create);
    rpcs.read("FunctionGet", get);
    rpcs.read("FunctionGetById", get_by_id);
    rpcs.write("FunctionBindParams", bind_params);
}

/// Empty on the wire is absent.
fn given(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

async fn precreate(
    world: Arc<World>,
    call: Call<FunctionPrecreateRequest>,
) -> Result<FunctionPrecreateResponse, Status> {
    let request = call.message;
    apps::live(&world, &request.app_id)?;
    let draft = FunctionData {
        function_name: request.function_name,
        function_type: request.function_type,
        webhook_config: request.webhook_config,
        method_definitions: request.method_definitions,
        function_schema: request.function_schema,
        supported_input_formats: request.supported_input_formats,
        supported_output_formats: request.supported_output_formats,
        ..FunctionData::default()
    };
    let webhooks = Catalog::webhooks(&draft);
    let existing = given(&request.existing_function_id);
    let function_id = world
        .functions
        .catalog
        .write()
        .draft(existing, &request.app_id, draft);
    gateway::open(&world, &function_id, &webhooks).await?;
    let catalog = world.functions.catalog.read();
    let handle = catalog
        .drafted(&function_id)
        .ok_or_else(|| no_function(&function_id))?;
    Ok(FunctionPrecreateResponse {
        function_id,
        handle_metadata: Some(handle),
    })
}

async fn create(
    world: Arc<World>,
    call: Call<FunctionCreateRequest>,
) -> Result<FunctionCreateResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    apps::live(&world, &request.app_id)?;
    let mut data = match (request.function_data, request.function) {
        (Some(data), _) if !data.ranked_functions.is_empty() => data,
        (_, Some(function)) => common(function),
        _ => return Err(Status::invalid_argument("FunctionCreate has no function")),
    };
    if data.schedule.is_none() {
        data.schedule = request.schedule;
    }
    if let Some(schedule) = &data.schedule {
        crate::services::schedules::check(schedule)?;
    }
    let webhooks = Catalog::webhooks(&data);
    let function_id = {
        let mut catalog = world.functions.catalog.write();
        let existing = given(&request.existing_function_id);
        let known = existing.filter(|id| catalog.function(id).is_some());
        match known {
            Some(id) => id.to_owned(),
            None => catalog.draft(existing, &request.app_id, data.clone()),
        }
    };
    gateway::open(&world, &function_id, &webhooks).await?;
    let (data, handle) = {
        let mut catalog = world.functions.catalog.write();
        catalog.define(&function_id, data);
        catalog
            .newest(&function_id)
            .ok_or_else(|| no_function(&function_id))?
    };
    meta.effect("function.create", &function_id);
    Ok(FunctionCreateResponse {
        function_id,
        function: data
            .ranked_functions
            .first()
            .and_then(|ranked| ranked.function.clone()),
        handle_metadata: Some(handle),
        function_data: Some(data),
        ..FunctionCreateResponse::default()
    })
}

/// A definition with one choice of resources, in the form that has several.
fn common(function: Function) -> FunctionData {
    FunctionData {
        module_name: function.module_name.clone(),
        function_name: function.function_name.clone(),
        function_type: function.function_type,
        warm_pool_size: function.warm_pool_size,
        concurrency_limit: function.concurrency_limit,
        task_idle_timeout_secs: function.task_idle_timeout_secs,
        experimental_group_size: function.experimental_group_size,
        experimental_fabric_size: function.experimental_fabric_size,
        experimental_buffer_containers: function.experimental_buffer_containers,
        experimental_custom_scaling: function.experimental_custom_scaling,
        experimental_enable_gpu_snapshot: function.experimental_enable_gpu_snapshot,
        worker_id: function.worker_id.clone(),
        timeout_secs: function.timeout_secs,
        webhook_config: function.webhook_config.clone(),
        custom_domain_info: function.custom_domain_info.clone(),
        method_definitions: function.method_definitions.clone(),
        method_definitions_set: function.method_definitions_set,
        is_class: function.is_class,
        class_parameter_info: function.class_parameter_info.clone(),
        is_method: function.is_method,
        schedule: function.schedule.clone(),
        untrusted: function.untrusted,
        snapshot_debug: function.snapshot_debug,
        runtime_perf_record: function.runtime_perf_record,
        autoscaler_settings: function.autoscaler_settings,
        function_schema: function.function_schema.clone(),
        experimental_options: function.experimental_options.clone(),
        flash_service_urls: function.flash_service_urls.clone(),
        flash_service_label: function.flash_service_label.clone(),
        startup_timeout_secs: function.startup_timeout_secs,
        supported_input_formats: function.supported_input_formats.clone(),
        supported_output_formats: function.supported_output_formats.clone(),
        http_config: function.http_config.clone(),
        implementation_name: function.implementation_name.clone(),
        is_server: function.is_server,
        routing_region: function.routing_region.clone(),
        is_sessioned: function.is_sessioned,
        ranked_functions: vec![RankedFunction {
            rank: 0,
            function: Some(function),
        }],
        ..FunctionData::default()
    }
}

async fn get(
    world: Arc<World>,
    call: Call<FunctionGetRequest>,
) -> Result<FunctionGetResponse, Status> {
    let FunctionGetRequest {
        app_name,
        object_tag,
        environment_name,
        app_version,
    } = call.message;
    let app = apps::deployed(&world, &app_name, &environment_name)?;
    let version = u32::try_from(app_version).unwrap_or(0);
    let layout = apps::layout_of_version(&world, &app.id, version)?;
    let Some(function_id) = layout.function_ids.get(&object_tag).cloned() else {
        if layout.class_ids.contains_key(&object_tag) {
            return Err(is_class(&app_name, &object_tag));
        }
        let text = format!("App '{app_name}' has no function '{object_tag}'");
        return Err(Status::not_found(text));
    };
    let function_id = if version == 0 {
        function_id
    } else {
        let pinned = layout.definition_ids.get(&function_id).cloned();
        bound(
            &world,
            &function_id,
            &[],
            FunctionOptions::default(),
            pinned,
        )?
    };
    let catalog = world.functions.catalog.read();
    Ok(FunctionGetResponse {
        handle_metadata: catalog.handle(&function_id),
        function: catalog.data(&function_id),
        function_id,
        ..FunctionGetResponse::default()
    })
}

/// `google.rpc.Status`, as it travels in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, prost::Message)]
struct RpcStatus {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
    #[prost(message, repeated, tag = "3")]
    details: Vec<prost_types::Any>,
}

/// The refusal that lets a client say that the name is a class's: a detail tells it.
fn is_class(app: &str, name: &str) -> Status {
    use prost::Message as _;
    /// `FunctionLookupError.reason` for the name of a class.
    const CLASS_NAME_USED: &[u8] = &[0x08, 0x01];
    let message = format!("App '{app}' has no function '{name}': it is a class");
    let details = RpcStatus {
        code: Code::NotFound.into(),
        message: message.clone(),
        details: vec![prost_types::Any {
            type_url: "type.modal.com/modal.client.FunctionLookupError".to_owned(),
            value: CLASS_NAME_USED.to_vec(),
        }],
    };
    Status::with_details(Code::NotFound, message, details.encode_to_vec().into())
}

async fn get_by_id(
    world: Arc<World>,
    call: Call<FunctionGetByIdRequest>,
) -> Result<FunctionGetByIdResponse, Status> {
    let id = call.message.function_id;
    let catalog = world.functions.catalog.read();
    let data = catalog.data(&id).ok_or_else(|| no_function(&id))?;
    Ok(FunctionGetByIdResponse {
        function: Some(data),
        handle_metadata: catalog.handle(&id),
    })
}

async fn bind_params(
    world: Arc<World>,
    call: Call<FunctionBindParamsRequest>,
) -> Result<FunctionBindParamsResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let options = request.function_options.unwrap_or_default();
    let app_id = super::app_of(&world, &request.function_id)?;
    let pinned = match options
        .pinned_app_version
        .and_then(|version| u32::try_from(version).ok())
    {
        None | Some(0) => None,
        Some(version) => {
            let layout = apps::layout_of_version(&world, &app_id, version)?;
            layout.definition_ids.get(&request.function_id).cloned()
        }
    };
    let params = &request.serialized_params;
    let bound_function_id = bound(&world, &request.function_id, params, options, pinned)?;
    meta.effect("function.bind", &bound_function_id);
    let handle_metadata = world.functions.catalog.read().handle(&bound_function_id);
    Ok(FunctionBindParamsResponse {
        bound_function_id,
        handle_metadata,
    })
}

fn bound(
    world: &World,
    function_id: &str,
    params: &[u8],
    options: FunctionOptions,
    definition_id: Option<String>,
) -> Result<String, Status> {
    let mut catalog = world.functions.catalog.write();
    let entry = catalog
        .function(function_id)
        .ok_or_else(|| no_function(function_id))?;
    if entry.bound.is_some() {
        let text = format!("Function '{function_id}' is bound already: bind the one it came from");
        return Err(Status::failed_precondition(text));
    }
    let bound = Bound {
        base: function_id.to_owned(),
        params: params.to_vec().into(),
        options: Stored(options),
        definition_id,
    };
    catalog.bind(bound).ok_or_else(|| no_function(function_id))
}

/// The URLs of a function by method, once its ports are open.
pub(crate) fn set_urls(world: &World, function_id: &str, urls: BTreeMap<String, String>) {
    if let Some(entry) = world.functions.catalog.write().function_mut(function_id) {
        entry.web = urls;
    }
}
