//! The run lifecycle: durable queue, leases, retries, cancellation, validation, exports, summaries.
//!
//! [`Engine`] implements every operation of [`moorline_api::ControlPlane`] over three things that it is
//! given: a [`Store`](moorline_store::Store), one or more [`Executor`](moorline_executor::Executor)s, and
//! a source of secrets. It runs inside the program that embeds it; there is no daemon to keep.
//!
//! How a run moves: [`run_submit`](moorline_api::ControlPlane::run_submit) checks everything, keeps the
//! job directory and the inputs, and makes the run durable in one transaction. A driver claims the due
//! attempt under a lease with a fencing token, launches it, records the handle, waits, judges the
//! outcome, validates the outputs, and records the end together with whatever follows from it. Nothing
//! is held open while a job runs, and whatever dies is found again (`recover`).
//!
//! | module | what |
//! |---|---|
//! | [`assemble`] | the configured back ends: the only place that names them |
//! | [`surroundings`] | where programs find their configuration and state |
//! | `submit`, `bundle` | from a request to a durable run |
//! | `repair` | a failed run as the input of one that repairs |
//! | `driver`, `attempt` | carrying runs, one attempt at a time |
//! | `outputs`, `export`, `fetch` | validation; publishing all or nothing; reading back |
//! | `recover`, `liveness` | after a crash |
//! | `retain` | removing what is kept longer than its job wants |
//! | `approvals` | workflows, and the decisions at their gates |
//! | `stop`, `emergency` | ending what runs, behind a gate that nothing passes |
//! | `schedules`, `worker` | starting what is due; the worker of one machine |
//! | `control`, `jobs`, `logs`, `watch`, `health` | the operations |
//! | `beginning` | ids that are given by their beginning |
//! | `versions` | changes that rest on what was seen |
//! | `hub`, `progress` | following events together; what attempts say while they run |
//!
//! Deliberately absent: transitions (pure functions of `moorline-core`), SQL, HTTP, argument parsing.

mod alerts;
mod approvals;
mod artifacts;
pub mod assemble;
mod attempt;
mod beginning;
mod bundle;
mod configuration;
mod control;
mod dirs;
mod driver;
mod emergency;
mod engine;
mod error;
mod export;
mod fetch;
mod files;
mod guard;
mod health;
mod heed;
mod hub;
mod job_types;
mod jobs;
mod liveness;
mod logs;
mod outputs;
mod principals;
mod progress;
mod recover;
mod repair;
mod retain;
mod schedules;
mod secrets;
mod shared;
mod sources;
mod stop;
mod submit;
pub mod surroundings;
mod tasks;
#[cfg(feature = "test-clock")]
mod test_clock;
mod test_clock_guard;
mod tokens;
mod trail;
mod undeploy;
mod vault;
mod versions;
mod watch;
mod worker;

#[cfg(feature = "alerts")]
pub use alerts::signature;
pub use configuration::configure;
pub use dirs::StateDirs;
pub use engine::{Engine, EngineBuilder, EngineConfig};
pub use moorline_store::{SchemaCheck, Seen, StoreCounts, StoreHealth, Versioned};
pub use principals::KeyPlace;
pub use retain::Retained;
pub use schedules::TickReport;
pub use stop::Enforced;
pub use tasks::Tasks;
#[cfg(feature = "alerts")]
pub use tokens::{HOOK_TOLERANCE, HookRequest};
pub use tokens::{Identity, LinkChoice, LinkState, LinkView, OpenedSession, token_project};
pub use vault::Vault;
pub use worker::{Until, WorkReport};
