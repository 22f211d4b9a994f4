#![allow(missing_docs)]
use moorline_api::{ApiError, SecretKeyView};
use moorline_core::spec::{JobSpec, Mode, Step};
use moorline_secrets::SecretEnv;
use crate::engine::Inner;
pub trait SecretSource: Send + Sync {}
struct N; impl SecretSource for N {}
pub(crate) fn sources(_: std::collections::BTreeMap<String,String>, _: &std::path::Path) -> std::sync::Arc<dyn SecretSource + Send + Sync> { std::sync::Arc::new(N) }
impl Inner {
    pub(crate) fn check_secrets(&self, _: &JobSpec, _: Mode) -> Result<(), ApiError> { Ok(()) }
    pub(crate) fn resolve_secrets(&self, _: &JobSpec, _: &Step, _: Mode) -> Result<SecretEnv, ApiError> { Ok(SecretEnv::default()) }
    pub(crate) fn secret_report(&self, _: &JobSpec) -> Result<Vec<SecretKeyView>, ApiError> { Ok(vec![]) }
}
