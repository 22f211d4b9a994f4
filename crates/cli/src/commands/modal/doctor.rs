//! `moorline modal doctor`: the way to Modal, step by step.

use moorline_api::ApiError;
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_modal_client::workspace::Identity;
use moorline_modal_client::{Client, Config, Credentials, ErrorKind};
use serde::Serialize;
use serde_json::json;

use super::Modal;
use crate::output;

/// Settings that the client reads, by their names in `~/.modal.toml`.
const SETTINGS: [&str; 7] = [
    "server_url",
    "token_id",
    "token_secret",
    "environment",
    "image_builder_version",
    "sandbox_v2",
    "max_throttle_wait",
];

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    name: String,
    ok: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

impl Finding {
    fn good(name: &str, found: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            ok: true,
            found: found.into(),
            hint: None,
        }
    }

    fn bad(name: &str, found: impl Into<String>, hint: &str) -> Self {
        Self {
            name: name.to_owned(),
            ok: false,
            found: found.into(),
            hint: Some(hint.to_owned()),
        }
    }
}

pub(super) fn run(modal: &Modal<'_>) -> Result<u8, ApiError> {
    let mut findings = Vec::new();
    match modal.config() {
        Ok(config) => {
            findings.extend(settings(modal, &config));
            findings.extend(crate::context::runtime()?.block_on(remote(modal, config)));
        }
        Err(error) => findings.push(Finding::bad(
            "configuration",
            error.to_string(),
            "log in with the official `modal token new`, or set MODAL_TOKEN_ID and MODAL_TOKEN_SECRET; \
             `moorline emulator` needs no account",
        )),
    }
    let ok = findings.iter().all(|finding| finding.ok);
    if modal.json() {
        output::json(&json!({"ok": ok, "checks": findings}));
    } else {
        for finding in &findings {
            let mark = if finding.ok { "ok  " } else { "FAIL" };
            output::line(&format!("{mark} {:<24}{}", finding.name, finding.found));
            if let Some(hint) = &finding.hint {
                output::line(&format!("     {:<24}{hint}", ""));
            }
        }
    }
    Ok(u8::from(!ok))
}

/// Where each setting comes from. Never a value of a secret.
fn settings(modal: &Modal<'_>, config: &Config) -> Vec<Finding> {
    let servers: Vec<String> = config.servers.iter().map(ToString::to_string).collect();
    let credentials = match &config.credentials {
        Credentials::Token { id, .. } => format!("token {id}"),
        Credentials::OAuth { client_id, .. } => format!("OAuth client {client_id}"),
        _ => "none".to_owned(),
    };
    let value = |name: &str| match name {
        "server_url" => servers.join(", "),
        "token_id" => credentials.clone(),
        "token_secret" => "set".to_owned(),
        "environment" => config
            .environment
            .clone()
            .unwrap_or_else(|| "the workspace's default".to_owned()),
        "image_builder_version" => config
            .image_builder_version
            .clone()
            .unwrap_or_else(|| "the environment's".to_owned()),
        "sandbox_v2" => config.sandbox_v2.to_string(),
        "max_throttle_wait" => match config.retry.max_throttle_wait {
            Some(wait) => format!("{} s", wait.as_secs()),
            None => "unbounded".to_owned(),
        },
        _ => String::new(),
    };
    let source = |name: &str| {
        let variable = format!("MODAL_{}", name.to_ascii_uppercase());
        if modal.context.env.vars.contains_key(&variable) {
            variable
        } else {
            format!("profile `{}` or the default", config.profile)
        }
    };
    SETTINGS
        .iter()
        .map(|name| Finding::good(name, format!("{} (from {})", value(name), source(name))))
        .collect()
}

