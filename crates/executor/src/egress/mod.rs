//! The filtering proxy: the only way out of a sandbox that has no network.
//!
//! A job with an egress allow-list runs in an empty network namespace that holds one listening socket.
//! That socket belongs to this [`Proxy`], in the supervisor outside, which connects onward on the job's
//! behalf where the [`EgressRules`] allow it. A job that ignores `http_proxy` reaches nothing at all.
//!
//! # What it speaks
//! * `CONNECT host:port`: a tunnel, both ways, each closed for itself.
//! * `GET http://host/path` and every other method on an absolute `http://` URL (HTTP/1.0 and 1.1). The
//!   head is written anew: `Host` from the URL, no hop-by-hop or proxy fields. Bodies are framed anew.
//!   One request per connection; each answer says `Connection: close`.
//!
//! A refusal is a 403 whose reason phrase and one line of text name the rule, D-SPEC (egress), and the
//! destination; [`Proxy::denied`] keeps the destinations for the run summary.
//!
//! # What decides
//! 1. **The destination** is that of the request line, never of a `Host` field. It is brought to one
//!    canonical form first: lower case, no final dot, IPv4-mapped IPv6 as IPv4. Whatever some program
//!    could read otherwise is refused, not repaired: user names, percent escapes, `2130706433`, `0x7f.1`,
//!    `127.1`, zones, bare line feeds, two lengths of one body.
//! 2. **The rules** must have an entry for host and port; without a port an entry means 80 and 443.
//! 3. **The address.** Only a permitted name is resolved, here, once, and the connection goes to the very
//!    address that was checked. A name leads only to public addresses: of its answers, those that are
//!    loopback, link-local, private, shared, multicast, reserved or unspecified (the special-purpose
//!    blocks of RFC 6890, also inside of IPv6) are dropped, and when none is left the request is refused.
//!    So an allowed name can not be pointed at this machine, its network or a metadata service. Two
//!    exceptions, both written by the author of the rules: an address that is itself on the list, with
//!    that port, or in a listed block; and loopback for the name `localhost` when `localhost` is on the list.
//! 4. **The greeting.** What is sent through a tunnel to port 443 must be TLS for the tunnel's host: a
//!    server name (SNI) of another host is refused with a TLS alert, and the other host is put on
//!    record. Without a server name it passes. Something other than TLS passes only if the entry names
//!    the port (`host:443`).
//!
//! # What it can not see
//! It does not decrypt. Two hosts behind one certificate and one address (a CDN) can be confused within
//! TLS by the server's own choice, and an allowed host can pass on whatever it is told. A job may put
//! some bytes into the labels of a name below `*.domain`, which a DNS server of that domain then reads.
//! Deliberately absent: TLS interception, authentication (one proxy serves one attempt), caching,
//! SOCKS, UDP, upgrades (`CONNECT` serves `WebSockets`), and a proxy behind this proxy.
//!
//! # How it runs
//! Plain threads, one per connection, at most [`ProxyOptions::max_connections`]; every wait has a
//! deadline and ends at once when the proxy is dropped. No runtime, no global state.

mod address;
mod block;
mod body;
mod connection;
mod dial;
mod hello;
mod message;
mod relay;
mod rules;
mod slots;
mod target;
#[cfg(test)]
mod tests;
mod wait;

use std::fmt::Debug;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rustix::event::PollFlags;

pub use self::block::BlockError;
pub use self::dial::{Resolver, SystemResolver};
use self::relay::Traffic;
pub use self::rules::{EgressRuleError, EgressRules, EntryError};
use self::slots::{Slot, Slots};
use self::wait::{Stopper, Waiter, deadline, is_retry};

