//! The blocking end of a socket that carries frames and descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::frame::{Decoder, encode};

/// Most descriptors that come with one frame.
const MOST: usize = 8;

/// One end of a socket.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: UnixStream,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
}

impl Channel {
    /// Over this socket.
    pub(crate) fn new(socket: impl Into<OwnedFd>) -> Self {
        Self {
            socket: UnixStream::from(socket.into()),
            decoder: Decoder::default(),
            descriptors: VecDeque::new(),
        }
    }

    /// Takes standard input over, and leaves `/dev/null` in its place.
    pub(crate) fn from_stdin() -> io::Result<Self> {
        let socket = io::stdin().as_fd().try_clone_to_owned()?;
        rustix::stdio::dup2_stdin(null()?)?;
        Ok(Self::new(socket))
    }

    /// Sends one frame, with descriptors.
    pub(crate) fn send<T: Serialize>(
        &mut self,
        value: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = encode(value)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("no space for descriptors"));
        }
        let sent = loop {
            let slices = [IoSlice::new(&frame)];
            match sendmsg(&self.socket, &slices, &mut control, SendFlags::NOSIGNAL) {
                Err(Errno::INTR) => {}
                sent => break sent?,
            }
        };
        self.socket.write_all(frame.get(sent..).unwrap_or_default())
    }

    /// The next frame; `None` when the other end is closed.
    pub(crate) fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(value) = self.decoder.take()? {
                return Ok(Some(value));
            }
            if !self.read()? {
                return Ok(None);
            }
        }
    }

    /// A descriptor that came with a frame.
    pub(crate) fn take_descriptor(&mut self) -> io::Result<OwnedFd> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
        self.descriptors.pop_front().ok_or_else(missing)
    }

    /// Reads what is there, waiting for something. False at the end.
    fn read(&mut self) -> io::Result<bool> {
        let mut chunk = [0; 16 * 1024];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut slices = [IoSliceMut::new(&mut chunk)];
        let received = loop {
            let flags = RecvFlags::CMSG_CLOEXEC;
            match recvmsg(&self.socket, &mut slices, &mut control, flags) {
                Err(Errno::INTR) => {}
                Err(Errno::CONNRESET) => return Ok(false),
                received => break received?.bytes,
            }
        };
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                self.descriptors.extend(descriptors);
            }
        }
        self.decoder.push(chunk.get(..received).unwrap_or_default());
        Ok(received > 0)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The null device.
pub(crate) fn null() -> io::Result<OwnedFd> {
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map(OwnedFd::from)
}
