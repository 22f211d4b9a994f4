//! How a process learns of the commits of others on the same database: `LISTEN`, on a connection of its own.
//!
//! Every transaction that appends events notifies the channel of its schema with the newest id. A listener that
//! lost its connection opens another by itself, with growing pauses, and looks at the newest event then: what
//! was told meanwhile is not lost. It looks now and then in any case, since a connection that was cut off
//! without a word is silent like one on which nothing happens.

use std::time::Duration;

use futures::FutureExt as _;
use sqlx::Row as _;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPool, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::info;

use super::connection::explain;
use super::session::{ANSWERING, CONNECTING, bounded};
use crate::database::changes::Bell;
use crate::database::sql;
use crate::error::StoreError;

/// Between two looks at a channel on which nothing happens.
const LOOK: Duration = Duration::from_secs(10);

/// Before a new connection is opened: the first pause, which doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// As [`sql::POSTGRES`] notifies it.
const CHANNEL: &str = "SELECT 'moorline_' || md5(current_schema())";

/// A task that listens; ends with this value.
#[derive(Debug)]
pub(super) struct Listener {
    _stop: oneshot::Sender<()>,
}

impl Listener {
    /// Begins to listen.
    pub(super) fn start(runtime: &Handle, options: PgConnectOptions, bell: Bell) -> Self {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = stopped.map(drop);
        runtime.spawn(async move {
            let listening = listen(&options, &bell);
            futures::future::select(Box::pin(listening), Box::pin(stopped)).await;
        });
        Self { _stop: stop }
    }
}

/// Listens for ever.
async fn listen(options: &PgConnectOptions, bell: &Bell) -> ! {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECTING)
        .connect_lazy_with(options.clone());
    let mut pause = FIRST_PAUSE;
    loop {
        let Err(error) = follow(&pool, bell, &mut pause).await else {
            continue;
        };
        info!(%error, "listening for commits again in {} ms", pause.as_millis());
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Listens on one connection until it is lost.
async fn follow(pool: &PgPool, bell: &Bell, pause: &mut Duration) -> Result<(), StoreError> {
    let failed = |error| explain("listening for commits", error);
    let connecting = async {
        let mut listener = PgListener::connect_with(pool).await.map_err(failed)?;
        listener.eager_reconnect(false);
        let row = sqlx::query(CHANNEL).fetch_one(&mut listener).await;
        let channel: String = row.and_then(|row| row.try_get(0)).map_err(failed)?;
        listener.listen(&channel).await.map_err(failed)?;
        Ok(listener)
    };
    let mut listener = bounded(ANSWERING, "listening for commits", connecting).await?;
    *pause = FIRST_PAUSE;
    loop {
        // Also what was told before this connection listened.
        bell.ring(newest(&mut listener).await?);
        loop {
            match timeout(LOOK, listener.try_recv()).await {
                Err(_) => break,
                Ok(Ok(Some(told))) => {
                    if let Ok(newest) = told.payload().parse() {
                        bell.ring(newest);
                    }
                }
                Ok(Ok(None)) => {
                    let what = "the connection that listens for commits was closed".to_owned();
                    return Err(StoreError::Unavailable { what, source: None });
                }
                Ok(Err(error)) => return Err(failed(error)),
            }
        }
    }
}

async fn newest(listener: &mut PgListener) -> Result<u64, StoreError> {
    let doing = "looking for the newest event";
    let looking = async {
        let row = sqlx::query(sql::EVENT_NEWEST).fetch_one(listener).await;
        let newest: i64 = row
            .and_then(|row| row.try_get(0))
            .map_err(|error| explain(doing, error))?;
        Ok(newest.unsigned_abs())
    };
    bounded(ANSWERING, doing, looking).await
}
