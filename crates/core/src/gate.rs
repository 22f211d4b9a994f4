//! The five gates between an artifact and a schedule that starts it (D-SCHED-2), as facts and evidence.
//!
//! [`gates`] is a pure function of [`GateFacts`]; the store collects the facts in the transaction that
//! enables, so what was shown and what was checked can not differ. A gate without evidence is not met: "can
//! not verify" blocks.

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content_id::ContentId;
use crate::denial::Denial;
use crate::error_code::{ErrorCode, RunStatus};
use crate::ids::EvidenceId;
use crate::lane::Lane;
use crate::principal::Principal;
use crate::run::Run;
use crate::spec::Mode;

/// What must hold before a schedule is enabled (D-SCHED-2).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Gate {
    /// A person approved the job spec, with the artifact that holds it.
    SpecApproved,
    /// The artifact was reviewed and the lane points to it.
    ArtifactPromoted,
    /// Every key of every secret that it declares is configured in the lane.
    SecretsConfigured,
    /// A probe was let through to an allowed host and refused at a forbidden one.
    EgressVerified,
    /// A person looked at a first run of it in the lane.
    FirstRunVerified,
}

impl Gate {
    /// Every gate, in the order in which they are usually passed.
    pub const ALL: [Self; 5] = [
        Self::SpecApproved,
        Self::ArtifactPromoted,
        Self::SecretsConfigured,
        Self::EgressVerified,
        Self::FirstRunVerified,
    ];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SpecApproved => "spec_approved",
            Self::ArtifactPromoted => "artifact_promoted",
            Self::SecretsConfigured => "secrets_configured",
            Self::EgressVerified => "egress_verified",
            Self::FirstRunVerified => "first_run_verified",
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Gate {
    type Err = UnknownGate;

    fn from_str(text: &str) -> Result<Self, UnknownGate> {
        Self::ALL
            .into_iter()
            .find(|gate| gate.as_str() == text)
            .ok_or_else(|| UnknownGate {
                text: text.to_owned(),
            })
    }
}

/// The text names no gate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a gate; `moorline gates show` names them (D-SCHED-2)")]
pub struct UnknownGate {
    text: String,
}

/// What someone found out about a gate, for one artifact in one lane. Never changed, only followed by newer
/// evidence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Evidence {
    /// Identity.
    pub id: EvidenceId,
    /// The gate that it is about.
    pub gate: Gate,
    /// In which lane.
    pub lane: Lane,
    /// The job.
    pub job_id: String,
    /// The content that was looked at. Evidence for other content counts for nothing.
    pub artifact: ContentId,
    /// Whether the gate was found to hold.
    pub holds: bool,
    /// Who found out.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// What was seen, e.g. the probed hosts or the run's id; no secrets.
    pub detail: Value,
}

/// What decides about the gates of one artifact in one lane.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GateFacts {
    /// The content that the schedule is of.
    pub artifact: Option<ContentId>,
    /// Who approved it, when it is approved.
    pub approved: Option<(Principal, Timestamp)>,
    /// What the lane points to, and since when.
    pub live: Option<(ContentId, Timestamp)>,
    /// The newest evidence of each gate for the artifact in the lane.
    pub evidence: Vec<Evidence>,
}

/// One gate, as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GateState {
    /// Which.
    pub gate: Gate,
    /// Whether it is passed.
    pub met: bool,
    /// Why, in one line.
    pub why: String,
    /// What to do when it is not.
    pub hint: Option<String>,
    /// What it rests on.
    pub evidence: Option<Evidence>,
}

/// How every gate stands, in the order of [`Gate::ALL`].
pub fn gates(facts: &GateFacts) -> Vec<GateState> {
    Gate::ALL
        .into_iter()
        .map(|gate| state(gate, facts))
        .collect()
}

