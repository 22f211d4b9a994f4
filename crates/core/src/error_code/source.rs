//! The state of a source, and how the effects of failed runs move it.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::SourceEffect;

/// The state of a source: the outside system that a job reads.
///
/// Failures only ever make it worse, or leave it; see [`SourceState::apply`]. The way back to `active` is a
/// run that succeeds ([`SourceState::recovered`]) or a person; [`crate::source`] decides which.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum SourceState {
    /// May be read.
    #[default]
    Active,
    /// Paused after failures, or by a person.
    Paused,
    /// Its credentials or session must be refreshed.
    NeedsReauth,
    /// Its extractor must be repaired.
    NeedsRepair,
    /// Configuration or policy keeps it from running.
    Blocked,
    /// A leak was found; nothing of it may be used.
    Quarantined,
}

impl SourceState {
    /// Every state, mildest first.
    pub const ALL: [Self; 6] = [
        Self::Active,
        Self::Paused,
        Self::NeedsReauth,
        Self::NeedsRepair,
        Self::Blocked,
        Self::Quarantined,
    ];

    /// The state after `effect`: the worse of the two, and of two equally bad ones the newer.
    ///
    /// From mild to bad: `active`, `paused`, then `needs_reauth` and `needs_repair`, then `blocked`, then
    /// `quarantined`. Re-authentication and repair rank alike since each needs a person's work on the
    /// source; the latest run is the better witness of which comes first.
    ///
    /// ```
    /// use moorline_core::error_code::{FailureClass, SourceState};
    ///
    /// let effect = FailureClass::Auth.rule().source;
    /// assert_eq!(SourceState::Active.apply(effect), SourceState::NeedsReauth);
    /// assert_eq!(SourceState::Quarantined.apply(effect), SourceState::Quarantined);
    /// ```
    #[must_use]
    pub const fn apply(self, effect: SourceEffect) -> Self {
        let next = match effect {
            SourceEffect::Unchanged => return self,
            SourceEffect::Paused => Self::Paused,
            SourceEffect::NeedsReauth => Self::NeedsReauth,
            SourceEffect::NeedsRepair => Self::NeedsRepair,
            SourceEffect::Blocked => Self::Blocked,
            SourceEffect::Quarantined => Self::Quarantined,
        };
        if next.severity() >= self.severity() {
            next
        } else {
            self
        }
    }

    /// The state after a run that succeeded: access, extraction and configuration work, so `active`. A
    /// leaked secret is not undone by a later success, so `quarantined` stays until a person decides.
    #[must_use]
    pub const fn recovered(self) -> Self {
        match self {
            Self::Quarantined => Self::Quarantined,
            _ => Self::Active,
        }
    }

    const fn severity(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Paused => 1,
            Self::NeedsReauth | Self::NeedsRepair => 2,
            Self::Blocked => 3,
            Self::Quarantined => 4,
        }
    }

    /// The name in JSON and in text.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::NeedsReauth => "needs_reauth",
            Self::NeedsRepair => "needs_repair",
            Self::Blocked => "blocked",
            Self::Quarantined => "quarantined",
        }
    }
}

impl fmt::Display for SourceState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use SourceState::{Active, Blocked, NeedsReauth, NeedsRepair, Paused, Quarantined};

    #[test]
    fn names_are_the_same_in_text_and_json() {
        for state in SourceState::ALL {
            assert_eq!(
                serde_json::to_value(state).unwrap(),
                serde_json::json!(state.as_str())
            );
        }
    }

    /// The whole table: rows are states, columns are effects.
    #[test]
    fn an_effect_never_makes_a_state_better() {
        let effects = [
            SourceEffect::Unchanged,
            SourceEffect::Paused,
            SourceEffect::NeedsReauth,
            SourceEffect::NeedsRepair,
            SourceEffect::Blocked,
            SourceEffect::Quarantined,
        ];
        let expected = [
            [
                Active,
                Paused,
                NeedsReauth,
                NeedsRepair,
                Blocked,
                Quarantined,
            ],
            [
                Paused,
                Paused,
                NeedsReauth,
                NeedsRepair,
                Blocked,
                Quarantined,
            ],
            [
                NeedsReauth,
                NeedsReauth,
                NeedsReauth,
                NeedsRepair,
                Blocked,
                Quarantined,
            ],
            [
                NeedsRepair,
                NeedsRepair,
                NeedsReauth,
                NeedsRepair,
                Blocked,
                Quarantined,
            ],
            [Blocked, Blocked, Blocked, Blocked, Blocked, Quarantined],
            [Quarantined; 6],
        ];
        let actual = SourceState::ALL.map(|state| effects.map(|effect| state.apply(effect)));
        assert_eq!(actual, expected);
        for (state, row) in SourceState::ALL.into_iter().zip(actual) {
            for next in row {
                assert!(next.severity() >= state.severity());
            }
        }
    }
}
