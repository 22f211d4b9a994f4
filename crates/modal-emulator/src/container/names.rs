//! Names in a container whose network is its own: a small DNS server (RFC 1035) on its loopback.
//!
//! A name that the rules allow gets an address that stands for it, of a block kept for benchmarks (RFC
//! 2544), which nothing inside means otherwise. A connection to that address is then known to be meant for
//! that name, and is judged and dialled by it. So two names on one address are told apart, and an answer
//! can not lead anywhere that the rules do not.
//!
//! Other names get those of their real addresses that are in an allowed block, or do not exist.
//! Deliberately absent: everything but addresses of IPv4, and TCP.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use moorline_executor::egress::{Destinations, EgressRules};
use rustix::net::sockopt::ip_original_dst;
use tokio::net::UdpSocket;

/// The block that names get addresses of.
pub(super) const BLOCK: (Ipv4Addr, u8) = (Ipv4Addr::new(198, 18, 0, 0), 15);
/// Names that can be told apart; then the oldest is forgotten.
const MOST: u32 = 100_000;
/// No datagram of ours is longer.
const LONGEST: usize = 512;
/// Length of a message's head.
const HEAD: usize = 12;
const TYPE_A: u16 = 1;
const CLASS_INTERNET: u16 = 1;
/// `QR`, `AA` and `RA`: an answer, from who knows, who also asks others.
const ANSWER: u16 = 0x8480;
/// Recursion desired: copied from the question.
const WISH: u16 = 0x0100;
const NO_SUCH_NAME: u16 = 3;
const NOT_IMPLEMENTED: u16 = 4;
/// Seconds that an answer holds: rules change.
const TTL: u32 = 1;

/// Which name each address stands for.
#[derive(Debug, Default)]
pub(super) struct Names(Mutex<Given>);

#[derive(Debug, Default)]
struct Given {
    addresses: HashMap<String, u32>,
    names: HashMap<u32, String>,
    count: u32,
}

impl Names {
    /// The address that stands for a name.
    fn address(&self, name: &str) -> Ipv4Addr {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let number = given.addresses.get(name).copied().unwrap_or_else(|| {
            let number = given.count % MOST;
            given.count = given.count.wrapping_add(1);
            if let Some(old) = given.names.insert(number, name.to_owned()) {
                given.addresses.remove(&old);
            }
            given.addresses.insert(name.to_owned(), number);
            number
        });
        // The first address is that of the block itself.
        Ipv4Addr::from_bits(BLOCK.0.to_bits() + 1 + number)
    }

    fn name(&self, address: Ipv4Addr) -> Option<String> {
        let number = address.to_bits().checked_sub(BLOCK.0.to_bits() + 1)?;
        let given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.names.get(&number).cloned()
    }
}

impl Destinations for Names {
    fn of(&self, client: &TcpStream) -> Option<String> {
        let destination = ip_original_dst(client).ok()?;
        let (address, port) = (*destination.ip(), destination.port());
        match self.name(address) {
            Some(name) => Some(format!("{name}:{port}")),
            None => Some(format!("{address}:{port}")),
        }
    }
}

/// Answers questions until the task is ended, or the socket is.
pub(super) async fn serve(socket: Arc<UdpSocket>, names: Arc<Names>, rules: Arc<EgressRules>) {
    let mut buffer = [0; LONGEST];
    while socket.readable().await.is_ok() {
        // That an earlier answer did not arrive is told here too; the next question is another's.
        let Ok((length, client)) = socket.try_recv_from(&mut buffer) else {
            continue;
        };
        let Some(question) = Question::read(buffer.get(..length).unwrap_or_default()) else {
            continue;
        };
        let (socket, names, rules) = (Arc::clone(&socket), Arc::clone(&names), Arc::clone(&rules));
        // The next does not wait for this one's resolution.
        super::process::spawn(async move {
            let answer = answer(&question, &names, &rules).await;
            send(&socket, &answer, client).await;
        });
    }
}

async fn send(socket: &UdpSocket, answer: &[u8], client: SocketAddr) {
    // Who asked asks again, or is gone.
    drop(socket.send_to(answer, client).await);
}

async fn answer(question: &Question, names: &Names, rules: &EgressRules) -> Vec<u8> {
    if question.class != CLASS_INTERNET {
        return question.answered(NOT_IMPLEMENTED, &[]);
    }
    let is_allowed = rules.allows_name(&question.name);
    let has_blocks = !rules.blocks().is_empty();
    if !is_allowed && !has_blocks {
        return question.answered(NO_SUCH_NAME, &[]);
    }
    let Ok(found) = tokio::net::lookup_host((question.name.as_str(), 0)).await else {
        return question.answered(NO_SUCH_NAME, &[]);
    };
    let addresses = if is_allowed {
        vec![names.address(&question.name)]
    } else {
        // On a port that no entry for names means: blocks alone decide.
        let is_in_block = |address: &Ipv4Addr| rules.allows(&format!("{address}:1"));
        found
            .filter_map(|found| match found.ip() {
                IpAddr::V4(address) => Some(address),
                IpAddr::V6(_) => None,
            })
            .filter(is_in_block)
            .collect()
    };
    if question.kind == TYPE_A {
        question.answered(0, &addresses)
    } else {
        // The name exists, and has nothing of this kind.
        question.answered(0, &[])
    }
}

