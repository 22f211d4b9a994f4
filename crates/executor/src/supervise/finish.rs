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
use crate::sandbox::cgroup::TreeUsage;
use crate::sandbox::link::Ended;

/// What is known of an attempt at its end.
pub(super) struct Parts {
    /// When it began to start, by both clocks.
    pub(super) began: (Duration, Timestamp),
    pub(super) exit: Exit,
    pub(super) reply: Reply,
    pub(super) log: LogStats,
    pub(super) limits_hit: Vec<LimitHit>,
    /// What its helper saw, when it had one that lived to tell.
    pub(super) ended: Option<Ended>,
    /// What its cgroups counted.
    pub(super) tree: TreeUsage,
    pub(super) egress_denied: Vec<String>,
}

/// Puts the outcome together.
pub(super) fn outcome(request: &Request, parts: Parts) -> Outcome {
    let Parts {
        began,
        exit,
        reply,
        log,
        mut limits_hit,
        ended,
        tree,
        egress_denied,
    } = parts;
    if log.dropped > 0 {
        let cap = request.attempt.limits.log_bytes;
        let detail = format!("{cap} bytes of log, {} more dropped", log.dropped);
        limits_hit.push(LimitHit {
            kind: LimitKind::Log,
            detail,
        });
    }
    let started = !matches!(exit, Exit::NotStarted { .. });
    let wall = monotonic().saturating_sub(began.0);
    Outcome {
        exit,
        limits_hit,
        started_at: started.then_some(began.1),
        ended_at: SystemClock.now(),
        usage: if started {
            usage(ended.as_ref(), tree, wall)
        } else {
            Usage::default()
        },
        isolation: request.isolation.clone(),
        reply,
        egress_denied,
        log,
    }
}

/// What the job used: by the count of its cgroups, of its helper, or of all that was reaped here.
fn usage(ended: Option<&Ended>, tree: TreeUsage, wall: Duration) -> Usage {
    let (micros, peak) = match ended {
        Some(ended) => (ended.cpu_micros, ended.peak_bytes),
        None => reaped().unwrap_or_default(),
    };
    Usage {
        cpu_seconds: Duration::from_micros(micros).as_secs_f64(),
        peak_memory_bytes: tree.peak_memory_bytes.unwrap_or(peak),
        wall_seconds: wall.as_secs_f64(),
    }
}

/// Processor time in microseconds of all reaped descendants, and the peak of the largest in bytes.
pub(crate) fn reaped() -> io::Result<(u64, u64)> {
    let children = getrusage(UsageWho::RUSAGE_CHILDREN)?;
    let micros =
        children.user_time().num_microseconds() + children.system_time().num_microseconds();
    let kibibytes = u64::try_from(children.max_rss()).unwrap_or(0);
    Ok((u64::try_from(micros).unwrap_or(0), kibibytes * 1024))
}

/// Leaves the record. One that is there already (someone took this supervisor for dead) stays.
pub(super) fn record(dir: &AttemptDir, outcome: &Outcome) -> io::Result<()> {
    layout::publish(&dir.exit(), outcome, IfThere::Keep).map(drop)
}
