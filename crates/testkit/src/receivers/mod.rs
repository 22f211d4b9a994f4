//! Servers that receive what the product sends: [`http`] and [`smtp`], each on a port of its own of this
//! machine, over real sockets. They answer as they are told and remember what came.
//!
//! A receiver ends with its value: no connection is accepted any more, and those that hang are let go.

pub mod http;
pub mod smtp;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

/// A listening socket with a thread that accepts, and one thread for each connection.
#[derive(Debug)]
struct Listener {
    address: SocketAddr,
    closing: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl Listener {
    fn start(serve: impl Fn(TcpStream, &AtomicBool) + Send + Sync + 'static) -> io::Result<Self> {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = socket.local_addr()?;
        let closing = Arc::new(AtomicBool::new(false));
        let serve = Arc::new(serve);
        let done = Arc::clone(&closing);
        let accepting = std::thread::spawn(move || {
            for stream in socket.incoming() {
                if done.load(Ordering::SeqCst) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let (serve, done) = (Arc::clone(&serve), Arc::clone(&done));
                // A connection that hangs ends with its peer or with this receiver, and nobody waits for it.
                drop(std::thread::spawn(move || serve(stream, &done)));
            }
        });
        Ok(Self {
            address,
            closing,
            accepting: Some(accepting),
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.closing.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts.
        drop(TcpStream::connect(self.address));
        if let Some(accepting) = self.accepting.take() {
            drop(accepting.join());
        }
    }
}

/// An address of this machine at which nobody listens.
///
/// # Errors
///
/// When no port is free.
pub fn closed_port() -> io::Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}
