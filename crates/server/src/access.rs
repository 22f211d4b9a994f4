//! Who calls, and what they may do.
//!
//! Whoever calls proves it by a token: in the header `Authorization: Bearer mlt_…`, or, from a browser, in the
//! cookie of its session. The token's text names its project; one of an unknown project is refused as any
//! other that lets nobody in. What may be done is the one table's, the role's and the scopes' to say
//! (D-AUDIT-2), and what is refused here is on record as what the engine refuses is.

use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::{HeaderMap, header};
use moorline_api::{ApiError, Operation, authorization};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_core::token::TokenKind;
use moorline_engine::{Engine, Identity, token_project};

use crate::app::{App, Project};
use crate::problem::Problem;
use crate::session;

/// The scheme of the header, in lower case; schemes are compared without case (RFC 9110, section 11.1).
const SCHEME: &str = "bearer";

/// Whoever calls: proven by a token, or by the session of a browser.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The project of the token. Its engine acts for the caller: it does no more than the token permits.
    pub project: Arc<Project>,
    /// Whom it lets in.
    pub identity: Identity,
}

impl Caller {
    /// Whether the caller may do this: by the table, by the role of the token, and by its scopes. Every handler
    /// asks before it does anything; the engine asks again for what changes something.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], with the rule.
    pub fn permit(&self, operation: Operation) -> Result<(), ApiError> {
        let Identity {
            principal,
            role,
            token,
        } = &self.identity;
        if !token.covers(operation.as_str()) {
            let message = format!(
                "the token `{}` does not permit `{}`",
                token.name,
                operation.as_str()
            );
            return Err(Denial::new(ErrorCode::Forbidden, "D-AUDIT-2", message)
                .hint("use a token whose scopes name the operation")
                .into());
        }
        authorization::permit(operation, principal, *role)?;
        Ok(())
    }

    /// As [`permit`](Self::permit), and records the refusal, as the engine records its own: so that someone can
    /// ask why.
    ///
    /// # Errors
    /// [`ErrorCode::Forbidden`], with the rule and the name of the record.
    pub async fn admit(&self, operation: Operation, subject: &str) -> Result<(), ApiError> {
        let Err(refused) = self.permit(operation) else {
            return Ok(());
        };
        let Self { project, identity } = self;
        let recorded =
            project
                .engine
                .record_refusal(operation, &identity.principal, subject, refused);
        Err(recorded.await)
    }

    /// Whoever a request is from; none where it shows nothing.
    ///
    /// # Errors
    /// [`ErrorCode::Unauthenticated`] where what it shows lets nobody in.
    pub(crate) async fn of(app: &App, headers: &HeaderMap) -> Result<Option<Self>, ApiError> {
        let (text, kind) = match bearer(headers)? {
            Some(text) => (text, TokenKind::Api),
            None => match session::cookie(app, headers) {
                Some(text) => (text, TokenKind::Session),
                None => return Ok(None),
            },
        };
        let project = project(app, text)?;
        let identity = project.engine.authenticate(text).await?;
        // What a browser keeps is no token for programs, nor the other way round.
        if identity.token.kind != kind {
            return Err(nobody());
        }
        Ok(Some(Self {
            project: Arc::new(Project {
                name: project.name.clone(),
                engine: acting(&project.engine, &identity),
            }),
            identity,
        }))
    }
}

fn acting(engine: &Engine, identity: &Identity) -> Engine {
    engine.acting_for(identity.clone())
}

/// The token of the header; none without a header.
fn bearer(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let text = value.to_str().map_err(|_| nobody())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(nobody)?;
    if scheme.eq_ignore_ascii_case(SCHEME) {
        Ok(Some(token.trim()))
    } else {
        Err(nobody())
    }
}

/// The project that a token names.
///
/// # Errors
/// [`ErrorCode::Unauthenticated`] where there is none of that name, in the words of any other refusal.
pub(crate) fn project<'a>(app: &'a App, text: &str) -> Result<&'a Arc<Project>, ApiError> {
    token_project(text)
        .and_then(|name| app.projects.get(name))
        .ok_or_else(nobody)
}

/// The one answer to whatever lets nobody in; in the words of the engine.
pub(crate) fn nobody() -> ApiError {
    Engine::unauthenticated()
}

/// Whoever the request was found to be from, or why that can not be said: once for each request, since a store
/// that does not answer takes its time to say so.
#[derive(Debug, Clone)]
pub(crate) enum Known {
    /// Somebody.
    Caller(Box<Caller>),
    /// It could not be found out; for the first who asks.
    Failed(Arc<Mutex<Option<ApiError>>>),
}

impl Known {
    /// What is kept with a request. Of what lets nobody in nothing is.
    pub(crate) fn of(found: Result<Option<Caller>, ApiError>) -> Option<Self> {
        match found {
            Ok(found) => found.map(|caller| Self::Caller(Box::new(caller))),
            Err(error) if error.code == ErrorCode::Unauthenticated => None,
            Err(error) => Some(Self::Failed(Arc::new(Mutex::new(Some(error))))),
        }
    }
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        match parts.extensions.get() {
            Some(Known::Caller(caller)) => return Ok(Self::clone(caller)),
            Some(Known::Failed(error)) => {
                let error = error.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(error) = error {
                    return Err(error.into());
                }
            }
            None => {}
        }
        match Self::of(app, &parts.headers).await? {
            Some(caller) => Ok(caller),
            None => Err(ApiError::new(
                ErrorCode::Unauthenticated,
                "no token came with the request (D-AUDIT-2)",
            )
            .hint("send `Authorization: Bearer mlt_…`; `moorline tokens create NAME` makes one")
            .into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn headers(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_str(value).unwrap();
        headers.insert(header::AUTHORIZATION, value);
        headers
    }

    #[test]
    fn the_scheme_is_bearer_in_any_case_and_no_other() {
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        for text in ["Bearer mlt_x", "bearer mlt_x", "BEARER  mlt_x "] {
            assert_eq!(bearer(&headers(text)).unwrap(), Some("mlt_x"), "{text}");
        }
        for text in ["Basic mlt_x", "mlt_x", "Bearer"] {
            let error = bearer(&headers(text)).unwrap_err();
            assert_eq!(error.code, ErrorCode::Unauthenticated, "{text}");
        }
    }
}
