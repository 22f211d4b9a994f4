//! `moorline principal …`

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;

use crate::args::PrincipalCommand;
use crate::context::Context;

pub(super) fn run(_: &Context<'_>, _: PrincipalCommand) -> Result<u8, ApiError> {
    Err(ApiError::new(
        ErrorCode::Internal,
        "this command is being built",
    ))
}
