//! `moorline app-name`

use moorline_api::ApiError;
use moorline_core::app_name::{AppPolicy, DevPrefix, LaneScope, Overrides};
use moorline_core::error_code::ErrorCode;
use moorline_core::lane::Lane;
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
    let lane: Lane = context
        .global
        .lane
        .as_deref()
        .unwrap_or("dev")
        .parse()
        .map_err(|error: moorline_core::lane::LaneError| usage(error.to_string()))?;
    let prefix = DevPrefix {
        branch: args.branch.clone(),
        user: args.user.clone(),
    };
    let policy = AppPolicy {
        scope: match args.policy {
            Policy::ModalEnvironment => LaneScope::ModalEnvironment,
            Policy::AppSuffix => LaneScope::AppSuffix,
            Policy::Both => LaneScope::Both,
        },
        dev_prefix: (prefix != DevPrefix::default()).then_some(prefix),
        ..AppPolicy::default()
    };
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
