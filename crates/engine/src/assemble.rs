//! The configured back ends: the only place that names them.

#[cfg(feature = "modal")]
mod modal;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use moorline_api::ApiError;
use moorline_core::clock::SystemIds;
use moorline_core::config::{DEFAULT_PROJECT, SecretBackendKind, Settings, StoreUrl};
use moorline_core::error_code::ErrorCode;
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_store::{SchemaCheck, Store};

use crate::dirs::StateDirs;
use crate::engine::{Engine, EngineConfig};
use crate::error::{io_error, store_error};
use crate::principals::KeyPlace;
use crate::vault::Vault;

/// What an embedded engine is made from.
#[derive(Debug, Clone)]
pub struct Options {
    /// The project, which has a state of its own (D-AUDIT-3).
    pub project: String,
    /// The state directory of the project.
    pub dirs: StateDirs,
    /// What is configured; the environment's part of it is in there already.
    pub settings: Arc<Settings>,
    /// Where the private keys of this machine's people are.
    pub keys: KeyPlace,
    /// The environment, read once by the program. Jobs never see it; what the settings name is looked up in it.
    pub vars: BTreeMap<String, String>,
    /// Whether secrets that jobs declare are looked up in it too, where the lane is interactive. Not on a server:
    /// its environment has what lets into its store and its workspace, and is not of who submits jobs.
    pub ambient_secrets: bool,
    /// The supervisor program of the executors.
    pub helper: PathBuf,
}

impl Options {
    /// The directory of a project below the state directory of an installation: that directory itself for
    /// the project that is always there.
    pub fn dirs_of(state: &Path, project: &str) -> StateDirs {
        if project == DEFAULT_PROJECT {
            StateDirs::new(state)
        } else {
            StateDirs::new(state.join("projects").join(project))
        }
    }
}

/// An engine for one machine: state in a directory, or in PostgreSQL when the settings name one;
/// jobs run on this machine, and with the feature `modal` in Modal's sandboxes where they ask for it.
///
/// # Errors
/// When the state directory or the store can not be opened.
pub async fn embedded(options: Options) -> Result<Engine, ApiError> {
    let var = |name: &str| {
        options
            .vars
            .get(name)
            .filter(|value| !value.is_empty())
            .cloned()
    };
    let mut config = EngineConfig::embedded(options.dirs);
    let settings = options.settings;
    config.project = options.project;
    config.keys = options.keys;
    config.capacity = usize::try_from(settings.capacity).unwrap_or(usize::MAX);
    config.lease = Duration::from_secs(settings.lease_seconds.into());
    config.default_executor.clone_from(&settings.executor);
    config.settings = Arc::clone(&settings);
    config.ci = var("CI");
    config.ambient_secrets = options.ambient_secrets;
    #[cfg(feature = "test-clock")]
    let clock = crate::test_clock::clock(&options.vars, &mut config)?;
    #[cfg(not(feature = "test-clock"))]
    let clock = Arc::new(moorline_core::clock::SystemClock);
    config
        .dirs
        .create()
        .map_err(io_error("create the state directory"))?;
    let store = open_store(&config, settings.store.as_ref()).await?;
    #[cfg(feature = "modal")]
    let deployer = modal::deployer(
        var,
        &settings.app_names,
        options.vars.clone(),
        &config.project,
    );
    #[cfg(feature = "modal")]
    let modal = modal::executor(
        var,
        &settings.app_names,
        options.vars.clone(),
        &config.dirs.root().join("modal"),
        &options.helper,
    )?;
    let mut local = LocalConfig::new(config.dirs.attempts(), options.helper);
    // Set and empty means: without bubblewrap, though it is installed.
    if let Some(bwrap) = options.vars.get("MOORLINE_BWRAP") {
        local.bwrap = (!bwrap.is_empty()).then(|| PathBuf::from(bwrap));
    }
    let local = LocalExecutor::new(local)
        .map_err(|error| ApiError::new(ErrorCode::Config, error.to_string()))?;
    let vault = vault(&config, &options.vars)?;
    let secrets = Arc::new(crate::secrets::sources(options.vars, config.dirs.root())?);
    let builder = Engine::builder(config, store, secrets, clock, Arc::new(SystemIds))
        .vault(vault)
        .executor("local", Arc::new(local));
    #[cfg(feature = "modal")]
    let builder = builder
        .executor("modal", modal)
        .deployer(Arc::new(deployer));
    Ok(builder.build())
}

