//! What there is to attack: a file, a process, listeners. All of it belongs to the test, lies outside of every
//! mount, and carries a flag that whoever gets at it can show.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use moorline_testkit::canary::random_hex;
use moorline_testkit::{process, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::trial::{ATTACKS, User};

/// How every flag begins, for attackers that do not know what they look for.
pub(crate) const FLAG_PREFIX: &str = "flag-of-the-range-";

/// The targets of one test. Dropping it ends the victim and removes the files.
#[derive(Debug)]
pub(crate) struct Range {
    pub(crate) flag: String,
    home: TempDir,
    victim: Child,
    victim_started: u64,
    ports: Ports,
    hits: Arc<AtomicUsize>,
}

#[derive(Debug)]
struct Ports {
    tcp4: u16,
    tcp6: u16,
    udp4: u16,
    udp6: u16,
    /// On the allow-list; answers with the flag.
    listed: u16,
    /// On the allow-list; answers with something else.
    listed_silent: u16,
    abstract_name: String,
    socket: PathBuf,
}

impl Range {
    /// Sets everything up, for an attacker that runs as `user` where there is no sandbox.
    pub(crate) fn new(user: User) -> Self {
        let flag = format!("{FLAG_PREFIX}{}", random_hex(8));
        let home = tempfile::Builder::new()
            .prefix("moorline-range-")
            .tempdir()
            .unwrap();
        // Anyone may pass: what keeps an attacker out shall be the sandbox and not the mode of a file.
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(home.path().join("secret.txt"), &flag).unwrap();
        fs::set_permissions(
            home.path().join("secret.txt"),
            fs::Permissions::from_mode(0o666),
        )
        .unwrap();
        let victim = victim(&flag, user);
        let found = wait::some(Duration::from_secs(10), "the victim", || {
            // Before it has executed its program it still is a copy of this process.
            process::find(victim.id()).filter(|found| found.argv.last() == Some(&flag))
        });
        let victim_started = found.unwrap().start_time;
        let hits = Arc::new(AtomicUsize::new(0));
        let ports = Ports::listen(home.path(), &flag, &hits);
        Self {
            flag,
            home,
            victim,
            victim_started,
            ports,
            hits,
        }
    }

    /// What an attacker is told, where `processes` are those that it can try beside the victim.
    pub(crate) fn targets(&self, state: &Path, processes: &[u32]) -> Value {
        let Ports {
            tcp4,
            tcp6,
            udp4,
            udp6,
            listed,
            listed_silent,
            abstract_name,
            socket,
        } = &self.ports;
        let victim = self.victim.id();
        let maps = fs::read_to_string(format!("/proc/{victim}/maps")).unwrap();
        let address = maps
            .split('-')
            .next()
            .map(|start| u64::from_str_radix(start, 16));
        let all: Vec<u32> = std::iter::once(victim)
            .chain(processes.iter().copied())
            .collect();
        json!({
            "flag": self.flag, "marker": self.flag,
            "file": self.file(), "directory": self.home.path(),
            "handle": self.handle(),
            "state": state, "other_attempt": self.other_attempt(state),
            "processes": all, "address": address.unwrap().unwrap(),
            "root_of": all.last(),
            "tcp4": tcp4, "tcp6": tcp6, "udp4": udp4, "udp6": udp6,
            "listed": listed, "listed_silent": listed_silent,
            "abstract": abstract_name, "socket": socket,
            "name": host_name(), "own_address": own_address(),
        })
    }

    /// The file with the flag.
    pub(crate) fn file(&self) -> PathBuf {
        self.home.path().join("secret.txt")
    }

    /// The entries of an allow-list for the two listed ports.
    pub(crate) fn allow_list(&self) -> Value {
        let entry = |port| format!("127.0.0.1:{port}");
        json!([entry(self.ports.listed), entry(self.ports.listed_silent)])
    }

    /// How often any listener that is not on the allow-list was reached.
    pub(crate) fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }

    /// Whether everything is as it was: the file, the directory, the victim.
    pub(crate) fn assert_untouched(&self) {
        assert_eq!(
            fs::read_to_string(self.file()).unwrap(),
            self.flag,
            "the file was changed"
        );
        let mut names: Vec<_> = fs::read_dir(self.home.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            ["secret.txt", "socket"],
            "something was added or removed"
        );
        assert!(
            process::alive(self.victim.id(), self.victim_started),
            "the victim was ended"
        );
    }

    /// A file where another attempt would have left it.
    fn other_attempt(&self, state: &Path) -> PathBuf {
        let out = state.join("attempts/00000000-0000-7000-8000-000000000000/out");
        fs::create_dir_all(&out).unwrap();
        fs::write(out.join("result.txt"), &self.flag).unwrap();
        out.join("result.txt")
    }

    fn handle(&self) -> Value {
        let output = super::trial::python()
            .arg(Path::new(ATTACKS).join("handle.py"))
            .arg(self.file())
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice(&output.stdout).unwrap()
    }
}

