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
        StoreError::Changed { .. } => ApiError::new(ErrorCode::Precondition, error.to_string())
            .hint("look at it again, then decide whether the change is still wanted"),
        StoreError::Denied(denial) => (*denial).into(),
        StoreError::Stopped { .. } => ApiError::new(ErrorCode::StopInForce, error.to_string()),
        StoreError::Unavailable { .. } | StoreError::Corrupt { .. } => {
            ApiError::new(ErrorCode::Store, error.to_string()).because(error)
        }
    }
}

/// Whether the store could not be asked, so that nothing is known: neither that something is as it is, nor
/// whether a change was kept. Asked again later, it may answer.
pub(crate) fn is_unavailable(error: &ApiError) -> bool {
    let cause = error.source.as_deref();
    let cause = cause.and_then(|cause| cause.downcast_ref::<StoreError>());
    matches!(cause, Some(StoreError::Unavailable { .. }))
}
