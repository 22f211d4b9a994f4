//! One exchange with the server: deadlines, repetition, errors, documents and lines.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};
use moorline_core::error_code::ErrorCode;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::Options;
use super::endpoint::Endpoint;
use super::patience::{Notice, Reached};
use super::secret::WithSecrets;
use super::spread::spread;
use crate::error::{ApiError, ErrorDetail};
use crate::routes::Method;

/// The longest line of a stream: far more than a record or a line of a log has.
const LONGEST_LINE: usize = 64 << 20;
/// The longest pause that a server can ask for.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// How often a silent connection is looked at, so that a server that vanished is noticed.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// The way to one server.
pub(super) struct Wire {
    http: reqwest::Client,
    base: String,
    read_timeout: Duration,
    change_timeout: Duration,
    tries: u32,
    pub(super) pause: Duration,
    pub(super) patience: Duration,
    pub(super) notice: Option<Arc<dyn Notice>>,
    pub(super) reached: Reached,
}

impl fmt::Debug for Wire {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire")
            .field("base", &self.base)
            .finish_non_exhaustive()
    }
}

/// What is sent.
pub(super) struct Call {
    pub(super) method: Method,
    /// Path and query.
    pub(super) target: String,
    pub(super) body: Body,
    /// Whether it does nothing twice.
    pub(super) repeatable: bool,
    /// How long it may take to the end of its answer; a stream has no such end.
    pub(super) deadline: Option<Duration>,
    /// More headers.
    pub(super) headers: HeaderMap,
}