/// Where the settings say that secrets are kept.
fn vault(config: &EngineConfig, vars: &BTreeMap<String, String>) -> Result<Vault, ApiError> {
    let (settings, root) = (&config.settings, config.dirs.root());
    match settings.secrets.backend {
        SecretBackendKind::File => Ok(Vault::file(settings, root)),
        SecretBackendKind::Modal if config.project != DEFAULT_PROJECT => {
            Err(one_workspace(&config.project))
        }
        SecretBackendKind::Modal => modal_vault(settings, root, vars),
    }
}

/// A workspace knows secrets by environment and name alone: a project would name, set and revoke another's.
fn one_workspace(project: &str) -> ApiError {
    let message = format!(
        "the project `{project}` can not keep its secrets in a Modal workspace: there each name is one secret, \
         whichever project names it (D-AUDIT-3)"
    );
    ApiError::new(ErrorCode::Config, message).hint(
        "set `secrets.backend` to `file`, or give the project a server and a workspace of its own",
    )
}

#[cfg(feature = "modal")]
fn modal_vault(
    settings: &Settings,
    root: &Path,
    vars: &BTreeMap<String, String>,
) -> Result<Vault, ApiError> {
    let backend = Arc::new(modal::secrets(vars.clone()));
    Vault::modal(settings, root, backend)
}

#[cfg(not(feature = "modal"))]
fn modal_vault(_: &Settings, _: &Path, _: &BTreeMap<String, String>) -> Result<Vault, ApiError> {
    Err(ApiError::new(
        ErrorCode::Config,
        "this build has no Modal; set `secrets.backend` to `file`",
    ))
}

/// How the schema of a project's store compares with the one that this program writes. Nothing is changed, and
/// what is not there yet is not made.
///
/// # Errors
/// When the store can not be read, or was written by a program that this one can not follow.
pub async fn schema_check(options: &Options) -> Result<SchemaCheck, ApiError> {
    match options.settings.store.as_ref().map(StoreUrl::expose) {
        None => sqlite_check(&options.dirs),
        Some(url) => postgres_check(url, &options.project).await,
    }
}

async fn open_store(
    config: &EngineConfig,
    url: Option<&StoreUrl>,
) -> Result<Arc<dyn Store>, ApiError> {
    match url.map(StoreUrl::expose) {
        None => sqlite(&config.dirs),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            postgres(url, &config.project).await
        }
        Some(_) => Err(ApiError::new(
            ErrorCode::Config,
            "`store` is not the URL of a store",
        )
        .hint(
            "write `postgres://user@host/database`, or leave it out for SQLite in the state directory",
        )),
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(dirs: &StateDirs) -> Result<Arc<dyn Store>, ApiError> {
    let store = moorline_store::SqliteStore::open(&dirs.store()).map_err(store_error)?;
    Ok(Arc::new(store))
}

#[cfg(feature = "sqlite")]
fn sqlite_check(dirs: &StateDirs) -> Result<SchemaCheck, ApiError> {
    moorline_store::SqliteStore::check(&dirs.store()).map_err(store_error)
}

#[cfg(not(feature = "sqlite"))]
fn sqlite_check(dirs: &StateDirs) -> Result<SchemaCheck, ApiError> {
    sqlite(dirs).map(|_| SchemaCheck {
        found: 0,
        program: 0,
        pending: Vec::new(),
    })
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: &StateDirs) -> Result<Arc<dyn Store>, ApiError> {
    Err(ApiError::new(
        ErrorCode::Config,
        "this build has no SQLite; give `store` a URL",
    ))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str, project: &str) -> Result<Arc<dyn Store>, ApiError> {
    let store = if project == DEFAULT_PROJECT {
        moorline_store::PostgresStore::connect(url).await
    } else {
        moorline_store::PostgresStore::connect_project(url, project).await
    };
    Ok(Arc::new(store.map_err(store_error)?))
}

#[cfg(feature = "postgres")]
async fn postgres_check(url: &str, project: &str) -> Result<SchemaCheck, ApiError> {
    let project = (project != DEFAULT_PROJECT).then_some(project);
    moorline_store::PostgresStore::check(url, project)
        .await
        .map_err(store_error)
}

#[cfg(not(feature = "postgres"))]
async fn postgres_check(url: &str, project: &str) -> Result<SchemaCheck, ApiError> {
    postgres(url, project).await.map(|_| SchemaCheck {
        found: 0,
        program: 0,
        pending: Vec::new(),
    })
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str, _: &str) -> Result<Arc<dyn Store>, ApiError> {
    Err(ApiError::new(
        ErrorCode::Config,
        "this build has no PostgreSQL; leave `store` out",
    ))
}
