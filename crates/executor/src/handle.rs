//! Handles as data: what every back end here does with one, whatever its coordinates are.

use moorline_core::attempt::Handle;
use moorline_core::ids::AttemptId;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::executor::ExecutorError;

/// A handle of the executor `name`, with its own coordinates of the attempt.
pub(crate) fn encode<T: Serialize>(
    name: &str,
    id: AttemptId,
    coordinates: &T,
) -> Result<Handle, ExecutorError> {
    let data = serde_json::to_value(coordinates)
        .map_err(|error| ExecutorError::io("writing a handle", error.into()))?;
    Ok(Handle {
        executor: name.to_owned(),
        attempt_id: id,
        data,
    })
}

/// The coordinates in a handle of the executor `name`; another executor's means nothing here.
pub(crate) fn decode<T: DeserializeOwned>(name: &str, handle: &Handle) -> Result<T, ExecutorError> {
    if handle.executor != name {
        let what = format!("a handle of the {} executor", handle.executor);
        return Err(ExecutorError::NotFound { what });
    }
    serde_json::from_value(handle.data.clone()).map_err(|error| ExecutorError::NotFound {
        what: format!(
            "attempt {}: its handle is damaged: {error}",
            handle.attempt_id
        ),
    })
}
