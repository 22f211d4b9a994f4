//! Points in time: relative in words, absolute in the title. The page's script keeps both up to date and in
//! the zone of whoever looks; without it they are as of the page, in UTC.

use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;

use super::size::duration;

/// A point in time, seen from another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    at: Timestamp,
    now: Timestamp,
}

impl Moment {
    /// `at`, seen from `now`.
    pub(crate) const fn new(at: Timestamp, now: Timestamp) -> Self {
        Self { at, now }
    }
}

/// A time that is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Countdown(pub(crate) Moment);

/// From one time to another, in seconds; negative when `to` is earlier.
pub(crate) fn seconds_between(from: Timestamp, to: Timestamp) -> f64 {
    to.duration_since(from).as_secs_f64()
}

/// A time relative to another one: `now`, `12 s ago`, `in 3 min`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let seconds = seconds_between(at, now);
    let text = coarse(seconds.abs());
    match text.as_str() {
        "0 s" => "now".to_owned(),
        _ if seconds < 0.0 => format!("in {text}"),
        _ => format!("{text} ago"),
    }
}

/// Seconds in one unit.
fn coarse(seconds: f64) -> String {
    let (value, unit) = match seconds {
        s if s < 59.5 => (s, "s"),
        s if s < 3570.0 => (s / 60.0, "min"),
        s if s < 84_600.0 => (s / 3600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    format!("{value:.0} {unit}")
}

/// The whole time, in UTC, to the second.
pub(crate) fn absolute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<time datetime=\"{}\" title=\"{}\">{}</time>",
            self.at,
            absolute(self.at),
            relative(self.at, self.now)
        )
    }
}

impl fmt::Display for Countdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Moment { at, now } = self.0;
        let left = seconds_between(now, at);
        let text = if left <= 0.0 {
            "due".to_owned()
        } else {
            duration(left)
        };
        write!(
            f,
            "<time class=\"countdown\" data-countdown datetime=\"{at}\" title=\"{}\">{text}</time>",
            absolute(at)
        )
    }
}

impl HtmlSafe for Moment {}
impl HtmlSafe for Countdown {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn times_are_relative_to_now_both_ways() {
        let now = at("2026-03-01T12:00:00Z");
        let cases = [
            ("2026-03-01T12:00:00.2Z", "now"),
            ("2026-03-01T11:59:48Z", "12 s ago"),
            ("2026-03-01T12:03:00Z", "in 3 min"),
            ("2026-03-01T09:40:00Z", "2 h ago"),
            ("2026-02-20T12:00:00Z", "9 d ago"),
        ];
        for (time, text) in cases {
            assert_eq!(relative(at(time), now), text);
        }
    }

    #[test]
    fn the_whole_time_is_in_the_title() {
        let html = Moment::new(at("2026-03-01T11:59:48Z"), at("2026-03-01T12:00:00Z")).to_string();
        assert_eq!(
            html,
            "<time datetime=\"2026-03-01T11:59:48Z\" title=\"2026-03-01 11:59:48 UTC\">12 s ago</time>"
        );
    }

    #[test]
    fn a_countdown_ends_as_due() {
        let now = at("2026-03-01T12:00:00Z");
        let until = |time| Countdown(Moment::new(at(time), now)).to_string();
        assert!(until("2026-03-01T14:04:00Z").ends_with(">2 h 4 min</time>"));
        assert!(until("2026-03-01T11:00:00Z").ends_with(">due</time>"));
    }
}
