//! What the client needs to know: server, credentials, environment, limits.
//!
//! The order is that of the official clients, for each setting on its own: the environment variable
//! `MODAL_<SETTING>`, then the profile in `~/.modal.toml` (or in the file that `MODAL_CONFIG_PATH` names),
//! then the default. Nothing here reads the process environment but [`Config::from_process_env`].
//!
//! Deliberately absent: writing the file, settings of logging and of the Python runtime, and OAuth by a
//! signed assertion (`oauth_jwt_key`).

mod profile;
mod url;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use crate::error::{Error, ErrorKind, Result};
use crate::transport::retry::RetryPolicy;
pub use url::{Scheme, ServerUrl};

const DEFAULT_SERVERS: &str = "https://api.modal.com,https://api.modal2.com";

/// How the caller proves who it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Credentials {
    /// A token pair (`ak-…`, `as-…`).
    Token {
        /// The public half.
        id: String,
        /// The secret half.
        secret: SecretString,
    },
    /// OAuth client credentials with a refresh token.
    OAuth {
        /// The refresh token.
        refresh_token: SecretString,
        /// The client's id.
        client_id: String,
        /// The client's secret.
        client_secret: SecretString,
    },
    /// None: inside a container, where the connection itself identifies the caller.
    Anonymous,
}

/// Which client this one says it is (`x-modal-client-type`).
///
/// The default is `LibModal`: the number that Modal's own protocol reserves for a native library without
/// a language of its own. Servers treat it like the JavaScript and Go clients.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ClientKind {
    /// 1: the Python client.
    Client,
    /// 3: code inside a container; sends no credentials.
    Container,
    /// 7: libmodal.
    #[default]
    LibModal,
}

impl ClientKind {
    /// The number on the wire.
    pub fn number(self) -> i32 {
        match self {
            Self::Client => 1,
            Self::Container => 3,
            Self::LibModal => 7,
        }
    }
}

/// The settings of a [`Client`](crate::Client).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Config {
    /// The servers: the first is preferred, the others are tried when it can not be reached.
    pub servers: Vec<ServerUrl>,
    /// Who calls.
    pub credentials: Credentials,
    /// The environment for calls that name none; the workspace's default when `None`.
    pub environment: Option<String>,
    /// The name of the profile that was read.
    pub profile: String,
    /// The image builder version that overrides the environment's.
    pub image_builder_version: Option<String>,
    /// Builds every image anew, and stores the result.
    pub force_build: bool,
    /// Builds every image anew, and does not store the result.
    pub ignore_cache: bool,
    /// Sandboxes go to the V2 API unless they need V1.
    pub sandbox_v2: bool,
    /// Does not use the proxies of the environment for HTTP transfers.
    pub disable_proxy: bool,
    /// Which client to be.
    pub client_kind: ClientKind,
    /// How calls are repeated.
    pub retry: RetryPolicy,
    /// More headers for every call, for tests and containers.
    pub extra_headers: Vec<(String, String)>,
}

impl Config {
    /// One server, one token pair, defaults for the rest.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for a wrong address.
    pub fn new(
        servers: &str,
        token_id: impl Into<String>,
        token_secret: impl Into<String>,
    ) -> Result<Self> {
        let mut config = Self::defaults(ServerUrl::parse_list(servers)?);
        config.credentials = Credentials::Token {
            id: token_id.into(),
            secret: token_secret.into().into(),
        };
        Ok(config)
    }

    fn defaults(servers: Vec<ServerUrl>) -> Self {
        Self {
            servers,
            credentials: Credentials::Anonymous,
            environment: None,
            profile: "default".into(),
            image_builder_version: None,
            force_build: false,
            ignore_cache: false,
            sandbox_v2: true,
            disable_proxy: false,
            client_kind: ClientKind::default(),
            retry: RetryPolicy::default(),
            extra_headers: Vec::new(),
        }
    }

    /// Resolves the settings from these environment variables and the file that they (or `HOME`) name.
    /// A missing file is fine.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for an unreadable or ambiguous file and for wrong values;
    /// [`ErrorKind::Unauthenticated`] when no credentials are set.
    pub fn from_env<I, K, V>(variables: I) -> Result<Self>
    where
        I: IntoIterator<Item = (K, V)>,
        K: Into<String>,
        V: Into<String>,
    {
        let variables: BTreeMap<String, String> = variables
            .into_iter()
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let file = config_path(&variables);
        let text = match &file {
            Some(path) => read(path)?,
            None => None,
        };
        Self::resolve(&variables, text.as_deref().zip(file.as_deref()))
    }

