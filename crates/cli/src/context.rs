//! What every command gets: flags, environment, the way to the engine.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use moorline_api::ApiError;
use moorline_core::config::{DEFAULT_PROJECT, Settings, is_project_name};
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PrincipalError, PrincipalKind};
use moorline_core::spec::is_ci;
use moorline_engine::surroundings::{self, STATE};
use moorline_engine::{Engine, StateDirs, assemble};
use tracing_subscriber::filter::LevelFilter;

use crate::args::{Global, LogFormat};
use crate::env::Env;

/// The variable that names who acts.
const PRINCIPAL: &str = "MOORLINE_PRINCIPAL";

/// The async runtime, for the commands that need one.
pub(crate) fn runtime() -> Result<tokio::runtime::Runtime, ApiError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| {
            ApiError::new(ErrorCode::Internal, "can not start the runtime").because(error)
        })
}

/// Flags and environment of one invocation.
#[derive(Debug)]
pub(crate) struct Context<'a> {
    /// The environment.
    pub(crate) env: &'a Env,
    /// The global flags.
    pub(crate) global: &'a Global,
}

impl<'a> Context<'a> {
    pub(crate) fn new(env: &'a Env, global: &'a Global) -> Self {
        Self { env, global }
    }

    /// Whether exactly one JSON document goes to stdout.
    pub(crate) fn json(&self) -> bool {
        self.global.json
    }

    /// Who asks. A server knows whom the token is of, so nothing is claimed there.
    ///
    /// # Errors
    /// As [`Context::claimed_principal`].
    pub(crate) fn principal(&self) -> Result<Principal, ApiError> {
        if self.is_remote()? {
            return Ok(Principal::default());
        }
        self.claimed_principal()
    }

    /// Who acts on this machine: `MOORLINE_PRINCIPAL`; else the user of this machine, as a pipeline where `CI` is set.
    ///
    /// This identity is claimed, not proven: it keeps honest programs apart and says in the audit trail who
    /// asked. Whoever can write the state directory can claim any name; what nobody can do without the
    /// private key is sign in somebody else's name.
    ///
    /// # Errors
    /// When `MOORLINE_PRINCIPAL` names nobody, or Moorline itself, which acts by rule alone (D-AUDIT-1).
    pub(crate) fn claimed_principal(&self) -> Result<Principal, ApiError> {
        let var = |name: &str| self.env.var(name).filter(|value| !value.is_empty());
        if let Some(text) = var(PRINCIPAL) {
            let usage = |message: String| {
                ApiError::new(ErrorCode::Usage, message).hint(format!(
                    "set {PRINCIPAL} to for example `human:ada` or `agent:codex`, or unset it"
                ))
            };
            let principal: Principal = text
                .parse()
                .map_err(|error: PrincipalError| usage(format!("{PRINCIPAL}: {error}")))?;
            if principal.kind() == PrincipalKind::System {
                return Err(usage(format!(
                    "{PRINCIPAL}: `{principal}` is Moorline itself; nobody acts in its name \
                     (D-AUDIT-1)"
                )));
            }
            return Ok(principal);
        }
        let kind = if is_ci(var("CI")) {
            PrincipalKind::Ci
        } else {
            PrincipalKind::Human
        };
        let user = ["USER", "LOGNAME"].into_iter().find_map(var);
        Ok(Principal::named(kind, user.unwrap_or("local")))
    }

    pub(crate) fn init_logging(&self) {
        let level = match self.global.verbose {
            0 => LevelFilter::ERROR,
            1 => LevelFilter::INFO,
            _ => LevelFilter::TRACE,
        };
        let builder = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_writer(std::io::stderr)
            .with_target(false);
        let done = match self.global.log_format {
            LogFormat::Json => builder.json().try_init(),
            LogFormat::Text => builder.with_ansi(false).try_init(),
        };
        // Only a program that embeds these commands can have set one before; then that one stays.
        drop(done);
    }

    /// The state directory: the flag, the environment, or the nearest one above the working directory.
    pub(crate) fn find_state(&self) -> Option<PathBuf> {
        self.surroundings().find_state()
    }

    /// Where `init` and the first `run` make the state directory.
    pub(crate) fn new_state(&self) -> PathBuf {
        self.find_state()
            .unwrap_or_else(|| self.env.cwd.join(STATE))
    }