/// The body of a request.
pub(super) enum Body {
    None,
    /// JSON.
    Json(Bytes),
    /// A file, and its content type.
    File(PathBuf, &'static str),
}

/// Why a stream ended early.
#[derive(Debug)]
pub(super) enum Broken {
    /// The server said why.
    Told(ApiError),
    /// The connection was cut.
    Cut(ApiError),
}

/// Documents as they come.
pub(super) type Lines<T> = BoxStream<'static, Result<T, Broken>>;

impl Wire {
    pub(super) fn new(options: &Options) -> Result<Self, ApiError> {
        let usage = |message: String| {
            ApiError::new(ErrorCode::Usage, message)
                .hint("give an address such as `https://moorline.example.org`")
        };
        let server = options.server.trim_end_matches('/');
        let url = Url::parse(server).map_err(|error| {
            usage(format!(
                "`{server}` is not the address of a server: {error}"
            ))
        })?;
        let plain = matches!(url.scheme(), "http" | "https")
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !plain {
            // Not repeated: it may hold a password.
            return Err(usage(
                "the address of a server is `http://` or `https://`, a host, and nothing of a person".to_owned(),
            ));
        }
        let bearer = Zeroizing::new(format!("Bearer {}", options.token.expose().trim()));
        let mut token = HeaderValue::from_str(&bearer).map_err(|_| {
            ApiError::new(
                ErrorCode::Usage,
                "the token has characters that no token has",
            )
            .hint("give it as it was shown when it was made: `mlt_…`")
        })?;
        token.set_sensitive(true);
        let mut builder = reqwest::Client::builder()
            .user_agent(concat!("moorline/", env!("CARGO_PKG_VERSION")))
            .default_headers([(header::AUTHORIZATION, token)].into_iter().collect())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.connect_timeout)
            .tcp_keepalive(KEEPALIVE);
        if is_loopback(&url) {
            builder = builder.no_proxy();
            if url.scheme() == "http" {
                // No TLS: a machine without certificates of authorities is good enough.
                builder = builder.tls_certs_only([]);
            }
        }
        let http = builder.build().map_err(|error| {
            ApiError::new(ErrorCode::Internal, "can not set up HTTP").because(error)
        })?;
        Ok(Self {
            http,
            base: server.to_owned(),
            read_timeout: options.read_timeout,
            change_timeout: options.change_timeout,
            tries: options.tries.max(1),
            pause: options.pause,
            patience: options.patience,
            notice: options.notice.clone(),
            reached: Reached::default(),
        })
    }

    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Does an operation that answers with one document.
    pub(super) async fn call<R: Serialize, A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<R, A>,
        request: &R,
    ) -> Result<A, ApiError> {
        let call = self.of(endpoint, request)?;
        document(self.send(&call).await?).await
    }

    /// As [`Wire::call`], for a request that carries an idempotency key.
    pub(super) async fn call_keyed<R: Serialize, A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<R, A>,
        request: &R,
    ) -> Result<A, ApiError> {
        let mut call = self.of(endpoint, request)?;
        call.repeatable = true;
        document(self.send(&call).await?).await
    }

    /// As [`Wire::call`], for a request that holds values of secrets.
    pub(super) async fn call_secret<R: WithSecrets, A: DeserializeOwned>(
        &self,
        endpoint: Endpoint<R, A>,
        request: &R,
    ) -> Result<A, ApiError> {
        let spread = spread(endpoint.method, endpoint.path, request.open())?;
        let body = super::secret::body(&spread.body.unwrap_or_default(), request.values())?;
        let call = Call {
            method: endpoint.method,
            target: spread.target,
            body: Body::Json(body),
            repeatable: false,
            deadline: Some(self.change_timeout),
            headers: HeaderMap::new(),
        };
        document(self.send(&call).await?).await
    }

    /// Opens a stream.
    pub(super) async fn open<R: Serialize, A: DeserializeOwned + Send + 'static>(
        &self,
        endpoint: Endpoint<R, A>,
        request: &R,
    ) -> Result<Lines<A>, ApiError> {
        let mut call = self.of(endpoint, request)?;
        call.deadline = None;
        let ndjson = HeaderValue::from_static("application/x-ndjson");
        call.headers.insert(header::ACCEPT, ndjson);
        Ok(self.lines(self.send(&call).await?))
    }

    /// An operation as it is sent.
    pub(super) fn of<R: Serialize, A>(
        &self,
        endpoint: Endpoint<R, A>,
        request: &R,
    ) -> Result<Call, ApiError> {
        let unfit = |error: serde_json::Error| {
            ApiError::new(
                ErrorCode::Internal,
                "the request can not be written as JSON",
            )
            .because(error)
        };
        let request = serde_json::to_value(request).map_err(unfit)?;
        let spread = spread(endpoint.method, endpoint.path, request)?;
        let body = match spread.body {
            Some(members) => Body::Json(serde_json::to_vec(&members).map_err(unfit)?.into()),
            None => Body::None,
        };
        let changes = endpoint.operation.mutates();
        Ok(Call {
            method: endpoint.method,
            target: spread.target,
            body,
            repeatable: !changes,
            deadline: Some(if changes {
                self.change_timeout
            } else {
                self.read_timeout
            }),
            headers: HeaderMap::new(),
        })
    }

    /// Sends a request until it is answered, as often as may be; gives an answer that is no error.
    pub(super) async fn send(&self, call: &Call) -> Result<Response, ApiError> {
        let mut pause = self.pause;
        let mut tried = 1;
        loop {
            let (error, asked) = match self.once(call).await {
                Ok(response) if response.status().is_success() => {
                    self.reached.answered(self.notice.as_deref());
                    return Ok(response);
                }
                Ok(response) => {
                    let asked = retry_after(&response);
                    let passing = passes(response.status());
                    let error = problem(response).await;
                    if !passing {
                        self.reached.answered(self.notice.as_deref());
                        return Err(error);
                    }
                    (error, asked)
                }
                Err(error) => (error, None),
            };
            if !call.repeatable || tried >= self.tries {
                return Err(error);
            }
            tried += 1;
            tokio::time::sleep(asked.unwrap_or(pause).min(LONGEST_PAUSE)).await;
            pause = pause.saturating_mul(2);
        }
    }

    async fn once(&self, call: &Call) -> Result<Response, ApiError> {
        let method = match call.method {
            Method::Get => reqwest::Method::GET,
            Method::Post => reqwest::Method::POST,
            Method::Put => reqwest::Method::PUT,
        };
        let url = format!("{}{}", self.base, call.target);
        let mut request = self.http.request(method, url).headers(call.headers.clone());
        if let Some(deadline) = call.deadline {
            request = request.timeout(deadline);
        }
        request = match &call.body {
            Body::None => request,
            Body::Json(bytes) => request
                .header(header::CONTENT_TYPE, "application/json")
                .body(bytes.clone()),
            Body::File(path, content_type) => {
                let gone = |error: std::io::Error| {
                    let message = format!("can not read {}", path.display());
                    ApiError::new(ErrorCode::Inputs, message).because(error)
                };
                let file = tokio::fs::File::open(path).await.map_err(gone)?;
                let length = file.metadata().await.map_err(gone)?.len();
                request
                    .header(header::CONTENT_TYPE, *content_type)
                    .header(header::CONTENT_LENGTH, length)
                    .body(file)
            }
        };
        request
            .send()
            .await
            .map_err(|error| self.unreachable(error, call.repeatable))
    }

    /// The lines of an answer, each a document; empty ones keep the connection alive.
    fn lines<A: DeserializeOwned + Send + 'static>(&self, response: Response) -> Lines<A> {
        let base = self.base.clone();
        Box::pin(stream! {
            let mut bytes = response.bytes_stream();
            let mut open: Vec<u8> = Vec::new();
            while let Some(chunk) = bytes.next().await {
                let chunk = match chunk {
                    Ok(chunk) => chunk,
                    Err(error) => {
                        yield Err(Broken::Cut(cut(&base, error)));
                        return;
                    }
                };
                for part in chunk.split_inclusive(|byte| *byte == b'\n') {
                    open.extend_from_slice(part);
                    if open.last() != Some(&b'\n') {
                        if open.len() > LONGEST_LINE {
                            yield Err(Broken::Told(strange("a line is too long")));
                            return;
                        }
                        continue;
                    }
                    let line = open.trim_ascii();
                    if !line.is_empty() {
                        yield read_line(line);
                    }
                    open.clear();
                }
            }
            if !open.trim_ascii().is_empty() {
                // The server writes whole lines.
                let message = format!("the server {base} broke off in the middle of a line");
                yield Err(Broken::Cut(ApiError::new(ErrorCode::Unreachable, message)));
            }
        })
    }

    /// The server did not answer.
    fn unreachable(&self, error: reqwest::Error, repeatable: bool) -> ApiError {
        let base = &self.base;
        let (what, unknown) = if error.is_connect() {
            (format!("the server {base} can not be reached"), false)
        } else if error.is_timeout() {
            (format!("the server {base} did not answer in time"), true)
        } else {
            (format!("the connection to the server {base} broke"), true)
        };
        let hint = if let Some(hint) = untrusted(&error) {
            hint
        } else if unknown && !repeatable {
            "it may have been done all the same: look at the present state before asking again"
        } else {
            "check the address, the network, and that `moorlined` runs there"
        };
        ApiError::new(ErrorCode::Unreachable, what)
            .hint(hint)
            .because(error.without_url())
    }
}