    /// [`from_env`](Self::from_env) with the environment of this process: the one function of this crate
    /// that reads it. Variables that are not Unicode are skipped.
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env).
    pub fn from_process_env() -> Result<Self> {
        let variables = std::env::vars_os()
            .filter_map(|(key, value)| Some((key.into_string().ok()?, value.into_string().ok()?)));
        Self::from_env(variables)
    }

    /// The pure part: variables and the file's text with its path.
    fn resolve(variables: &BTreeMap<String, String>, file: Option<(&str, &Path)>) -> Result<Self> {
        let wanted = variables.get("MODAL_PROFILE").map(String::as_str);
        let (profile, table) = match file {
            Some((text, path)) => profile::select(text, path, wanted)?,
            None => (
                wanted
                    .filter(|name| !name.is_empty())
                    .unwrap_or("default")
                    .to_owned(),
                toml::Table::new(),
            ),
        };
        let settings = Settings { variables, table };
        let servers = settings
            .text("server_url")
            .unwrap_or_else(|| DEFAULT_SERVERS.into());
        let mut config = Self::defaults(ServerUrl::parse_list(&servers)?);
        config.profile = profile;
        if settings.flag("is_remote", false) {
            config.client_kind = ClientKind::Container;
        }
        config.credentials = settings.credentials(config.client_kind)?;
        config.environment = settings.text("environment");
        config.image_builder_version = settings.text("image_builder_version");
        config.force_build = settings.flag("force_build", false);
        config.ignore_cache = settings.flag("ignore_cache", false);
        config.sandbox_v2 = settings.flag("sandbox_v2", true);
        config.disable_proxy = settings.flag("disable_api_proxy", false);
        config.extra_headers = settings.headers()?;
        if let Some(seconds) = settings.text("max_throttle_wait") {
            let seconds = seconds
                .trim()
                .parse()
                .map_err(|_| wrong("max_throttle_wait", "a whole number of seconds"))?;
            config.retry.max_throttle_wait = Some(Duration::from_secs(seconds));
        }
        Ok(config)
    }

    /// Sets the environment for calls that name none.
    #[must_use]
    pub fn environment(mut self, name: impl Into<String>) -> Self {
        self.environment = Some(name.into());
        self
    }

    /// Sets how calls are repeated.
    #[must_use]
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }
}

/// The settings of one profile under the variables that override them.
struct Settings<'a> {
    variables: &'a BTreeMap<String, String>,
    table: toml::Table,
}

impl Settings<'_> {
    /// A setting that is set and not empty.
    fn text(&self, name: &str) -> Option<String> {
        self.variables
            .get(&variable(name))
            .cloned()
            .or_else(|| self.table.get(name).and_then(profile::text_of))
            .filter(|value| !value.is_empty())
    }

    fn flag(&self, name: &str, default: bool) -> bool {
        let set = self
            .variables
            .get(&variable(name))
            .cloned()
            .or_else(|| self.table.get(name).and_then(profile::text_of));
        set.map_or(default, |text| {
            !matches!(text.to_ascii_lowercase().as_str(), "" | "0" | "false")
        })
    }

    fn credentials(&self, kind: ClientKind) -> Result<Credentials> {
        if kind == ClientKind::Container {
            return Ok(Credentials::Anonymous);
        }
        let pair = (self.text("token_id"), self.text("token_secret"));
        let oauth = (
            self.text("oauth_refresh_token"),
            self.text("oauth_client_id"),
            self.text("oauth_client_secret"),
        );
        let has_oauth = oauth.0.is_some() || oauth.1.is_some() || oauth.2.is_some();
        if has_oauth && (pair.0.is_some() || pair.1.is_some()) {
            return Err(Error::new(
                ErrorKind::Config,
                "both a token pair and OAuth credentials are set; keep one of them",
            ));
        }
        match (pair, oauth) {
            ((Some(id), Some(secret)), _) => Ok(Credentials::Token {
                id,
                secret: secret.into(),
            }),
            (_, (Some(refresh), Some(client_id), Some(secret))) => Ok(Credentials::OAuth {
                refresh_token: refresh.into(),
                client_id,
                client_secret: secret.into(),
            }),
            ((Some(_), None), _) => Err(wrong("token_secret", "set where token_id is")),
            ((None, Some(_)), _) => Err(wrong("token_id", "set where token_secret is")),
            _ if has_oauth => Err(wrong(
                "oauth_*",
                "complete: oauth_refresh_token, oauth_client_id and oauth_client_secret",
            )),
            _ => Err(Error::new(
                ErrorKind::Unauthenticated,
                "no credentials; set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET, or a profile in ~/.modal.toml",
            )),
        }
    }

    fn headers(&self) -> Result<Vec<(String, String)>> {
        let Some(text) = self.text("override_headers") else {
            return Ok(Vec::new());
        };
        text.split(',')
            .map(|pair| {
                let (name, value) = pair.split_once(':').unwrap_or_default();
                let (name, value) = (name.trim(), value.trim());
                if name.is_empty() || value.is_empty() {
                    return Err(wrong(
                        "override_headers",
                        "name:value pairs with commas between",
                    ));
                }
                Ok((name.to_ascii_lowercase(), value.to_owned()))
            })
            .collect()
    }
}

fn variable(name: &str) -> String {
    format!("MODAL_{}", name.to_ascii_uppercase())
}

fn wrong(setting: &str, must_be: &str) -> Error {
    Error::new(
        ErrorKind::Config,
        format!(
            "setting {setting} (or {}): must be {must_be}",
            variable(setting)
        ),
    )
}

fn config_path(variables: &BTreeMap<String, String>) -> Option<PathBuf> {
    // In a container there is no file of the user's, and one that lies there by chance is not to be read.
    if variables
        .get("MODAL_IS_REMOTE")
        .is_some_and(|flag| flag == "1")
    {
        return None;
    }
    let named = variables
        .get("MODAL_CONFIG_PATH")
        .filter(|path| !path.is_empty());
    named.map(PathBuf::from).or_else(|| {
        let home = variables.get("HOME").filter(|home| !home.is_empty())?;
        Some(Path::new(home).join(".modal.toml"))
    })
}

fn read(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::new(
            ErrorKind::Config,
            format!(
                "{}: can not be read; make it a readable text file or remove it",
                path.display()
            ),
        )
        .with_source(error)),
    }
}

#[cfg(test)]
mod tests;
