//! Alerts: what people are told, once for one trouble, and its way to them.
//!
//! An [`Alert`] has a key; the same trouble gives the same key. While an alert is open, the same trouble
//! only counts it up ([`Alert::absorbs`]), so that a source which fails every hour tells once and not
//! twenty-four times. It stays open for [`DEDUPE_WINDOW`], or until the trouble is over. A louder
//! occurrence is an alert of its own.
//!
//! A [`Delivery`] is one alert on its way to one destination ([`delivery`], D-FLOW-9): at least once, under
//! an id that stays the same, with growing waits, and given up after a number of attempts.
//!
//! Everything is a pure function of what it is given. Deliberately absent: who is told (the settings and
//! the job's spec say), and the sending.

pub mod delivery;

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error_code::AlertLevel;
use crate::ids::{AlertId, RunId};

pub use delivery::{Delivery, DeliveryCommand, DeliveryState};

/// How long an alert stays open, from when it was raised: within it the same trouble is not told again.
pub const DEDUPE_WINDOW: Duration = Duration::from_hours(24);

/// Something that people are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Alert {
    /// Identity.
    pub id: AlertId,
    /// The same trouble gives the same key: `source/chase/auth`.
    pub key: String,
    /// How loud.
    pub level: AlertLevel,
    /// One line, redacted.
    pub title: String,
    /// The run that it follows from.
    pub run_id: Option<RunId>,
    /// The job of that run.
    pub job_id: Option<String>,
    /// Details; no secrets.
    pub data: Value,
    /// When it was raised.
    pub raised_at: Timestamp,
    /// When its trouble was last seen.
    pub last_at: Timestamp,
    /// How often its trouble was seen, the first time included.
    pub count: u32,
    /// When its trouble was over, if it is.
    pub closed_at: Option<Timestamp>,
    /// Whether it was decided whom to tell.
    pub planned: bool,
}

impl Alert {
    /// Whether it still stands for its trouble.
    pub fn is_open(&self, now: Timestamp) -> bool {
        let window = SignedDuration::try_from(DEDUPE_WINDOW).unwrap_or(SignedDuration::ZERO);
        self.closed_at.is_none() && now.duration_since(self.raised_at) < window
    }

    /// The alert with one more occurrence of its trouble; `None` when that is to be told anew: the alert is
    /// not open any more, or was not as loud.
    #[must_use]
    pub fn absorbs(&self, level: AlertLevel, now: Timestamp) -> Option<Self> {
        (self.is_open(now) && level <= self.level).then(|| Self {
            last_at: now,
            count: self.count.saturating_add(1),
            ..self.clone()
        })
    }

    /// The alert once its trouble is over; `None` when it is closed already.
    #[must_use]
    pub fn closed(&self, now: Timestamp) -> Option<Self> {
        self.closed_at.is_none().then(|| Self {
            closed_at: Some(now),
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn alert() -> Alert {
        let at: Timestamp = "2026-03-01T06:15:00Z".parse().unwrap();
        Alert {
            id: AlertId::derived(at, b"one"),
            key: "source/chase/auth".to_owned(),
            level: AlertLevel::Warning,
            title: "chase needs a new sign-on".to_owned(),
            run_id: None,
            job_id: None,
            data: json!({}),
            raised_at: at,
            last_at: at,
            count: 1,
            closed_at: None,
            planned: true,
        }
    }

    fn after(alert: &Alert, by: Duration) -> Timestamp {
        alert
            .raised_at
            .checked_add(SignedDuration::try_from(by).unwrap())
            .unwrap()
    }

    #[test]
    fn the_same_trouble_is_counted_while_the_alert_is_open() {
        let first = alert();
        let later = after(&first, Duration::from_hours(1));
        let second = first.absorbs(AlertLevel::Info, later).unwrap();
        assert_eq!((second.count, second.last_at), (2, later));
        assert_eq!((second.id, second.raised_at), (first.id, first.raised_at));
    }

    #[test]
    fn what_is_louder_late_or_new_is_told_again() {
        let first = alert();
        let later = after(&first, Duration::from_secs(1));
        assert_eq!(first.absorbs(AlertLevel::Critical, later), None);
        let last = after(
            &first,
            DEDUPE_WINDOW.checked_sub(Duration::from_micros(1)).unwrap(),
        );
        assert!(first.absorbs(AlertLevel::Warning, last).is_some());
        assert_eq!(
            first.absorbs(AlertLevel::Warning, after(&first, DEDUPE_WINDOW)),
            None
        );
        let closed = first.closed(later).unwrap();
        assert_eq!(closed.absorbs(AlertLevel::Warning, later), None);
        assert_eq!(closed.closed(later), None);
    }

    #[test]
    fn derived_ids_differ_by_seed_and_sort_by_time() {
        let at: Timestamp = "2026-03-01T06:15:00Z".parse().unwrap();
        let later: Timestamp = "2026-03-01T06:15:00.001Z".parse().unwrap();
        assert_ne!(AlertId::derived(at, b"a"), AlertId::derived(at, b"b"));
        assert_eq!(AlertId::derived(at, b"a"), AlertId::derived(at, b"a"));
        assert!(AlertId::derived(at, b"z") < AlertId::derived(later, b"a"));
    }
}
