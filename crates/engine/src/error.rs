//! From the errors of store, executor and file system to the one error body.

use std::io;

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;
use moorline_core::run::Refusal;
use moorline_store::StoreError;

/// Wraps an I/O error with what was being done.
pub(crate) fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> ApiError {
    let doing = doing.into();
    move |error| {
        ApiError::new(ErrorCode::Store, format!("could not {doing}: {error}"))
            .hint("check that the state directory's disk is there, writable and has room")
    }
}

/// What a store error means to a caller.
pub(crate) fn store_error(error: StoreError) -> ApiError {
    match error {
        StoreError::NotFound { what } => {
            ApiError::new(ErrorCode::NotFound, format!("no such {what}"))
        }
        StoreError::Conflict { what } => ApiError::new(ErrorCode::Conflict, what),
        StoreError::Refused(Refusal::Denied(denial)) => (*denial).into(),
        StoreError::Refused(refusal) => ApiError::new(ErrorCode::Conflict, refusal.to_string()),
        StoreError::Denied(denial) => (*denial).into(),
        StoreError::Stopped { .. } => ApiError::new(ErrorCode::StopInForce, error.to_string()),
        StoreError::Unavailable { .. } | StoreError::Corrupt { .. } => {
            ApiError::new(ErrorCode::Store, error.to_string()).because(error)
        }
    }
}
