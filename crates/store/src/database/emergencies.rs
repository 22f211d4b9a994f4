//! [`EmergencyStore`] for both engines.

use async_trait::async_trait;

use crate::database::backend::Backend;
use crate::emergencies::EmergencyStore;

#[async_trait]
impl<B: Backend> EmergencyStore for B {}
