//! Which destinations have a route, by rtnetlink(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use super::netlink::{Attributes, CREATE, REPLACE, REQUEST, ask, message};

const NEW_LINK: u16 = 16;
const NEW_ADDRESS: u16 = 20;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
/// `IFF_UP` (netdevice(7)).
const UP: u32 = 1;
/// The loopback is always the first interface of its namespace.
const LOOPBACK: u32 = 1;
/// `RTA_DST`, `RTA_OIF`, `RTA_PREFSRC`.
const DESTINATION: u16 = 1;
const INTERFACE: u16 = 4;
const SOURCE: u16 = 7;

/// The container's address to destinations that are redirected. With the loopback's alone, resolvers take
/// the machine for one without IPv4 (`AI_ADDRCONFIG`, getaddrinfo(3)) and find nothing.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);
/// `IFA_ADDRESS`, `IFA_LOCAL`.
const REMOTE: u16 = 1;
const LOCAL: u16 = 2;

/// Brings the loopback up, with an address beside its own.
pub(super) fn loopback_up() -> io::Result<()> {
    // struct ifinfomsg: family, padding, type, index, flags, and which of the flags are meant.
    let mut head = vec![0; 4];
    for number in [LOOPBACK, UP, UP] {
        head.extend(number.to_ne_bytes());
    }
    ask(
        None,
        &message(NEW_LINK, REQUEST, &head, &Attributes::default()),
        1,
    )?;
    // struct ifaddrmsg: family (IPv4), length of the prefix, flags, scope, index.
    let mut head = vec![2, 32, 0, 0];
    head.extend(LOOPBACK.to_ne_bytes());
    let address = Attributes::default()
        .with(REMOTE, &ADDRESS.octets())
        .with(LOCAL, &ADDRESS.octets());
    ask(
        None,
        &message(NEW_ADDRESS, REQUEST | CREATE, &head, &address),
        1,
    )
}

/// The routes that were made.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    blocks: Vec<(Ipv4Addr, u8)>,
}

impl Routes {
    /// Leads connections to these blocks, and no others, to the loopback. There is no redirection of IPv6,
    /// so its blocks are passed over.
    pub(crate) fn set(&mut self, blocks: &[(IpAddr, u8)]) -> io::Result<()> {
        let mut wanted: Vec<(Ipv4Addr, u8)> = blocks
            .iter()
            .filter_map(|(address, length)| match address {
                IpAddr::V4(v4) => Some((*v4, *length)),
                IpAddr::V6(_) => None,
            })
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        // First away with what is not wanted, so that an error leaves less open and not more.
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut self.blocks)
            .into_iter()
            .partition(|block| wanted.contains(block));
        for block in gone {
            change(DELETE_ROUTE, REQUEST, block)?;
        }
        self.blocks = kept;
        for block in wanted {
            if !self.blocks.contains(&block) {
                change(NEW_ROUTE, REQUEST | CREATE | REPLACE, block)?;
                self.blocks.push(block);
            }
        }
        Ok(())
    }
}

fn change(kind: u16, flags: u16, (address, length): (Ipv4Addr, u8)) -> io::Result<()> {
    // struct rtmsg: family (IPv4), lengths of destination and source, service, table (main), protocol
    // (boot), scope (link), type (unicast), flags.
    let head = [2, length, 0, 0, 254, 3, 253, 1, 0, 0, 0, 0];
    let mut attributes = Attributes::default()
        .with(INTERFACE, &LOOPBACK.to_ne_bytes())
        .with(SOURCE, &ADDRESS.octets());
    if length > 0 {
        attributes = attributes.with(DESTINATION, &address.octets());
    }
    ask(None, &message(kind, flags, &head, &attributes), 1)
}
