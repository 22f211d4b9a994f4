//! The states of an artifact, and where a lane may point (D-ART-3 to D-ART-6).
//!
//! ```text
//! draft ── submit ──> pending ── approve ──> approved ── supersede ──> superseded
//!                        │                       └───────── archive ─────┴──> archived
//!                        ├── request changes ──> revisions_requested
//!                        └── reject ──> rejected
//! ```
//!
//! [`apply`] moves an artifact, [`promote`] and [`roll_back`] say what a lane points to. All are pure: the
//! store calls them in the transaction that writes the result. Whatever decides, approves or points a lane is
//! refused to everyone but people, here as in the table of operations (D-ART-4). No command changes the
//! content, the spec or who submitted.
//!
//! Deliberately absent: whether a review is up to date (the store compares it with what is approved in the
//! transaction), and whether a key is its signer's own (the engine knows the keys).

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::signature::Attestation;
use super::{
    Artifact, ArtifactState, Decision, DecisionKind, Promotion, PromotionKind, Review, SignedRecord,
};
use crate::denial::Denial;
use crate::error_code::ErrorCode;
use crate::event::{EventKind, Level, NewEvent};
use crate::gate::Evidence;
use crate::ids::{ArtifactId, PromotionId};
use crate::lane::Lane;
use crate::principal::Principal;

/// What can be done to an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Ask for review. Refused while the structural review has findings (D-ART-1).
    Submit,
    /// Say that it may be promoted.
    Approve {
        /// Why.
        reason: String,
        /// The structural review against what is approved now; it takes the place of the one at submission.
        review: Review,
        /// The approval, signed over that review.
        signed: SignedRecord,
    },
    /// Say that it may not, for good.
    Reject {
        /// Why.
        reason: String,
    },
    /// Ask for a new submission.
    RequestChanges {
        /// Why.
        reason: String,
        /// What is to be changed.
        changes: Vec<String>,
    },
    /// Say that its differences in auth, dependencies, egress, secrets or tier were looked at (D-ART-5).
    SecurityReview {
        /// What was looked at, and what came of it.
        reason: String,
        /// The record, signed over the artifact's structural review.
        signed: SignedRecord,
    },
    /// Set it aside.
    Archive {
        /// Why.
        reason: String,
    },
    /// A newer version of the job was approved; follows from that approval.
    Supersede {
        /// The newer version.
        by: ArtifactId,
    },
}

impl Command {
    /// The kind of decision that it records; none where nobody decides about this artifact.
    pub const fn decision(&self) -> Option<DecisionKind> {
        match self {
            Self::Approve { .. } => Some(DecisionKind::Approve),
            Self::Reject { .. } => Some(DecisionKind::Reject),
            Self::RequestChanges { .. } => Some(DecisionKind::RequestChanges),
            Self::SecurityReview { .. } => Some(DecisionKind::SecurityReview),
            Self::Archive { .. } => Some(DecisionKind::Archive),
            Self::Submit | Self::Supersede { .. } => None,
        }
    }

    const fn verb(&self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Approve { .. } => "approve",
            Self::Reject { .. } => "reject",
            Self::RequestChanges { .. } => "request changes of",
            Self::SecurityReview { .. } => "record a security review of",
            Self::Archive { .. } => "archive",
            Self::Supersede { .. } => "supersede",
        }
    }

    /// The state that it leads to from `from`; none where D-ART-3 has no such arrow.
    pub const fn target(&self, from: ArtifactState) -> Option<ArtifactState> {
        use ArtifactState as S;
        match (self, from) {
            (Self::Submit, S::Draft) => Some(S::Pending),
            (Self::Approve { .. }, S::Pending) => Some(S::Approved),
            (Self::Reject { .. }, S::Pending) => Some(S::Rejected),
            (Self::RequestChanges { .. }, S::Pending) => Some(S::RevisionsRequested),
            (Self::SecurityReview { .. }, S::Pending | S::Approved | S::Superseded) => Some(from),
            (Self::Archive { .. }, S::Approved | S::Superseded) => Some(S::Archived),
            (Self::Supersede { .. }, S::Approved) => Some(S::Superseded),
            _ => None,
        }
    }
}

/// What a command came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The artifact afterwards.
    pub artifact: Artifact,
    /// What to tell.
    pub event: NewEvent,
}

