//! Moving bytes both ways between two sockets, through a filter for each way.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::event::PollFlags;

use super::wait::{Interest, Waiter, deadline, is_retry};

const BUFFER_BYTES: usize = 16 << 10;

/// Decides what of a byte stream goes on. It sees the bytes in whatever pieces they come, and must
/// come to the same result however they are cut.
pub(super) trait Filter {
    /// Takes bytes and appends to `out` what goes on.
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Flow, Fault>;

    /// The sender closed its side. [`Flow::Open`] passes the close on.
    fn end(&mut self) -> Result<Flow, Fault>;
}

/// Whether a filter takes more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// More may come.
    Open,
    /// The message is whole: nothing more is read, and the receiver is not told of an end.
    Complete,
}

/// Why a stream must not go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fault {
    /// The bytes are not what they should be.
    Malformed(&'static str),
    /// They speak to another host than the one that was asked for.
    OtherHost(String),
    /// They are not TLS, where only TLS is expected.
    NotTls,
}

/// How a relay ended.
#[derive(Debug)]
pub(super) enum End {
    /// Both ways were closed, or the answer was complete.
    Complete,
    /// The filter of one way refused to go on.
    Fault(Side, Fault),
    /// A socket failed, nothing moved for too long (`TimedOut`), or the proxy was stopped
    /// (`ConnectionAborted`).
    Broken(io::ErrorKind),
}

/// Whose bytes a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// The client's.
    Up,
    /// The destination's.
    Down,
}

/// Bytes passed on, counted while they move.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// From the client to the destination.
    pub(super) up: AtomicU64,
    /// From the destination to the client.
    pub(super) down: AtomicU64,
}

/// One way of the relay.
struct Way<'a> {
    side: Side,
    from: &'a TcpStream,
    to: &'a TcpStream,
    filter: &'a mut dyn Filter,
    counter: &'a AtomicU64,
    /// What the filter let through and the receiver did not take yet, from `sent` on.
    pending: Vec<u8>,
    sent: usize,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    /// The sender closed; the receiver is told once `pending` is empty.
    Closing,
    /// The receiver was told.
    Closed,
    /// The filter has all it wants.
    Complete,
}

impl Way<'_> {
    fn is_over(&self) -> bool {
        matches!(self.state, State::Closed | State::Complete) && self.is_flushed()
    }

    fn is_flushed(&self) -> bool {
        self.sent == self.pending.len()
    }

    fn interest(&self) -> Option<Interest<'_>> {
        if !self.is_flushed() {
            return Some((self.to.as_fd(), PollFlags::OUT));
        }
        (self.state == State::Reading).then(|| (self.from.as_fd(), PollFlags::IN))
    }

    fn feed(&mut self, input: &[u8]) -> Result<(), End> {
        let flow = self.filter.push(input, &mut self.pending);
        if flow.map_err(|fault| End::Fault(self.side, fault))? == Flow::Complete {
            self.state = State::Complete;
        }
        Ok(())
    }

    /// Reads once, when there is room. Errors are of the sending socket.
    fn turn(&mut self, buffer: &mut [u8]) -> Result<(), End> {
        if self.is_flushed() && self.state == State::Reading {
            let mut from = self.from;
            match from.read(buffer) {
                Ok(0) => {
                    let flow = self.filter.end();
                    self.state = match flow.map_err(|fault| End::Fault(self.side, fault))? {
                        Flow::Open => State::Closing,
                        Flow::Complete => State::Complete,
                    };
                }
                Ok(count) => self.feed(buffer.get(..count).unwrap_or_default())?,
                Err(error) if is_retry(&error) => {}
                Err(error) => return Err(End::Broken(error.kind())),
            }
        }
        Ok(())
    }

    /// Passes on what is pending, and the end behind it. Errors are of the receiving socket.
    fn flush(&mut self) -> io::Result<()> {
        while let Some(rest) = self
            .pending
            .get(self.sent..)
            .filter(|rest| !rest.is_empty())
        {
            let mut to = self.to;
            match to.write(rest) {
                Ok(count) => {
                    self.sent += count;
                    self.counter.fetch_add(count as u64, Ordering::Relaxed);
                }
                Err(error) if is_retry(&error) => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        self.pending.clear();
        self.sent = 0;
        if self.state == State::Closing {
            self.state = State::Closed;
            self.to.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }
}

/// Relays until both ways are over or the answer is complete. `early` is what the client sent already.
/// Both sockets are non-blocking.
pub(super) fn relay(
    waiter: &Waiter,
    (client, upstream): (&TcpStream, &TcpStream),
    (up, down): (&mut dyn Filter, &mut dyn Filter),
    early: &[u8],
    idle: Duration,
    traffic: &Traffic,
) -> End {
    let way = |side, from, to, filter, counter| Way {
        side,
        from,
        to,
        filter,
        counter,
        pending: Vec::new(),
        sent: 0,
        state: State::Reading,
    };
    let mut up = way(Side::Up, client, upstream, up, &traffic.up);
    let mut down = way(Side::Down, upstream, client, down, &traffic.down);
    match up
        .feed(early)
        .and_then(|()| run(waiter, &mut up, &mut down, idle))
    {
        Ok(()) => End::Complete,
        Err(end) => end,
    }
}

fn run(waiter: &Waiter, up: &mut Way<'_>, down: &mut Way<'_>, idle: Duration) -> Result<(), End> {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        if up.flush().is_err() {
            // The destination takes no more, but its answer may say why.
            up.pending.clear();
            up.sent = 0;
            up.state = State::Closed;
        }
        down.flush().map_err(|error| End::Broken(error.kind()))?;
        // An answer that is complete ends the exchange; a tunnel ends when both ways did.
        let answered = down.state == State::Complete;
        if down.is_over() && (answered || up.is_over()) {
            return Ok(());
        }
        let interests: Vec<_> = [up.interest(), down.interest()]
            .into_iter()
            .flatten()
            .collect();
        let waited = waiter.wait(&interests, Some(deadline(idle)));
        waited.map_err(|error| End::Broken(error.kind()))?;
        up.turn(&mut buffer)?;
        down.turn(&mut buffer)?;
    }
}
