//! [`AlertStore`] for both engines.

use async_trait::async_trait;
use jiff::Timestamp;
use moorline_core::error_code::AlertLevel;
use moorline_core::run::Run;
use serde_json::Value;

use crate::alerts::AlertStore;
use crate::database::backend::Backend;
use crate::database::tx::Tx;
use crate::database::unit::Unit;
use crate::error::StoreError;

#[async_trait]
impl<B: Backend> AlertStore for B {}

/// Something that people should be told.
#[derive(Debug, Clone)]
pub(crate) struct NewAlert<'a> {
    /// The same trouble gives the same key: `source/chase/auth`, `schedule/prod/x/drift`.
    pub(crate) key: String,
    /// How loud.
    pub(crate) level: AlertLevel,
    /// One line, redacted.
    pub(crate) title: String,
    /// The run that it follows from.
    pub(crate) run: Option<&'a Run>,
    /// Details; no secrets.
    pub(crate) data: Value,
}

/// Raises an alert in the transaction of what it tells of.
pub(crate) async fn raise<T: Tx>(
    _unit: &mut Unit<'_, T>,
    _alert: NewAlert<'_>,
    _now: Timestamp,
) -> Result<(), StoreError> {
    Ok(())
}
