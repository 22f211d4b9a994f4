//! Who calls, and what they may do.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::request::Parts;
use moorline_api::{ApiError, Operation, authorization};
use moorline_core::denial::Denial;
use moorline_core::error_code::ErrorCode;
use moorline_engine::Identity;

use crate::app::{App, Project};
use crate::problem::Problem;

/// Whoever calls: proven by a token, or by the session of a browser.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The project of the token.
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
}

impl FromRequestParts<Arc<App>> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Problem> {
        let _ = (parts, app);
        Err(ApiError::new(ErrorCode::Unauthenticated, "no token came with the request").into())
    }
}
