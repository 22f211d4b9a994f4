//! [`PrincipalStore`] for both engines.

use async_trait::async_trait;

use crate::database::backend::Backend;
use crate::principals::PrincipalStore;

#[async_trait]
impl<B: Backend> PrincipalStore for B {}
