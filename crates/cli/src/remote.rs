//! The control plane of an invocation: a server's over HTTP, or the engine of a state directory in this process.
//!
//! | what says it | what it is |
//! |---|---|
//! | `--server URL`, `--context NAME` | that server |
//! | `--state DIR`, `--project NAME`, `tokens create --local` | this machine |
//! | `MOORLINE_SERVER` | that server |
//! | `MOORLINE_STATE` | this machine |
//! | `moorline contexts use NAME` | that server |
//! | nothing | this machine |
//!
//! The first row that says something counts. The token is that of `MOORLINE_TOKEN`, else that of the context,
//! else that of a context with the same server.

use std::future::Future;
use std::io::IsTerminal as _;
use std::sync::Arc;
use std::time::Duration;

use moorline_api::client::{Client, Notice, Options, Signer};
use moorline_api::secrets::SecretInput;
use moorline_api::{ApiError, ControlPlane};
use moorline_core::artifact::SignedRecord;
use moorline_core::artifact::signature::Attestation;
use moorline_core::error_code::ErrorCode;
use moorline_core::principal::{Principal, PublicKey};
use moorline_engine::KeyPlace;

use crate::context::{Context, runtime};
use crate::contexts::{ContextPlace, Contexts};
use crate::output;

/// The variable that names a server.
const SERVER: &str = "MOORLINE_SERVER";
/// The variable that holds a token.
const TOKEN: &str = "MOORLINE_TOKEN";
/// The variable that names a state directory.
const STATE: &str = "MOORLINE_STATE";

/// What does the operations of a command, wherever it is.
pub(crate) type Plane = Arc<dyn ControlPlane>;

/// The server that an invocation works with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    /// Its address, without a slash at its end.
    pub(crate) server: String,
    /// The context that names it.
    pub(crate) context: Option<String>,
    /// What said so, for people.
    pub(crate) by: &'static str,
}

