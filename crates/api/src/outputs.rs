//! What a run left, to be fetched: the bytes of an output, as they were recorded.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use moorline_core::content_id::ContentId;
use moorline_core::error_code::ErrorCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

/// Read an output of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputRequest {
    /// Id of the run, or a unique beginning of it, or `latest`.
    pub run: String,
    /// Path of the output, as the run's summary lists it; canonical (D-PROC-2).
    pub path: String,
    /// Content id of the output, where several steps wrote that path; absent means the last of them.
    pub hash: Option<ContentId>,
}

/// A piece of an output. Pieces come in order and without gap; an empty output is one empty piece.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OutputChunk {
    /// Path of the output.
    pub path: String,
    /// Content id of the whole output.
    pub hash: ContentId,
    /// Bytes of the whole output.
    pub size: u64,
    /// Bytes before this piece.
    pub offset: u64,
    /// The bytes, in base64 (RFC 4648, section 4).
    pub content: String,
}

impl OutputChunk {
    /// The bytes of the piece.
    ///
    /// # Errors
    /// [`ErrorCode::BadResponse`] when they are not in base64.
    pub fn bytes(&self) -> Result<Vec<u8>, ApiError> {
        let bytes = BASE64_STANDARD.decode(&self.content);
        bytes.map_err(|error| {
            let message = format!("a piece of the output `{}` can not be read", self.path);
            ApiError::new(ErrorCode::BadResponse, message).because(error)
        })
    }
}
