//! Connections to the server: what each is set to, and how long it is waited for.

use std::str::FromStr as _;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokio::time::timeout;

use super::connection::explain;
use crate::error::StoreError;

/// What every session of ours is set to.
///
/// A commit is acknowledged when it is on the disk, whatever the server's default. A process that
/// stops in the middle of a transaction (suspended, or cut off from the network) loses it before
/// it keeps the writers of all other machines waiting for long.
const SESSION: [(&str, &str); 3] = [
    ("synchronous_commit", "on"),
    ("idle_in_transaction_session_timeout", "5s"),
    ("lock_timeout", "7s"),
];

/// How long a server may take to accept a connection.
pub(super) const CONNECTING: Duration = Duration::from_secs(5);

/// How long a statement may take, its wait for the writers of other machines included. A server that was cut
/// off without a word is given up after it; one that refuses or closes is at once.
pub(super) const ANSWERING: Duration = Duration::from_secs(8);

/// What a URL says, with our settings.
pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    let options = PgConnectOptions::from_str(url)
        .map_err(|error| explain("reading the URL of the PostgreSQL database", error))?;
    Ok(options
        .application_name("moorline")
        .options(SESSION)
        .disable_statement_logging())
}

/// Opens a connection.
pub(super) async fn connect(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let doing = "connecting to PostgreSQL";
    let connecting = async {
        let connection = PgConnection::connect_with(options).await;
        connection.map_err(|error| explain(doing, error))
    };
    bounded(CONNECTING, doing, connecting).await
}

/// Gives up what takes too long.
pub(super) async fn bounded<T>(
    limit: Duration,
    doing: &str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout(limit, work).await {
        Ok(done) => done,
        Err(_) => Err(StoreError::Unavailable {
            what: format!("{doing}: no answer within {} s", limit.as_secs()),
            source: None,
        }),
    }
}
