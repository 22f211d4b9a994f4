//! Web endpoints: calls over HTTP with proxy-auth headers, and the tokens for them.

use std::time::Duration;

use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use reqwest::Method;
use reqwest::header::{HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use secrecy::{ExposeSecret as _, SecretString};

use crate::error::{Error, ErrorKind, Result};
use crate::rpc::control_plane;
use crate::transport::{Client, token_value};
use crate::wire::{self, some, time};

control_plane! {
    CREATE = WebhookTokenCreate(WebhookTokenCreateRequest) -> TokenCreateResponse, Keyed;
    CURL_TOKEN = CurlGetAuthToken(CurlAuthTokenRequest) -> CurlAuthTokenResponse, Read;
    DELETE = WebhookTokenDelete(TokenDeleteRequest) -> Empty, Keyed;
    ENVIRONMENT_ADD = WebhookTokenEnvironmentAdd(WebhookTokenEnvironmentAddRequest) -> Empty, Keyed;
    ENVIRONMENT_REMOVE = WebhookTokenEnvironmentRemove(WebhookTokenEnvironmentRemoveRequest) -> Empty, Keyed;
    LIST = WebhookTokenList(Empty) -> WebhookTokenListResponse, Read;
}

const KEY: HeaderName = HeaderName::from_static("modal-key");
const SECRET: HeaderName = HeaderName::from_static("modal-secret");
const AUTHORIZATION: HeaderName = HeaderName::from_static("modal-authorization");
/// A call that takes longer is answered by redirects to itself, one each 150 s, for up to a day.
const MAX_REDIRECTS: usize = 600;

/// A pair for endpoints with proxy authentication.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ProxyToken {
    /// `wk-…`, sent as `Modal-Key`.
    pub id: String,
    /// `ws-…`, sent as `Modal-Secret`.
    pub secret: SecretString,
}

impl ProxyToken {
    /// A pair that is known.
    pub fn new(id: impl Into<String>, secret: impl Into<SecretString>) -> Self {
        Self {
            id: id.into(),
            secret: secret.into(),
        }
    }
}

/// One line of the list of proxy tokens; secrets are told only when they are made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ProxyTokenInfo {
    /// `wk-…`.
    pub id: String,
    /// Its name, if it has one.
    pub name: Option<String>,
    /// When it was made.
    pub created_at: Option<Timestamp>,
    /// Whether it opens only the environments that it was added to.
    pub scoped: bool,
}

/// Calls about proxy tokens.
#[derive(Clone, Debug)]
pub struct ProxyTokens {
    client: Client,
}

impl Client {
    /// Tokens of web endpoints with proxy authentication.
    pub fn proxy_tokens(&self) -> ProxyTokens {
        ProxyTokens {
            client: self.clone(),
        }
    }

    /// A web endpoint at that URL, with proxy authentication if a token is given.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if it is not an absolute `http` or `https` URL.
    pub fn web_endpoint(&self, url: &str, token: Option<&ProxyToken>) -> Result<WebEndpoint> {
        let auth = match token {
            None => Vec::new(),
            Some(token) => vec![
                (KEY, header(&token.id)?),
                (SECRET, header(token.secret.expose_secret())?),
            ],
        };
        WebEndpoint::new(url, auth, self.config().disable_proxy)
    }

    /// A web endpoint at that URL, opened by this client's own credentials: as `modal curl` does.
    ///
    /// # Errors
    /// What the server says.
    pub async fn web_endpoint_as_user(&self, url: &str) -> Result<WebEndpoint> {
        let reply = self
            .unary(
                CURL_TOKEN,
                pb::CurlAuthTokenRequest {
                    url: url.to_owned(),
                },
            )
            .await?;
        let auth = vec![(AUTHORIZATION, header(&format!("Bearer {}", reply.token))?)];
        WebEndpoint::new(url, auth, self.config().disable_proxy)
    }
}

impl ProxyTokens {
    /// Makes a token. A scoped one opens nothing until it is [added](Self::allow) to an environment.
    ///
    /// # Errors
    /// What the server says.
    pub async fn create(&self, name: &str, scoped: bool) -> Result<ProxyToken> {
        let request = pb::WebhookTokenCreateRequest {
            scoped,
            name: name.to_owned(),
        };
        let reply = self.client.unary(CREATE, request).await?;
        let id = wire::required(reply.token_id, "token id")?;
        Ok(ProxyToken {
            id,
            secret: reply.token_secret.into(),
        })
    }

    /// All tokens of the workspace.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self) -> Result<Vec<ProxyTokenInfo>> {
        let reply = self.client.unary(LIST, ()).await?;
        let info = |token: pb::WebhookToken| ProxyTokenInfo {
            created_at: time(token.created_at),
            scoped: token.scoped,
            name: some(token.name),
            id: token.token_id,
        };
        Ok(reply.tokens.into_iter().map(info).collect())
    }

    /// Lets a scoped token open an environment, `en-…`.
    ///
    /// # Errors
    /// What the server says.
    pub async fn allow(&self, id: &str, environment_id: &str) -> Result<()> {
        let request = pb::WebhookTokenEnvironmentAddRequest {
            token_id: id.to_owned(),
            environment_id: environment_id.to_owned(),
        };
        self.client.unary(ENVIRONMENT_ADD, request).await
    }

    /// Takes that back.
    ///
    /// # Errors
    /// What the server says.
    pub async fn disallow(&self, id: &str, environment_id: &str) -> Result<()> {
        let request = pb::WebhookTokenEnvironmentRemoveRequest {
            token_id: id.to_owned(),
            environment_id: environment_id.to_owned(),
        };
        self.client.unary(ENVIRONMENT_REMOVE, request).await
    }

    /// Deletes a token.
    ///
    /// # Errors
    /// What the server says.
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.client
            .unary(
                DELETE,
                pb::TokenDeleteRequest {
                    token_id: id.to_owned(),
                },
            )
            .await
    }
}