/// What to do about a certificate that is not accepted; none where that is not what is wrong.
fn untrusted(error: &reqwest::Error) -> Option<&'static str> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match of_tls(error) {
            Some(rustls::Error::InvalidCertificate(_)) => {
                return Some(
                    "set `SSL_CERT_FILE` to the certificate (PEM) of the authority that signed the server's, \
                     or call the server by the name that its certificate is for",
                );
            }
            Some(rustls::Error::InvalidMessage(_)) => {
                return Some("the server may not speak TLS: try `http://`");
            }
            _ => cause = error.source(),
        }
    }
    None
}

/// The error of TLS that this one is or holds: one of a socket gives as its cause the cause of what it holds, so
/// that what it holds is in no chain of causes, and it may hold another one of a socket.
fn of_tls<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let held = |error: &'a std::io::Error| of_tls(error.get_ref()?);
    let tls = error.downcast_ref::<rustls::Error>();
    tls.or_else(|| error.downcast_ref::<std::io::Error>().and_then(held))
}

/// Whether it names this machine, where no proxy is asked.
fn is_loopback(url: &Url) -> bool {
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback()),
        None => false,
    }
}

/// Whether a refusal may be none a moment later.
fn passes(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT
    )
}

/// The pause that the server asks for, in whole seconds.
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    value.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// Reads the one document of an answer.
pub(super) async fn document<A: DeserializeOwned>(response: Response) -> Result<A, ApiError> {
    let bytes = response.bytes().await.map_err(|error| {
        ApiError::new(ErrorCode::Unreachable, "the server's answer broke off")
            .hint(
                "it may have been done all the same: look at the present state before asking again",
            )
            .because(error.without_url())
    })?;
    serde_json::from_slice(&bytes).map_err(|error| strange("it does not fit").because(error))
}

