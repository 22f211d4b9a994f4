//! [`Store`](crate::Store) over a SQL database: what both engines share, and the engines.
//!
//! | module | what it does |
//! |---|---|
//! | [`tx`] | the little that is asked of a connection |
//! | [`sql`] | every statement |
//! | [`schema`] | the schema history of a database |
//! | [`intent`] | each write, once |
//! | [`transition`] | what follows from a transition of a run |
//! | [`query`] | each read, once |
//! | [`unit`] | an open transaction, with the heads of the logs in hand |
//! | [`writer`] | the one writer of a process, and group commit |
//! | [`changes`] | who waits for commits, and how they are told |
//! | [`backend`] | `Store` itself, from the above |
//! | [`principals`], [`artifacts`], [`schedules`], [`deployments`], [`emergencies`], [`secrets`], [`sources`], [`alerts`], [`refusals`] | its parts for governance: intents and queries of each |
//! | [`approvals`], [`tokens`], [`blobs`] | its parts for a control plane that people and machines share |
//! | [`versions`] | whether something is as it was seen |
//! | `sqlite`, `postgres` | the engines |

mod alerts;
mod approvals;
mod artifacts;
mod backend;
mod blobs;
mod changes;
mod counts;
mod deployments;
mod emergencies;
mod intent;
#[cfg(feature = "postgres")]
mod postgres;
mod principals;
mod query;
mod refusals;
mod schedules;
mod schema;
mod secrets;
mod sources;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod tokens;
mod transition;
mod tx;
mod unit;
mod versions;
mod writer;

#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
