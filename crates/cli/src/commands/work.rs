//! `moorline work …`

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;

use crate::args::WorkArgs;
use crate::context::Context;

pub(super) fn run(_: &Context<'_>, _: WorkArgs) -> Result<u8, ApiError> {
    Err(ApiError::new(
        ErrorCode::Internal,
        "this command is being built",
    ))
}
