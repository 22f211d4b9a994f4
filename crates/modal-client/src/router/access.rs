//! Where a task's command router is, and the token that opens it.

use std::time::Duration;

use http::HeaderValue;
use moorline_modal_proto::client::sandbox_get_command_router_access_request::Target;
use moorline_modal_proto::client::{
    CommandRouterAccess, SandboxGetCommandRouterAccessRequest, TaskGetCommandRouterAccessRequest,
};

use crate::rpc::control_plane;
use crate::transport::{jwt_expiry, token_value, wall};
use crate::{CallOptions, Client, Error, ErrorKind, Result, ServerUrl};

control_plane! {
    SANDBOX_ACCESS = SandboxGetCommandRouterAccess(SandboxGetCommandRouterAccessRequest)
        -> SandboxGetCommandRouterAccessResponse, Read;
    TASK_ACCESS = TaskGetCommandRouterAccess(TaskGetCommandRouterAccessRequest)
        -> TaskGetCommandRouterAccessResponse, Read;
}

/// A token that ends sooner than this is renewed before it is used.
const RENEW_BEFORE: Duration = Duration::from_secs(30);

/// Whose router it is, hence how access to it is asked for.
#[derive(Clone, Debug)]
pub(crate) enum Owner {
    /// A sandbox of the second API, with the token that its creation answered.
    SandboxV2 {
        sandbox_id: String,
        token: Option<HeaderValue>,
    },
    /// A task of the first API.
    Task { task_id: String },
}

/// An address and a token for it.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) url: ServerUrl,
    pub(super) authorization: HeaderValue,
    expires_at: Option<Duration>,
}

impl Access {
    /// Reads what the control plane answered. `local`: the control plane itself is on this machine.
    pub(super) fn new(access: &CommandRouterAccess, local: bool) -> Result<Self> {
        let url = dialled(&access.url, local)?;
        let authorization = token_value(&format!("Bearer {}", access.jwt))
            .filter(|_| !access.jwt.is_empty())
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Protocol,
                    "the command router's token can not be sent",
                )
            })?;
        Ok(Self {
            url,
            authorization,
            expires_at: jwt_expiry(&access.jwt),
        })
    }

    /// Whether it is good for the next call. A token whose end is unknown is used until it is refused.
    pub(super) fn is_fresh(&self) -> bool {
        self.expires_at.is_none_or(|at| at > wall() + RENEW_BEFORE)
    }
}

impl Owner {
    /// Asks the control plane.
    pub(super) async fn fetch(&self, client: &Client) -> Result<CommandRouterAccess> {
        match self {
            Self::SandboxV2 { sandbox_id, token } => {
                let target = Some(Target::SandboxId(sandbox_id.clone()));
                let request = SandboxGetCommandRouterAccessRequest { target };
                let options = CallOptions {
                    sandbox_token: token.clone(),
                    ..CallOptions::default()
                };
                let response = client.call(SANDBOX_ACCESS, request, &options).await?;
                Ok(CommandRouterAccess {
                    jwt: response.jwt,
                    url: response.url,
                })
            }
            Self::Task { task_id } => {
                let request = TaskGetCommandRouterAccessRequest {
                    task_id: task_id.clone(),
                };
                let response = client.unary(TASK_ACCESS, request).await?;
                Ok(CommandRouterAccess {
                    jwt: response.jwt,
                    url: response.url,
                })
            }
        }
    }
}

/// The address to connect to. A router is reached by TLS, except on this machine: there the control plane
/// names `http://` to some clients and `https://` to others, and means plaintext by both.
fn dialled(url: &str, local: bool) -> Result<ServerUrl> {
    let parsed = ServerUrl::parse(url).map_err(|error| error.with_kind(ErrorKind::Protocol))?;
    let plain = parsed.as_plaintext();
    match (plain == parsed, local && parsed.is_local()) {
        (_, true) => Ok(plain),
        (false, false) => Ok(parsed),
        (true, false) => {
            let message =
                format!("the command router {parsed} has no TLS and is not on this machine");
            Err(Error::new(ErrorKind::Protocol, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn jwt(exp: u64) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!(
            "{}.{}.",
            part(r#"{"alg":"none"}"#),
            part(&format!(r#"{{"exp":{exp}}}"#))
        )
    }

    fn access(jwt: String) -> Access {
        let url = "https://router.example".to_owned();
        Access::new(&CommandRouterAccess { jwt, url }, false).unwrap()
    }

    #[test]
    fn plaintext_is_for_this_machine_only() {
        let shown = |url: &str, local| dialled(url, local).map(|url| url.to_string()).ok();
        assert_eq!(
            shown("http://127.0.0.1:5", true).as_deref(),
            Some("http://127.0.0.1:5")
        );
        assert_eq!(
            shown("https://127.0.0.1:5", true).as_deref(),
            Some("http://127.0.0.1:5")
        );
        assert_eq!(
            shown("https://localhost:5", true).as_deref(),
            Some("http://localhost:5")
        );
        assert_eq!(
            shown("https://r.example:5", true).as_deref(),
            Some("https://r.example:5")
        );
        assert_eq!(
            shown("https://127.0.0.1:5", false).as_deref(),
            Some("https://127.0.0.1:5")
        );
        assert_eq!(shown("http://r.example", true), None);
        assert_eq!(shown("http://127.0.0.1:5", false), None);
        assert_eq!(shown("ftp://127.0.0.1", true), None);
    }

    #[test]
    fn a_token_is_renewed_half_a_minute_before_its_end() {
        let now = wall().as_secs();
        assert!(access(jwt(now + 60)).is_fresh());
        assert!(!access(jwt(now + 20)).is_fresh());
        assert!(access("opaque".into()).is_fresh());
    }

    #[test]
    fn a_token_is_not_shown() {
        assert!(!format!("{:?}", access("canary".into())).contains("canary"));
    }

    #[test]
    fn an_empty_token_is_an_error_of_the_server() {
        let access = CommandRouterAccess {
            jwt: String::new(),
            url: "https://r.example".into(),
        };
        assert_eq!(
            Access::new(&access, false).unwrap_err().kind(),
            ErrorKind::Protocol
        );
    }
}
