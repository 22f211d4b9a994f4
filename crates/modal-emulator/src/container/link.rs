//! The emulator's end of a socket that carries frames and descriptors.

use std::collections::VecDeque;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use moorline_sandbox_tools::frame::{Decoder, encode};
use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Most descriptors that come with one frame.
const MOST: usize = 8;

/// One end.
#[derive(Debug)]
pub(super) struct Link {
    socket: UnixStream,
    decoder: Decoder,
    descriptors: VecDeque<OwnedFd>,
}

impl Link {
    /// A link, and the other end for someone else.
    pub(super) fn pair() -> io::Result<(Self, OwnedFd)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let link = Self {
            socket: UnixStream::from_std(ours)?,
            decoder: Decoder::default(),
            descriptors: VecDeque::new(),
        };
        Ok((link, theirs.into()))
    }

    /// Another descriptor of the same socket, to watch or shut it.
    pub(super) fn twin(&self) -> io::Result<OwnedFd> {
        self.socket.as_fd().try_clone_to_owned()
    }

    /// Sends one frame, with descriptors. Not cancel-safe.
    pub(super) async fn send<T: Serialize + Sync>(
        &self,
        value: &T,
        descriptors: &[BorrowedFd<'_>],
    ) -> io::Result<()> {
        let frame = encode(value)?;
        let mut sent = self
            .socket
            .async_io(Interest::WRITABLE, || {
                let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
                let mut control = SendAncillaryBuffer::new(&mut space);
                if !descriptors.is_empty()
                    && !control.push(SendAncillaryMessage::ScmRights(descriptors))
                {
                    return Err(io::Error::other("no space for descriptors"));
                }
                let slices = [IoSlice::new(&frame)];
                Ok(sendmsg(
                    &self.socket,
                    &slices,
                    &mut control,
                    SendFlags::NOSIGNAL,
                )?)
            })
            .await?;
        while sent < frame.len() {
            self.socket.writable().await?;
            match self.socket.try_write(frame.get(sent..).unwrap_or_default()) {
                Ok(more) => sent += more,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The next frame; `None` when the other end is closed. Cancel-safe.
    pub(super) async fn receive<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(value) = self.decoder.take()? {
                return Ok(Some(value));
            }
            let mut chunk = [0; 4096];
            let mut arrived = Vec::new();
            let received = self
                .socket
                .async_io(Interest::READABLE, || {
                    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
                    let mut control = RecvAncillaryBuffer::new(&mut space);
                    let mut slices = [IoSliceMut::new(&mut chunk)];
                    let flags = RecvFlags::CMSG_CLOEXEC;
                    let received = match recvmsg(&self.socket, &mut slices, &mut control, flags) {
                        Err(Errno::CONNRESET) => 0,
                        received => received?.bytes,
                    };
                    for message in control.drain() {
                        if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                            arrived.extend(descriptors);
                        }
                    }
                    Ok(received)
                })
                .await?;
            self.descriptors.extend(arrived);
            if received == 0 {
                return Ok(None);
            }
            self.decoder.push(chunk.get(..received).unwrap_or_default());
        }
    }

    /// A descriptor that came with a frame.
    pub(super) fn take_descriptor(&mut self) -> io::Result<OwnedFd> {
        let missing = || io::Error::new(io::ErrorKind::InvalidData, "a descriptor is missing");
        self.descriptors.pop_front().ok_or_else(missing)
    }
}
