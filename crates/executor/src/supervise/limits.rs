//! Which limits an attempt reached, told from the signs that it left.

use moorline_core::attempt::{Exit, LimitHit, LimitKind};
use rustix::process::Signal;

use super::request::{Backend, Request};
use crate::sandbox::cgroup::TreeUsage;
use crate::sandbox::link::{Confine, Ended};

/// What was seen at the end.
pub(super) struct Signs<'a> {
    /// By the helper, when there was one that lived to tell.
    pub(super) ended: Option<&'a Ended>,
    /// By the cgroups.
    pub(super) tree: TreeUsage,
    /// Processes of the whole machine that the kernel killed for memory meanwhile.
    pub(super) machine_memory_kills: u64,
}

/// The limits that ended the attempt or stood in its way, the likeliest cause of a failure first. `disk`
/// measures whether too much was written, and is asked only when the end was not a good one.
pub(super) fn hit(
    request: &Request,
    exit: &Exit,
    signs: &Signs<'_>,
    disk: impl FnOnce() -> bool,
) -> Vec<LimitHit> {
    if matches!(exit, Exit::NotStarted { .. }) {
        return Vec::new();
    }
    let ended_well = *exit == (Exit::Exited { code: 0 });
    let disk = if ended_well {
        None
    } else {
        disk_hit(request, exit, signs.ended, disk)
    };
    let hits = [
        memory_hit(request, exit, signs),
        pids_hit(request, signs),
        disk,
    ];
    hits.into_iter().flatten().collect()
}

fn memory_hit(request: &Request, exit: &Exit, signs: &Signs<'_>) -> Option<LimitHit> {
    let hit = |detail| LimitHit {
        kind: LimitKind::Memory,
        detail,
    };
    let kills = signs.tree.memory_kills;
    if kills > 0 {
        let processes = if kills == 1 { "process" } else { "processes" };
        let limit = request.attempt.limits.memory_bytes.unwrap_or_default();
        let limit = mebibytes(limit);
        return Some(hit(format!(
            "{limit}, {kills} {processes} killed by the kernel"
        )));
    }
    let killed = *exit
        == (Exit::Signaled {
            signal: Signal::KILL.as_raw(),
        });
    if killed && signs.machine_memory_kills > 0 {
        let detail = "the machine ran out of memory, and the kernel killed it";
        return Some(hit(detail.to_owned()));
    }
    // Without a cgroup the limit is one of each process, and what is refused is seen only by the job.
    let per_process = confine(&request.backend)?.rlimits.data_bytes?;
    let peak = signs.ended?.peak_bytes;
    let failed = *exit != (Exit::Exited { code: 0 });
    let reached = failed && peak >= per_process - per_process / 8;
    reached.then(|| hit(format!("{} for each process", mebibytes(per_process))))
}

fn pids_hit(request: &Request, signs: &Signs<'_>) -> Option<LimitHit> {
    let hit = |detail| LimitHit {
        kind: LimitKind::Pids,
        detail,
    };
    let refused = signs.tree.tasks_refused;
    if refused > 0 {
        let limit = request.attempt.limits.pids.unwrap_or_default();
        return Some(hit(format!(
            "{limit} processes and threads at once, {refused} more refused"
        )));
    }
    let bound = confine(&request.backend)?.tasks?;
    // Not all of them, since some have ended by the time they are counted.
    let reached = signs.ended?.tasks >= bound - bound / 8;
    reached.then(|| hit(format!("{bound} processes and threads at once")))
}

fn disk_hit(
    request: &Request,
    exit: &Exit,
    ended: Option<&Ended>,
    disk: impl FnOnce() -> bool,
) -> Option<LimitHit> {
    let hit = |detail| LimitHit {
        kind: LimitKind::Disk,
        detail,
    };
    if let Some(ended) = ended
        && !ended.full.is_empty()
    {
        return Some(hit(format!("{} is full", ended.full.join(" and "))));
    }
    let limit = request.attempt.limits.disk_bytes?;
    let too_large = *exit
        == (Exit::Signaled {
            signal: Signal::XFSZ.as_raw(),
        });
    (too_large || disk()).then(|| hit(format!("{} written", mebibytes(limit))))
}

const fn confine(backend: &Backend) -> Option<&Confine> {
    match backend {
        Backend::Plain | Backend::Guest => None,
        Backend::Process { confine, .. } | Backend::Bubblewrap { confine, .. } => Some(confine),
    }
}

fn mebibytes(bytes: u64) -> String {
    if bytes >= 1 << 20 {
        format!("{} MiB", bytes >> 20)
    } else {
        format!("{bytes} bytes")
    }
}