async fn remote(modal: &Modal<'_>, config: Config) -> Vec<Finding> {
    let client = match Client::new(config) {
        Ok(client) => client,
        Err(error) => {
            return vec![Finding::bad(
                "client",
                error.to_string(),
                "correct the settings above",
            )];
        }
    };
    let began = SystemClock.now();
    let mut findings = Vec::new();
    match client.workspace().hello().await {
        Ok(hello) => {
            let took = SystemClock.now().duration_since(began).as_millis();
            findings.push(Finding::good("server", format!("answers in {took} ms")));
            findings.extend(
                hello
                    .warnings
                    .iter()
                    .map(|warning| Finding::good("server says", warning)),
            );
        }
        Err(error) => {
            let hint = match error.kind() {
                ErrorKind::Unauthenticated | ErrorKind::PermissionDenied => {
                    "the token is refused: log in again with the official `modal token new`"
                }
                _ => "check the address, the network and any proxy in between",
            };
            findings.push(Finding::bad("server", error.to_string(), hint));
            return findings;
        }
    }
    match client.workspace().token_info().await {
        Ok(token) => {
            let whose = match &token.identity {
                Some(Identity::User { name }) => format!(" of {name}"),
                Some(Identity::ServiceUser { name }) => format!(" of the service user {name}"),
                _ => String::new(),
            };
            let until = token
                .expires_at
                .map(|at| format!(", until {at:.0}"))
                .unwrap_or_default();
            let found = format!("{}{whose}, workspace {}{until}", token.id, token.workspace);
            let expired = token.expires_at.is_some_and(|at| at <= SystemClock.now());
            findings.push(if expired {
                Finding::bad("token", found, "it has expired: log in again")
            } else {
                Finding::good("token", found)
            });
        }
        Err(error) => findings.push(Finding::bad("token", error.to_string(), "log in again")),
    }
    findings.push(clock(&client).await);
    findings.extend(limits(modal, &client).await);
    findings
}

/// How far this machine's clock is from the server's: tokens and schedules hang on it. By the `Date` of any
/// answer over HTTP (RFC 9110, 6.6.1), which is exact to a second.
async fn clock(client: &Client) -> Finding {
    let asked = async {
        let url = client
            .config()
            .servers
            .first()
            .map(ToString::to_string)
            .unwrap_or_default();
        let answer = client
            .http()
            .map_err(|error| error.to_string())?
            .get(url)
            .send()
            .await;
        let answer = answer.map_err(|error| error.to_string())?;
        let date = answer
            .headers()
            .get("date")
            .and_then(|date| date.to_str().ok());
        let Some(date) = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok()) else {
            return Ok(None);
        };
        let ahead = SystemClock.now().duration_since(date.timestamp());
        Ok::<_, String>(Some(ahead.as_secs_f64()))
    };
    match asked.await {
        Ok(Some(seconds)) if seconds.abs() > 30.0 => Finding::bad(
            "clock",
            format!("{seconds:+.0} s from the server's"),
            "set this machine's clock by NTP: tokens are refused when it is wrong",
        ),
        Ok(Some(seconds)) => Finding::good("clock", format!("{seconds:+.1} s from the server's")),
        Ok(None) => Finding::good("clock", "the server does not tell its time"),
        Err(error) => Finding::good("clock", format!("not known: {error}")),
    }
}

/// The limits of the environment, as far as the server tells them.
async fn limits(modal: &Modal<'_>, client: &Client) -> Vec<Finding> {
    let environments = match client.environments().list().await {
        Ok(environments) => environments,
        Err(error) => return vec![Finding::good("limits", format!("not known: {error}"))],
    };
    let wanted = modal
        .environment()
        .or_else(|| client.config().environment.as_deref());
    let found = environments
        .iter()
        .find(|environment| wanted.map_or(environment.is_default, |name| environment.name == name))
        .or_else(|| environments.first().filter(|_| wanted.is_none()));
    let Some(environment) = found else {
        let found = format!("there is no environment `{}`", wanted.unwrap_or_default());
        let hint = "`moorline modal environment list` shows those that there are";
        return vec![Finding::bad("environment", found, hint)];
    };
    let usage = |usage: moorline_modal_client::environments::Usage| match usage.limit {
        Some(limit) => format!("{} of {limit} in use", usage.current),
        None => format!("{} in use, no limit of its own", usage.current),
    };
    let mut findings = vec![
        Finding::good("environment", environment.name.clone()),
        Finding::good("containers", usage(environment.tasks)),
        Finding::good("GPUs", usage(environment.gpus)),
    ];
    let budget = environment.budget;
    if budget.reached {
        let found = format!("${:.2} spent: nothing more starts", budget.spent);
        findings.push(Finding::bad(
            "budget",
            found,
            "raise the limit of this billing cycle at Modal",
        ));
    } else if budget.limit > 0.0 {
        let found = format!("${:.2} of ${:.2} spent", budget.spent, budget.limit);
        findings.push(Finding::good("budget", found));
    }
    findings
}