    /// The state directory, which must exist.
    pub(crate) fn state(&self) -> Result<PathBuf, ApiError> {
        match self.find_state() {
            Some(dir) if dir.is_dir() => Ok(dir),
            Some(dir) => Err(ApiError::new(
                ErrorCode::NotFound,
                format!("there is no state directory {}", dir.display()),
            )
            .hint("make one with `moorline init`, or give another with `--state DIR`")),
            None => Err(ApiError::new(
                ErrorCode::NotFound,
                format!(
                    "there is no `{STATE}` here or above {}",
                    self.env.cwd.display()
                ),
            )
            .hint("make one with `moorline init`; `moorline run` makes one too")),
        }
    }

    /// Creates the state directory with its layout. Repeating it changes nothing.
    pub(crate) fn create_state(&self) -> Result<StateDirs, ApiError> {
        let dirs = StateDirs::new(self.new_state());
        let failed = |error: std::io::Error| {
            let message = format!(
                "can not create the state directory {}: {error}",
                dirs.root().display()
            );
            ApiError::new(ErrorCode::Store, message)
                .hint("give a writable place with `--state DIR`")
        };
        dirs.create().map_err(failed)?;
        let ignore = dirs.root().join(".gitignore");
        if !ignore.exists() {
            std::fs::write(&ignore, "*\n").map_err(failed)?;
        }
        Ok(dirs)
    }

    /// Runs a command's work on the engine of the state directory that exists.
    pub(crate) fn with_engine<F, T>(&self, work: impl FnOnce(Engine) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let dirs = StateDirs::new(self.state()?);
        self.with_engine_in(dirs, work)
    }

    /// Runs a command's work on the engine of a state directory.
    pub(crate) fn with_engine_in<F, T>(
        &self,
        dirs: StateDirs,
        work: impl FnOnce(Engine) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        runtime()?.block_on(self.with_engine_on(dirs, self.env.vars.clone(), work))
    }

    /// As [`Context::with_engine`], but that interrupted runs are left alone: a stop does not wait for
    /// anything that is not the stop.
    pub(crate) fn with_engine_at_once<F, T>(
        &self,
        work: impl FnOnce(Engine) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let dirs = StateDirs::new(self.state()?);
        let settings = self.settings_of_stop();
        let options = self.options(&dirs, settings, self.env.vars.clone())?;
        runtime()?.block_on(async {
            let engine = assemble::embedded(options).await?;
            let done = work(engine.clone()).await;
            engine.drain().await;
            done
        })
    }

    /// Does a command's work on the engine of a state directory, set up by these variables.
    pub(crate) async fn with_engine_on<F, T>(
        &self,
        dirs: StateDirs,
        vars: BTreeMap<String, String>,
        work: impl FnOnce(Engine) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let options = self.options(&dirs, self.settings()?, vars)?;
        let engine = assemble::embedded(options).await?;
        let left = engine.tidy().await?;
        if left > 0 && !self.json() {
            let verb = if left == 1 { "run was" } else { "runs were" };
            crate::output::note(&format!(
                "{left} {verb} interrupted; `moorline runs wait --all` carries on"
            ));
        }
        let done = work(engine.clone()).await;
        engine.drain().await;
        done
    }

    /// What the engine of this invocation is made from.
    fn options(
        &self,
        dirs: &StateDirs,
        settings: Arc<Settings>,
        vars: BTreeMap<String, String>,
    ) -> Result<assemble::Options, ApiError> {
        let project = self.project()?;
        Ok(assemble::Options {
            keys: self.keys(dirs.root()),
            settings,
            dirs: assemble::Options::dirs_of(dirs.root(), &project),
            project,
            vars,
            ambient_secrets: true,
            helper: self.helper()?,
        })
    }

    /// The project whose state it is.
    fn project(&self) -> Result<String, ApiError> {
        let Some(name) = &self.global.project else {
            return Ok(DEFAULT_PROJECT.to_owned());
        };
        if is_project_name(name) {
            return Ok(name.clone());
        }
        let message = format!("`{name}` is not the name of a project");
        Err(ApiError::new(ErrorCode::Usage, message)
            .hint("write a lower-case letter, then at most 31 letters, digits and `-`"))
    }

    /// The program that supervises attempts: beside this one, or this one itself.
    fn helper(&self) -> Result<PathBuf, ApiError> {
        surroundings::helper(self.env.program.as_deref())
    }
}
