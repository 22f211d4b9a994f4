//! One alert on its way to one destination: a pure state machine (D-FLOW-9).
//!
//! | state | what moves it |
//! |---|---|
//! | `pending` | a worker claims it when it is due, under a lease with a token; the lease is its next due time |
//! | `delivered` | the destination took it |
//! | `dead` | it was given up; a person replays it |
//!
//! A claim counts as an attempt, whatever becomes of it. A worker that dies between sending and recording
//! leaves a lease that ends, and then the same delivery is sent again under the same id: at least once,
//! and whoever receives can tell. A report under an older token is refused, so two workers never record
//! the same attempt twice.
//!
//! The wait after a failed attempt grows fourfold from [`FIRST_WAIT`] to [`LONGEST_WAIT`], and up to a fifth
//! longer by a hash of delivery and attempt, so that many that failed together do not come back together:
//! 10 s, 40 s, 160 s, 11 min, 43 min, 2.8 h, 6 h, 6 h, 6 h. After [`MAX_ATTEMPTS`], about 22 to 26 hours
//! after the first, it is given up. A destination that says when to come back (`Retry-After`) is not asked
//! before.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::denial::Denial;
use crate::error_code::ErrorCode;
use crate::event::{EventKind, Level, NewEvent};
use crate::ids::{AlertId, DeliveryId};

/// The wait after the first failed attempt.
pub const FIRST_WAIT: Duration = Duration::from_secs(10);
/// The longest wait that grows by itself.
pub const LONGEST_WAIT: Duration = Duration::from_hours(6);
/// The longest wait that a destination can ask for.
pub const LONGEST_ASKED: Duration = Duration::from_hours(24);
/// Attempts before a destination is given up.
pub const MAX_ATTEMPTS: u32 = 10;

/// An alert on its way to a destination.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Delivery {
    /// Identity, sent along: the same at every attempt, so that the receiver can tell a repetition.
    pub id: DeliveryId,
    /// The alert.
    pub alert: AlertId,
    /// The name of the destination, as the settings or the job's spec give it.
    pub destination: String,
    /// Where it stands.
    pub state: DeliveryState,
    /// Attempts so far; a replay counts anew.
    pub attempts: u32,
    /// When it is claimed next: the end of its wait, or of the lease of who sends it now. None once it is over.
    pub due_at: Option<Timestamp>,
    /// Grows with every claim; a report under an older one is stale.
    pub token: u64,
    /// When it was planned.
    pub created_at: Timestamp,
    /// When it was delivered or given up.
    pub ended_at: Option<Timestamp>,
    /// Why the last attempt failed, redacted.
    pub last_error: Option<String>,
}

/// Where a delivery stands.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// It is sent when it is due.
    Pending,
    /// The destination took it.
    Delivered,
    /// It was given up.
    Dead,
}

impl DeliveryState {
    /// Every state.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Delivered, Self::Dead];

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
        }
    }
}

/// A change asked of a delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DeliveryCommand {
    /// A worker takes it, to send it.
    Claim {
        /// Until when nobody else does.
        lease_until: Timestamp,
    },
    /// The destination took it.
    Delivered {
        /// Token of the claim.
        token: u64,
    },
    /// The attempt failed.
    Failed {
        /// Token of the claim.
        token: u64,
        /// Why, redacted.
        error: String,
        /// How long the destination asks to be left alone.
        retry_after: Option<Duration>,
        /// Whether another attempt makes no sense.
        give_up: bool,
    },
    /// Someone wants it to be sent again.
    Replay {
        /// Who.
        actor: String,
    },
}

impl Delivery {
    /// A delivery that is due at once.
    pub const fn new(id: DeliveryId, alert: AlertId, destination: String, now: Timestamp) -> Self {
        Self {
            id,
            alert,
            destination,
            state: DeliveryState::Pending,
            attempts: 0,
            due_at: Some(now),
            token: 0,
            created_at: now,
            ended_at: None,
            last_error: None,
        }
    }

    /// The wait before the attempt that follows attempt `number` (1 for the first).
    pub fn wait(&self, number: u32) -> Duration {
        let factor = 4_u32.saturating_pow(number.saturating_sub(1));
        let wait = FIRST_WAIT.saturating_mul(factor).min(LONGEST_WAIT);
        let seed = [self.id.uuid().as_bytes().as_slice(), &number.to_le_bytes()].concat();
        let [first, second, ..] = *blake3::hash(&seed).as_bytes();
        // 0 to 65535 parts of a fifth.
        let part = u32::from(u16::from_le_bytes([first, second]));
        wait + wait / 5 * part / u32::from(u16::MAX)
    }
}

