//! [`SecretStore`] for both engines.

use async_trait::async_trait;

use crate::database::backend::Backend;
use crate::secrets::SecretStore;

#[async_trait]
impl<B: Backend> SecretStore for B {}
