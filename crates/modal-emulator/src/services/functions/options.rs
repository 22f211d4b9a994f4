//! The options of a bound function, laid over the definition that it came from.

use moorline_modal_proto::client::{Function, FunctionData, FunctionOptions};

/// Applies options: what is absent stays, lists are replaced where the options say so.
pub(super) fn apply(data: &mut FunctionData, options: &FunctionOptions) {
    if let Some(timeout) = options.timeout_secs {
        data.timeout_secs = timeout;
    }
    for ranked in &mut data.ranked_functions {
        if let Some(function) = &mut ranked.function {
            apply_to(function, options);
        }
    }
    let first = data
        .ranked_functions
        .first()
        .and_then(|ranked| ranked.function.as_ref());
    if let Some(function) = first {
        data.autoscaler_settings = function.autoscaler_settings;
        data.concurrency_limit = function.concurrency_limit;
        data.task_idle_timeout_secs = function.task_idle_timeout_secs;
        data.warm_pool_size = function.warm_pool_size;
    }
}

fn apply_to(function: &mut Function, options: &FunctionOptions) {
    if options.replace_secret_ids {
        function.secret_ids.clone_from(&options.secret_ids);
    } else {
        function
            .secret_ids
            .extend(options.secret_ids.iter().cloned());
    }
    function.mount_ids.extend(options.mount_ids.iter().cloned());
    if options.replace_volume_mounts {
        function.volume_mounts.clone_from(&options.volume_mounts);
    } else {
        function
            .volume_mounts
            .extend(options.volume_mounts.iter().cloned());
    }
    if options.replace_cloud_bucket_mounts {
        function
            .cloud_bucket_mounts
            .clone_from(&options.cloud_bucket_mounts);
    } else {
        function
            .cloud_bucket_mounts
            .extend(options.cloud_bucket_mounts.iter().cloned());
    }
    if let Some(resources) = &options.resources {
        function.resources = Some(resources.clone());
    }
    if let Some(policy) = options.retry_policy {
        function.retry_policy = Some(policy);
    }
    if let Some(placement) = &options.scheduler_placement {
        function.scheduler_placement = Some(placement.clone());
    }
    if let Some(cloud) = &options.cloud_provider_str {
        function.cloud_provider_str.clone_from(cloud);
    }
    let set = |place: &mut u32, value: Option<u32>| {
        if let Some(value) = value {
            *place = value;
        }
    };
    set(&mut function.timeout_secs, options.timeout_secs);
    set(
        &mut function.max_concurrent_inputs,
        options.max_concurrent_inputs,
    );
    set(
        &mut function.target_concurrent_inputs,
        options.target_concurrent_inputs,
    );
    set(&mut function.batch_max_size, options.batch_max_size);
    if let Some(linger) = options.batch_linger_ms {
        function.batch_linger_ms = linger;
    }
    set(&mut function.concurrency_limit, options.concurrency_limit);
    set(&mut function.warm_pool_size, options.warm_pool_size);
    set(
        &mut function.task_idle_timeout_secs,
        options.task_idle_timeout_secs,
    );
    let mut scaling = function.autoscaler_settings.unwrap_or_default();
    scaling.max_containers = options.concurrency_limit.or(scaling.max_containers);
    scaling.min_containers = options.warm_pool_size.or(scaling.min_containers);
    scaling.buffer_containers = options.buffer_containers.or(scaling.buffer_containers);
    scaling.scaledown_window = options.task_idle_timeout_secs.or(scaling.scaledown_window);
    function.autoscaler_settings = Some(scaling);
}

#[cfg(test)]
mod tests {
    use moorline_modal_proto::client::VolumeMount;

    use super::*;

    #[test]
    fn lists_are_replaced_only_where_the_options_say_so() {
        let volume = |id: &str| VolumeMount {
            volume_id: id.to_owned(),
            ..VolumeMount::default()
        };
        let mut function = Function {
            secret_ids: vec!["st-1".to_owned()],
            volume_mounts: vec![volume("vo-1")],
            timeout_secs: 300,
            ..Function::default()
        };
        let options = FunctionOptions {
            secret_ids: vec!["st-2".to_owned()],
            volume_mounts: vec![volume("vo-2")],
            replace_volume_mounts: true,
            concurrency_limit: Some(4),
            ..FunctionOptions::default()
        };
        apply_to(&mut function, &options);
        assert_eq!(function.secret_ids, ["st-1", "st-2"]);
        assert_eq!(function.volume_mounts, [volume("vo-2")]);
        assert_eq!(function.timeout_secs, 300);
        assert_eq!(
            function.autoscaler_settings.unwrap().max_containers,
            Some(4)
        );
    }
}