/// Applies a command: a total, pure function. Gives the delivery afterwards and what is to be told.
///
/// # Errors
/// [`ErrorCode::Conflict`] when its state does not allow the command, or its token is stale; it is then
/// unchanged.
pub fn apply(
    delivery: &Delivery,
    command: &DeliveryCommand,
    now: Timestamp,
) -> Result<(Delivery, Option<NewEvent>), Denial> {
    let mut next = delivery.clone();
    let event = match command {
        DeliveryCommand::Claim { lease_until } => {
            let due = next.due_at.is_some_and(|due| due <= now);
            if next.state != DeliveryState::Pending || !due {
                return Err(refused(delivery, "is not due"));
            }
            next.token += 1;
            next.attempts = next.attempts.saturating_add(1);
            next.due_at = Some(*lease_until);
            None
        }
        DeliveryCommand::Delivered { token } => {
            current(delivery, *token)?;
            next.state = DeliveryState::Delivered;
            next.due_at = None;
            next.ended_at = Some(now);
            next.last_error = None;
            Some(told(&next, EventKind::AlertDelivered, Level::Info))
        }
        DeliveryCommand::Failed {
            token,
            error,
            retry_after,
            give_up,
        } => {
            current(delivery, *token)?;
            next.last_error = Some(error.clone());
            if *give_up || next.attempts >= MAX_ATTEMPTS {
                next.state = DeliveryState::Dead;
                next.due_at = None;
                next.ended_at = Some(now);
                Some(told(&next, EventKind::AlertDead, Level::Error))
            } else {
                let asked = retry_after.unwrap_or_default().min(LONGEST_ASKED);
                next.due_at = Some(later(now, next.wait(next.attempts).max(asked)));
                None
            }
        }
        DeliveryCommand::Replay { actor } => {
            if next.state != DeliveryState::Dead {
                return Err(refused(delivery, "was not given up"));
            }
            next.state = DeliveryState::Pending;
            next.attempts = 0;
            next.due_at = Some(now);
            next.ended_at = None;
            let mut event = told(&next, EventKind::AlertReplayed, Level::Info);
            event.data["actor"] = json!(actor);
            Some(event)
        }
    };
    Ok((next, event))
}

fn later(now: Timestamp, by: Duration) -> Timestamp {
    SignedDuration::try_from(by)
        .ok()
        .and_then(|by| now.checked_add(by).ok())
        .unwrap_or(Timestamp::MAX)
}

/// A report is taken only from the claim that is in force.
fn current(delivery: &Delivery, token: u64) -> Result<(), Denial> {
    if delivery.state == DeliveryState::Pending && delivery.token == token {
        Ok(())
    } else {
        Err(refused(delivery, "was claimed by someone else, or is over"))
    }
}

fn refused(delivery: &Delivery, why: &str) -> Denial {
    let message = format!(
        "the delivery of alert {} to `{}` {why}: it is {} after {} attempts",
        delivery.alert,
        delivery.destination,
        delivery.state.as_str(),
        delivery.attempts
    );
    Denial::new(ErrorCode::Conflict, "D-FLOW-9", message)
        .hint("`moorline alerts show ALERT` shows its deliveries")
}

