//! Whether a run may have secrets at all (`D-SEC-4`).

use crate::error::ResolveError;
use crate::reference::SecretRequirement;
use crate::source::SourceChain;
use crate::value::SecretEnv;

/// What the mode of a run lets it have.
///
/// ```
/// use moorline_secrets::{
///     EnvironmentSource, ResolveError, SecretAccess, SecretRequirement, SourceChain,
/// };
///
/// let declared: Vec<SecretRequirement> = serde_json::from_str(r#"[{"name": "API_KEY"}]"#)?;
///
/// // Mock mode gives none and needs none, whatever is declared; asking for one is refused.
/// let mock = SecretAccess::Mock;
/// assert!(mock.resolve(&declared)?.is_empty());
/// assert!(matches!(mock.request(&declared[0]), Err(ResolveError::Mock { .. })));
///
/// let chain = SourceChain::new().with(EnvironmentSource::new([("API_KEY", "hunter2")]));
/// let real = SecretAccess::Real(&chain);
/// assert_eq!(real.resolve(&declared)?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub enum SecretAccess<'s> {
    /// Mock mode: none, and no source is asked.
    Mock,
    /// Real mode: what these sources have.
    Real(&'s SourceChain),
}

impl SecretAccess<'_> {
    /// What a step that declares these secrets is given before it starts.
    ///
    /// # Errors
    /// In real mode, as [`SourceChain::resolve`]; never in mock mode.
    pub fn resolve(self, requirements: &[SecretRequirement]) -> Result<SecretEnv, ResolveError> {
        match self {
            Self::Mock => Ok(SecretEnv::new()),
            Self::Real(chain) => chain.resolve(requirements),
        }
    }

    /// What is given to whoever asks for a secret beyond what was declared, such as a step that
    /// asks while it runs.
    ///
    /// # Errors
    /// [`ResolveError::Mock`] in mock mode; otherwise as [`SourceChain::resolve`].
    pub fn request(self, requirement: &SecretRequirement) -> Result<SecretEnv, ResolveError> {
        match self {
            Self::Mock => Err(ResolveError::Mock {
                secret: requirement.secret().clone(),
            }),
            Self::Real(chain) => chain.resolve(std::slice::from_ref(requirement)),
        }
    }
}
