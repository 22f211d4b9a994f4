//! Mock or real (D-RUN-8).

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document::JobSpec;
use super::egress::Egress;
use crate::error_code::ErrorCode;

/// How a run treats the world: independent of lane and executor.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Deterministic, without secrets and without network.
    Mock,
    /// With the secrets and the network that its steps declare.
    Real,
}

impl Mode {
    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mock => "mock",
            Self::Real => "real",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The text is no mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a mode: give `mock` or `real`")]
pub struct UnknownMode(String);

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, UnknownMode> {
        match text {
            "mock" => Ok(Self::Mock),
            "real" => Ok(Self::Real),
            other => Err(UnknownMode(other.to_owned())),
        }
    }
}

/// Real mode was asked for while `CI` is set, for a job that touches the outside world.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{job_id}` has steps with secrets or network access, and real mode is refused while `CI` is set \
     (D-RUN-8): ask for `--mode mock`, or unset `CI` to run it"
)]
pub struct CiSafety {
    /// The job.
    pub job_id: String,
}

impl CiSafety {
    /// `ERR_CI_SAFETY`.
    pub const CODE: ErrorCode = ErrorCode::CiSafety;
}

/// Whether a value of the environment variable `CI` says that this is a CI machine: everything does but
/// unset, the empty string, `0`, `false` and `no`, in any case (L13).
///
/// ```
/// use moorline_core::spec::is_ci;
///
/// assert!(is_ci(Some("1")) && is_ci(Some("yes")) && is_ci(Some("True")));
/// assert!(!is_ci(None) && !is_ci(Some("")) && !is_ci(Some("No")));
/// ```
pub fn is_ci(value: Option<&str>) -> bool {
    value.is_some_and(|value| {
        !["", "0", "false", "no"]
            .iter()
            .any(|off| value.eq_ignore_ascii_case(off))
    })
}

/// The mode of a run (D-RUN-8): what was asked, else what the spec says, else the job's default.
///
/// `ci` is the value of the environment variable `CI`; nothing is read from the environment here.
///
/// # Errors
/// [`CiSafety`] when that is real, `ci` says that this is a CI machine, and the job is not
/// [self-contained](JobSpec::is_self_contained).
pub fn resolve_mode(
    spec: &JobSpec,
    asked: Option<Mode>,
    ci: Option<&str>,
) -> Result<Mode, CiSafety> {
    let mode = asked.or(spec.mode).unwrap_or_else(|| spec.default_mode());
    if mode == Mode::Real && is_ci(ci) && !spec.is_self_contained() {
        return Err(CiSafety {
            job_id: spec.job_id.clone(),
        });
    }
    Ok(mode)
}

impl JobSpec {
    /// Whether every step is without secrets and with egress `none`, and there is a step: such a job runs
    /// real everywhere, since it touches nothing outside.
    pub fn is_self_contained(&self) -> bool {
        !self.steps().is_empty()
            && self
                .effective_steps()
                .all(|step| step.step.secrets.is_empty() && *step.egress == Egress::None)
    }

    /// The mode when neither the caller nor the spec names one: real for a
    /// [self-contained](Self::is_self_contained) job, also under CI, since mock never stands in for work
    /// on given input; mock for every other job.
    pub fn default_mode(&self) -> Mode {
        if self.is_self_contained() {
            Mode::Real
        } else {
            Mode::Mock
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    fn job(extra: &str) -> JobSpec {
        let text = format!(
            r#"{{"job_id": "j", "secrets": [{{"name": "K", "keys": ["K"]}}],
                 "steps": [{{"name": "a", "argv": ["true"]}}, {{"name": "b", "argv": ["true"]{extra}}}]}}"#
        );
        spec::load(text.as_bytes()).unwrap()
    }

    /// L13: the truth table, `CI` x asked mode, for a job that touches the outside world.
    #[test]
    fn ci_refuses_real_mode_of_a_job_with_secrets() {
        let refused = Err(CiSafety {
            job_id: "j".to_owned(),
        });
        let cases = [
            (None, Ok(Mode::Real)),
            (Some(""), Ok(Mode::Real)),
            (Some("0"), Ok(Mode::Real)),
            (Some("false"), Ok(Mode::Real)),
            (Some("no"), Ok(Mode::Real)),
            (Some("FALSE"), Ok(Mode::Real)),
            (Some("1"), refused.clone()),
            (Some("yes"), refused.clone()),
            (Some("true"), refused.clone()),
            (Some("True"), refused.clone()),
            (Some("github"), refused),
        ];
        for extra in [
            r#", "secrets": ["K"]"#,
            r#", "egress": "open""#,
            r#", "egress": {"allow": ["a.b"]}"#,
        ] {
            let job = job(extra);
            for (ci, real) in &cases {
                assert_eq!(resolve_mode(&job, None, *ci), Ok(Mode::Mock), "{ci:?}");
                assert_eq!(
                    resolve_mode(&job, Some(Mode::Mock), *ci),
                    Ok(Mode::Mock),
                    "{ci:?}"
                );
                assert_eq!(resolve_mode(&job, Some(Mode::Real), *ci), *real, "{ci:?}");
            }
        }
    }

    /// L13: the same table for a job that touches nothing outside.
    #[test]
    fn a_self_contained_job_runs_real_everywhere() {
        let job = job("");
        for ci in [None, Some(""), Some("0"), Some("1"), Some("true")] {
            assert_eq!(resolve_mode(&job, None, ci), Ok(Mode::Real), "{ci:?}");
            assert_eq!(
                resolve_mode(&job, Some(Mode::Real), ci),
                Ok(Mode::Real),
                "{ci:?}"
            );
            assert_eq!(
                resolve_mode(&job, Some(Mode::Mock), ci),
                Ok(Mode::Mock),
                "{ci:?}"
            );
        }
    }

    #[test]
    fn the_spec_s_own_mode_stands_between_request_and_default() {
        let mut job = job(r#", "secrets": ["K"]"#);
        job.mode = Some(Mode::Real);
        assert_eq!(resolve_mode(&job, None, None), Ok(Mode::Real));
        assert_eq!(resolve_mode(&job, Some(Mode::Mock), None), Ok(Mode::Mock));
        assert!(resolve_mode(&job, None, Some("1")).is_err());
    }
}