/// Does a command, or says which rule forbids it. `two_person` is the setting `review.two_person`.
///
/// # Errors
/// D-ART-4 (`Forbidden`): not a person, or the two-person rule; D-AUDIT-1 (`Usage`): no reason; D-ART-3
/// (`Conflict`): the state; D-ART-1 (`Inputs`): findings, each in the details; D-ART-4 (`Conflict`): a signed
/// record that is about something else.
pub fn apply(
    artifact: &Artifact,
    command: Command,
    actor: &Principal,
    now: Timestamp,
    two_person: bool,
) -> Result<Applied, Denial> {
    if !matches!(command, Command::Submit) {
        only_people(actor, command.verb(), artifact.id)?;
    }
    let state = command
        .target(artifact.state)
        .ok_or_else(|| wrong_state(artifact, &command))?;
    let mut next = artifact.clone();
    next.state = state;
    next.version += 1;
    let kind = match &command {
        Command::Submit => EventKind::ArtifactSubmitted,
        _ => EventKind::ArtifactDecided,
    };
    let mut data = Map::from_iter([
        ("artifact".to_owned(), json!(artifact.id)),
        ("job_id".to_owned(), json!(artifact.job_id)),
        ("content".to_owned(), json!(artifact.content)),
        ("from".to_owned(), json!(artifact.state)),
        ("to".to_owned(), json!(state)),
        ("by".to_owned(), json!(actor)),
    ]);
    if let Some(decision) = command.decision() {
        data.insert("decision".to_owned(), json!(decision));
    }
    if let Command::Supersede { by } = &command {
        data.insert("superseded_by".to_owned(), json!(by));
    }
    match command {
        Command::Submit => no_findings(&artifact.review)?,
        Command::Supersede { .. } => {}
        Command::Approve {
            reason,
            review,
            signed,
        } => {
            another_person(artifact, actor, "approve", two_person)?;
            no_findings(&review)?;
            let decided = (DecisionKind::Approve, actor, now);
            attested(artifact, &review, decided, &reason, &signed)?;
            next.review = review;
            next.decisions
                .push(decision(decided, reason, Vec::new(), Some(signed))?);
        }
        Command::SecurityReview { reason, signed } => {
            another_person(artifact, actor, "record a security review of", two_person)?;
            let decided = (DecisionKind::SecurityReview, actor, now);
            attested(artifact, &artifact.review, decided, &reason, &signed)?;
            next.decisions
                .push(decision(decided, reason, Vec::new(), Some(signed))?);
        }
        Command::RequestChanges { reason, changes } => {
            let decided = (DecisionKind::RequestChanges, actor, now);
            next.decisions
                .push(decision(decided, reason, changes, None)?);
        }
        Command::Reject { reason } => {
            let decided = (DecisionKind::Reject, actor, now);
            next.decisions
                .push(decision(decided, reason, Vec::new(), None)?);
        }
        Command::Archive { reason } => {
            let decided = (DecisionKind::Archive, actor, now);
            next.decisions
                .push(decision(decided, reason, Vec::new(), None)?);
        }
    }
    let event = NewEvent {
        kind,
        level: Level::Info,
        data: Value::Object(data),
    };
    Ok(Applied {
        artifact: next,
        event,
    })
}

fn decision(
    (kind, by, at): (DecisionKind, &Principal, Timestamp),
    reason: String,
    changes: Vec<String>,
    signed: Option<SignedRecord>,
) -> Result<Decision, Denial> {
    has_reason(&reason, "a decision")?;
    Ok(Decision {
        kind,
        by: by.clone(),
        at,
        reason,
        changes,
        signed,
    })
}

fn has_reason(reason: &str, what: &str) -> Result<(), Denial> {
    if reason.trim().is_empty() {
        return Err(Denial::new(
            ErrorCode::Usage,
            "D-AUDIT-1",
            format!("{what} needs a reason"),
        )
        .hint("say why, with `--reason TEXT`"));
    }
    Ok(())
}

fn only_people(actor: &Principal, verb: &str, what: impl std::fmt::Display) -> Result<(), Denial> {
    if actor.is_human() {
        return Ok(());
    }
    let message = format!("{actor} may not {verb} {what}: only a person may");
    Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message)
        .hint("ask a person to do it; agents and pipelines submit and propose"))
}

