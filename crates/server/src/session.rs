//! Sessions of browsers: somebody shows a token once, and their browser a cookie from then on.
//!
//! A session is a token of its own, made from the one that was shown: it ends with that one, when somebody logs
//! out, and after `server.session_hours`. Its cookie can not be read by scripts (`HttpOnly`), is never sent from
//! pages of other sites (`SameSite=Strict`), and goes over TLS alone where there is TLS (`Secure`, and the
//! prefix `__Host-`, by which no other host can set it: RFC 6265bis, section 4.1.3).

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Query, Request, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Extension, Form, RequestExt as _, Router};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use moorline_core::error_code::ErrorCode;
use serde::Deserialize;
use tracing::error;

use crate::access::{self, Caller};
use crate::app::App;
use crate::dashboard::login::{local, page};
use crate::limits::Rates;
use crate::problem::Problem;

/// The cookie where browsers come by TLS.
const SECURE_COOKIE: &str = "__Host-moorline";

/// The cookie where they do not: on the machine itself, or behind what is trusted.
const PLAIN_COOKIE: &str = "moorline_session";

/// Tries to log in that one peer has in a minute.
const TRIES: NonZeroU32 = NonZeroU32::new(10).expect("10 is not 0");

/// The largest form, in bytes: far more than a token and a path.
const FORM: usize = 16 << 10;

/// `/login` and `/logout`.
pub(crate) fn routes() -> Router<Arc<App>> {
    let tries = Arc::new(Rates::per_minute(TRIES));
    Router::new()
        .route("/login", get(show).post(log_in))
        .route("/logout", post(log_out))
        .layer(Extension(tries))
        .layer(DefaultBodyLimit::max(FORM))
}

/// The text of the session's token that a browser shows.
pub(crate) fn cookie<'h>(app: &App, headers: &'h HeaderMap) -> Option<&'h str> {
    let name = cookie_name(app.is_secure());
    let values = headers.get_all(header::COOKIE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .find_map(|(known, text)| (known == name).then_some(text))
}

const fn cookie_name(secure: bool) -> &'static str {
    if secure { SECURE_COOKIE } else { PLAIN_COOKIE }
}

/// The header that sets the cookie for so long, or with nothing takes it away.
fn set_cookie(secure: bool, text: &str, lifetime: Duration) -> HeaderValue {
    let name = cookie_name(secure);
    let only = if secure { "; Secure" } else { "" };
    let seconds = lifetime.as_secs();
    let value =
        format!("{name}={text}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}{only}");
    // A token is of characters that a header takes.
    HeaderValue::try_from(value).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[derive(Debug, Deserialize, Default)]
#[serde(default)]
struct Next {
    next: String,
}

async fn show(Query(Next { next }): Query<Next>) -> Response {
    page(StatusCode::OK, None, &next).await
}

#[derive(Deserialize)]
struct LogIn {
    token: String,
    #[serde(default)]
    next: String,
}

async fn log_in(
    State(app): State<Arc<App>>,
    Extension(tries): Extension<Arc<Rates>>,
    request: Request,
) -> Response {
    if let Err(limited) = tries.peer(request.extensions()) {
        return limited.into();
    }
    let LogIn { token, next } = match request.extract::<Form<LogIn>, _>().await {
        Ok(Form(form)) => form,
        Err(refused) => {
            return page(refused.status(), Some("the form holds no token"), "/").await;
        }
    };
    let token = token.trim();
    let lifetime = Duration::from_hours(app.server().session_hours.into());
    let opened = match access::project(&app, token) {
        Ok(project) => project.engine.session_open(token, lifetime).await,
        Err(error) => Err(error),
    };
    match opened {
        Ok(session) => {
            let cookie = set_cookie(app.is_secure(), &session.token, lifetime);
            // `local`: nobody is sent to another server by a link that they were given.
            let mut response = Redirect::to(local(&next)).into_response();
            response.headers_mut().insert(header::SET_COOKIE, cookie);
            response
        }
        Err(refused) if refused.code == ErrorCode::Unauthenticated => {
            let why = "This token lets nobody in: it is mistyped, has expired or was revoked.";
            page(StatusCode::UNAUTHORIZED, Some(why), &next).await
        }
        Err(failed) => {
            error!(code = failed.code.as_str(), "a log-in failed: {failed}");
            Problem(failed).into_response()
        }
    }
}

/// Ends the session, here and for every replica, and takes the cookie away; also where there was none.
async fn log_out(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if let Ok(Some(Caller { project, identity })) = Caller::of(&app, &headers).await
        && let Err(failed) = project.engine.session_close(&identity).await
    {
        return Problem(failed).into_response();
    }
    let cookie = set_cookie(app.is_secure(), "", Duration::ZERO);
    let mut response = Redirect::to("/login").into_response();
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cookie_is_for_our_own_pages_alone() {
        let day = Duration::from_hours(12);
        assert_eq!(
            set_cookie(true, "mlt_x", day),
            "__Host-moorline=mlt_x; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200; Secure"
        );
        assert_eq!(
            set_cookie(false, "", Duration::ZERO),
            "moorline_session=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0"
        );
    }
}