/// One question.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    id: [u8; 2],
    recursion: bool,
    /// Lower case, without a final dot.
    name: String,
    kind: u16,
    class: u16,
    /// As it came.
    bytes: Vec<u8>,
}

impl Question {
    fn read(message: &[u8]) -> Option<Self> {
        let id = *message.first_chunk()?;
        let flags = number(message, 2)?;
        // A question, of the usual kind, and one.
        if flags & 0xf800 != 0 || number(message, 4)? != 1 {
            return None;
        }
        let mut at = HEAD;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*message.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            // A longer one is a reference to an earlier name, of which there is none.
            if length > 63 {
                return None;
            }
            let label = std::str::from_utf8(message.get(at..at + length)?).ok()?;
            labels.push(label.to_ascii_lowercase());
            at += length;
        }
        Some(Self {
            id,
            recursion: flags & WISH != 0,
            name: labels.join("."),
            kind: number(message, at)?,
            class: number(message, at + 2)?,
            bytes: message.get(HEAD..at + 4)?.to_vec(),
        })
    }

    fn answered(&self, code: u16, addresses: &[Ipv4Addr]) -> Vec<u8> {
        // More would not fit a datagram.
        let addresses = addresses.get(..16).unwrap_or(addresses);
        let mut message = self.id.to_vec();
        let wish = if self.recursion { WISH } else { 0 };
        message.extend((ANSWER | wish | code).to_be_bytes());
        let count = u16::try_from(addresses.len()).unwrap_or_default();
        for number in [1, count, 0, 0] {
            message.extend(number.to_be_bytes());
        }
        message.extend_from_slice(&self.bytes);
        for address in addresses {
            // The name is that of the question.
            message.extend([0xc0, 12]);
            message.extend(TYPE_A.to_be_bytes());
            message.extend(CLASS_INTERNET.to_be_bytes());
            message.extend(TTL.to_be_bytes());
            message.extend(4_u16.to_be_bytes());
            message.extend(address.octets());
        }
        message
    }
}

fn number(message: &[u8], at: usize) -> Option<u16> {
    message
        .get(at..)?
        .first_chunk()
        .map(|bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &str, kind: u16) -> Vec<u8> {
        let mut message = vec![7, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            message.push(u8::try_from(label.len()).unwrap());
            message.extend(label.as_bytes());
        }
        message.extend([0, 0, u8::try_from(kind).unwrap(), 0, 1]);
        message
    }

    #[test]
    fn a_question_is_read_and_answered() {
        let message = question("API.example.com", TYPE_A);
        let read = Question::read(&message).unwrap();
        assert_eq!((read.name.as_str(), read.kind), ("api.example.com", TYPE_A));
        let answer = read.answered(0, &[Ipv4Addr::new(198, 18, 0, 1)]);
        let mut expected = vec![7, 9, 0x85, 0x80, 0, 1, 0, 1, 0, 0, 0, 0];
        expected.extend(&message[HEAD..]);
        expected.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 198, 18, 0, 1]);
        assert_eq!(answer, expected);
        for length in 0..message.len() {
            assert_eq!(Question::read(&message[..length]), None, "{length}");
        }
    }

    #[test]
    fn an_address_stands_for_one_name() {
        let names = Names::default();
        let (a, b) = (names.address("a.example"), names.address("b.example"));
        assert_eq!(
            (a, names.address("a.example")),
            (Ipv4Addr::new(198, 18, 0, 1), a)
        );
        assert_eq!(names.name(b).as_deref(), Some("b.example"));
        assert_eq!(names.name(Ipv4Addr::new(10, 0, 0, 1)), None);
        assert_eq!(names.name(Ipv4Addr::new(198, 19, 0, 1)), None);
    }

    #[tokio::test]
    async fn a_name_is_judged_before_it_is_answered() {
        let names = Names::default();
        let listed = EgressRules::parse(&["localhost".to_owned()]).unwrap();
        let ask = |name: &str, kind| Question::read(&question(name, kind)).unwrap();
        let code = |answer: &[u8]| answer[3] & 15;
        let allowed = answer(&ask("localhost", TYPE_A), &names, &listed).await;
        assert_eq!(
            (code(&allowed), &allowed[allowed.len() - 4..]),
            (0, &[198, 18, 0, 1][..])
        );
        let other_kind = answer(&ask("localhost", 28), &names, &listed).await;
        assert_eq!((code(&other_kind), other_kind[7]), (0, 0));
        let refused = answer(&ask("other.example", TYPE_A), &names, &listed).await;
        assert_eq!(code(&refused), 3);
        let blocks = EgressRules::parse(&[]).unwrap();
        let blocks = blocks.with_blocks(&["127.0.0.0/8".to_owned()]).unwrap();
        let by_block = answer(&ask("localhost", TYPE_A), &names, &blocks).await;
        assert_eq!(
            (code(&by_block), &by_block[by_block.len() - 4..]),
            (0, &[127, 0, 0, 1][..])
        );
    }
}
