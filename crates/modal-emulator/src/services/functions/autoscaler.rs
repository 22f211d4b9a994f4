//! RPCs about the size of pools.

use std::sync::Arc;

use moorline_modal_proto::client::{
    AutoscalerConfiguration, AutoscalerSettings, FunctionGetCurrentStatsRequest,
    FunctionGetSchedulingParamsRequest, FunctionGetSchedulingParamsResponse, FunctionStats,
    FunctionUpdateSchedulingParamsRequest, FunctionUpdateSchedulingParamsResponse,
};
use tonic::Status;

use super::scaling::{merged, over_settings, stated};
use super::{act, no_function, ready_pool};
use crate::call::Call;
use crate::routes::Rpcs;
use crate::world::World;

pub(super) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("FunctionUpdateSchedulingParams", update);
    rpcs.read("FunctionGetSchedulingParams", get);
    rpcs.read("FunctionGetCurrentStats", stats);
}

/// What holds when nobody says anything.
fn defaults() -> AutoscalerSettings {
    AutoscalerSettings {
        min_containers: Some(0),
        max_containers: Some(0),
        buffer_containers: Some(0),
        scaledown_window: Some(60),
        ..AutoscalerSettings::default()
    }
}

fn configuration(world: &World, id: &str) -> Result<AutoscalerConfiguration, Status> {
    let catalog = world.functions.catalog.read();
    let effective = catalog.effective(id).ok_or_else(|| no_function(id))?;
    let overrides = catalog
        .function(id)
        .map(|entry| entry.overrides.0)
        .unwrap_or_default();
    Ok(AutoscalerConfiguration {
        settings: Some(over_settings(
            &defaults(),
            &merged(&effective.function, &overrides),
        )),
        default_settings: Some(defaults()),
        static_settings: Some(stated(&effective.function)),
        override_settings: Some(overrides),
    })
}

async fn update(
    world: Arc<World>,
    call: Call<FunctionUpdateSchedulingParamsRequest>,
) -> Result<FunctionUpdateSchedulingParamsResponse, Status> {
    let Call {
        message: request,
        meta,
    } = call;
    let id = request.function_id;
    let settings = request.settings.unwrap_or_default();
    let (min, max) = (
        settings.min_containers,
        settings.max_containers.filter(|max| *max > 0),
    );
    if let (Some(min), Some(max)) = (min, max)
        && min > max
    {
        let text = format!("min_containers ({min}) must not exceed max_containers ({max})");
        return Err(Status::invalid_argument(text));
    }
    {
        let mut catalog = world.functions.catalog.write();
        let entry = catalog.function_mut(&id).ok_or_else(|| no_function(&id))?;
        entry.overrides.0 = over_settings(&entry.overrides.0, &settings);
    }
    meta.effect("function.scale", &id);
    act(&world, |board| ready_pool(&world, board, &id));
    let current_settings = configuration(&world, &id)?.settings;
    Ok(FunctionUpdateSchedulingParamsResponse { current_settings })
}

async fn get(
    world: Arc<World>,
    call: Call<FunctionGetSchedulingParamsRequest>,
) -> Result<FunctionGetSchedulingParamsResponse, Status> {
    let configuration = configuration(&world, &call.message.function_id)?;
    Ok(FunctionGetSchedulingParamsResponse {
        autoscaler_configuration: Some(configuration),
    })
}

async fn stats(
    world: Arc<World>,
    call: Call<FunctionGetCurrentStatsRequest>,
) -> Result<FunctionStats, Status> {
    let id = call.message.function_id;
    if world.functions.catalog.read().function(&id).is_none() {
        return Err(no_function(&id));
    }
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    Ok(act(&world, |board| {
        let Some(pool) = board.pools.get(&id) else {
            return FunctionStats::default();
        };
        let load = pool.load();
        FunctionStats {
            backlog: count(load.waiting),
            num_total_tasks: count(pool.slots.len()),
            num_running_inputs: count(load.running),
            input_headroom: count(load.free),
        }
    }))
}
