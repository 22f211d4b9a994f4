//! Which destinations have a route, by rtnetlink(7).

use std::io;
use std::net::{IpAddr, Ipv4Addr};

use rustix::net::netdevice::name_to_index;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

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

/// The container's address beside its loopback's. With the latter alone, resolvers take the machine for one
/// without IPv4 (`AI_ADDRCONFIG`, getaddrinfo(3)) and find nothing.
pub(super) const ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 19, 255, 254);
/// The interface that has it. Modal's runtime looks for one of this name.
const INTERFACE_NAME: &str = "eth0";
/// `IFLA_IFNAME`, `IFLA_LINKINFO`, `IFLA_INFO_KIND`, `IFLA_INFO_DATA`, `VETH_INFO_PEER`.
const NAME: u16 = 3;
const LINK_INFO: u16 = 18;
const KIND: u16 = 1;
const DATA: u16 = 2;
const PEER: u16 = 1;
/// `IFA_ADDRESS`, `IFA_LOCAL`.
const REMOTE: u16 = 1;
const LOCAL: u16 = 2;

/// Brings the loopback up, and an interface with an address beside it.
pub(super) fn interfaces() -> io::Result<()> {
    let up = link(LOOPBACK, UP);
    ask(
        None,
        &message(NEW_LINK, REQUEST, &up, &Attributes::default()),
        1,
    )?;
    // Not every kernel has such pairs. The loopback can bear the address as well.
    let index = pair().unwrap_or(LOOPBACK);
    // struct ifaddrmsg: family (IPv4), length of the prefix, flags, scope, index.
    let mut head = vec![2, 32, 0, 0];
    head.extend(index.to_ne_bytes());
    let address = Attributes::default()
        .with(REMOTE, &ADDRESS.octets())
        .with(LOCAL, &ADDRESS.octets());
    ask(
        None,
        &message(NEW_ADDRESS, REQUEST | CREATE, &head, &address),
        1,
    )
}

/// Makes a pair of interfaces (veth(4)) of which one is used; its number.
fn pair() -> io::Result<u32> {
    let mut peer = link(0, 0);
    peer.extend(Attributes::default().with_text(NAME, "eth0-peer").bytes());
    let data = Attributes::default().with(PEER, &peer);
    let info = Attributes::default()
        .with_text(KIND, "veth")
        .with_nested(DATA, &data);
    let name = || Attributes::default().with_text(NAME, INTERFACE_NAME);
    let made = name().with_nested(LINK_INFO, &info);
    ask(
        None,
        &message(NEW_LINK, REQUEST | CREATE, &link(0, 0), &made),
        1,
    )?;
    ask(None, &message(NEW_LINK, REQUEST, &link(0, UP), &name()), 1)?;
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    Ok(name_to_index(&socket, INTERFACE_NAME)?)
}

/// struct ifinfomsg: family, padding, type, index, flags, and which of the flags are meant.
fn link(index: u32, flags: u32) -> Vec<u8> {
    let mut head = vec![0; 4];
    for number in [index, flags, flags] {
        head.extend(number.to_ne_bytes());
    }
    head
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
