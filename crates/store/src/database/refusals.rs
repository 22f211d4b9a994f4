//! [`RefusalStore`] for both engines.

use async_trait::async_trait;

use crate::database::backend::Backend;
use crate::refusals::RefusalStore;

#[async_trait]
impl<B: Backend> RefusalStore for B {}