impl Drop for Range {
    fn drop(&mut self) {
        // It may have been killed, which was the point.
        drop(self.victim.kill());
        drop(self.victim.wait());
    }
}

/// A process that waits for ever, with the flag among its arguments and in its environment.
fn victim(flag: &str, user: User) -> Child {
    let python: Command = super::trial::python();
    let mut command = user.wrap(&python);
    command
        .args(["-c", "import signal; signal.pause()", flag])
        .env("FLAG", flag)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

impl Ports {
    fn listen(home: &Path, flag: &str, hits: &Arc<AtomicUsize>) -> Self {
        let any4 = IpAddr::from(Ipv4Addr::UNSPECIFIED);
        let loopback6 = IpAddr::from(Ipv6Addr::LOCALHOST);
        let unlisted = Arc::new(AtomicUsize::new(0));
        let abstract_name = format!("moorline-range-{}", random_hex(8));
        let abstract_address = SocketAddr::from_abstract_name(&abstract_name).unwrap();
        let datagram = SocketAddr::from_abstract_name(format!("{abstract_name}-datagram")).unwrap();
        let socket = home.join("socket");
        let ports = Self {
            tcp4: tcp(any4, flag, hits),
            tcp6: tcp(loopback6, flag, hits),
            udp4: udp(any4, flag, hits),
            udp6: udp(loopback6, flag, hits),
            listed: tcp(any4, flag, &unlisted),
            listed_silent: tcp(any4, "nothing", &unlisted),
            abstract_name,
            socket: socket.clone(),
        };
        unix(
            UnixListener::bind_addr(&abstract_address).unwrap(),
            flag,
            hits,
        );
        unix(UnixListener::bind(&socket).unwrap(), flag, hits);
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o777)).unwrap();
        let (letters, hits) = (
            UnixDatagram::bind_addr(&datagram).unwrap(),
            Arc::clone(hits),
        );
        thread::spawn(move || {
            while letters.recv(&mut [0; 64]).is_ok() {
                hits.fetch_add(1, Ordering::SeqCst);
            }
        });
        ports
    }
}

/// Answers the first bytes of a connection: an HTTP request as such, all else with the bare words.
fn answer(mut stream: impl std::io::Read + std::io::Write, words: &str) {
    let mut request = [0; 4096];
    let length = stream.read(&mut request).unwrap_or(0);
    let reply = if request.starts_with(b"GET ") {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{words}",
            words.len()
        )
    } else {
        words.to_owned()
    };
    if length > 0 {
        // An attacker that went away is no concern of the range.
        drop(stream.write_all(reply.as_bytes()));
    }
}

fn tcp(address: IpAddr, words: &str, hits: &Arc<AtomicUsize>) -> u16 {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let (words, hits) = (words.to_owned(), Arc::clone(hits));
    thread::spawn(move || {
        for stream in listener.incoming() {
            hits.fetch_add(1, Ordering::SeqCst);
            answer(stream.unwrap(), &words);
        }
    });
    port
}

fn unix(listener: UnixListener, words: &str, hits: &Arc<AtomicUsize>) {
    let (words, hits) = (words.to_owned(), Arc::clone(hits));
    thread::spawn(move || {
        for stream in listener.incoming() {
            hits.fetch_add(1, Ordering::SeqCst);
            answer(stream.unwrap(), &words);
        }
    });
}

fn udp(address: IpAddr, words: &str, hits: &Arc<AtomicUsize>) -> u16 {
    let socket = UdpSocket::bind((address, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (words, hits) = (words.to_owned(), Arc::clone(hits));
    thread::spawn(move || {
        while let Ok((_, from)) = socket.recv_from(&mut [0; 512]) {
            hits.fetch_add(1, Ordering::SeqCst);
            drop(socket.send_to(words.as_bytes(), from));
        }
    });
    port
}

/// An address of this machine that is not its loopback, where it has one.
fn own_address() -> IpAddr {
    // Nothing is sent: the kernel only chooses the address that it would send from.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let chosen = socket
        .connect((Ipv4Addr::new(192, 0, 2, 1), 9))
        .and_then(|()| socket.local_addr());
    chosen.map_or_else(
        |_| IpAddr::from(Ipv4Addr::new(127, 0, 0, 2)),
        |address| address.ip(),
    )
}

fn host_name() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname")
        .unwrap()
        .trim()
        .to_owned()
}
