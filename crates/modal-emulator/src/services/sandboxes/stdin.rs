//! Standard input by offset: a write that is repeated is applied once, and nothing is skipped.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::task::TaskTracker;
use tonic::Status;

use crate::container::Process;

/// Bytes that wait for the process to read them. A writer that is further ahead is held up.
const AHEAD: usize = 8 << 20;

/// The standard input of one process.
#[derive(Debug)]
pub(crate) struct Stdin {
    /// Writers take turns: the offset is checked and the bytes are queued in one step.
    turn: tokio::sync::Mutex<()>,
    state: Mutex<State>,
    room: Arc<Semaphore>,
    /// Wakes writers that were put aside by [`evict`](Self::evict).
    evicted: Notify,
}

#[derive(Debug)]
struct State {
    accepted: u64,
    /// The last of the writes that came with a number.
    number: u32,
    closed: bool,
    queue: Option<mpsc::UnboundedSender<Bytes>>,
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) bytes: u64,
    pub(crate) closed: bool,
}

impl Stdin {
    /// Feeds a process, in the background, until it ends.
    pub(crate) fn feed(process: Arc<Process>, tasks: &TaskTracker) -> Self {
        let (queue, mut waiting) = mpsc::unbounded_channel::<Bytes>();
        let room = Arc::new(Semaphore::new(AHEAD));
        let taken = Arc::clone(&room);
        tasks.spawn(async move {
            let ended = process.wait();
            let feeding = async {
                while let Some(data) = waiting.recv().await {
                    let bytes = data.len();
                    // Nobody reads it: the end of the process says more than an error here would.
                    drop(process.write_stdin(data).await);
                    taken.add_permits(bytes);
                }
                process.close_stdin().await;
            };
            tokio::select! {
                _ = ended => {}
                () = feeding => {}
            }
            taken.close();
        });
        Self::with(Some(queue), room)
    }

    /// Of a process that was never there.
    pub(crate) fn none() -> Self {
        let room = Semaphore::new(0);
        room.close();
        Self::with(None, Arc::new(room))
    }

