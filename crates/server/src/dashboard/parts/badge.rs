//! States as people see them: colour, shape and word, so that none is told by colour alone.

use std::fmt;

use askama::filters::HtmlSafe;
use moorline_core::alert::DeliveryState;
use moorline_core::approval::ApprovalStatus;
use moorline_core::artifact::ArtifactState;
use moorline_core::error_code::{AlertLevel, RunStatus, SourceState};
use moorline_core::event::Level;
use moorline_core::schedule::ScheduleState;

use super::Escaped;

/// What a state means to whoever looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Wrong.
    Bad,
    /// Worth a look.
    Warn,
    /// Under way.
    Busy,
    /// Waits for a person.
    Ask,
    /// Nothing to do.
    Idle,
}

impl Tone {
    /// The name of its colour in the style sheet.
    pub(crate) const fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Busy => "busy",
            Self::Ask => "ask",
            Self::Idle => "idle",
        }
    }

    /// Its shape, in a box of 16 by 16.
    const fn shape(self) -> &'static str {
        match self {
            // A disc with a tick, an octagon with a cross, a triangle, a half disc, a diamond, a ring.
            Self::Good => {
                "<circle cx=\"8\" cy=\"8\" r=\"7\"/><path class=\"cut\" d=\"M4.8 8.3 7 10.5l4.2-4.8\"/>"
            }
            Self::Bad => {
                "<path d=\"M5.1 1h5.8L15 5.1v5.8L10.9 15H5.1L1 10.9V5.1z\"/>\
                 <path class=\"cut\" d=\"m5.6 5.6 4.8 4.8m0-4.8-4.8 4.8\"/>"
            }
            Self::Warn => {
                "<path d=\"M8 1.2 15.4 14.5H.6z\"/><path class=\"cut\" d=\"M8 6v4m0 1.6v.9\"/>"
            }
            Self::Busy => {
                "<circle class=\"ring\" cx=\"8\" cy=\"8\" r=\"6.2\"/><path d=\"M8 1.8a6.2 6.2 0 0 1 0 12.4z\"/>"
            }
            Self::Ask => {
                "<path d=\"M8 .8 15.2 8 8 15.2.8 8z\"/><path class=\"cut\" d=\"M8 4.8v3.8m0 1.6v.9\"/>"
            }
            Self::Idle => "<circle class=\"ring\" cx=\"8\" cy=\"8\" r=\"6.2\"/>",
        }
    }
}

/// A state: shape and word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Badge {
    /// What it means.
    pub(crate) tone: Tone,
    /// The word.
    pub(crate) text: String,
}

impl Badge {
    /// A state of this meaning; `_` of names is read as a space.
    pub(crate) fn new(tone: Tone, text: &str) -> Self {
        Self {
            tone,
            text: text.replace('_', " "),
        }
    }

    /// Whether something holds.
    pub(crate) fn holds(holds: bool, yes: &str, no: &str) -> Self {
        if holds {
            Self::new(Tone::Good, yes)
        } else {
            Self::new(Tone::Bad, no)
        }
    }
}

impl From<RunStatus> for Badge {
    fn from(status: RunStatus) -> Self {
        let tone = match status {
            RunStatus::Queued | RunStatus::Skipped | RunStatus::Cancelled => Tone::Idle,
            RunStatus::Running => Tone::Busy,
            RunStatus::AwaitingApproval => Tone::Ask,
            RunStatus::Success => Tone::Good,
            RunStatus::Failed | RunStatus::Killed | RunStatus::TimedOut => Tone::Bad,
            RunStatus::NeedsReauth => Tone::Warn,
        };
        Self::new(tone, status.as_str())
    }
}

