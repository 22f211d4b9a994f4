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
//! | [`backend`] | `Store` itself, from the above |
//! | `sqlite`, `postgres` | the engines |

mod backend;
mod intent;
#[cfg(feature = "postgres")]
mod postgres;
mod query;
mod schema;
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
mod transition;
mod tx;
mod unit;
mod writer;

#[cfg(feature = "postgres")]
pub use postgres::PostgresStore;
#[cfg(feature = "sqlite")]
pub use sqlite::SqliteStore;
