//! The Modal executor, from variables of the environment.
//!
//! | variable | meaning |
//! |---|---|
//! | `MODAL_*`, `~/.modal.toml` | as the official client reads them |
//! | `MOORLINE_MODAL_IMAGE` | image of steps that name none |
//! | `MOORLINE_MODAL_PYTHON_IMAGE` | image of deployed schedules |
//! | `MOORLINE_MODAL_HELPER` | the supervisor program that runs in sandboxes |
//!
//! How lanes are told apart, and what is put before app names, is in the settings (`app_names`, D-REF-7).

use std::path::Path;
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::app_name::{AppPolicy, LaneScope};
use moorline_core::config::DEFAULT_PROJECT;
use moorline_core::error_code::ErrorCode;
use moorline_executor::modal::{
    ModalConfig, ModalDeployer, ModalExecutor, ModalSecrets, Unconfigured,
};
use moorline_executor::{Executor, ExecutorError};
use moorline_modal_client::{Client, Config};

/// The executor; one that says what is missing, where Modal is not set up.
pub(super) fn executor(
    var: impl Fn(&str) -> Option<String>,
    policy: &AppPolicy,
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
    config.policy = policy.clone();
    config.environments = config.policy.scope != LaneScope::AppSuffix;
    Ok(Arc::new(ModalExecutor::new(config).map_err(refused)?))
}

/// What deploys schedules; one that says what is missing, where Modal is not set up.
///
/// The functions are in the image of `MOORLINE_MODAL_PYTHON_IMAGE`, which has Python.
pub(super) fn deployer(
    var: impl Fn(&str) -> Option<String>,
    policy: &AppPolicy,
    vars: impl IntoIterator<Item = (String, String)>,
    project: &str,
) -> ModalDeployer {
    let image = var("MOORLINE_MODAL_PYTHON_IMAGE").unwrap_or_else(|| PYTHON_IMAGE.to_owned());
    let deployer = match Config::from_env(vars).and_then(Client::new) {
        Ok(client) => {
            let environments = policy.scope != LaneScope::AppSuffix;
            ModalDeployer::new(client, policy.clone(), environments, image)
        }
        Err(error) => ModalDeployer::unconfigured(error.to_string()),
    };
    if project == DEFAULT_PROJECT {
        deployer
    } else {
        deployer.of_project(project)
    }
}

/// Has Python and nothing else; what it holds has no part in what a schedule starts.
const PYTHON_IMAGE: &str = "python:3.12-slim-bookworm";

/// The secrets of the workspace; one that says what is missing, where Modal is not set up.
pub(super) fn secrets(vars: impl IntoIterator<Item = (String, String)>) -> ModalSecrets {
    match Config::from_env(vars).and_then(Client::new) {
        Ok(client) => ModalSecrets::new(client),
        Err(error) => ModalSecrets::unconfigured(error.to_string()),
    }
}

fn refused(error: ExecutorError) -> ApiError {
    ApiError::new(ErrorCode::Config, error.to_string()).because(error)
}