/// Destinations kept by [`Proxy::denied`].
const DENIED_LIMIT: usize = 100;
/// A connection's thread holds its buffers on the heap.
const STACK_BYTES: usize = 256 << 10;
/// Before `accept` is tried again when the process has no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Bounds of a [`Proxy`], and how it finds addresses.
#[derive(Debug, Clone)]
pub struct ProxyOptions {
    /// Connections at once; more are closed unanswered. 256 by default.
    pub max_connections: usize,
    /// For a whole request head to arrive. 30 seconds by default.
    pub head_timeout: Duration,
    /// For the resolution of a name, and then again for connecting. 15 seconds by default.
    pub connect_timeout: Duration,
    /// Without a byte either way. 10 minutes by default.
    pub idle_timeout: Duration,
    /// The port on which a tunnel must begin with a TLS greeting for its host. 443 by default.
    pub tls_port: u16,
    /// Finds the addresses of names. By default the machine's own.
    pub resolver: Arc<dyn Resolver>,
}

impl Default for ProxyOptions {
    fn default() -> Self {
        Self {
            max_connections: 256,
            head_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_mins(10),
            tls_port: 443,
            resolver: Arc::new(SystemResolver),
        }
    }
}

/// What a [`Proxy`] did so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyStats {
    /// Requests that were connected to their destination.
    pub allowed: u64,
    /// Requests that the rules refused.
    pub refused: u64,
    /// Requests that were not understood, or whose destination could not be reached.
    pub failed: u64,
    /// Connections closed unanswered because there were too many.
    pub turned_away: u64,
    /// Bytes passed on to destinations, heads that the proxy wrote not counted.
    pub bytes_up: u64,
    /// Bytes passed on to the job.
    pub bytes_down: u64,
}

/// A running filtering proxy. Dropping it ends every connection and joins every thread of it.
///
/// ```
/// use std::io::{Read as _, Write as _};
/// use std::net::{TcpListener, TcpStream};
///
/// use moorline_executor::egress::{EgressRules, Proxy};
///
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let proxy = Proxy::start(listener, EgressRules::parse(&["api.example.com".into()])?)?;
///
/// let mut client = TcpStream::connect(address)?;
/// client.write_all(b"CONNECT evil.example:443 HTTP/1.1\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 403 D-SPEC (egress) refuses evil.example:443"));
/// assert_eq!(proxy.denied(), ["evil.example:443"]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    stopper: Option<Stopper>,
    acceptors: Mutex<Vec<JoinHandle<()>>>,
}

/// Knows where connections were meant to go that were turned over to the proxy on their way.
pub trait Destinations: Debug + Send + Sync {
    /// The destination of a client, as `host:port`; `None` when it is not known, or none.
    fn of(&self, client: &TcpStream) -> Option<String>;
}

/// What the threads of one proxy have in common.
#[derive(Debug)]
struct Shared {
    rules: EgressRules,
    options: ProxyOptions,
    waiter: Waiter,
    slots: Slots,
    denied: Mutex<Vec<String>>,
    counters: Counters,
}

#[derive(Debug, Default)]
struct Counters {
    allowed: AtomicU64,
    refused: AtomicU64,
    failed: AtomicU64,
    turned_away: AtomicU64,
    traffic: Traffic,
}

impl Proxy {
    /// Serves `listener`, whatever network namespace it is of, by `rules`.
    ///
    /// # Errors
    /// When the process has no descriptor or thread left.
    pub fn start(listener: TcpListener, rules: EgressRules) -> io::Result<Self> {
        Self::start_with(listener, rules, ProxyOptions::default())
    }

