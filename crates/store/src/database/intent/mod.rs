//! The changes that [`Store`](crate::Store) names, each written once for both engines.
//!
//! An intent reads the run's document, lets `moorline_core::run::apply` decide, and writes what came
//! of it. No rule of the domain is here but the stop gate, which needs the store to be one.

mod attempt;
mod claim;
mod log;
mod stop;
mod submit;

pub(crate) use attempt::{Append, Finish, Launched, RenewLease, TakeOver};
pub(crate) use claim::Claim;
pub(crate) use log::{AppendAudit, FinishOutbox, Probe};
pub(crate) use stop::{Cancel, CarryOutStop, EngageStop, ReleaseStop, engage_stop, kill_waiting};
pub(crate) use submit::Submit;