fn state(gate: Gate, facts: &GateFacts) -> GateState {
    let passed = |why: String| GateState {
        gate,
        met: true,
        why,
        hint: None,
        evidence: None,
    };
    let missing = |why: &str, hint: &str| GateState {
        gate,
        met: false,
        why: why.to_owned(),
        hint: Some(hint.to_owned()),
        evidence: None,
    };
    match gate {
        Gate::SpecApproved => match &facts.approved {
            Some((by, at)) => passed(format!("approved by {by} at {at}")),
            None => missing(
                "no person has approved the artifact",
                "review it, then `moorline artifact approve`",
            ),
        },
        Gate::ArtifactPromoted => match (&facts.live, &facts.artifact) {
            (Some((live, at)), Some(wanted)) if live == wanted => {
                passed(format!("the lane points to {live} since {at}"))
            }
            (Some((live, _)), _) => missing(
                &format!("the lane points to {live}, which is not the schedule's artifact"),
                "`moorline artifact promote` the artifact in this lane",
            ),
            (None, _) => missing(
                "the lane points to no artifact",
                "`moorline artifact promote` the artifact in this lane",
            ),
        },
        Gate::SecretsConfigured => by_evidence(gate, facts, "`moorline gates check-secrets`"),
        Gate::EgressVerified => by_evidence(gate, facts, "`moorline gates probe-egress`"),
        Gate::FirstRunVerified => by_evidence(
            gate,
            facts,
            "`moorline schedule run-now`, look at the run, then `moorline gates verify-run`",
        ),
    }
}

/// A gate that someone must have looked at: the newest evidence for the very content decides.
fn by_evidence(gate: Gate, facts: &GateFacts, how: &str) -> GateState {
    let newest = facts
        .evidence
        .iter()
        .filter(|evidence| evidence.gate == gate && Some(evidence.artifact) == facts.artifact)
        // Only a person can say that a first run was as it should be.
        .filter(|evidence| gate != Gate::FirstRunVerified || evidence.by.is_human())
        .max_by_key(|evidence| (evidence.at, evidence.id));
    let Some(evidence) = newest else {
        return GateState {
            gate,
            met: false,
            why: "there is no evidence for this artifact in this lane".to_owned(),
            hint: Some(how.to_owned()),
            evidence: None,
        };
    };
    let (by, at) = (&evidence.by, evidence.at);
    GateState {
        gate,
        met: evidence.holds,
        why: if evidence.holds {
            format!("found to hold by {by} at {at}")
        } else {
            format!("found not to hold by {by} at {at}")
        },
        hint: (!evidence.holds).then(|| how.to_owned()),
        evidence: Some(evidence.clone()),
    }
}

/// Whether a run shows that a content works in a lane, so that a person may record it as the first run
/// (D-SCHED-2).
///
/// # Errors
/// [`Denial`] for anyone but a person, and for a run that is not a successful real one of exactly that content
/// in that lane.
pub fn verifies(run: Option<&Run>, evidence: &Evidence) -> Result<(), Denial> {
    if !evidence.by.is_human() {
        let message = format!(
            "{} may not verify a first run: only a person may",
            evidence.by
        );
        return Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message)
            .hint("ask a person to look at the run"));
    }
    let refuse = |why: String| {
        Denial::new(ErrorCode::Policy, "D-SCHED-2", why).hint(
            "`moorline schedule run-now` makes a run of what the lane points to; verify that one",
        )
    };
    let Some(run) = run else {
        return Err(refuse("a first run is verified by naming it".to_owned()));
    };
    let wrong = if run.job_id != evidence.job_id || run.lane != evidence.lane {
        format!("it is of {}/{}", run.lane, run.job_id)
    } else if run.artifact_hash != evidence.artifact {
        format!(
            "it ran {}, the lane points to {}",
            run.artifact_hash, evidence.artifact
        )
    } else if run.mode != Mode::Real {
        format!("its mode was {}", run.mode)
    } else if run.status != RunStatus::Success {
        format!("its status is {}", run.status)
    } else {
        return Ok(());
    };
    Err(refuse(format!(
        "run {} can not verify {}/{}: {wrong}",
        run.id, evidence.lane, evidence.job_id
    )))
}
