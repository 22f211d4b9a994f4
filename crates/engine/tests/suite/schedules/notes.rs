//! What happened to the schedules of a plan, as seen from outside the engine, in order.

use jiff::Timestamp;

/// One thing that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Note {
    /// What the machine's clock showed.
    pub(crate) at: Timestamp,
    pub(crate) what: What,
}

/// What happened; numbers are places in the plan's list of schedules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum What {
    /// The engine was asked to do all that is due.
    Tick,
    /// A person let the schedule start runs, through its gates.
    Enabled(usize),
    /// A person let it go on after a pause.
    Resumed(usize),
    /// It starts nothing from now on.
    Halted(usize),
    /// Its run came to its end, and the engine knows.
    Ended(usize),
}
