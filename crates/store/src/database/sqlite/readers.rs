//! Connections for reading, a few, opened when they are first needed.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use futures::FutureExt as _;
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task;

use super::{connection, not_ready};
use crate::database::query::Query;
use crate::error::StoreError;

/// Reads at a time.
const READERS: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    path: PathBuf,
    permits: Semaphore,
    idle: Arc<Mutex<Vec<Connection>>>,
}

impl Readers {
    pub(super) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            permits: Semaphore::new(READERS),
            idle: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// Runs a query on a blocking thread.
    pub(super) async fn read<Q: Query>(&self, query: Q) -> Result<Q::Reply, StoreError> {
        let acquired = self.permits.acquire().await;
        let permit = acquired
            .map_err(|error| StoreError::unavailable("the store is being closed", error))?;
        let idle = Arc::clone(&self.idle);
        let path = self.path.clone();
        let reading = task::spawn_blocking(move || {
            let free = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = match free {
                Some(connection) => connection,
                None => connection::open_for_reading(&path)?,
            };
            let reply = query
                .read(&mut connection)
                .now_or_never()
                .ok_or_else(not_ready)?;
            idle.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(connection);
            reply
        });
        let reply = reading.await;
        drop(permit);
        reply.map_err(|error| StoreError::unavailable("reading from the store", error))?
    }

    /// Closes the connections that are not in use.
    pub(super) fn close(&self) {
        self.permits.close();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}
