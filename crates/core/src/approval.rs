//! Approvals: what a person is asked at a gate, and what they decide (`D-FLOW-3`, `D-FLOW-4`).
//!
//! A request is opened in the transaction in which its run comes to the gate, and closed by exactly one of:
//! a decision, its expiry, a rule of the gate, the end of the run. Whoever decides names the request, an
//! option that it offers, and the version that they saw.
//!
//! Deliberately absent: who may decide at all (the authorisation table), and telling people (alerts).

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ids::{ApprovalId, RunId};
use crate::lane::Lane;
use crate::principal::{Principal, Role};
use crate::workflow::{ExpiryPolicy, FeedbackRule, Reading};

/// A question to a person.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApprovalRequest {
    /// Identity.
    pub id: ApprovalId,
    /// The run that waits.
    pub run_id: RunId,
    /// Its job.
    pub job_id: String,
    /// Its lane.
    pub lane: Lane,
    /// The gate.
    pub checkpoint: String,
    /// Number of the gate's phase, from 0.
    pub phase: Option<u32>,
    /// Name of the gate's phase.
    pub phase_name: Option<String>,
    /// The question, in one line.
    pub title: String,
    /// What the person who decides has to know.
    pub description: Option<String>,
    /// What the run's state says, as far as the gate shows it.
    pub context: Map<String, Value>,
    /// What can be chosen.
    pub options: Vec<OfferedOption>,
    /// Which option is recommended.
    pub recommended: Option<String>,
    /// What the gate's own rules read, and what they found; empty for a gate without rules.
    pub evidence: Vec<Reading>,
    /// How often this gate was asked in this run before.
    pub iteration: u32,
    /// Where it stands.
    pub status: ApprovalStatus,
    /// Counts its changes, from 1: a decision names the one that it saw. To be reminded of it changes
    /// nothing of what is decided, and does not count.
    pub version: u64,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// What becomes of the run then.
    pub on_expiry: ExpiryPolicy,
    /// Whether it expired under `hold`, and still waits.
    pub overdue: bool,
    /// When people are reminded, those that are still to come, oldest first.
    pub reminders: Vec<Timestamp>,
    /// How many of its reminders are over. Those that came due together were one message.
    pub reminded: u32,
    /// The least role of who decides.
    pub least_role: Role,
    /// Who may not decide, since they started the run and two persons are asked for.
    pub not_by: Option<Principal>,
    /// The decision, once there is one.
    pub decision: Option<Decision>,
}

impl ApprovalRequest {
    /// The request after its run ended before anybody decided; one that is closed stays as it is.
    #[must_use]
    pub fn withdrawn(mut self) -> Self {
        if self.status == ApprovalStatus::Pending {
            self.status = ApprovalStatus::Withdrawn;
            self.reminders.clear();
            self.version += 1;
        }
        self
    }

    /// When something is due of it next: a reminder or its expiry. `None` once it is closed, and while it is
    /// overdue and held.
    pub fn due_at(&self) -> Option<Timestamp> {
        let open = self.status == ApprovalStatus::Pending && !self.overdue;
        open.then(|| {
            let reminder = self.reminders.first().copied();
            reminder.map_or(self.expires_at, |at| at.min(self.expires_at))
        })
    }
}

/// Where a request stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ApprovalStatus {
    /// It waits.
    Pending,
    /// Somebody chose an option that goes on.
    Approved,
    /// Somebody rejected the run.
    Rejected,
    /// Nobody decided in time.
    Expired,
    /// A rule of the gate chose.
    AutoApproved,
    /// The run ended before anybody decided.
    Withdrawn,
}

impl ApprovalStatus {
    /// Every status.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Approved,
        Self::Rejected,
        Self::Expired,
        Self::AutoApproved,
        Self::Withdrawn,
    ];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::AutoApproved => "auto_approved",
            Self::Withdrawn => "withdrawn",
        }
    }
}

/// An option as it is offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OfferedOption {
    /// What a decision calls it.
    pub name: String,
    /// What people see.
    pub label: String,
    /// What follows from it.
    pub description: Option<String>,
    /// Where it leads: a step, a gate, `end` or `reject`.
    pub to: String,
    /// Whether it asks for the same again.
    pub iterate: bool,
    /// Whether it changes direction.
    pub pivot: bool,
    /// Keys that the decision must give in `input`, with what each is.
    pub inputs: Vec<OptionInput>,
    /// Whether the decision must come with words.
    pub feedback: FeedbackRule,
}

/// Something that a decision must give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OptionInput {
    /// The key of the state.
    pub key: String,
    /// What it is, for people.
    pub title: String,
}

/// A decision that was taken.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// The option.
    pub option: String,
    /// Who chose it; `system:moorline` for a rule of the gate.
    pub by: Principal,
    /// When.
    pub at: Timestamp,
    /// Their words.
    pub feedback: Option<String>,
    /// What they gave.
    pub input: Map<String, Value>,
    /// What the decider calls this decision; the same key again gives the same answer.
    pub idempotency_key: Option<String>,
    /// What it came to.
    pub outcome: DecisionOutcome,
    /// The node that the run went to.
    pub next: String,
    /// The phase of that node, where it has one.
    pub next_phase: Option<u32>,
}

/// What a decision came to, in the words of seed 003.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum DecisionOutcome {
    /// The run goes on.
    Resumed,
    /// The run is rejected, for good.
    Rejected,
    /// The run goes on in another direction.
    Pivot,
    /// The run does again what led to the gate.
    Iterate,
}

/// A decision on its way: what somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// The option.
    pub option: String,
    /// Who chooses.
    pub by: Principal,
    /// Their role.
    pub role: Role,
    /// Their words.
    pub feedback: Option<String>,
    /// What they give.
    pub input: Map<String, Value>,
    /// What they call this decision.
    pub idempotency_key: Option<String>,
    /// The version that they saw; absent means whatever it is now.
    pub version: Option<u64>,
}
