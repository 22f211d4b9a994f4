//! Taking an attempt: of all supervisors started for one attempt id, exactly one runs the job.

use std::io::{self, Write as _};

use moorline_core::clock::{Clock as _, SystemClock};
use serde::{Deserialize, Serialize};

use super::request::Request;
use crate::local::layout::{self, AttemptDir, Claim, IfThere, ProcessRef};
use crate::proc;

/// What a supervisor tells its launcher, as one line of JSON on its standard output.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Ack {
    /// This supervisor took the attempt.
    Claimed(ProcessRef),
    /// Another one had taken it; its claim can be read.
    Taken,
    /// It could not be taken, and nothing was started.
    Failed(String),
}

/// Takes the attempt. `None` when another supervisor has it.
pub(super) fn take(request: &Request, dir: &AttemptDir) -> io::Result<Option<Claim>> {
    dir.create()?;
    let pid = rustix::process::getpid().as_raw_nonzero().get();
    let stat = proc::stat(pid)?.ok_or(io::ErrorKind::NotFound)?;
    let claim = Claim {
        attempt_id: request.attempt.id,
        run_id: request.attempt.run_id,
        owner: request.attempt.owner.clone(),
        claimed_at: SystemClock.now(),
        supervisor: ProcessRef {
            pid,
            start_time: stat.start_time,
            boot_id: request.boot_id.clone(),
        },
        cgroups: request
            .groups
            .iter()
            .map(|group| group.dir.clone())
            .collect(),
    };
    let taken = layout::publish(&dir.claim(), &claim, IfThere::Keep)?;
    Ok(taken.then_some(claim))
}

/// Tells the launcher. That it is gone changes nothing: whoever looks next finds the claim.
pub(super) fn acknowledge(ack: &Ack) {
    let Ok(mut line) = serde_json::to_vec(ack) else {
        return;
    };
    line.push(b'\n');
    let mut out = io::stdout().lock();
    if out.write_all(&line).and_then(|()| out.flush()).is_err() {
        // The launcher is gone.
    }
}
