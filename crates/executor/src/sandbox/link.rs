//! The socket between a supervisor and the helper inside the sandbox.
//!
//! Downwards: one request, then one byte for each wish to end the job politely. Upwards: reports, one of
//! which carries the descriptor of a listening socket. Frames are four bytes of length (little endian)
//! and JSON. The helper holds its end as standard input and closes it on exec, so the job can neither read
//! the request nor forge a report.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use moorline_core::spec::Arg;
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::rlimit::Rlimits;
use crate::supervise::request::SecretText;

/// A longer frame is not one of ours.
const LONGEST: usize = 64 << 20;

/// What the helper is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    /// The command; empty for a trial that only reports what could be enforced.
    pub(crate) argv: Vec<Arg>,
    /// The whole environment, secrets and all.
    pub(crate) env: BTreeMap<String, SecretText>,
    pub(crate) working_dir: String,
    pub(crate) confine: Confine,
    /// Bind the proxy's port and hand the socket up.
    pub(crate) proxy: bool,
    /// Temporary file systems whose size is a limit, to be looked at in the end.
    pub(crate) scratch: Vec<String>,
}

/// What the helper takes from itself before the job starts. What is asked for here must be had: anything
/// that fails ends the helper before the job begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Confine {
    /// Own user, network and IPC namespaces, when nobody made them before.
    pub(crate) namespaces: Option<Namespaces>,
    /// Most tasks alive at once in the process namespace.
    pub(crate) tasks: Option<u32>,
    pub(crate) rlimits: Rlimits,
    pub(crate) landlock: Option<FileAccess>,
    pub(crate) seccomp: bool,
}

/// Namespaces that a process can make for itself. With them the helper becomes the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Namespaces {
    /// No network at all.
    pub(crate) network: bool,
}

/// Files that landlock leaves to the job.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileAccess {
    /// Readable and executable, with everything below.
    pub(crate) read: Vec<String>,
    /// Readable and writable, with everything below.
    pub(crate) write: Vec<String>,
    /// Whether TCP is closed as well.
    pub(crate) no_tcp: bool,
}

/// What the helper tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The proxy's listening socket comes with this frame.
    Listening,
    /// The job was not started, and will not be.
    Failed(String),
    /// Everything asked for is in force, and the job (if there is one) has started.
    Started {
        /// What landlock enforces, for people.
        landlock: Option<String>,
    },
    /// The job's main process has ended, and nothing else of it runs.
    Ended(Ended),
}

/// How a job ended, as its helper saw it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) signal: Option<i32>,
    /// User and system time of all its processes.
    pub(crate) cpu_micros: u64,
    /// Peak of the largest process.
    pub(crate) peak_bytes: u64,
    /// Most tasks seen at once, of those times that were looked at.
    pub(crate) tasks: u32,
    /// Temporary file systems that are full.
    pub(crate) full: Vec<String>,
}

/// The supervisor's end.
#[derive(Debug)]
pub(crate) struct Link {
    socket: UnixStream,
    received: Vec<u8>,
    descriptors: VecDeque<OwnedFd>,
}