fn another_person(
    artifact: &Artifact,
    actor: &Principal,
    verb: &str,
    two_person: bool,
) -> Result<(), Denial> {
    if two_person && artifact.submitted_by == *actor {
        let message = format!(
            "{actor} submitted {} and may not {verb} it: the two-person rule is on",
            artifact.id
        );
        return Err(Denial::new(ErrorCode::Forbidden, "D-ART-4", message)
            .hint("ask another person; `review.two_person` of the settings turns the rule on"));
    }
    Ok(())
}

fn wrong_state(artifact: &Artifact, command: &Command) -> Denial {
    let (id, state, verb) = (artifact.id, artifact.state, command.verb());
    let since = artifact.decisions.last().map_or_else(String::new, |last| {
        format!(" ({} by {} at {})", last.kind.as_str(), last.by, last.at)
    });
    let message = format!("can not {verb} artifact {id}: it is {state}{since}");
    let hint = match state {
        ArtifactState::Draft => "`moorline artifact submit` asks for a review",
        ArtifactState::Pending => "approve, reject or request changes of it first",
        ArtifactState::RevisionsRequested => "submit the changed directory as a new artifact",
        ArtifactState::Rejected | ArtifactState::Archived => {
            "that is final for this artifact; submit a new one"
        }
        ArtifactState::Approved => "`moorline artifact promote` points a lane to it",
        ArtifactState::Superseded => {
            "a newer version was approved; `moorline artifact rollback` points a lane back to it"
        }
    };
    Denial::new(ErrorCode::Conflict, "D-ART-3", message).hint(hint)
}

fn no_findings(review: &Review) -> Result<(), Denial> {
    let count = review.findings.len();
    if count == 0 {
        return Ok(());
    }
    let plural = if count == 1 { "finding" } else { "findings" };
    let message = format!("the structural review has {count} {plural}");
    Err(Denial::new(ErrorCode::Inputs, "D-ART-1", message)
        .hint("mend all of them, then submit again; `moorline artifact review DIR` lists them")
        .with_details(review.findings.clone()))
}

/// The signed record must say exactly this decision about exactly this artifact.
fn attested(
    artifact: &Artifact,
    review: &Review,
    (kind, by, at): (DecisionKind, &Principal, Timestamp),
    reason: &str,
    signed: &SignedRecord,
) -> Result<(), Denial> {
    let found = signed.check();
    let wanted = Attestation::of(artifact, review, kind, (by, at), reason);
    if let (Ok(found), Ok(wanted)) = (&found, &wanted)
        && found == wanted
    {
        return Ok(());
    }
    let why = match found {
        Ok(_) => "it is about another artifact, review or decision".to_owned(),
        Err(error) => error.to_string(),
    };
    let message = format!(
        "the signed record of {by} does not fit artifact {}: {why}",
        artifact.id
    );
    Err(Denial::new(ErrorCode::Conflict, "D-ART-4", message)
        .hint("look at the artifact again and decide anew"))
}

/// A wish to point a lane to an artifact.
#[derive(Debug, Clone, PartialEq)]
pub struct Pointing {
    /// Id of the promotion, should one come of it.
    pub id: PromotionId,
    /// The lane.
    pub lane: Lane,
    /// Why.
    pub reason: String,
    /// The newest evidence of every gate for the content in the lane, as it stands.
    pub evidence: Vec<Evidence>,
}

/// Points a lane to an approved artifact. None when it points there already (idempotent, D-ART-3).
///
/// # Errors
/// D-ART-4: not a person. D-ART-3: never approved, archived, or research. D-ART-5: a security review is owed;
/// the details name each change. D-AUDIT-1: no reason.
pub fn promote(
    artifact: &Artifact,
    live: Option<&Promotion>,
    wish: Pointing,
    actor: &Principal,
    now: Timestamp,
) -> Result<Option<Promotion>, Denial> {
    point(PromotionKind::Promote, artifact, live, wish, actor, now)
}

