//! How much one caller may ask for, and who may listen to the world at all.
//!
//! | layer | what |
//! |---|---|
//! | [`rate`] | requests a second for each token, and by themselves those that end something; for each address of a peer that shows none |
//! | [`cors`] | whose pages may call the API |
//! | [`csrf`] | that no other site's page acts in the name of a browser's session |
//!
//! Deliberately absent: limits of bodies and of time, which depend on the route and are set where a body is
//! read and an operation is done.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use http::{Extensions, HeaderName, HeaderValue, Method, header};
use moorline_api::routes::{ROUTES, Route};
use moorline_api::{ApiError, Operation};
use moorline_core::config::ServerSettings;
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::ids::TokenId;
use moorline_engine::Engine;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::csrf::{CsrfLayer, ProtectionError};

use crate::access::{Caller, Known};
use crate::app::App;
use crate::listen::Peer;
use crate::problem::Problem;

/// After so many requests, whoever was quiet since is forgotten.
const HOUSEKEEPING: u32 = 4096;

/// How long a browser may remember what pages of other origins may do.
const PREFLIGHT: Duration = Duration::from_mins(10);

/// What ends something. Whoever has asked too often can still do that, so it is counted by itself (D-STOP-1).
const ENDINGS: [Operation; 7] = [
    Operation::Stop,
    Operation::RunCancel,
    Operation::ScheduleDisable,
    Operation::SourcePause,
    Operation::Emergency,
    Operation::SecretRevoke,
    Operation::TokenRevoke,
];

/// The same of the pages.
const PAGES_THAT_END: [&str; 2] = ["/stop", "/runs/{run}/cancel"];

/// Whose requests are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Who {
    /// Those with one token.
    Token(TokenId),
    /// Those with one token that end something.
    Ending(TokenId),
    /// Those from one address without one.
    Peer(IpAddr),
}

/// Requests a second, by caller.
#[derive(Debug)]
pub(crate) struct Rates {
    limiter: DefaultKeyedRateLimiter<Who>,
    clock: DefaultClock,
    seen: AtomicU32,
}

impl Rates {
    /// So many a second in the long run, and so many at once, a second's worth at least.
    pub(crate) fn new(settings: &ServerSettings) -> Self {
        let least = |count: u32| NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::per_second(least(settings.rate_per_second));
        // Never less at once than in a second: a thread that is held up between looking at the clock and
        // counting would otherwise refuse what is well within the rate.
        let burst = settings.rate_burst.max(settings.rate_per_second);
        Self::of(quota.allow_burst(least(burst)))
    }

    /// So many in a minute, all at once if need be.
    pub(crate) fn per_minute(count: NonZeroU32) -> Self {
        Self::of(Quota::per_minute(count))
    }

    fn of(quota: Quota) -> Self {
        Self {
            limiter: DefaultKeyedRateLimiter::dashmap(quota),
            clock: DefaultClock::default(),
            seen: AtomicU32::new(0),
        }
    }

    /// Counts one request of a peer without a token.
    ///
    /// # Errors
    /// The answer to it, with the time to wait, when it is one too many.
    pub(crate) fn peer(&self, extensions: &Extensions) -> Result<(), Limited> {
        self.count(Who::Peer(network(extensions)))
    }

    fn count(&self, who: Who) -> Result<(), Limited> {
        if self.seen.fetch_add(1, Ordering::Relaxed) % HOUSEKEEPING == HOUSEKEEPING - 1 {
            self.limiter.retain_recent();
            self.limiter.shrink_to_fit();
        }
        self.limiter.check_key(&who).map_err(|over| {
            let wait = over.wait_time_from(self.clock.now());
            Limited(wait.as_secs().saturating_add(1))
        })
    }
}

/// One request too many: the seconds until the next is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limited(u64);

impl From<Limited> for ApiError {
    fn from(Limited(seconds): Limited) -> Self {
        let message = format!("too many requests: the next is taken in {seconds} s");
        Self::new(ErrorCode::RateLimited, message)
    }
}