impl Link {
    /// Makes a link; the second value is the helper's standard input.
    pub(crate) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = UnixStream::pair()?;
        Ok((
            Self {
                socket: ours,
                received: Vec::new(),
                descriptors: VecDeque::new(),
            },
            theirs.into(),
        ))
    }

    /// Gives the orders. Blocks while the helper is slow to read long ones.
    pub(crate) fn send(&mut self, orders: &Orders) -> io::Result<()> {
        let frame = frame(orders)?;
        self.socket.write_all(&frame)?;
        self.socket.set_nonblocking(true)
    }

    /// Wishes the job to end. It may be over already.
    pub(crate) fn terminate(&mut self) -> io::Result<()> {
        match self.socket.write(b"T") {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map(drop),
        }
    }

    /// What has been reported, and whether the helper's end is closed.
    pub(crate) fn receive(&mut self) -> io::Result<(Vec<Report>, bool)> {
        let mut closed = false;
        loop {
            let mut chunk = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut slices = [IoSliceMut::new(&mut chunk)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let length = match recvmsg(&self.socket, &mut slices, &mut control, flags) {
                Ok(message) => message.bytes,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => continue,
                Err(Errno::CONNRESET) => 0,
                Err(error) => return Err(error.into()),
            };
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.descriptors.extend(descriptors);
                }
            }
            if length == 0 {
                closed = true;
                break;
            }
            self.received
                .extend_from_slice(chunk.get(..length).unwrap_or_default());
        }
        let mut reports = Vec::new();
        while let Some(report) = self.next_report()? {
            reports.push(report);
        }
        Ok((reports, closed))
    }

    /// The descriptor that came with [`Report::Listening`].
    pub(crate) fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }

    fn next_report(&mut self) -> io::Result<Option<Report>> {
        let Some((head, rest)) = self.received.split_first_chunk::<4>() else {
            return Ok(None);
        };
        let length = frame_length(*head)?;
        let Some(body) = rest.get(..length) else {
            return Ok(None);
        };
        let report = serde_json::from_slice(body)?;
        self.received.drain(..4 + length);
        Ok(Some(report))
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The helper's end: its standard input.
#[derive(Debug)]
pub(super) struct Inside(UnixStream);

impl Inside {
    /// Takes standard input over, and leaves `/dev/null` in its place.
    pub(super) fn new() -> io::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(null()?)?;
        Ok(Self(UnixStream::from(socket)))
    }

    /// Reads the orders. `None` when the supervisor is gone.
    pub(super) fn orders(&mut self) -> io::Result<Option<Orders>> {
        let mut head = [0; 4];
        match self.0.read_exact(&mut head) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            other => other?,
        }
        let mut body = Zeroizing::new(vec![0; frame_length(head)?]);
        self.0.read_exact(&mut body)?;
        serde_json::from_slice(&body)
            .map(Some)
            .map_err(io::Error::from)
    }

    pub(super) fn report(&mut self, report: &Report) -> io::Result<()> {
        self.0.write_all(&frame(report)?)
    }

    /// Reports with a descriptor.
    pub(super) fn hand_over(
        &mut self,
        report: &Report,
        descriptor: BorrowedFd<'_>,
    ) -> io::Result<()> {
        let frame = frame(report)?;
        let descriptors = [descriptor];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::Error::other("no space for a descriptor"));
        }
        // A fresh stream socket takes a frame this small at once.
        sendmsg(
            &self.0,
            &[IoSlice::new(&frame)],
            &mut control,
            SendFlags::NOSIGNAL,
        )?;
        Ok(())
    }

    /// Takes what the supervisor wished since: whether the job shall end, and whether the supervisor is
    /// gone. Blocks when there is nothing, so poll first.
    pub(super) fn wishes(&mut self) -> io::Result<(bool, bool)> {
        let mut bytes = [0; 16];
        let length = self.0.read(&mut bytes)?;
        Ok((length > 0, length == 0))
    }
}

impl AsFd for Inside {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The null device.
pub(super) fn null() -> io::Result<OwnedFd> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(OwnedFd::from)
}

fn frame<T: Serialize>(value: &T) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(16 * 1024));
    bytes.extend_from_slice(&[0; 4]);
    serde_json::to_writer(&mut *bytes, value)?;
    let length = u32::try_from(bytes.len() - 4).map_err(io::Error::other)?;
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

fn frame_length(head: [u8; 4]) -> io::Result<usize> {
    let length = u32::from_le_bytes(head) as usize;
    let fits = length <= LONGEST;
    fits.then_some(length)
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_and_a_descriptor_arrive_whole_and_in_order() {
        let (mut link, theirs) = Link::pair().unwrap();
        link.socket.set_nonblocking(true).unwrap();
        let mut inside = Inside(UnixStream::from(theirs));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let ended = Report::Ended(Ended {
            code: Some(3),
            full: vec!["/tmp".into()],
            ..Ended::default()
        });
        inside
            .hand_over(&Report::Listening, listener.as_fd())
            .unwrap();
        inside.report(&ended).unwrap();
        assert_eq!(
            link.receive().unwrap(),
            (vec![Report::Listening, ended], false)
        );
        let same = std::net::TcpListener::from(link.take_descriptor().unwrap());
        assert_eq!(same.local_addr().unwrap(), listener.local_addr().unwrap());
        drop(inside);
        assert_eq!(link.receive().unwrap(), (vec![], true));
    }
}