/// Points a lane back to an earlier approved artifact (D-ART-6). None when it points there already.
///
/// # Errors
/// As [`promote`]; D-ART-6 where the lane points to nothing that could be rolled back.
pub fn roll_back(
    artifact: &Artifact,
    live: Option<&Promotion>,
    wish: Pointing,
    actor: &Principal,
    now: Timestamp,
) -> Result<Option<Promotion>, Denial> {
    if live.is_none() {
        return Err(nothing_earlier(&wish.lane, &artifact.job_id));
    }
    point(PromotionKind::Rollback, artifact, live, wish, actor, now)
}

fn point(
    kind: PromotionKind,
    artifact: &Artifact,
    live: Option<&Promotion>,
    wish: Pointing,
    actor: &Principal,
    now: Timestamp,
) -> Result<Option<Promotion>, Denial> {
    let verb = match kind {
        PromotionKind::Promote => "promote",
        PromotionKind::Rollback => "roll back to",
    };
    only_people(actor, verb, artifact.id)?;
    has_reason(&wish.reason, "a promotion or rollback")?;
    let id = artifact.id;
    if !artifact.state.was_approved() {
        let message = format!("can not {verb} artifact {id}: it is {}", artifact.state);
        return Err(Denial::new(ErrorCode::Conflict, "D-ART-3", message)
            .hint("only what a person approved is promoted: `moorline artifact approve`"));
    }
    if artifact.is_research() {
        let message = format!("can not {verb} artifact {id}: research has nothing to run");
        return Err(Denial::new(ErrorCode::Conflict, "D-ART-3", message)
            .hint("promote the `generate_and_test` artifact that follows from it"));
    }
    if !artifact.security_settled() {
        return Err(security_review_owed(artifact, verb));
    }
    if live.is_some_and(|live| live.artifact == id) {
        return Ok(None);
    }
    Ok(Some(Promotion {
        id: wish.id,
        kind,
        lane: wish.lane,
        job_id: artifact.job_id.clone(),
        artifact: id,
        content: artifact.content,
        spec_hash: artifact.spec_hash,
        spec_version: artifact.spec_version,
        previous: live.map(|live| live.content),
        by: actor.clone(),
        at: now,
        reason: wish.reason,
        evidence: wish.evidence,
    }))
}

fn security_review_owed(artifact: &Artifact, verb: &str) -> Denial {
    let details = artifact
        .review
        .changes
        .iter()
        .filter(|change| change.security)
        .map(super::Change::detail)
        .collect();
    let message = format!(
        "can not {verb} artifact {}: it changes what needs a recorded security review",
        artifact.id
    );
    Denial::new(ErrorCode::Policy, "D-ART-5", message)
        .hint("look at the changes (`moorline artifact diff`), then `moorline artifact security-review`")
        .with_details(details)
}

/// The artifacts that a lane pointed to for a job, oldest first, the one it points to now last: a rollback
/// takes back what came after its target. `history` is every promotion of lane and job, oldest first.
///
/// What is behind the last one is what a rollback without a named target goes back to.
pub fn versions(history: &[Promotion]) -> Vec<ArtifactId> {
    let mut stack: Vec<ArtifactId> = Vec::new();
    for promotion in history {
        if promotion.kind == PromotionKind::Rollback
            && let Some(place) = stack.iter().rposition(|id| *id == promotion.artifact)
        {
            stack.truncate(place);
        }
        stack.push(promotion.artifact);
    }
    stack
}

/// The refusal of a rollback where nothing earlier can be had.
pub fn nothing_earlier(lane: &Lane, job_id: &str) -> Denial {
    let message = format!("there is no earlier approved version of {job_id} in the lane {lane}");
    Denial::new(ErrorCode::Conflict, "D-ART-6", message)
        .hint("`moorline artifact history` shows where the lane pointed")
}

/// The refusal of a run of something that its lane does not point to (D-ART-4).
pub fn not_live(lane: &Lane, job_id: &str, live: Option<&Promotion>) -> Denial {
    let points = match live {
        Some(live) => format!("to {} (artifact {})", live.content, live.artifact),
        None => "to nothing".to_owned(),
    };
    let message =
        format!("the lane {lane} runs only what was promoted, and for {job_id} it points {points}");
    Denial::new(ErrorCode::Policy, "D-ART-4", message).hint(format!(
        "`moorline run --live {job_id} --lane {lane}` runs what it points to; to point it elsewhere: \
         `moorline artifact submit`, `approve`, then `promote --lane {lane}`"
    ))
}

#[cfg(test)]
mod tests;