    /// As [`start`](Self::start), with other bounds or another resolver.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn start_with(
        listener: TcpListener,
        rules: EgressRules,
        options: ProxyOptions,
    ) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let (stopper, waiter) = Waiter::new()?;
        let shared = Arc::new(Shared {
            rules,
            slots: Slots::new(options.max_connections),
            options,
            waiter,
            denied: Mutex::default(),
            counters: Counters::default(),
        });
        let proxy = Self {
            shared,
            stopper: Some(stopper),
            acceptors: Mutex::default(),
        };
        proxy.accept(listener, |shared, client, slot| {
            connection::serve(shared, client, slot);
        })?;
        Ok(proxy)
    }

    /// Serves another listener by the same rules: one that connections of programs come to which do not know
    /// of the proxy, redirected by the kernel. `destinations` tells where they were meant to go.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub fn redirect(
        &self,
        listener: TcpListener,
        destinations: Arc<dyn Destinations>,
    ) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        self.accept(listener, move |shared, client, slot| {
            if let Some(destination) = destinations.of(client) {
                connection::serve_redirected(shared, client, slot, &destination);
            }
        })
    }

    fn accept(
        &self,
        listener: TcpListener,
        serve: impl Fn(&Shared, &TcpStream, &Arc<Slot>) + Send + Sync + 'static,
    ) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let serve = Arc::new(serve);
        let acceptor = thread::Builder::new()
            .name("egress-accept".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || accept(&shared, &listener, &serve))?;
        let mut acceptors = self
            .acceptors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        acceptors.push(acceptor);
        Ok(())
    }

    /// The destinations that were refused, as `host:port`, each once, in the order of their first
    /// refusal, at most 100.
    pub fn denied(&self) -> Vec<String> {
        self.shared
            .denied
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// What was done so far.
    pub fn stats(&self) -> ProxyStats {
        let Counters {
            allowed,
            refused,
            failed,
            turned_away,
            traffic,
        } = &self.shared.counters;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        ProxyStats {
            allowed: read(allowed),
            refused: read(refused),
            failed: read(failed),
            turned_away: read(turned_away),
            bytes_up: read(&traffic.up),
            bytes_down: read(&traffic.down),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        drop(self.stopper.take());
        let acceptors = self.acceptors.get_mut();
        for acceptor in acceptors.unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked is over too.
            drop(acceptor.join());
        }
    }
}

impl Shared {
    fn deny(&self, destination: String) {
        self.counters.refused.fetch_add(1, Ordering::Relaxed);
        let mut denied = self.denied.lock().unwrap_or_else(PoisonError::into_inner);
        if denied.len() < DENIED_LIMIT && !denied.contains(&destination) {
            denied.push(destination);
        }
    }
}

/// Takes connections until the proxy stops, then waits for their threads.
fn accept<S>(shared: &Arc<Shared>, listener: &TcpListener, serve: &Arc<S>)
where
    S: Fn(&Shared, &TcpStream, &Arc<Slot>) + Send + Sync + 'static,
{
    let mut threads: Vec<JoinHandle<()>> = Vec::new();
    while shared
        .waiter
        .wait(&[(listener.as_fd(), PollFlags::IN)], None)
        .is_ok()
    {
        threads.retain(|thread| !thread.is_finished());
        match listener.accept() {
            Ok((client, _)) => threads.extend(start_connection(shared, client, serve)),
            Err(error) if is_retry(&error) => {}
            // Out of descriptors: the connection stays in the queue and `poll` would not wait for it.
            Err(_) => drop(shared.waiter.wait(&[], Some(deadline(ACCEPT_PAUSE)))),
        }
    }
    for thread in threads {
        drop(thread.join());
    }
}

/// A thread that serves `client`, or `None` when it is turned away: counted first, then closed, so that
/// who sees it closed also sees it counted.
fn start_connection<S>(
    shared: &Arc<Shared>,
    client: TcpStream,
    serve: &Arc<S>,
) -> Option<JoinHandle<()>>
where
    S: Fn(&Shared, &TcpStream, &Arc<Slot>) + Send + Sync + 'static,
{
    let client = Arc::new(client);
    let thread = serve_in_thread(shared, &client, serve);
    if thread.is_none() {
        shared.counters.turned_away.fetch_add(1, Ordering::Relaxed);
    }
    thread
}

fn serve_in_thread<S>(
    shared: &Arc<Shared>,
    client: &Arc<TcpStream>,
    serve: &Arc<S>,
) -> Option<JoinHandle<()>>
where
    S: Fn(&Shared, &TcpStream, &Arc<Slot>) + Send + Sync + 'static,
{
    let slot = Arc::new(shared.slots.take()?);
    client.set_nonblocking(true).ok()?;
    client.set_nodelay(true).ok()?;
    let (shared, client, serve) = (Arc::clone(shared), Arc::clone(client), Arc::clone(serve));
    thread::Builder::new()
        .name("egress".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || serve(&shared, &client, &slot))
        .ok()
}
