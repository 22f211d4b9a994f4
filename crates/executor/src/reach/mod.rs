//! What an attempt reaches: a program that tries destinations from inside of one.
//!
//! It is a role of the supervisor program, which every attempt has at hand, so it needs nothing of the job's
//! image. Whoever wants to know runs it as an attempt with the egress rule in question: its argv is
//! [`Executor::egress_prober`](crate::Executor::egress_prober), [`PROBE`], and the destinations as `host:port`.
//! Its result line carries one [`Reached`] for each way that it tried.
//!
//! A destination is tried through the proxy that the environment names, as a program that keeps to it would,
//! and directly, as one that does not. Where a connection comes about on a web port, something is asked: a
//! transparent filter takes any connection first and looks later.
//!
//! Deliberately absent: judging. What ought to be reached is known outside.

mod hello;
mod program;

use serde::{Deserialize, Serialize};

pub(crate) use program::main;

/// First argument of a process that is to try destinations; they follow.
pub const PROBE: &str = "__moorline-reach";

/// One destination, one way to it, and what came of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// The destination, as `host:port`.
    pub target: String,
    /// How it was tried.
    pub way: Way,
    /// What came of it.
    pub end: End,
    /// That in words: a proxy's answer, an error of the system.
    pub words: String,
}

/// Ways to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// Through the proxy that the environment names.
    Proxy,
    /// By a connection of its own.
    Direct,
}

/// What can come of a try.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// Bytes came back.
    Answered,
    /// A connection was made. Nothing was asked: what is spoken on that port is not known.
    Connected,
    /// No connection was made, or it was closed without a byte.
    Refused,
    /// Neither: something between here and there tried, or is silent.
    Unclear,
}

impl End {
    /// Whether the destination is there for a job.
    pub const fn is_reached(self) -> bool {
        matches!(self, Self::Answered | Self::Connected)
    }
}
