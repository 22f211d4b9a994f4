//! One rule of netfilter: TCP that leaves for somewhere else goes to a port of the loopback (nft(8):
//! `meta l4proto tcp ip daddr != 127.0.0.0/8 ip daddr != ADDRESS redirect to :PORT` in a `nat` chain of
//! `output`).

use std::io;
use std::num::NonZeroU32;

use rustix::net::Protocol;

use super::netlink::{APPEND, Attributes, CREATE, REQUEST, ask, message};
use super::routes::ADDRESS;

/// `NETLINK_NETFILTER`.
const NETFILTER: NonZeroU32 = NonZeroU32::new(12).unwrap();
/// `NFNL_SUBSYS_NFTABLES`.
const TABLES: u16 = 10;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
const NEW_TABLE: u16 = TABLES << 8;
const NEW_CHAIN: u16 = (TABLES << 8) | 3;
const NEW_RULE: u16 = (TABLES << 8) | 6;
const IPV4: u8 = 2;
/// Registers between the expressions of a rule.
const REGISTER: u32 = 1;
const NAME: &str = "moorline";
const CHAIN: &str = "output";
/// `NF_INET_LOCAL_OUT`, at the priority of destination NAT.
const LOCAL_OUT: u32 = 3;
const PRIORITY: i32 = -100;
const TCP: u8 = 6;
/// The first byte of the loopback's addresses.
const LOOPBACK: u8 = 127;

/// Makes the rule in this process's network.
pub(super) fn redirect(port: u16) -> io::Result<()> {
    let table = Attributes::default().with_text(1, NAME);
    let hook = Attributes::default()
        .with_number(1, LOCAL_OUT)
        .with(2, &PRIORITY.to_be_bytes());
    let chain = Attributes::default()
        .with_text(1, NAME)
        .with_text(3, CHAIN)
        .with_nested(4, &hook)
        .with_text(7, "nat");
    let rule = Attributes::default()
        .with_text(1, NAME)
        .with_text(2, CHAIN)
        .with_nested(4, &expressions(port));
    let change = REQUEST | CREATE;
    let messages = [
        // Without REQUEST's wish for an answer: marks of a batch get none.
        message(BATCH_BEGIN, 1, &head(0, TABLES), &Attributes::default()),
        message(NEW_TABLE, change, &head(IPV4, 0), &table),
        message(NEW_CHAIN, change, &head(IPV4, 0), &chain),
        message(NEW_RULE, change | APPEND, &head(IPV4, 0), &rule),
        message(BATCH_END, 1, &head(0, TABLES), &Attributes::default()),
    ];
    let protocol = Protocol::from_raw(NETFILTER);
    ask(Some(protocol), &messages.concat(), 3)
}

/// struct nfgenmsg: family, version, and a number of the part that is meant.
fn head(family: u8, part: u16) -> Vec<u8> {
    let mut head = vec![family, 0];
    head.extend(part.to_be_bytes());
    head
}

fn expressions(port: u16) -> Attributes {
    let value = |bytes: &[u8]| Attributes::default().with(1, bytes);
    let to_register = || Attributes::default().with_number(1, REGISTER);
    // Equal (0) or not (1).
    let compare = |operation: u32, bytes: &[u8]| {
        to_register()
            .with_number(2, operation)
            .with_nested(3, &value(bytes))
    };
    // NFT_META_L4PROTO.
    let transport = to_register().with_number(2, 16);
    // Bytes of the network header, from where the destination is.
    let destination = |length: u32| {
        to_register()
            .with_number(2, 1)
            .with_number(3, 16)
            .with_number(4, length)
    };
    let immediate = to_register().with_nested(2, &value(&port.to_be_bytes()));
    let redirect = to_register();
    [
        ("meta", transport),
        ("cmp", compare(0, &[TCP])),
        ("payload", destination(1)),
        ("cmp", compare(1, &[LOOPBACK])),
        ("payload", destination(4)),
        ("cmp", compare(1, &ADDRESS.octets())),
        ("immediate", immediate),
        ("redir", redirect),
    ]
    .into_iter()
    .fold(Attributes::default(), |all, (name, data)| {
        let expression = Attributes::default()
            .with_text(1, name)
            .with_nested(2, &data);
        all.with_nested(1, &expression)
    })
}
