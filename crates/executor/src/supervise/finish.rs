//! The end of an attempt: what it used, and the record that outlives everything.

use std::io;
use std::time::Duration;

use jiff::Timestamp;
use moorline_core::attempt::{Exit, LimitHit, LimitKind, LogStats, Outcome, Usage};
use moorline_core::clock::{Clock as _, SystemClock};
use moorline_core::protocol::Reply;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;

use super::clock::monotonic;
use super::request::Request;
use crate::local::layout::{self, AttemptDir, IfThere};

/// What is known of an attempt at its end.
pub(super) struct Parts {
    /// When its process started, by both clocks; `None` when it never did.
    pub(super) began: Option<(Duration, Timestamp)>,
    pub(super) exit: Exit,
    pub(super) reply: Reply,
    pub(super) log: LogStats,
}

/// Puts the outcome together.
pub(super) fn outcome(request: &Request, parts: Parts) -> Outcome {
    let Parts { began, exit, reply, log } = parts;
    let mut limits_hit = Vec::new();
    if log.dropped > 0 {
        limits_hit.push(LimitHit {
            kind: LimitKind::Log,
            detail: format!("{} bytes, {} more dropped", request.attempt.limits.log_bytes, log.dropped),
        });
    }
    let wall = began.map_or(Duration::ZERO, |(began, _)| monotonic().saturating_sub(began));
    Outcome {
        exit,
        limits_hit,
        started_at: began.map(|(_, at)| at),
        ended_at: SystemClock.now(),
        usage: usage(wall),
        isolation: request.isolation.clone(),
        reply,
        egress_denied: Vec::new(),
        log,
    }
}

/// What all reaped descendants used together; the peak is the largest one's.
fn usage(wall: Duration) -> Usage {
    let Ok(children) = getrusage(UsageWho::RUSAGE_CHILDREN) else {
        return Usage { wall_seconds: wall.as_secs_f64(), ..Usage::default() };
    };
    let micros = children.user_time().num_microseconds() + children.system_time().num_microseconds();
    let kibibytes = u64::try_from(children.max_rss()).unwrap_or(0);
    Usage {
        cpu_seconds: Duration::from_micros(u64::try_from(micros).unwrap_or(0)).as_secs_f64(),
        peak_memory_bytes: kibibytes * 1024,
        wall_seconds: wall.as_secs_f64(),
    }
}

/// Leaves the record. One that is there already (someone took this supervisor for dead) stays.
pub(super) fn record(dir: &AttemptDir, outcome: &Outcome) -> io::Result<()> {
    layout::publish(&dir.exit(), outcome, IfThere::Keep).map(drop)
}
