//! What `[server]` says: where `moorlined` listens, for which projects, within which limits.
//!
//! Secrets are named, never written: `secret` is the key under which the secret sources have the value
//! (D-SEC-3), as in `[alerts]`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, SocketAddr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::{IncomingDocument, ServerDocument};
use super::problem::Problem;
use super::resolve::Resolved;

/// The project that is always there.
pub const DEFAULT_PROJECT: &str = "default";

/// How `moorlined` serves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServerSettings {
    /// Address and port that it listens on; port 0 takes a free one.
    pub bind: SocketAddr,
    /// How the server is called from outside, as `https://moorline.example.org`: for links in messages, and
    /// for what browsers may send. Absent means the address that it listens on.
    pub public_url: Option<String>,
    /// Projects beside [`DEFAULT_PROJECT`]. Each has state, tokens and an audit trail of its own.
    pub projects: BTreeSet<String>,
    /// The job that `POST /kickoff` starts: `live:JOB`, or a job directory on the server.
    pub kickoff_job: Option<String>,
    /// Origins whose pages may call the API, as `https://console.example.org`.
    pub cors_origins: Vec<String>,
    /// The largest body of a request, in MiB; uploads have a limit of their own.
    pub body_limit_mb: u32,
    /// The largest upload, in MiB, packed and unpacked.
    pub upload_limit_mb: u32,
    /// Requests a second that one token may make, in the long run.
    pub rate_per_second: u32,
    /// Requests that one token may make at once.
    pub rate_burst: u32,
    /// How long a request that is no stream may take, in seconds.
    pub request_timeout_seconds: u32,
    /// How long what runs may take to end once the server is told to end, in seconds; what runs then is left
    /// to whichever process comes next.
    pub drain_seconds: u32,
    /// The file with the certificate chain (PEM) to serve TLS with.
    pub tls_cert: Option<String>,
    /// The file with the key of that certificate (PEM).
    pub tls_key: Option<String>,
    /// How long the session of a browser lasts, in hours.
    pub session_hours: u32,
    /// Whether `/metrics` asks for no token beyond loopback either.
    pub metrics_public: bool,
    /// Signed requests that start a job, by a name of one's own.
    pub incoming: BTreeMap<String, IncomingSettings>,
}

/// A signed request that starts a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IncomingSettings {
    /// The secret key that must have signed it (HMAC-SHA256).
    pub secret: String,
    /// What it starts: `live:JOB`, or a job directory on the server.
    pub job: String,
    /// The projects that take it, each with its own secret of that name and its own job: never empty.
    pub projects: BTreeSet<String>,
}

impl Default for ServerSettings {
    /// Loopback, one project, no TLS.
    fn default() -> Self {
        Self {
            bind: SocketAddr::from((Ipv4Addr::LOCALHOST, 7420)),
            public_url: None,
            projects: BTreeSet::new(),
            kickoff_job: None,
            cors_origins: Vec::new(),
            body_limit_mb: 16,
            upload_limit_mb: 256,
            rate_per_second: 50,
            rate_burst: 200,
            request_timeout_seconds: 30,
            drain_seconds: 45,
            tls_cert: None,
            tls_key: None,
            session_hours: 12,
            metrics_public: false,
            incoming: BTreeMap::new(),
        }
    }
}

