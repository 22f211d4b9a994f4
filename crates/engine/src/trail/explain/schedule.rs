//! Why a schedule starts something, or does not.

use moorline_api::{ApiError, Explanation};
use moorline_core::error_code::ErrorCode;
use moorline_core::schedule::ScheduleId;

use crate::engine::Inner;

impl Inner {
    pub(in crate::trail) async fn explain_schedule(
        &self,
        text: &str,
    ) -> Result<Explanation, ApiError> {
        let id: ScheduleId =
            text.parse()
                .map_err(|error: moorline_core::schedule::ScheduleIdError| {
                    ApiError::new(ErrorCode::Usage, error.to_string())
                })?;
        Err(ApiError::new(
            ErrorCode::NotFound,
            format!("no schedule {id}"),
        ))
    }
}