    fn with(queue: Option<mpsc::UnboundedSender<Bytes>>, room: Arc<Semaphore>) -> Self {
        Self {
            turn: tokio::sync::Mutex::new(()),
            state: Mutex::new(State {
                accepted: 0,
                number: 0,
                closed: false,
                queue,
            }),
            room,
            evicted: Notify::new(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How much was accepted so far.
    pub(crate) fn written(&self) -> Written {
        let state = self.state();
        Written {
            bytes: state.accepted,
            closed: state.closed,
        }
    }

    /// Sends away whoever is in the middle of writing; what was accepted stays accepted.
    pub(crate) fn evict(&self) {
        self.evicted.notify_waiters();
    }

    /// Accepts `data`, whose first byte is at `offset` of the whole input, and with `eof` ends the input.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when the process has ended or its input was closed before; `OUT_OF_RANGE` when
    /// bytes before `offset` were not sent yet.
    pub(crate) async fn write(&self, offset: u64, data: Bytes, eof: bool) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        self.write_in_turn(offset, data, eof).await
    }

    /// As [`write`](Self::write), for writes with a number, from 1 on, in place of an offset.
    pub(crate) async fn write_nth(
        &self,
        number: u32,
        data: Bytes,
        eof: bool,
    ) -> Result<(), Status> {
        let _turn = self.turn.lock().await;
        let (last, accepted) = {
            let state = self.state();
            (state.number, state.accepted)
        };
        if number <= last {
            return Ok(());
        }
        if number > last + 1 {
            let text = format!(
                "stdin continues with write {}, and this is write {number}",
                last + 1
            );
            return Err(Status::out_of_range(text));
        }
        self.write_in_turn(accepted, data, eof).await?;
        self.state().number = number;
        Ok(())
    }

    async fn write_in_turn(&self, offset: u64, data: Bytes, eof: bool) -> Result<(), Status> {
        let Written {
            bytes: accepted,
            closed,
        } = self.written();
        if offset > accepted {
            return Err(Status::out_of_range(format!(
                "stdin continues at byte {accepted}, and the write begins at byte {offset}"
            )));
        }
        let known = usize::try_from(accepted - offset)
            .unwrap_or(usize::MAX)
            .min(data.len());
        let fresh = data.slice(known..);
        if closed {
            return if fresh.is_empty() {
                Ok(())
            } else {
                Err(Status::failed_precondition("stdin was closed before"))
            };
        }
        for piece in pieces(&fresh) {
            tokio::select! {
                room = self.room.acquire_many(u32::try_from(piece.len()).unwrap_or(u32::MAX)) => {
                    room.map_err(|_| ended())?.forget();
                }
                () = self.evicted.notified() => {
                    return Err(Status::aborted("another writer took over this stdin"));
                }
            }
            self.accept(piece)?;
        }
        if eof {
            let mut state = self.state();
            state.closed = true;
            state.queue = None;
        }
        Ok(())
    }

    fn accept(&self, piece: Bytes) -> Result<(), Status> {
        let mut state = self.state();
        let bytes = piece.len() as u64;
        let queue = state.queue.as_ref().ok_or_else(ended)?;
        queue.send(piece).map_err(|_| ended())?;
        state.accepted += bytes;
        Ok(())
    }
}

/// Pieces that fit into [`AHEAD`].
fn pieces(data: &Bytes) -> impl Iterator<Item = Bytes> {
    let data = data.clone();
    (0..data.len())
        .step_by(AHEAD)
        .map(move |at| data.slice(at..data.len().min(at + AHEAD)))
}

fn ended() -> Status {
    Status::failed_precondition("the process has ended, nobody reads its stdin")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> (Stdin, mpsc::UnboundedReceiver<Bytes>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        (
            Stdin::with(Some(queue), Arc::new(Semaphore::new(AHEAD))),
            waiting,
        )
    }

    #[tokio::test]
    async fn a_repeated_write_is_applied_once_and_a_gap_is_refused() {
        let (stdin, mut waiting) = queue();
        let hello = Bytes::from_static(b"hello");
        stdin.write(0, hello.clone(), false).await.unwrap();
        stdin.write(0, hello.clone(), false).await.unwrap();
        stdin
            .write(3, Bytes::from_static(b"lo, you"), true)
            .await
            .unwrap();
        stdin
            .write(3, Bytes::from_static(b"lo, you"), true)
            .await
            .unwrap();
        assert_eq!(
            stdin.written(),
            Written {
                bytes: 10,
                closed: true
            }
        );
        let mut fed = Vec::new();
        while let Some(data) = waiting.recv().await {
            fed.extend_from_slice(&data);
        }
        assert_eq!(fed, b"hello, you");
        let late = stdin.write(10, hello.clone(), false).await.unwrap_err();
        assert_eq!(late.code(), tonic::Code::FailedPrecondition);
        let (stdin, _waiting) = queue();
        let gap = stdin.write(7, hello, false).await.unwrap_err();
        assert_eq!(gap.code(), tonic::Code::OutOfRange);
    }

    #[tokio::test]
    async fn a_process_that_is_not_there_refuses() {
        let refused = Stdin::none()
            .write(0, Bytes::from_static(b"x"), false)
            .await
            .unwrap_err();
        assert_eq!(refused.code(), tonic::Code::FailedPrecondition);
    }

    #[tokio::test]
    async fn a_writer_that_is_held_up_is_evicted_and_what_was_accepted_is_told() {
        let (stdin, _waiting) = queue();
        let stdin = Arc::new(stdin);
        stdin
            .write(0, Bytes::from(vec![0; AHEAD]), false)
            .await
            .unwrap();
        let writer = Arc::clone(&stdin);
        let late = writer.write(AHEAD as u64, Bytes::from_static(b"x"), false);
        let evicting = async {
            // By now the writer, which is polled first, waits for room.
            stdin.evict();
        };
        let (refused, ()) = tokio::join!(biased; late, evicting);
        assert_eq!(refused.unwrap_err().code(), tonic::Code::Aborted);
        assert_eq!(
            stdin.written(),
            Written {
                bytes: AHEAD as u64,
                closed: false
            }
        );
    }
}
