//! What a spec means once its defaults are applied: what the engine reads.

use std::time::Duration;

use super::document::JobSpec;
use super::egress::Egress;
use super::policy::Retries;
use super::source::{CadenceKind, Entity};
use super::step::Step;

/// Timeout of a step that names none, unless the job allows less.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_hours(1);

/// A step with the job's defaults applied.
#[derive(Debug, Clone, PartialEq)]
pub struct EffectiveStep<'a> {
    /// Its place in the spec, from 0.
    pub index: usize,
    /// The step as declared.
    pub step: &'a Step,
    /// Its egress rule, else the job's, else none.
    pub egress: &'a Egress,
    /// Its retries, else the job's, else none.
    pub retries: Retries,
    /// Its timeout, else [`DEFAULT_TIMEOUT`], and never more than the job's `max_runtime_seconds`.
    pub timeout: Duration,
    /// Between the polite signal and the kill.
    pub grace: Duration,
}

impl JobSpec {
    /// The declared steps, in order; empty for a v1 document that has none.
    pub fn steps(&self) -> &[Step] {
        self.steps.as_deref().unwrap_or_default()
    }

    /// The steps with the job's defaults applied, in order.
    ///
    /// ```
    /// use std::time::Duration;
    /// use moorline_core::spec::{self, Egress};
    ///
    /// let spec = spec::load(br#"{"job_id": "j", "egress": {"allow": ["api.example.com"]},
    ///     "steps": [{"name": "a", "argv": ["true"]},
    ///               {"name": "b", "argv": ["true"], "egress": "none", "timeout_seconds": 5}]}"#)?;
    /// let steps: Vec<_> = spec.effective_steps().collect();
    /// assert_eq!(*steps[0].egress, Egress::Allow(vec!["api.example.com".to_owned()]));
    /// assert_eq!(*steps[1].egress, Egress::None);
    /// assert_eq!(steps[0].timeout, Duration::from_secs(3600));
    /// assert_eq!(steps[1].timeout, Duration::from_secs(5));
    /// # Ok::<(), moorline_core::spec::Violations>(())
    /// ```
    pub fn effective_steps(&self) -> impl Iterator<Item = EffectiveStep<'_>> {
        self.steps()
            .iter()
            .enumerate()
            .map(|(index, step)| EffectiveStep {
                index,
                step,
                egress: step
                    .egress
                    .as_ref()
                    .or(self.egress.as_ref())
                    .unwrap_or(&Egress::None),
                retries: step
                    .retries
                    .clone()
                    .or_else(|| self.failure_policy.retries.clone())
                    .unwrap_or_else(Retries::none),
                timeout: self.timeout_of(step),
                grace: Duration::from_secs(step.grace_seconds.into()),
            })
    }

    fn timeout_of(&self, step: &Step) -> Duration {
        let own = step
            .timeout_seconds
            .map_or(DEFAULT_TIMEOUT, |s| Duration::from_secs(s.into()));
        match &self.constraints {
            Some(bounds) => own.min(Duration::from_secs(bounds.max_runtime_seconds)),
            None => own,
        }
    }

    /// The sources that the job reads, in order.
    pub fn entities(&self) -> &[Entity] {
        self.portfolio
            .as_ref()
            .map_or(&[], |portfolio| &portfolio.entities)
    }

    /// The source that its runs count for: the first of its portfolio.
    pub fn source_id(&self) -> Option<&str> {
        self.entities()
            .first()
            .map(|entity| entity.source_id.as_str())
    }

    /// The cadence's kind; `none` when the spec has no cadence.
    pub fn cadence_kind(&self) -> CadenceKind {
        self.cadence
            .as_ref()
            .map_or(CadenceKind::None, |cadence| cadence.kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec;

    #[test]
    fn the_step_s_own_settings_go_before_the_job_s() {
        let spec = spec::load(
            br#"{"job_id": "j", "failure_policy": {"retries": {"max": 2}},
                 "constraints": {"max_runtime_seconds": 600},
                 "steps": [{"name": "a", "argv": ["true"], "retries": {"max": 0}},
                           {"name": "b", "argv": ["true"], "timeout_seconds": 30, "grace_seconds": 0}]}"#,
        )
        .unwrap();
        let steps: Vec<_> = spec.effective_steps().collect();
        assert_eq!((steps[0].retries.max, steps[1].retries.max), (0, 2));
        assert_eq!(steps[0].timeout, Duration::from_mins(10));
        assert_eq!(steps[1].timeout, Duration::from_secs(30));
        assert_eq!(steps[0].grace, Duration::from_secs(10));
        assert_eq!(steps[1].grace, Duration::ZERO);
        assert_eq!(
            (spec.source_id(), spec.cadence_kind()),
            (None, CadenceKind::None)
        );
    }
}
