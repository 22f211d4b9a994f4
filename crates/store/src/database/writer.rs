//! The one writer of a process, and group commit.
//!
//! A commit waits for the disk: 0.1 ms on an idle machine, several on a busy one. So the writer
//! takes everything that waits (at most [`BATCH`]), runs it in one transaction, commits once and
//! answers all. It never waits for more to come: alone, an intent is its own batch.
//!
//! In a batch each intent has a savepoint, so that one which is refused leaves no trace and harms no
//! other. Nobody is answered before the commit, also not with a refusal: it may rest on what an
//! earlier intent of the batch did.
//!
//! An intent that was handed over is carried out even if its caller stops waiting for the answer.

use std::error::Error;
use std::fmt;
use std::sync::Arc;

use futures::future::{BoxFuture, FutureExt as _};
use tokio::sync::{mpsc, oneshot};

use crate::database::tx::{Tx, args};
use crate::database::unit::Unit;
use crate::error::StoreError;

/// Intents of one transaction, at most: bounds how long a reader of the write-ahead log and the
/// writers of other processes wait.
pub(crate) const BATCH: usize = 256;

/// Intents that wait for the writer, at most; further callers wait for a place.
const QUEUE: usize = 1024;

/// A named, atomic change of the store.
pub(crate) trait Intent: Send + 'static {
    /// What the caller gets.
    type Reply: Send + 'static;

    /// Does it. On an error everything it wrote is rolled back.
    fn apply<T: Tx>(
        &self,
        unit: &mut Unit<'_, T>,
    ) -> impl Future<Output = Result<Self::Reply, StoreError>> + Send;
}

/// An intent on its way, whatever its type.
pub(crate) trait Job<T: Tx>: Send {
    /// Runs it; says whether it is to be kept.
    fn run<'a>(&'a mut self, unit: &'a mut Unit<'_, T>) -> BoxFuture<'a, bool>;

    /// The error it ran into, if it did.
    fn take_error(&mut self) -> Option<StoreError>;

    /// Answers the caller, with the failure of the whole batch when there is one.
    fn answer(self: Box<Self>, failure: Option<&BatchFailure>);
}

struct Pending<I: Intent> {
    intent: I,
    outcome: Option<Result<I::Reply, StoreError>>,
    reply: oneshot::Sender<Result<I::Reply, StoreError>>,
}

impl<I: Intent + Sync, T: Tx> Job<T> for Pending<I> {
    fn run<'a>(&'a mut self, unit: &'a mut Unit<'_, T>) -> BoxFuture<'a, bool> {
        async move {
            let outcome = self.intent.apply(unit).await;
            let keep = outcome.is_ok();
            self.outcome = Some(outcome);
            keep
        }
        .boxed()
    }

    fn take_error(&mut self) -> Option<StoreError> {
        self.outcome.take_if(|outcome| outcome.is_err())?.err()
    }

    fn answer(self: Box<Self>, failure: Option<&BatchFailure>) {
        let outcome = match (failure, self.outcome) {
            (None, Some(outcome)) => outcome,
            (Some(failure), _) => Err(failure.error()),
            (None, None) => Err(ended()),
        };
        // A caller that is gone does not want it any more.
        drop(self.reply.send(outcome));
    }
}

/// The way to the writer.
pub(crate) struct Writer<T> {
    queue: mpsc::Sender<Box<dyn Job<T>>>,
}

/// Where the writer takes its work from.
pub(crate) type Queue<T> = mpsc::Receiver<Box<dyn Job<T>>>;

impl<T: Tx> Writer<T> {
    /// A handle, and the queue for whoever runs the writer. The queue ends with the handle.
    pub(crate) fn new() -> (Self, Queue<T>) {
        let (queue, jobs) = mpsc::channel(QUEUE);
        (Self { queue }, jobs)
    }

    /// Hands an intent over and waits until it is durable.
    pub(crate) async fn submit<I: Intent + Sync>(&self, intent: I) -> Result<I::Reply, StoreError> {
        let (reply, answer) = oneshot::channel();
        let pending = Pending {
            intent,
            outcome: None,
            reply,
        };
        self.queue
            .send(Box::new(pending))
            .await
            .map_err(|_| ended())?;
        answer.await.unwrap_or_else(|_| Err(ended()))
    }
}

impl<T> fmt::Debug for Writer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("free", &self.queue.capacity())
            .finish_non_exhaustive()
    }
}

