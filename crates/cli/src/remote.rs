//! The control plane of an invocation: a server's over HTTP, or the engine of a state directory in this process.

use std::future::Future;
use std::sync::Arc;

use moorline_api::{ApiError, ControlPlane};

use crate::context::Context;

/// What does the operations of a command, wherever it is.
pub(crate) type Plane = Arc<dyn ControlPlane>;

impl Context<'_> {
    /// Whether the control plane is a server's.
    pub(crate) fn is_remote(&self) -> Result<bool, ApiError> {
        Ok(false)
    }

    /// Does a command's work on the control plane; where that is an engine, its state directory must exist.
    pub(crate) fn with_plane<F, T>(&self, work: impl FnOnce(Plane) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.with_engine(|engine| work(Arc::new(engine)))
    }

    /// As [`Context::with_plane`], but a state directory that is missing is made.
    pub(crate) fn with_new_plane<F, T>(&self, work: impl FnOnce(Plane) -> F) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        let dirs = self.create_state()?;
        self.with_engine_in(dirs, |engine| work(Arc::new(engine)))
    }

    /// As [`Context::with_plane`], but that nothing is done before it: a stop does not wait.
    pub(crate) fn with_plane_at_once<F, T>(
        &self,
        work: impl FnOnce(Plane) -> F,
    ) -> Result<T, ApiError>
    where
        F: Future<Output = Result<T, ApiError>>,
    {
        self.with_engine_at_once(|engine| work(Arc::new(engine)))
    }
}
