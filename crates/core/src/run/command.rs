//! The commands a run accepts and what applying one yields.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{CancelKind, Run, Verdict};
use crate::approval::{ApprovalRequest, Choice};
use crate::attempt::{Handle, Isolation, Usage};
use crate::denial::Denial;
use crate::error_code::{AlertLevel, FailureClass};
use crate::event::NewEvent;
use crate::ids::{ApprovalId, AttemptId, DriverId};

/// A change asked of a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Take the due attempt, before anything is launched.
    Claim {
        /// Id of the attempt that is created.
        attempt_id: AttemptId,
        /// Who will drive it.
        driver: DriverId,
    },
    /// The attempt was launched; its handle is recorded.
    Launched {
        /// Fencing token of the claim.
        token: u64,
        /// Where it runs.
        handle: Handle,
    },
    /// Another driver takes the live attempt over, after its driver died.
    TakeOver {
        /// The attempt it saw.
        attempt_id: AttemptId,
        /// Who takes over.
        driver: DriverId,
    },
    /// The attempt is over and judged.
    Finish {
        /// Fencing token of the claim or take-over.
        token: u64,
        /// What it came to.
        verdict: Verdict,
        /// What it used.
        usage: Usage,
        /// What protected the host.
        isolation: Isolation,
        /// The process's exit code, when it exited by itself.
        exit_code: Option<i32>,
    },
    /// It falls away before it began, since a run of the same schedule still goes on.
    Skip {
        /// Why.
        reason: String,
    },
    /// Somebody decides the request that the run waits for (D-FLOW-4).
    Decide {
        /// The request, as it is stored.
        request: Box<ApprovalRequest>,
        /// What they want.
        choice: Choice,
    },
    /// The expiry or a reminder of the request that the run waits for is due (D-FLOW-6).
    Lapse {
        /// The request, as it is stored.
        request: Box<ApprovalRequest>,
    },
    /// A person or a stop ends the run.
    Cancel {
        /// How.
        kind: CancelKind,
        /// Who.
        actor: String,
        /// Why.
        reason: String,
    },
}

/// The result of a command that was accepted.
#[derive(Debug, Clone, PartialEq)]
pub struct Applied {
    /// The run afterwards. Equal to the run before when nothing changed.
    pub run: Run,
    /// What happened, in order; empty when nothing changed.
    pub events: Vec<NewEvent>,
    /// What must follow, in order.
    pub effects: Vec<Effect>,
    /// Requests that were opened or changed, as they are now, oldest first. A request that was opened and
    /// decided by a rule of its gate stands here once. One that is to be withdrawn is an
    /// [`Effect::Withdraw`].
    pub approvals: Vec<ApprovalRequest>,
}

/// What a transition demands of the world; written to the outbox or carried out by the driver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "effect", rename_all = "snake_case")]
pub enum Effect {
    /// The run is over: write its one summary.
    Summarise,
    /// Apply the failure matrix's source column for this class, or recovery on success.
    Source {
        /// Class of the failure; absent on success.
        class: Option<FailureClass>,
    },
    /// Publish the exported outputs, all or none.
    Export,
    /// Keep the outputs out of exports, for people to look at.
    Archive,
    /// Tell people, by the alert column of the failure matrix.
    Alert {
        /// Class of the failure.
        class: FailureClass,
        /// How loud.
        level: AlertLevel,
    },
    /// Tell people that a request waits, once more (D-FLOW-6). Whoever stores the transition makes an alert
    /// of it.
    Remind {
        /// The request.
        approval: ApprovalId,
        /// Its gate.
        checkpoint: String,
        /// How loud: each reminder is louder than the one before, and the loudest says that it is overdue.
        level: AlertLevel,
        /// Whether its time is over, and it still waits by the policy `hold`.
        overdue: bool,
    },
    /// The run ended before the request was decided. Whoever stores the transition has the request, and
    /// writes it as [`ApprovalRequest::withdrawn`] makes it. Its event is in [`Applied::events`] already.
    Withdraw {
        /// The request.
        approval: ApprovalId,
    },
}

/// A command that the run's state does not allow. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The writer's lease is gone: another driver took the attempt over, or it is finished (D-RUN-4).
    #[error("stale write refused: the attempt belongs to another driver or is over (D-RUN-4)")]
    Stale,
    /// There is nothing to claim.
    #[error("no attempt of this run is due (D-RUN-4)")]
    NotDue {
        /// When one will be, if ever.
        due_at: Option<Timestamp>,
    },
    /// An attempt of it was launched: it is too late to leave it out.
    #[error("the run has begun and can not be skipped (D-RUN-2)")]
    Begun,
    /// A rule of the domain does not allow it.
    #[error(transparent)]
    Denied(Box<Denial>),
    /// The attempt to take over is not the live one.
    #[error("that attempt is not alive (D-RUN-4)")]
    NotLive,
}
