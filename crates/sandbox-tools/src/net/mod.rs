//! A network of the container's own, with nothing in it but its loopback.
//!
//! Two ways lead out, both to sockets that are bound here and served by the emulator outside: the filtering
//! proxy, for programs that are told of it; and redirection, for all others. For the latter a destination
//! that may be reached has a route to the loopback, where netfilter turns the connection over to a
//! listener, which learns from the kernel where it was meant to go. Whatever has no route is refused at
//! once, by the kernel, as in a network without a way out.

mod netlink;
mod nft;
mod routes;

use std::io;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::os::fd::OwnedFd;

use nix::sched::{CloneFlags, unshare};

pub(crate) use self::routes::Routes;
use crate::wire::PROXY_PORT;

/// The port of the listener that redirected connections come to.
const REDIRECTED_PORT: u16 = 3129;
/// The port at which names are asked for.
const NAMES_PORT: u16 = 53;

/// Leaves the network this process is in for a new one. The sockets that
/// [`AgentRequest::Isolate`](crate::wire::AgentRequest::Isolate) tells of.
pub(crate) fn isolate() -> io::Result<Vec<OwnedFd>> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    routes::interfaces()?;
    let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, PROXY_PORT))?;
    let mut sockets = vec![proxy.into()];
    // Not every kernel has it. Without it there is still the proxy.
    if let Ok(redirected) = redirected() {
        sockets.extend(redirected);
    }
    Ok(sockets)
}

fn redirected() -> io::Result<[OwnedFd; 2]> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, REDIRECTED_PORT))?;
    let names = UdpSocket::bind((Ipv4Addr::LOCALHOST, NAMES_PORT))?;
    nft::redirect(REDIRECTED_PORT)?;
    Ok([listener.into(), names.into()])
}
