//! The Modal executor, from variables of the environment.
//!
//! | variable | meaning |
//! |---|---|
//! | `MODAL_*`, `~/.modal.toml` | as the official client reads them |
//! | `MOORLINE_MODAL_IMAGE` | image of steps that name none |
//! | `MOORLINE_MODAL_HELPER` | the supervisor program that runs in sandboxes |
//! | `MOORLINE_MODAL_SCOPE` | how lanes are told apart: `app-suffix` (the default), `modal-environment` or `both` |
//! | `MODAL_APP_BRANCH`, `MODAL_APP_USER` | put before the app names of every lane but `prod` (D-REF-7) |

use std::path::Path;
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::app_name::{DevPrefix, LaneScope};
use moorline_core::error_code::ErrorCode;
use moorline_executor::modal::{ModalConfig, ModalExecutor, Unconfigured};
use moorline_executor::{Executor, ExecutorError};
use moorline_modal_client::{Client, Config};

/// The executor; one that says what is missing, where Modal is not set up.
pub(super) fn executor(
    var: impl Fn(&str) -> Option<String>,
    vars: impl IntoIterator<Item = (String, String)>,
    root: &Path,
    helper: &Path,
) -> Result<Arc<dyn Executor>, ApiError> {
    let client = match Config::from_env(vars).and_then(Client::new) {
        Ok(client) => client,
        // Most installations never use it, so that is no error before a job asks for it.
        Err(error) => {
            let executor = Unconfigured::new(error.to_string(), root).map_err(refused)?;
            return Ok(Arc::new(executor));
        }
    };
    let helper = var("MOORLINE_MODAL_HELPER").map_or_else(|| helper.to_owned(), Into::into);
    let mut config = ModalConfig::new(client, root, helper);
    if let Some(image) = var("MOORLINE_MODAL_IMAGE") {
        config.default_image = image;
    }
    config.policy.scope = match var("MOORLINE_MODAL_SCOPE").as_deref() {
        None | Some("app-suffix") => LaneScope::AppSuffix,
        Some("modal-environment") => LaneScope::ModalEnvironment,
        Some("both") => LaneScope::Both,
        Some(other) => {
            let message = format!("MOORLINE_MODAL_SCOPE is `{other}`");
            return Err(ApiError::new(ErrorCode::Config, message)
                .hint("write `app-suffix`, `modal-environment` or `both`, or unset it"));
        }
    };
    config.environments = config.policy.scope != LaneScope::AppSuffix;
    let prefix = DevPrefix {
        branch: var("MODAL_APP_BRANCH"),
        user: var("MODAL_APP_USER"),
    };
    config.policy.dev_prefix = (prefix != DevPrefix::default()).then_some(prefix);
    Ok(Arc::new(ModalExecutor::new(config).map_err(refused)?))
}

fn refused(error: ExecutorError) -> ApiError {
    ApiError::new(ErrorCode::Config, error.to_string()).because(error)
}
