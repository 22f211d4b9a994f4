//! The supervisor: one small process for each attempt, which outlives whoever started it.
//!
//! It takes the attempt ([`claim`]), starts the job, reads its output ([`pump`]), ends it when its time is
//! over or someone asks ([`timing`], [`tree`]), and leaves the outcome behind ([`finish`]). It is single
//! threaded (the egress proxy apart), polls without ticking, and knows nothing of who waits for it.
//!
//! Its contract with the library side, [`local`](crate::local):
//! * the request comes on standard input, the answer goes to standard output ([`claim::Ack`]);
//! * SIGTERM means "read `cancel`"; without that file it means the attempt's own grace, so a machine
//!   that shuts down ends its jobs politely;
//! * once it is dead, `exit.json` is there or never will be.

pub(crate) mod claim;
pub(crate) mod clock;
mod disk;
pub(crate) mod finish;
pub(crate) mod guest;
mod helper;
mod job;
mod limits;
pub(crate) mod prepare;
mod pump;
pub(crate) mod request;
pub(crate) mod signals;
pub(crate) mod spawn;
mod start;
mod timing;
mod tree;
mod unnamed;

use std::fs;
use std::io;
use std::path::PathBuf;

use claim::Ack;
use request::Request;
use rustix::process::{
    DumpableBehavior, getpid, set_child_subreaper, set_dumpable_behavior, setsid,
};
use signals::Signals;

use crate::local::layout::AttemptDir;

/// Runs one attempt. The exit code is for a person who looks at the process, not part of the contract.
pub(crate) fn main() -> i32 {
    match run() {
        Ok(()) => 0,
        Err(_) => 1,
    }
}

fn run() -> io::Result<()> {
    // Secrets are in this memory: no core dump, no reading by other processes of the same user.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let signals = Signals::block()?;
    // Fails for the leader of a process group, which one of ours never is.
    setsid()?;
    set_child_subreaper(Some(getpid()))?;
    let Some(request) = Request::read(io::stdin().lock())? else {
        return Ok(());
    };
    let dir = AttemptDir::new(&request.root, request.attempt.id);
    let claim = match claim::take(&request, &dir) {
        Ok(Some(claim)) => claim,
        Ok(None) => {
            claim::acknowledge(&Ack::Taken);
            return Ok(());
        }
        Err(error) => {
            claim::acknowledge(&Ack::Failed(format!("{}: {error}", dir.path().display())));
            return Err(error);
        }
    };
    leave_last_words(dir.panic());
    claim::acknowledge(&Ack::Claimed(claim.supervisor));
    let outcome = job::run(request, &dir, &signals, None, &[]);
    finish::record(&dir, &outcome)
}

/// Lets a panic, which would be a bug, be told where the attempt is declared lost.
fn leave_last_words(path: PathBuf) {
    std::panic::set_hook(Box::new(move |panic| {
        // Where it happened, not the message: that could hold anything.
        let place = panic
            .location()
            .map_or_else(String::new, ToString::to_string);
        if fs::write(&path, format!("panic at {place}")).is_err() {
            // Then the record says only that it ended.
        }
    }));
}