impl Context<'_> {
    /// Whether the control plane is a server's.
    pub(crate) fn is_remote(&self) -> Result<bool, ApiError> {
        Ok(self.target()?.is_some())
    }

    /// The server to work with; none where that is this machine.
    pub(crate) fn target(&self) -> Result<Option<Target>, ApiError> {
        let flags = self.global;
        let named = flags.server.is_some() || flags.context.is_some();
        if named && flags.state.is_some() {
            let message = "`--state` is of this machine, and `--server` and `--context` of another";
            return Err(ApiError::new(ErrorCode::Usage, message).hint("leave one of them out"));
        }
        let var = |name| self.env.var(name).filter(|value| !value.is_empty());
        let url = |server: &str, by| {
            let server = server.trim_end_matches('/').to_owned();
            let context = None;
            Ok(Some(Target {
                server,
                context,
                by,
            }))
        };
        if let Some(server) = &flags.server {
            return url(server, "--server");
        }
        if let Some(name) = &flags.context {
            let contexts = self.context_place()?.read()?;
            return Self::of_context(&contexts, name, "--context").map(Some);
        }
        if flags.state.is_some() || flags.project.is_some() {
            return Ok(None);
        }
        if let Some(server) = var(SERVER) {
            return url(server, SERVER);
        }
        if var(STATE).is_some() {
            return Ok(None);
        }
        // Without a home there are no contexts.
        let Ok(place) = self.context_place() else {
            return Ok(None);
        };
        let contexts = place.read()?;
        match &contexts.current {
            Some(name) => Self::of_context(&contexts, name, "moorline contexts use").map(Some),
            None => Ok(None),
        }
    }

    fn of_context(contexts: &Contexts, name: &str, by: &'static str) -> Result<Target, ApiError> {
        match contexts.contexts.get(name) {
            Some(saved) => Ok(Target {
                server: saved.server.clone(),
                context: Some(name.to_owned()),
                by,
            }),
            None => Err(crate::commands::unknown_context(name, contexts)),
        }
    }

    /// Where the contexts of this person are.
    pub(crate) fn context_place(&self) -> Result<ContextPlace, ApiError> {
        let file = self.config_paths().user;
        let dir = file.as_deref().and_then(|file| file.parent());
        dir.map(|dir| ContextPlace::new(dir.to_owned()))
            .ok_or_else(|| {
                ApiError::new(
                    ErrorCode::Config,
                    "there is no home directory to keep contexts in",
                )
                .hint("set HOME or XDG_CONFIG_HOME")
            })
    }

    /// A client of a server, with the person's token and key.
    fn client(&self, target: &Target) -> Result<Client, ApiError> {
        if let [first, ..] = self.global.set.as_slice() {
            let message = format!(
                "`--set {first}` is for the engine of this machine, and {} has settings of its own",
                target.server
            );
            return Err(ApiError::new(ErrorCode::Usage, message).hint("leave it out"));
        }
        let mut options = Options::new(target.server.as_str(), self.token(target)?);
        let keys = self.keys(&self.new_state());
        options.signer = Some(Arc::new(LocalSigner { keys }));
        if std::io::stderr().is_terminal() {
            options.notice = Some(Arc::new(OnTerminal));
        }
        Client::new(options)
    }

    fn token(&self, target: &Target) -> Result<SecretInput, ApiError> {
        if let Some(token) = self.env.var(TOKEN).filter(|token| !token.is_empty()) {
            return Ok(SecretInput::from(token));
        }
        let missing = || {
            let message = format!("there is no token for {}", target.server);
            ApiError::new(ErrorCode::Unauthenticated, message).hint(format!(
                "log in: `moorline login {}`, or set {TOKEN}",
                target.server
            ))
        };
        let place = self.context_place().map_err(|_| missing())?;
        let contexts = place.read()?;
        let found = contexts.contexts.iter().find(|(name, saved)| {
            target
                .context
                .as_ref()
                .map_or(saved.server == target.server, |wanted| wanted == *name)
        });
        let (name, saved) = found.ok_or_else(missing)?;
        place.token(name, saved)
    }

    /// Does a command's work on the control plane; where that is an engine, its state directory must exist.
    pub(crate) fn with_plane<F, T>(&self, work: impl FnOnce(Plane) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        match self.target()? {
            Some(target) => self.with_server(&target, work),
            None => self.with_engine(|engine| work(Arc::new(engine))),
        }
    }

    /// As [`Context::with_plane`], but a state directory that is missing is made.
    pub(crate) fn with_new_plane<F, T>(&self, work: impl FnOnce(Plane) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.with_new_plane_at(self.target()?.as_ref(), work)
    }

    /// As [`Context::with_new_plane`], with the server that was decided on; none for this machine.
    pub(crate) fn with_new_plane_at<F, T>(
        &self,
        target: Option<&Target>,
        work: impl FnOnce(Plane) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        if let Some(target) = target {
            return self.with_server(target, work);
        }
        let dirs = self.create_state()?;
        self.with_engine_in(dirs, |engine| work(Arc::new(engine)))
    }

    /// As [`Context::with_plane`], but that nothing is done before it: a stop does not wait.
    pub(crate) fn with_plane_at_once<F, T>(
        &self,
        work: impl FnOnce(Plane) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        match self.target()? {
            Some(target) => self.with_server(&target, work),
            None => self.with_engine_at_once(|engine| work(Arc::new(engine))),
        }
    }

    fn with_server<F, T>(
        &self,
        target: &Target,
        work: impl FnOnce(Plane) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let client = self.client(target)?;
        runtime()?.block_on(async { work(Arc::new(client)).await })
    }

    /// Refuses a server that is named for a command that is of this machine alone.
    ///
    /// # Errors
    /// [`ErrorCode::Usage`], with the reason.
    pub(crate) fn only_here(&self, command: &str, why: &str) -> Result<(), ApiError> {
        let flag = match (&self.global.server, &self.global.context) {
            (Some(_), _) => "--server",
            (None, Some(_)) => "--context",
            (None, None) => return Ok(()),
        };
        let message = format!("`{flag}` makes no sense with `moorline {command}`: it {why}");
        Err(ApiError::new(ErrorCode::Usage, message).hint("leave the flag out"))
    }
}

/// Says on the terminal that a server is waited for.
#[derive(Debug)]
struct OnTerminal;

impl Notice for OnTerminal {
    fn waiting(&self, error: &ApiError, patience: Duration) {
        output::note(&format!(
            "{error}; asking again for up to {} min",
            patience.as_secs().div_ceil(60)
        ));
    }

    fn back(&self) {
        output::note("the server answers again");
    }
}

/// Signs with the key files of this machine's people.
#[derive(Debug)]
struct LocalSigner {
    keys: KeyPlace,
}

impl Signer for LocalSigner {
    fn public_key(&self, by: &Principal) -> Result<PublicKey, ApiError> {
        let (key, _) = self.keys.read_or_make(by)?;
        Ok(PublicKey::from(key.verifying_key()))
    }

    fn sign(&self, attestation: &Attestation) -> Result<SignedRecord, ApiError> {
        let (key, _) = self.keys.read_or_make(&attestation.by)?;
        attestation.sign(&key).map_err(|error| {
            ApiError::new(ErrorCode::Internal, "can not sign the decision").because(error)
        })
    }
}