fn strange(why: &str) -> ApiError {
    let message = format!("the server's answer is not one of this version: {why}");
    ApiError::new(ErrorCode::Internal, message)
        .hint("use `moorline` and `moorlined` of the same release")
}

fn cut(base: &str, error: reqwest::Error) -> ApiError {
    let message = format!("the connection to the server {base} broke");
    ApiError::new(ErrorCode::Unreachable, message).because(error.without_url())
}

/// The last line of a stream that did not come to its end.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LastLine {
    /// It failed.
    Problem(Problem),
    /// The server ends; whoever asks again goes on.
    Reconnect(serde::de::IgnoredAny),
}

fn read_line<A: DeserializeOwned>(line: &[u8]) -> Result<A, Broken> {
    serde_json::from_slice(line).map_err(|error| {
        // No document of a stream is an error as well.
        match serde_json::from_slice::<LastLine>(line) {
            Ok(LastLine::Problem(problem)) => Broken::Told(problem.into()),
            Ok(LastLine::Reconnect(_)) => {
                let message = "the server ended the stream, to be asked again";
                Broken::Cut(ApiError::new(ErrorCode::Unreachable, message))
            }
            Err(_) => Broken::Told(strange("a line does not fit").because(error)),
        }
    })
}

/// A refusal, as `application/problem+json` (RFC 9457) with our members.
#[derive(Deserialize)]
struct Problem {
    detail: String,
    code: ErrorCode,
    hint: Option<String>,
    #[serde(default)]
    details: Vec<ErrorDetail>,
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self {
            code: problem.code,
            message: problem.detail,
            hint: problem.hint,
            details: problem.details,
            source: None,
        }
    }
}

/// The error of an answer that is one.
async fn problem(response: Response) -> ApiError {
    let status = response.status();
    let body = response.bytes().await.unwrap_or_default();
    if let Ok(problem) = serde_json::from_slice::<Problem>(&body) {
        return problem.into();
    }
    // Something in between, such as a proxy, or a release that knows more codes.
    let code = match status.as_u16() {
        400 => ErrorCode::Usage,
        401 => ErrorCode::Unauthenticated,
        403 => ErrorCode::Forbidden,
        404 => ErrorCode::NotFound,
        409 => ErrorCode::Conflict,
        412 => ErrorCode::Precondition,
        413 => ErrorCode::TooLarge,
        429 => ErrorCode::RateLimited,
        502..=504 => ErrorCode::Unreachable,
        _ => ErrorCode::Internal,
    };
    let said = serde_json::from_slice::<Value>(&body).ok();
    let said = said.as_ref().and_then(|said| said.get("detail")?.as_str());
    let message = match said {
        Some(said) => format!("the server answered {status}: {said}"),
        None => format!("the server answered {status}, and not in Moorline's form"),
    };
    ApiError::new(code, message)
}
