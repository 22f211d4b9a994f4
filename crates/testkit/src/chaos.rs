//! A network that breaks: a TCP proxy between a client and its server which cuts, delays and swallows.
//!
//! A [`Proxy`] listens on a port of its own and hands every connection on to a server, over TCP or a unix
//! socket. What it does with the bytes is changed while it runs ([`Proxy::set`]), for the connections there are
//! as well as for those to come:
//!
//! | [`Network`] | a client sees |
//! |---|---|
//! | `Whole` | its server |
//! | `Slow` | its server, each piece of an answer later |
//! | `Silent` | nothing: its bytes go nowhere, as behind a firewall that drops them, or a machine that lost power |
//! | `Refusing` | its connection closed at once, as by a server that is not there |
//!
//! [`Proxy::cut`] closes every connection that there is, as a restart of the server does.
//!
//! ```
//! use std::io::{Read as _, Write as _};
//! use std::net::{TcpListener, TcpStream};
//!
//! use moorline_testkit::chaos::{Network, Proxy, Upstream};
//!
//! let server = TcpListener::bind("127.0.0.1:0")?;
//! let proxy = Proxy::start(Upstream::Tcp(server.local_addr()?.to_string()))?;
//! let mut client = TcpStream::connect(proxy.address())?;
//! client.write_all(b"hello")?;
//! let mut found = [0; 5];
//! server.accept()?.0.read_exact(&mut found)?;
//! assert_eq!(&found, b"hello");
//!
//! proxy.set(Network::Refusing);
//! proxy.cut();
//! assert_eq!(client.read(&mut found)?, 0);
//! # Ok::<(), std::io::Error>(())
//! ```

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Where connections are handed on to.
#[derive(Debug, Clone)]
pub enum Upstream {
    /// `host:port`.
    Tcp(String),
    /// A unix socket.
    Unix(PathBuf),
}

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It carries everything.
    Whole,
    /// It carries everything, each piece so much later.
    Slow(Duration),
    /// It takes connections and bytes, and carries nothing; what was sent is carried when it is whole again.
    Silent,
    /// It takes no connection.
    Refusing,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    network: Network,
    over: bool,
    /// Connections so far.
    count: u64,
    /// Both ends of each that is open.
    open: Vec<(u64, TcpStream, Server)>,
}

impl Proxy {
    /// Starts a proxy on a free port of this machine.
    ///
    /// # Errors
    /// When no port can be had.
    pub fn start(upstream: Upstream) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                network: Network::Whole,
                over: false,
                count: 0,
                open: Vec::new(),
            }),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || serve(&listener, &upstream, &serving));
        Ok(Self { address, shared })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what the network does from now on.
    pub fn set(&self, network: Network) {
        self.shared.lock().network = network;
        self.shared.changed.notify_all();
    }

    /// Closes every connection that there is.
    pub fn cut(&self) {
        for (_, client, server) in self.shared.lock().open.drain(..) {
            // One that is closed already is what is wanted.
            let _ignored = client.shutdown(Shutdown::Both);
            server.close();
        }
    }

    /// How many connections there were.
    pub fn connections(&self) -> u64 {
        self.shared.lock().count
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.changed.notify_all();
        self.cut();
        // The thread that accepts looks up.
        drop(TcpStream::connect(self.address));
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until the network carries something; `false` when the proxy is over.
    fn wait(&self) -> bool {
        let mut state = self.lock();
        loop {
            match state.network {
                _ if state.over => return false,
                Network::Silent => {
                    state = self
                        .changed
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
                Network::Slow(by) => {
                    drop(state);
                    thread::sleep(by); // L77: a slow network is what is asked for
                    return true;
                }
                Network::Whole | Network::Refusing => return true,
            }
        }
    }
}

fn serve(listener: &TcpListener, upstream: &Upstream, shared: &Arc<Shared>) {
    for client in listener.incoming() {
        let (network, over) = {
            let state = shared.lock();
            (state.network, state.over)
        };
        if over {
            return;
        }
        let Ok(client) = client else { continue };
        if network == Network::Refusing {
            continue;
        }
        let (upstream, shared) = (upstream.clone(), Arc::clone(shared));
        thread::spawn(move || {
            // A side that breaks ends the other; nobody is told more than that.
            let _ignored = carry(client, &upstream, &shared);
        });
    }
}

/// Carries the bytes of one connection, both ways, until one side ends.
fn carry(client: TcpStream, upstream: &Upstream, shared: &Arc<Shared>) -> io::Result<()> {
    if !shared.wait() {
        return Ok(());
    }
    let server = Server::connect(upstream)?;
    let number = {
        let mut state = shared.lock();
        state.count += 1;
        let number = state.count;
        let ends = (client.try_clone()?, server.try_clone()?);
        state.open.push((number, ends.0, ends.1));
        number
    };
    client.set_nodelay(true)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    let (mut from_server, mut to_client) = (server, client);
    thread::scope(|scope| {
        scope.spawn(|| {
            copy(&mut from_client, &mut to_server, shared);
            to_server.close();
        });
        copy(&mut from_server, &mut to_client, shared);
        let _ignored = to_client.shutdown(Shutdown::Both);
    });
    shared.lock().open.retain(|(open, ..)| *open != number);
    Ok(())
}

fn copy(from: &mut impl Read, to: &mut impl Write, shared: &Shared) {
    let mut buffer = [0; 16 << 10];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let piece = buffer.get(..length).unwrap_or_default();
        if !shared.wait() || to.write_all(piece).is_err() {
            return;
        }
    }
}

/// The server's end of a connection.
#[derive(Debug)]
enum Server {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Server {
    fn connect(upstream: &Upstream) -> io::Result<Self> {
        match upstream {
            Upstream::Tcp(address) => {
                let stream = TcpStream::connect(address)?;
                stream.set_nodelay(true)?;
                Ok(Self::Tcp(stream))
            }
            Upstream::Unix(path) => UnixStream::connect(path).map(Self::Unix),
        }
    }

    fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(stream) => stream.try_clone().map(Self::Tcp),
            Self::Unix(stream) => stream.try_clone().map(Self::Unix),
        }
    }

    fn close(&self) {
        let _ignored = match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Both),
            Self::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for Server {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buffer),
            Self::Unix(stream) => stream.read(buffer),
        }
    }
}

impl Write for Server {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.write(buffer),
            Self::Unix(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.flush(),
            Self::Unix(stream) => stream.flush(),
        }
    }
}