impl From<ApprovalStatus> for Badge {
    fn from(status: ApprovalStatus) -> Self {
        let tone = match status {
            ApprovalStatus::Pending => Tone::Ask,
            ApprovalStatus::Approved | ApprovalStatus::AutoApproved => Tone::Good,
            ApprovalStatus::Rejected => Tone::Bad,
            ApprovalStatus::Expired => Tone::Warn,
            ApprovalStatus::Withdrawn => Tone::Idle,
        };
        Self::new(tone, status.as_str())
    }
}

impl From<ScheduleState> for Badge {
    fn from(state: ScheduleState) -> Self {
        let tone = match state {
            ScheduleState::Enabled => Tone::Good,
            ScheduleState::Paused => Tone::Warn,
            ScheduleState::Disabled => Tone::Idle,
        };
        Self::new(tone, state.as_str())
    }
}

impl From<SourceState> for Badge {
    fn from(state: SourceState) -> Self {
        let (tone, text) = match state {
            SourceState::Active => (Tone::Good, "active"),
            SourceState::Paused => (Tone::Idle, "paused"),
            SourceState::NeedsReauth => (Tone::Warn, "needs re-auth"),
            SourceState::NeedsRepair => (Tone::Warn, "needs repair"),
            SourceState::Blocked => (Tone::Bad, "blocked"),
            SourceState::Quarantined => (Tone::Bad, "quarantined"),
        };
        Self::new(tone, text)
    }
}

impl From<ArtifactState> for Badge {
    fn from(state: ArtifactState) -> Self {
        let tone = match state {
            ArtifactState::Pending => Tone::Ask,
            ArtifactState::Approved => Tone::Good,
            ArtifactState::Rejected => Tone::Bad,
            ArtifactState::RevisionsRequested => Tone::Warn,
            ArtifactState::Draft | ArtifactState::Superseded | ArtifactState::Archived => {
                Tone::Idle
            }
        };
        Self::new(tone, state.as_str())
    }
}

impl From<DeliveryState> for Badge {
    fn from(state: DeliveryState) -> Self {
        let tone = match state {
            DeliveryState::Pending => Tone::Busy,
            DeliveryState::Delivered => Tone::Good,
            DeliveryState::Dead => Tone::Bad,
        };
        Self::new(tone, state.as_str())
    }
}

impl From<Level> for Badge {
    fn from(level: Level) -> Self {
        match level {
            Level::Info => Self::new(Tone::Idle, "info"),
            Level::Warn => Self::new(Tone::Warn, "warn"),
            Level::Error => Self::new(Tone::Bad, "error"),
        }
    }
}

impl From<AlertLevel> for Badge {
    fn from(level: AlertLevel) -> Self {
        match level {
            AlertLevel::Info => Self::new(Tone::Idle, "info"),
            AlertLevel::Warning => Self::new(Tone::Warn, "warning"),
            AlertLevel::Critical => Self::new(Tone::Bad, "critical"),
        }
    }
}

impl fmt::Display for Badge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "<span class=\"badge {}\"><svg viewBox=\"0 0 16 16\" aria-hidden=\"true\">{}</svg>{}</span>",
            self.tone.class(),
            self.tone.shape(),
            Escaped(&self.text)
        )
    }
}

impl HtmlSafe for Badge {}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_tone_has_a_shape_and_a_class_of_its_own() {
        let tones = [
            Tone::Good,
            Tone::Bad,
            Tone::Warn,
            Tone::Busy,
            Tone::Ask,
            Tone::Idle,
        ];
        let shapes: BTreeSet<_> = tones.iter().map(|tone| tone.shape()).collect();
        let classes: BTreeSet<_> = tones.iter().map(|tone| tone.class()).collect();
        assert_eq!((shapes.len(), classes.len()), (tones.len(), tones.len()));
    }

    #[test]
    fn a_badge_says_its_state_in_words() {
        let html = Badge::from(RunStatus::AwaitingApproval).to_string();
        assert!(html.starts_with("<span class=\"badge ask\">"), "{html}");
        assert!(html.ends_with("awaiting approval</span>"), "{html}");
    }
}
