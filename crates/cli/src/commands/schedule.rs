//! `moorline schedule …`

use moorline_api::ApiError;
use moorline_core::error_code::ErrorCode;

use crate::args::ScheduleCommand;
use crate::context::Context;

pub(super) fn run(_: &Context<'_>, _: ScheduleCommand) -> Result<u8, ApiError> {
    Err(ApiError::new(
        ErrorCode::Internal,
        "this command is being built",
    ))
}
