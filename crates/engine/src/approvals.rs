//! Decisions at gates: the operations (D-FLOW-3, D-FLOW-4).

use async_trait::async_trait;
use moorline_api::{
    ApiError, ApprovalDecideRequest, ApprovalDecided, ApprovalLink, ApprovalLinkRequest,
    ApprovalListRequest, ApprovalOperations, ApprovalShowRequest,
};
use moorline_core::approval::ApprovalRequest;
use moorline_core::error_code::ErrorCode;

use crate::engine::Engine;

fn todo() -> ApiError {
    ApiError::new(ErrorCode::Internal, "not there yet")
}

#[async_trait]
impl ApprovalOperations for Engine {
    async fn approval_list(
        &self,
        _request: ApprovalListRequest,
    ) -> Result<Vec<ApprovalRequest>, ApiError> {
        Err(todo())
    }

    async fn approval_show(
        &self,
        _request: ApprovalShowRequest,
    ) -> Result<ApprovalRequest, ApiError> {
        Err(todo())
    }

    async fn approval_decide(
        &self,
        _request: ApprovalDecideRequest,
    ) -> Result<ApprovalDecided, ApiError> {
        Err(todo())
    }

    async fn approval_link(&self, _request: ApprovalLinkRequest) -> Result<ApprovalLink, ApiError> {
        Err(todo())
    }
}
