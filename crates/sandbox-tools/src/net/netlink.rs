//! Talking to the kernel by netlink(7): messages of nested attributes, each acknowledged.

use std::io;
use std::os::fd::OwnedFd;

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType};

/// `NLM_F_REQUEST | NLM_F_ACK`.
pub(super) const REQUEST: u16 = 5;
/// `NLM_F_CREATE`.
pub(super) const CREATE: u16 = 0x400;
/// `NLM_F_REPLACE`.
pub(super) const REPLACE: u16 = 0x100;
/// `NLM_F_APPEND`.
pub(super) const APPEND: u16 = 0x800;
/// `NLMSG_ERROR`, which is also the acknowledgement.
const ANSWER: u16 = 2;
/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;
/// Length of a message's head: length, kind, flags, number, sender.
const HEAD: usize = 16;

/// Attributes, one after the other.
#[derive(Debug, Default)]
pub(super) struct Attributes(Vec<u8>);

impl Attributes {
    /// With one more.
    pub(super) fn with(mut self, kind: u16, value: &[u8]) -> Self {
        let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
        self.0.extend(length.to_ne_bytes());
        self.0.extend(kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        // Each begins at a multiple of four.
        self.0.resize(self.0.len().next_multiple_of(4), 0);
        self
    }

    /// As they are in a message.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// With a number as the network has it.
    pub(super) fn with_number(self, kind: u16, value: u32) -> Self {
        self.with(kind, &value.to_be_bytes())
    }

    /// With text, which ends with a zero.
    pub(super) fn with_text(self, kind: u16, value: &str) -> Self {
        self.with(kind, &[value.as_bytes(), &[0]].concat())
    }

    /// With attributes in an attribute.
    pub(super) fn with_nested(self, kind: u16, inner: &Self) -> Self {
        self.with(kind | NESTED, &inner.0)
    }
}

/// One message.
pub(super) fn message(kind: u16, flags: u16, head: &[u8], attributes: &Attributes) -> Vec<u8> {
    let length = HEAD + head.len() + attributes.0.len();
    let mut bytes = Vec::with_capacity(length);
    bytes.extend(u32::try_from(length).unwrap_or(u32::MAX).to_ne_bytes());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Number and sender: one thing is asked at a time, and the kernel knows who asks.
    bytes.extend([0; 8]);
    bytes.extend_from_slice(head);
    bytes.extend_from_slice(&attributes.0);
    bytes
}

/// Sends messages to a part of the kernel and waits for as many acknowledgements. The first refusal is the
/// error.
pub(super) fn ask(protocol: Option<Protocol>, messages: &[u8], answers: usize) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC;
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, protocol)?;
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, messages, SendFlags::empty(), &kernel)?;
    let mut left = answers;
    while left > 0 {
        left = left.saturating_sub(receive(&socket)?);
    }
    Ok(())
}

/// How many acknowledgements came in one piece.
fn receive(socket: &OwnedFd) -> io::Result<usize> {
    let mut buffer = [0; 8192];
    let (_, length) = rustix::net::recv(socket, &mut buffer, RecvFlags::empty())?;
    let mut rest = buffer.get(..length).unwrap_or_default();
    let mut count = 0;
    while let Some((length, kind, error)) = head(rest) {
        if kind == ANSWER {
            if error != 0 {
                return Err(io::Error::from_raw_os_error(-error));
            }
            count += 1;
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    if count == 0 {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(count)
}

/// Length, kind, and the number that an answer begins with.
fn head(bytes: &[u8]) -> Option<(usize, u16, i32)> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?);
    let kind = u16::from_ne_bytes(*bytes.get(4..)?.first_chunk()?);
    let error = bytes.get(HEAD..)?.first_chunk().copied()?;
    let length = usize::try_from(length)
        .ok()
        .filter(|length| *length >= HEAD)?;
    Some((length.next_multiple_of(4), kind, i32::from_ne_bytes(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_padded_attributes_behind_a_head() {
        let inner = Attributes::default().with_text(2, "ab");
        let attributes = Attributes::default()
            .with_number(1, 7)
            .with_nested(3, &inner);
        let bytes = message(24, REQUEST | CREATE, &[9, 9, 9, 9], &attributes);
        let (length, kind, flags) = (40_u32, 24_u16, 0x405_u16);
        let mut expected = Vec::new();
        expected.extend(length.to_ne_bytes());
        expected.extend(kind.to_ne_bytes());
        expected.extend(flags.to_ne_bytes());
        expected.extend([0; 8]);
        expected.extend([9; 4]);
        let attribute = |length: u16, kind: u16, value: &[u8]| {
            [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat()
        };
        expected.extend(attribute(8, 1, &[0, 0, 0, 7]));
        expected.extend(attribute(12, 0x8003, &attribute(7, 2, b"ab\0")));
        expected.push(0);
        assert_eq!(bytes, expected);
    }
}