/// The settings that a document comes to, and what is wrong with it.
pub(super) fn settings(
    document: ServerDocument,
    resolved: &Resolved,
    problems: &mut Vec<Problem>,
) -> ServerSettings {
    let default = ServerSettings::default();
    let settings = ServerSettings {
        bind: document.bind.unwrap_or(default.bind),
        public_url: document.public_url,
        projects: document.projects.unwrap_or_default().into_iter().collect(),
        kickoff_job: document.kickoff_job,
        cors_origins: document.cors_origins.unwrap_or_default(),
        body_limit_mb: document.body_limit_mb.unwrap_or(default.body_limit_mb),
        upload_limit_mb: document.upload_limit_mb.unwrap_or(default.upload_limit_mb),
        rate_per_second: document.rate_per_second.unwrap_or(default.rate_per_second),
        rate_burst: document.rate_burst.unwrap_or(default.rate_burst),
        request_timeout_seconds: document
            .request_timeout_seconds
            .unwrap_or(default.request_timeout_seconds),
        drain_seconds: document.drain_seconds.unwrap_or(default.drain_seconds),
        tls_cert: document.tls_cert,
        tls_key: document.tls_key,
        session_hours: document.session_hours.unwrap_or(default.session_hours),
        metrics_public: document.metrics_public.unwrap_or(default.metrics_public),
        incoming: document
            .incoming
            .into_iter()
            .map(|(name, hook)| (name, incoming(hook)))
            .collect(),
    };
    check(&settings, resolved, problems);
    settings
}

fn incoming(document: IncomingDocument) -> IncomingSettings {
    let IncomingDocument {
        secret,
        job,
        projects,
    } = document;
    let projects = projects.map_or_else(
        || BTreeSet::from([DEFAULT_PROJECT.to_owned()]),
        |projects| projects.into_iter().collect(),
    );
    IncomingSettings {
        secret,
        job,
        projects,
    }
}

/// What the schema can not say.
fn check(settings: &ServerSettings, resolved: &Resolved, problems: &mut Vec<Problem>) {
    let mut refuse = |key: String, message: String, hint: &str| {
        let origin = resolved.origin_of(&key);
        problems.push(Problem::new(origin, key, "schema", message).hint(hint));
    };
    for name in &settings.projects {
        if !is_project_name(name) {
            let message = format!("`{name}` is not the name of a project");
            let hint = "write a lower-case letter, then at most 31 letters, digits and `-`";
            refuse("server.projects".to_owned(), message, hint);
        }
    }
    for (hook, incoming) in &settings.incoming {
        let known = |name: &String| name == DEFAULT_PROJECT || settings.projects.contains(name);
        for name in incoming.projects.iter().filter(|name| !known(name)) {
            let message = format!("`{name}` is no project of the server");
            let hint = "name `default`, or one of `server.projects`";
            refuse(format!("server.incoming.{hook}.projects"), message, hint);
        }
    }
    if settings.tls_cert.is_some() != settings.tls_key.is_some() {
        let (there, missing) = if settings.tls_cert.is_some() {
            ("tls_cert", "tls_key")
        } else {
            ("tls_key", "tls_cert")
        };
        let message = format!("has no `{missing}` beside it");
        let hint = "TLS needs both the certificate chain and its key";
        refuse(format!("server.{there}"), message, hint);
    }
    if let Some(url) = &settings.public_url
        && !is_origin(url)
    {
        let message = format!("`{url}` is not an origin");
        let hint = "write for example `https://moorline.example.org`, without a path";
        refuse("server.public_url".to_owned(), message, hint);
    }
    for origin in settings.cors_origins.iter().filter(|o| !is_origin(o)) {
        let message = format!("`{origin}` is not an origin");
        let hint = "write for example `https://console.example.org`, without a path";
        refuse("server.cors_origins".to_owned(), message, hint);
    }
}

/// Whether a text can name a project: a lower-case letter, then at most 31 lower-case letters, digits and
/// `-`. The underscore is left out, since it divides a token (`mlt_<project>_…`).
///
/// ```
/// use moorline_core::config::is_project_name;
///
/// assert!(is_project_name("acme-eu2"));
/// assert!(!is_project_name("Acme") && !is_project_name("2nd") && !is_project_name("a_b"));
/// ```
pub fn is_project_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    let first = bytes.next().is_some_and(|byte| byte.is_ascii_lowercase());
    let rest = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    first && text.len() <= 32 && bytes.all(rest)
}

/// Scheme, host and port alone (RFC 6454, section 6.2).
fn is_origin(text: &str) -> bool {
    let host = ["https://", "http://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    let outside = |c: char| c.is_whitespace() || c.is_control() || "/?#@,*".contains(c);
    host.is_some_and(|host| !host.is_empty() && !host.contains(outside))
}