pub(crate) fn ended() -> StoreError {
    StoreError::Unavailable {
        what: "the store's writer has ended".to_owned(),
        source: None,
    }
}

/// Why no intent of a batch was kept.
#[derive(Debug, Clone)]
pub(crate) struct BatchFailure {
    cause: Arc<StoreError>,
    /// Whether the transaction never began, so that the batch may be run again.
    #[cfg_attr(
        not(feature = "postgres"),
        expect(dead_code, reason = "only a connection over a network is replaced")
    )]
    pub(crate) untouched: bool,
}

impl BatchFailure {
    fn new(cause: StoreError, untouched: bool) -> Self {
        Self {
            cause: Arc::new(cause),
            untouched,
        }
    }

    /// The batch could not begin, and can not be tried again.
    #[cfg(feature = "postgres")]
    pub(crate) fn untouched(cause: StoreError) -> Self {
        Self::new(cause, true)
    }

    fn error(&self) -> StoreError {
        StoreError::Unavailable {
            what: self.cause.to_string(),
            source: self
                .cause
                .source()
                .is_some()
                .then(|| Box::new(self.clone()) as _),
        }
    }
}

/// Stands for the cause of the shared error, which is told by the error that holds this.
impl fmt::Display for BatchFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause.source() {
            Some(cause) => write!(f, "{cause}"),
            None => write!(f, "{}", self.cause),
        }
    }
}

impl Error for BatchFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.cause.source().and_then(Error::source)
    }
}

/// Runs a batch in one transaction. Whoever calls this answers the jobs afterwards, and tells of the newest
/// event, whose id is given when the batch appended one.
pub(crate) async fn run_batch<T: Tx>(
    tx: &mut T,
    jobs: &mut [Box<dyn Job<T>>],
) -> Result<Option<u64>, BatchFailure> {
    let begun = tx.execute(T::DIALECT.begin, args![]).await;
    begun.map_err(|error| BatchFailure::new(error, true))?;
    let done = match run_jobs(tx, jobs).await {
        Ok(Kept::Something { newest }) => commit(tx).await.map(|()| newest),
        Ok(Kept::Nothing) => rollback(tx).await.map(|()| None),
        Err(error) => {
            // The engine may have rolled back by itself (a full disk); the first error is the cause.
            give_up(tx).await;
            Err(error)
        }
    };
    done.map_err(|error| BatchFailure::new(error, false))
}

/// What a batch comes to.
enum Kept {
    /// There is something to commit, with this newest event when one was appended.
    Something {
        newest: Option<u64>,
    },
    Nothing,
}

async fn commit<T: Tx>(tx: &mut T) -> Result<(), StoreError> {
    let Err(error) = tx.execute("COMMIT", args![]).await else {
        return Ok(());
    };
    give_up(tx).await;
    let what = "committing to the store (whether the change was kept is not known)";
    Err(StoreError::unavailable(what, error))
}

/// Ends a transaction that failed, where the connection is used again; closing it does the same, and asks
/// nothing of a server that may not answer.
async fn give_up<T: Tx>(tx: &mut T) {
    if T::LASTS {
        drop(rollback(tx).await);
    }
}

async fn rollback<T: Tx>(tx: &mut T) -> Result<(), StoreError> {
    tx.execute("ROLLBACK", args![]).await.map(drop)
}

/// Runs every job.
async fn run_jobs<T: Tx>(tx: &mut T, jobs: &mut [Box<dyn Job<T>>]) -> Result<Kept, StoreError> {
    let mut unit = Unit::open(tx).await?;
    let before = unit.newest_event();
    if let [alone] = jobs {
        if !alone.run(&mut unit).await {
            return Ok(Kept::Nothing);
        }
    } else {
        for job in jobs {
            let mark = unit.mark();
            unit.tx.execute("SAVEPOINT intent", args![]).await?;
            if !job.run(&mut unit).await {
                if let Err(error) = unit.tx.execute("ROLLBACK TO intent", args![]).await {
                    // The engine gave the whole transaction up; what the intent ran into is why.
                    return Err(job.take_error().unwrap_or(error));
                }
                unit.reset(mark);
            }
            unit.tx.execute("RELEASE intent", args![]).await?;
        }
    }
    unit.close().await?;
    let newest = unit.newest_event();
    Ok(Kept::Something {
        newest: (newest > before).then_some(newest),
    })
}

#[cfg(all(test, feature = "sqlite"))]
mod tests;