/// A web endpoint. Redirects are followed on its own host only: the token's headers go nowhere else.
#[derive(Clone, Debug)]
pub struct WebEndpoint {
    url: reqwest::Url,
    auth: Vec<(HeaderName, HeaderValue)>,
    http: reqwest::Client,
}

impl WebEndpoint {
    fn new(url: &str, auth: Vec<(HeaderName, HeaderValue)>, no_proxy: bool) -> Result<Self> {
        let bad = || {
            let text = "web endpoint: must be an absolute http or https url";
            Error::new(ErrorKind::InvalidArgument, text)
        };
        let url: reqwest::Url = url.parse().map_err(|error| bad().with_source(error))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(bad());
        }
        let mut builder = reqwest::Client::builder()
            .connect_timeout(Duration::from_secs(10))
            .redirect(Policy::custom(|attempt| {
                let first = attempt.previous().first();
                let same = first.is_some_and(|first| first.origin() == attempt.url().origin());
                if same && attempt.previous().len() <= MAX_REDIRECTS {
                    attempt.follow()
                } else {
                    attempt.stop()
                }
            }));
        if no_proxy {
            builder = builder.no_proxy();
        }
        let http = builder.build().map_err(|error| {
            Error::new(ErrorKind::Config, "the HTTP client can not be set up").with_source(error)
        })?;
        Ok(Self { url, auth, http })
    }

    /// Its address.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// A request to a path below the endpoint (`""` for the endpoint itself), with the token's headers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a path that leads to another host.
    pub fn request(&self, method: Method, path: &str) -> Result<reqwest::RequestBuilder> {
        let url = self.url.join(path).map_err(|error| {
            Error::new(
                ErrorKind::InvalidArgument,
                "the path can not be joined to the endpoint's url",
            )
            .with_source(error)
        })?;
        if url.origin() != self.url.origin() {
            let text = "the path leads to another host, which must not see the token";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        let mut request = self.http.request(method, url);
        for (name, value) in &self.auth {
            request = request.header(name, value);
        }
        Ok(request)
    }

    /// Sends a request; statuses that are errors become errors.
    ///
    /// # Errors
    /// The status as a kind (401 and 407 [`ErrorKind::Unauthenticated`], 404 [`ErrorKind::NotFound`], …),
    /// [`ErrorKind::Unavailable`] without a connection.
    pub async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let response = request.send().await.map_err(|error| {
            let kind = if error.is_timeout() {
                ErrorKind::Timeout
            } else {
                ErrorKind::Unavailable
            };
            let sent = !error.is_connect();
            // The url may hold a token of the user's in its query.
            let error = Error::new(kind, "the web endpoint did not answer")
                .with_source(error.without_url());
            if sent {
                error.with_effect_unknown()
            } else {
                error
            }
        })?;
        let status = response.status();
        if status.is_success() || status.is_informational() {
            return Ok(response);
        }
        Err(Error::new(
            kind_of(status),
            format!("the web endpoint answered {status}"),
        ))
    }
}

fn kind_of(status: reqwest::StatusCode) -> ErrorKind {
    match status.as_u16() {
        401 | 407 => ErrorKind::Unauthenticated,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        409 | 412 => ErrorKind::Conflict,
        429 => ErrorKind::ResourceExhausted,
        408 | 504 => ErrorKind::Timeout,
        400..=499 => ErrorKind::InvalidArgument,
        502 | 503 => ErrorKind::Unavailable,
        500..=599 => ErrorKind::Internal,
        _ => ErrorKind::Protocol,
    }
}

fn header(text: &str) -> Result<HeaderValue> {
    token_value(text).ok_or_else(|| {
        let text = "the proxy token holds characters that no HTTP header can carry";
        Error::new(ErrorKind::InvalidArgument, text)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> WebEndpoint {
        let config = crate::Config::new("http://127.0.0.1:1", "ak", "as").unwrap();
        let token = ProxyToken::new("wk-1", "ws-1");
        Client::new(config)
            .unwrap()
            .web_endpoint("https://x.modal.run/base/", Some(&token))
            .unwrap()
    }

    #[test]
    fn a_request_has_the_tokens_headers() {
        let request = endpoint()
            .request(Method::GET, "sub?q=1")
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(request.url().as_str(), "https://x.modal.run/base/sub?q=1");
        assert_eq!(request.headers()["modal-key"], "wk-1");
        assert_eq!(request.headers()["modal-secret"], "ws-1");
        assert!(!format!("{request:?}").contains("ws-1"));
    }

    #[test]
    fn no_other_host_sees_the_token() {
        for path in [
            "https://evil.example/",
            "//evil.example/",
            "http://x.modal.run/",
        ] {
            assert!(endpoint().request(Method::GET, path).is_err(), "{path}");
        }
    }

    #[test]
    fn only_web_urls_are_endpoints() {
        let config = crate::Config::new("http://127.0.0.1:1", "ak", "as").unwrap();
        let client = Client::new(config).unwrap();
        for url in ["x.modal.run", "ftp://x", "/path"] {
            assert!(client.web_endpoint(url, None).is_err(), "{url}");
        }
    }
}
