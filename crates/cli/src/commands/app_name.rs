//! `moorline app-name`

use moorline_api::ApiError;
use moorline_core::app_name::{AppPolicy, DevPrefix, LaneScope, Overrides};
use moorline_core::config::{Origin, Resolved};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::{Lane, LaneError};
use moorline_core::processor_ref::ProcessorRef;
use serde_json::json;

use crate::args::{AppNameArgs, AppPolicy as Policy};
use crate::context::Context;
use crate::output;

pub(super) fn run(context: &Context<'_>, args: &AppNameArgs) -> Result<u8, ApiError> {
    let usage = |text: String| ApiError::new(ErrorCode::Usage, text);
    let processor: ProcessorRef =
        args.processor_ref
            .parse()
            .map_err(|error: moorline_core::processor_ref::RefError| {
                usage(error.to_string())
                    .hint("write `namespace/name@version`, e.g. `llm/litellm@1`")
            })?;
    let resolved = context.configuration()?;
    let lane: Lane = match context.global.lane.as_deref() {
        Some(name) => name
            .parse()
            .map_err(|error: LaneError| usage(error.to_string()))?,
        None => resolved.settings.lane.clone(),
    };
    let policy = policy(args, &resolved);
    let overrides = Overrides {
        flag: args.app_name.as_deref(),
        variable: context.env.var("MODAL_APP_NAME"),
    };
    let target = policy
        .resolve(&processor, &lane, overrides)
        .map_err(|error| {
            usage(error.to_string()).hint("leave the override out to use the derived name")
        })?;
    if context.json() {
        let environment = target.environment.as_str();
        output::json(&json!({
            "ref": processor,
            "lane": lane,
            "environment": environment,
            "app_name": target.app.as_str(),
        }));
    } else {
        output::line(target.app.as_str());
    }
    Ok(0)
}

/// The configured policy, with what the flags say instead.
fn policy(args: &AppNameArgs, resolved: &Resolved) -> AppPolicy {
    let mut policy = resolved.settings.app_names.clone();
    let configured = resolved.origin_of("app_names.scope") != Origin::Default;
    policy.scope = match args.policy {
        Some(Policy::ModalEnvironment) => LaneScope::ModalEnvironment,
        Some(Policy::AppSuffix) => LaneScope::AppSuffix,
        Some(Policy::Both) => LaneScope::Both,
        None if configured => policy.scope,
        // The name alone, for who only wants to know what a ref is called.
        None => LaneScope::ModalEnvironment,
    };
    if args.branch.is_some() || args.user.is_some() {
        policy.dev_prefix = Some(DevPrefix {
            branch: args.branch.clone(),
            user: args.user.clone(),
        });
    }
    policy
}
