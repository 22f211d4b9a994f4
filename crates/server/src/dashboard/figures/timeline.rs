//! A run over time: a row for each step and each gate, a bar for each attempt and each wait.

use std::fmt;

use askama::filters::HtmlSafe;
use jiff::Timestamp;

use super::fit;
use crate::dashboard::parts::size::duration;
use crate::dashboard::parts::time::seconds_between;
use crate::dashboard::parts::{Escaped, Tone};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 26.0;
const ROW: f64 = 30.0;
const BAR: f64 = 18.0;

/// Something that took time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Span {
    /// The row: a step or a gate.
    pub(crate) row: String,
    /// What it is: `attempt 2`, `waits for approval`.
    pub(crate) what: String,
    /// What it came to.
    pub(crate) outcome: String,
    /// What that means.
    pub(crate) tone: Tone,
    /// When it began.
    pub(crate) from: Timestamp,
    /// When it ended; none while it goes on.
    pub(crate) to: Option<Timestamp>,
}

/// A run over time.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Timeline {
    /// Where it begins.
    pub(crate) from: Timestamp,
    /// Where it ends: the run's end, or now.
    pub(crate) to: Timestamp,
    /// What happened, oldest first.
    pub(crate) spans: Vec<Span>,
}

impl Span {
    /// How long it took, or has taken up to `now`.
    pub(crate) fn took(&self, now: Timestamp) -> String {
        duration(seconds_between(self.from, self.to.unwrap_or(now)).max(0.0))
    }
}

impl Timeline {
    /// Names of the rows, in the order in which they came to be.
    fn rows(&self) -> Vec<&str> {
        let mut rows: Vec<&str> = Vec::new();
        for span in &self.spans {
            if !rows.contains(&span.row.as_str()) {
                rows.push(&span.row);
            }
        }
        rows
    }

    fn seconds(&self) -> f64 {
        seconds_between(self.from, self.to).max(0.001)
    }

    fn x(&self, at: Timestamp) -> f64 {
        let share = (seconds_between(self.from, at) / self.seconds()).clamp(0.0, 1.0);
        LEFT + share * (WIDTH - LEFT - RIGHT)
    }

    /// Where a share of the whole time is; in milliseconds where tenths of a second would not tell it.
    fn tick(&self, share: f64) -> String {
        let whole = self.seconds();
        if whole < 2.0 {
            format!("{:.0} ms", whole * share * 1000.0)
        } else {
            duration(whole * share)
        }
    }

    fn ticks(&self, bottom: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for quarter in 0..=4_u32 {
            let share = f64::from(quarter) / 4.0;
            let x = LEFT + share * (WIDTH - LEFT - RIGHT);
            let anchor = match quarter {
                0 => "start",
                4 => "end",
                _ => "middle",
            };
            write!(
                f,
                "<path class=\"grid\" d=\"M{x:.1} {TOP}V{bottom:.1}\"/><text class=\"tick\" x=\"{x:.1}\" y=\"16\" text-anchor=\"{anchor}\">{}</text>",
                self.tick(share)
            )?;
        }
        Ok(())
    }

    fn span(&self, span: &Span, top: f64, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (left, right) = (self.x(span.from), self.x(span.to.unwrap_or(self.to)));
        let wide = (right - left).max(3.0);
        let took = span.took(self.to);
        write!(
            f,
            "<g class=\"bar {}\"><title>{}: {}, {}, {took}</title><rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{wide:.1}\" height=\"{BAR}\" rx=\"3\"/>",
            span.tone.class(),
            Escaped(&span.row),
            Escaped(&span.what),
            Escaped(&span.outcome),
            top + (ROW - BAR) / 2.0
        )?;
        let text = format!("{} · {took}", span.outcome);
        #[expect(clippy::cast_precision_loss, reason = "a short text")]
        let needs = text.chars().count() as f64 * 6.6 + 10.0;
        let baseline = top + ROW / 2.0 + 4.0;
        if wide > needs {
            write!(
                f,
                "<text class=\"in\" x=\"{:.1}\" y=\"{baseline:.1}\">{}</text>",
                left + 6.0,
                Escaped(&text)
            )?;
        }
        f.write_str("</g>")
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rows = self.rows();
        #[expect(clippy::cast_precision_loss, reason = "some hundred rows at most")]
        let bottom = TOP + rows.len() as f64 * ROW;
        write!(
            f,
            "<svg class=\"timeline\" viewBox=\"0 0 {WIDTH} {:.0}\" role=\"img\" aria-labelledby=\"timeline-title timeline-desc\">\
             <title id=\"timeline-title\">Steps and attempts over time</title>\
             <desc id=\"timeline-desc\">{} in {}. The table below says the same.</desc>",
            bottom + 6.0,
            crate::dashboard::parts::size::count(self.spans.len(), "bar"),
            crate::dashboard::parts::size::count(rows.len(), "row"),
        )?;
        self.ticks(bottom, f)?;
        let mut top = TOP;
        for row in rows {
            write!(
                f,
                "<text class=\"row\" x=\"0\" y=\"{:.1}\"><title>{}</title>{}</text>",
                top + ROW / 2.0 + 4.0,
                Escaped(row),
                Escaped(&fit(row, 20))
            )?;
            for span in self.spans.iter().filter(|span| span.row == row) {
                self.span(span, top, f)?;
            }
            top += ROW;
        }
        f.write_str("</svg>")
    }
}

impl HtmlSafe for Timeline {}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u32) -> Timestamp {
        format!("2026-03-01T12:00:{second:02}Z").parse().unwrap()
    }

    fn span(row: &str, tone: Tone, from: u32, to: Option<u32>) -> Span {
        Span {
            row: row.to_owned(),
            what: "attempt 1".to_owned(),
            outcome: "exit 0".to_owned(),
            tone,
            from: at(from),
            to: to.map(at),
        }
    }

    #[test]
    fn each_step_has_a_row_and_each_attempt_a_bar() {
        let timeline = Timeline {
            from: at(0),
            to: at(40),
            spans: vec![
                span("load", Tone::Bad, 0, Some(10)),
                span("load", Tone::Good, 12, Some(30)),
                span("write <x>", Tone::Busy, 30, None),
            ],
        };
        let svg = timeline.to_string();
        assert_eq!(svg.matches("class=\"row\"").count(), 2);
        assert_eq!(svg.matches("<rect").count(), 3);
        assert!(
            svg.contains("write &lt;x&gt;: attempt 1, exit 0, 10 s"),
            "{svg}"
        );
        assert!(
            svg.contains("<title>load: attempt 1, exit 0, 10 s</title><rect x=\"150.0\""),
            "{svg}"
        );
    }

    #[test]
    fn a_run_that_took_no_time_is_drawn_without_odd_numbers() {
        let timeline = Timeline {
            from: at(5),
            to: at(5),
            spans: vec![span("load", Tone::Busy, 5, None)],
        };
        let svg = timeline.to_string();
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    }
}