impl From<Limited> for Response {
    fn from(limited: Limited) -> Self {
        let Limited(seconds) = limited;
        let mut response = Problem(limited.into()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        response
    }
}

/// The address that a peer is counted by: of IPv6 the network of 64 bits, which one customer has whole.
fn network(extensions: &Extensions) -> IpAddr {
    let peer = extensions.get::<Peer>().map(|Peer(address)| address.ip());
    match peer.map(|address| address.to_canonical()) {
        Some(IpAddr::V6(address)) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        Some(address) => address,
        None => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

/// A middleware: counts requests, and refuses those that are too many with the time to wait.
///
/// Only a token that lets somebody in has a count of its own, so that nobody gets one by inventing tokens; who
/// it lets in is kept with the request for the handlers.
pub(crate) async fn rate(
    State((app, rates)): State<(Arc<App>, Arc<Rates>)>,
    mut request: Request,
    next: Next,
) -> Response {
    let caller = Caller::of(&app, request.headers()).await;
    let counted = match &caller {
        Ok(Some(caller)) if ends_something(&request) => {
            rates.count(Who::Ending(caller.identity.token.id))
        }
        Ok(Some(caller)) => rates.count(Who::Token(caller.identity.token.id)),
        Ok(None) | Err(_) => rates.peer(request.extensions()),
    };
    if let Err(limited) = counted {
        return limited.into();
    }
    if let Some(known) = Known::of(caller) {
        request.extensions_mut().insert(known);
    }
    next.run(request).await
}

fn ends_something(request: &Request) -> bool {
    let Some(path) = request.extensions().get::<MatchedPath>() else {
        return false;
    };
    let path = path.as_str();
    let is_asked =
        |route: &Route| route.path == path && route.method.as_str() == request.method().as_str();
    let mut routes = ROUTES.iter().filter(|route| is_asked(route));
    PAGES_THAT_END.contains(&path) || routes.any(|route| ENDINGS.contains(&route.operation))
}

/// A layer: whose pages may call the API, with a token in the header. Cookies are for our own pages alone.
pub(crate) fn cors(settings: &ServerSettings) -> CorsLayer {
    let origins = settings.cors_origins.iter();
    let origins: Vec<HeaderValue> = origins.filter_map(|origin| origin.parse().ok()).collect();
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_methods([Method::GET, Method::POST, Method::PUT])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
            HeaderName::from_static("last-event-id"),
        ])
        .expose_headers([
            header::ETAG,
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            HeaderName::from_static("x-request-id"),
        ])
        .max_age(PREFLIGHT)
}

/// How a request of another site's page is refused.
pub(crate) type Forged = fn(ProtectionError) -> Response<Body>;

/// A layer: what changes something comes from our own pages, from origins that may call the API, or from no
/// page at all. Browsers say where a request comes from (`Sec-Fetch-Site`, `Origin`), and no page can change that.
///
/// # Errors
/// [`ErrorCode::Config`] for an origin that no browser could send.
pub(crate) fn csrf(app: &App) -> Result<CsrfLayer<Forged>, ApiError> {
    let refuse: Forged = |_| {
        let message = "the request comes from a page of another site";
        let denial = Denial::new(ErrorCode::Forbidden, "D-AUDIT-2", message);
        let denial = denial.hint(
            "set `server.public_url` to how browsers call this server, or `server.cors_origins`",
        );
        Problem(denial.into()).into_response()
    };
    let own = std::iter::once(&app.origin);
    own.chain(&app.server().cors_origins)
        .try_fold(CsrfLayer::new(), CsrfLayer::add_trusted_origin)
        .map(|layer| layer.with_rejection_response(refuse))
        .map_err(|error| {
            let message = format!("no browser calls this server like that: {error}");
            ApiError::new(ErrorCode::Config, message)
                .hint("write origins as `https://moorline.example.org`")
        })
}

/// Refuses to listen beyond this machine while nobody could prove who they are (L27).
///
/// # Errors
/// [`ErrorCode::Config`] with what to do; also when a store can not be read.
pub(crate) async fn may_bind(bind: SocketAddr, engines: &[Engine]) -> Result<(), ApiError> {
    if bind.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    for engine in engines {
        if engine.has_valid_token().await? {
            return Ok(());
        }
    }
    let message = format!(
        "refused to listen on {bind}, beyond this machine: there is no token yet, so nobody could prove who \
         they are (D-AUDIT-2)"
    );
    Err(ApiError::new(ErrorCode::Config, message).hint(
        "make one here with `moorline tokens create NAME`, or listen on loopback: `--bind 127.0.0.1:7420`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(address: &str) -> Extensions {
        let mut extensions = Extensions::new();
        extensions.insert(Peer(SocketAddr::new(address.parse().unwrap(), 4711)));
        extensions
    }

    #[test]
    fn each_peer_has_a_count_of_its_own() {
        let rates = Rates::per_minute(NonZeroU32::new(2).unwrap());
        let first = from("192.0.2.1");
        assert_eq!(rates.peer(&first), Ok(()));
        assert_eq!(rates.peer(&first), Ok(()));
        let Limited(seconds) = rates.peer(&first).unwrap_err();
        assert!((1..=31).contains(&seconds), "{seconds}");
        assert_eq!(rates.peer(&from("192.0.2.2")), Ok(()));
    }

    #[test]
    fn peers_of_one_network_are_one() {
        let one = network(&from("2001:db8:1:2:3::4"));
        assert_eq!(network(&from("2001:db8:1:2::9")), one);
        assert_ne!(network(&from("2001:db8:1:3::9")), one);
        assert_eq!(
            network(&from("::ffff:192.0.2.1")),
            network(&from("192.0.2.1"))
        );
    }

    #[test]
    fn who_is_too_fast_is_told_when_to_come_back() {
        let response = Response::from(Limited(3));
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "3");
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "application/problem+json"
        );
    }
}