fn told(delivery: &Delivery, kind: EventKind, level: Level) -> NewEvent {
    let data = json!({
        "alert": delivery.alert,
        "delivery": delivery.id,
        "destination": delivery.destination,
        "attempts": delivery.attempts,
        "error": delivery.last_error,
    });
    NewEvent { kind, level, data }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn start() -> Timestamp {
        "2026-03-01T06:15:00Z".parse().unwrap()
    }

    fn delivery() -> Delivery {
        let id = DeliveryId::new(Uuid::from_u128(7));
        Delivery::new(
            id,
            AlertId::derived(start(), b"a"),
            "ops".to_owned(),
            start(),
        )
    }

    fn claim(delivery: &Delivery, now: Timestamp) -> Result<Delivery, Denial> {
        let lease_until = later(now, Duration::from_mins(1));
        apply(delivery, &DeliveryCommand::Claim { lease_until }, now).map(|(next, _)| next)
    }

    fn fail(token: u64) -> DeliveryCommand {
        DeliveryCommand::Failed {
            token,
            error: "500".to_owned(),
            retry_after: None,
            give_up: false,
        }
    }

    #[test]
    fn waits_grow_to_about_a_day_in_all_and_then_it_is_dead() {
        let mut now = start();
        let mut delivery = delivery();
        let mut events = Vec::new();
        for attempt in 1..=MAX_ATTEMPTS {
            delivery = claim(&delivery, now).unwrap();
            assert_eq!(delivery.attempts, attempt);
            let (next, event) = apply(&delivery, &fail(delivery.token), now).unwrap();
            events.extend(event.map(|event| event.kind));
            delivery = next;
            now = delivery.due_at.unwrap_or(now);
        }
        assert_eq!(delivery.state, DeliveryState::Dead);
        assert_eq!(events, [EventKind::AlertDead]);
        let hours = now.duration_since(start()).as_hours();
        assert!((21..=26).contains(&hours), "{hours}");
    }

    #[test]
    fn a_destination_that_asks_for_time_gets_it() {
        let claimed = claim(&delivery(), start()).unwrap();
        let ask = |seconds| DeliveryCommand::Failed {
            token: claimed.token,
            error: "429".to_owned(),
            retry_after: Some(Duration::from_secs(seconds)),
            give_up: false,
        };
        let due = |seconds| {
            let (next, _) = apply(&claimed, &ask(seconds), start()).unwrap();
            next.due_at.unwrap().duration_since(start()).as_secs()
        };
        assert_eq!(due(300), 300);
        assert!((10..=12).contains(&due(0)), "its own wait is longer");
        assert_eq!(due(1_000_000), 86_400, "within reason");
    }

    #[test]
    fn what_makes_no_sense_is_given_up_at_once_and_a_person_replays_it() {
        let claimed = claim(&delivery(), start()).unwrap();
        let gone = DeliveryCommand::Failed {
            token: claimed.token,
            error: "410".to_owned(),
            retry_after: None,
            give_up: true,
        };
        let (dead, _) = apply(&claimed, &gone, start()).unwrap();
        assert_eq!((dead.state, dead.due_at), (DeliveryState::Dead, None));
        let replay = DeliveryCommand::Replay {
            actor: "human:ada".to_owned(),
        };
        let (again, event) = apply(&dead, &replay, start()).unwrap();
        assert_eq!((again.id, again.attempts), (dead.id, 0));
        assert_eq!(event.unwrap().data["actor"], "human:ada");
        let taken = claim(&again, start()).unwrap();
        assert!(
            taken.token > dead.token,
            "a late report of before stays stale"
        );
        let refused = apply(&taken, &replay, start()).unwrap_err();
        assert_eq!(refused.code, ErrorCode::Conflict);
    }

    proptest! {
        /// Whatever comes in whatever order: what is over stays so but for a replay, a stale report changes
        /// nothing, and only a pending delivery has a due time.
        #[test]
        fn a_delivery_keeps_its_invariants(steps in prop::collection::vec((0_u8..5, 0_u64..4, 0_u32..100_000), 1..60)) {
            let mut delivery = delivery();
            let mut now = start();
            for (kind, back, seconds) in steps {
                now = later(now, Duration::from_secs(seconds.into()));
                let token = delivery.token.saturating_sub(back);
                let command = match kind {
                    0 | 1 => DeliveryCommand::Claim { lease_until: later(now, Duration::from_mins(1)) },
                    2 => DeliveryCommand::Delivered { token },
                    3 => fail(token),
                    _ => DeliveryCommand::Replay { actor: "human:ada".to_owned() },
                };
                let Ok((next, event)) = apply(&delivery, &command, now) else { continue };
                prop_assert_eq!(next.due_at.is_some(), next.state == DeliveryState::Pending);
                prop_assert_eq!(next.ended_at.is_some(), next.state != DeliveryState::Pending);
                prop_assert!(next.token >= delivery.token);
                prop_assert_eq!(next.id, delivery.id);
                if delivery.state != DeliveryState::Pending {
                    let replayed = matches!(command, DeliveryCommand::Replay { .. });
                    prop_assert!(replayed);
                    prop_assert_eq!(delivery.state, DeliveryState::Dead);
                }
                if let DeliveryCommand::Delivered { token } | DeliveryCommand::Failed { token, .. } = command {
                    prop_assert_eq!(token, delivery.token);
                }
                let over = next.state != delivery.state;
                prop_assert_eq!(event.is_some(), over);
                delivery = next;
            }
        }
    }
}
