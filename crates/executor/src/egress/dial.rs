//! Resolving a permitted target and connecting to it.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _};
use std::os::fd::AsFd as _;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with, sockopt};
use rustix::pipe::{PipeFlags, pipe_with};

use super::rules::EgressRules;
use super::slots::Slot;
use super::target::{Host, Target};
use super::wait::{Waiter, deadline};

/// Finds the addresses of a name.
pub trait Resolver: Debug + Send + Sync {
    /// The addresses of `name`, which is in lower case and has no final dot. May block.
    ///
    /// # Errors
    /// When there are none, or they can not be had.
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The resolver of this machine's C library: `/etc/hosts`, DNS and what else it is configured for.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

impl Resolver for SystemResolver {
    fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        Ok((name, 0)
            .to_socket_addrs()?
            .map(|address| address.ip())
            .collect())
    }
}

/// Why there is no connection to a permitted target.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    /// It resolves, and to no address that a name may lead to.
    #[error(
        "it resolves to {0}, which is not a public address; list the address itself to allow it"
    )]
    NotPublic(IpAddr),
    #[error("its address can not be found")]
    Resolve(#[source] io::Error),
    #[error("it can not be reached")]
    Connect(#[source] io::Error),
}

impl DialError {
    pub(super) fn is_timeout(&self) -> bool {
        match self {
            Self::NotPublic(_) => false,
            Self::Resolve(error) | Self::Connect(error) => error.kind() == io::ErrorKind::TimedOut,
        }
    }
}

/// Connects to a target that the rules permit: resolves it once, drops every address that a name may
/// not lead to, and tries the rest in order. The stream is non-blocking.
///
/// `timeout` bounds the resolution, and then all tries together.
pub(super) fn dial(
    target: &Target,
    rules: &EgressRules,
    resolver: &Arc<dyn Resolver>,
    waiter: &Waiter,
    slot: &Arc<Slot>,
    timeout: Duration,
) -> Result<TcpStream, DialError> {
    let found = match &target.host {
        Host::Ip(address) => vec![*address],
        // Never asked of a server (RFC 6761, section 6.3).
        Host::Name(name) if name == "localhost" => {
            vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
        }
        Host::Name(name) => {
            resolve(name, resolver, waiter, slot, timeout).map_err(DialError::Resolve)?
        }
    };
    let allowed: Vec<IpAddr> = found
        .iter()
        .copied()
        .filter(|address| rules.may_dial(target, *address))
        .collect();
    let share = timeout / u32::try_from(allowed.len().max(1)).unwrap_or(u32::MAX);
    let mut failure = match found.first() {
        Some(address) if allowed.is_empty() => return Err(DialError::NotPublic(*address)),
        _ => DialError::Resolve(io::ErrorKind::NotFound.into()),
    };
    for address in allowed {
        match connect_to(SocketAddr::new(address, target.port), waiter, share) {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = DialError::Connect(error),
        }
    }
    Err(failure)
}

/// Asks the resolver on a thread of its own, since it can not be interrupted. Should the proxy stop or
/// time out meanwhile, that thread ends with the resolver's own timeout; until then it keeps the
/// connection's slot, so that such threads are bounded too.
fn resolve(
    name: &str,
    resolver: &Arc<dyn Resolver>,
    waiter: &Waiter,
    slot: &Arc<Slot>,
    timeout: Duration,
) -> io::Result<Vec<IpAddr>> {
    let (answered, answering) = pipe_with(PipeFlags::CLOEXEC)?;
    let (sender, receiver) = mpsc::channel();
    let (name, resolver, slot) = (name.to_owned(), Arc::clone(resolver), Arc::clone(slot));
    thread::Builder::new()
        .name("egress-resolve".to_owned())
        .spawn(move || {
            // A receiver that gave up is no concern of this thread.
            drop(sender.send(resolver.resolve(&name)));
            drop((answering, slot));
        })?;
    waiter.wait(
        &[(answered.as_fd(), PollFlags::IN)],
        Some(deadline(timeout)),
    )?;
    receiver
        .recv()
        .unwrap_or_else(|_| Err(io::Error::other("the resolver failed")))
}

fn connect_to(address: SocketAddr, waiter: &Waiter, timeout: Duration) -> io::Result<TcpStream> {
    let family = if address.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::STREAM, flags, None)?;
    match connect(&socket, &address) {
        Ok(()) => {}
        Err(Errno::INPROGRESS) => {
            waiter.wait(&[(socket.as_fd(), PollFlags::OUT)], Some(deadline(timeout)))?;
            sockopt::socket_error(&socket)??;
        }
        Err(error) => return Err(error.into()),
    }
    let stream = TcpStream::from(socket);
    stream.set_nodelay(true)?;
    Ok(stream)
}
