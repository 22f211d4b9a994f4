//! The configured back ends: the only place that names them.

#[cfg(feature = "modal")]
mod modal;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::clock::{SystemClock, SystemIds};
use moorline_core::error_code::ErrorCode;
use moorline_executor::local::{LocalConfig, LocalExecutor};
use moorline_store::Store;

use crate::dirs::StateDirs;
use crate::engine::{Engine, EngineConfig};
use crate::error::{io_error, store_error};

/// What an embedded engine is made from.
#[derive(Debug, Clone)]
pub struct Options {
    /// The state directory.
    pub dirs: StateDirs,
    /// The environment, read once by the program. Jobs never see it; declared secrets are looked up in it.
    pub vars: BTreeMap<String, String>,
    /// The supervisor program of the executors.
    pub helper: PathBuf,
}

/// An engine for one machine: state in a directory, or in PostgreSQL when `MOORLINE_STORE` names one;
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
    config.ci = var("CI");
    config
        .dirs
        .create()
        .map_err(io_error("create the state directory"))?;
    let store = open_store(&config.dirs, var("MOORLINE_STORE").as_deref()).await?;
    #[cfg(feature = "modal")]
    let modal = modal::executor(
        var,
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
    let secrets = Arc::new(crate::secrets::sources(options.vars, config.dirs.root())?);
    let builder = Engine::builder(
        config,
        store,
        secrets,
        Arc::new(SystemClock),
        Arc::new(SystemIds),
    )
    .executor("local", Arc::new(local));
    #[cfg(feature = "modal")]
    let builder = builder.executor("modal", modal);
    Ok(builder.build())
}

async fn open_store(dirs: &StateDirs, url: Option<&str>) -> Result<Arc<dyn Store>, ApiError> {
    match url {
        None => sqlite(dirs),
        Some(url) if url.starts_with("postgres://") || url.starts_with("postgresql://") => {
            postgres(url).await
        }
        Some(_) => Err(ApiError::new(
            ErrorCode::Config,
            "MOORLINE_STORE is not the URL of a store",
        )
        .hint(
            "write `postgres://user@host/database`, or unset it for SQLite in the state directory",
        )),
    }
}

#[cfg(feature = "sqlite")]
fn sqlite(dirs: &StateDirs) -> Result<Arc<dyn Store>, ApiError> {
    let store = moorline_store::SqliteStore::open(&dirs.store()).map_err(store_error)?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "sqlite"))]
fn sqlite(_: &StateDirs) -> Result<Arc<dyn Store>, ApiError> {
    Err(ApiError::new(
        ErrorCode::Config,
        "this build has no SQLite; set MOORLINE_STORE",
    ))
}

#[cfg(feature = "postgres")]
async fn postgres(url: &str) -> Result<Arc<dyn Store>, ApiError> {
    let store = moorline_store::PostgresStore::connect(url)
        .await
        .map_err(store_error)?;
    Ok(Arc::new(store))
}

#[cfg(not(feature = "postgres"))]
async fn postgres(_: &str) -> Result<Arc<dyn Store>, ApiError> {
    Err(ApiError::new(
        ErrorCode::Config,
        "this build has no PostgreSQL; unset MOORLINE_STORE",
    ))
}
