//! The allow-list of one attempt.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use moorline_core::spec::{HostRule, HostRuleError};

use super::address::is_public;
use super::block::{Block, BlockError};
use super::target::{Host, Target};

/// Ports that an address without a port stands for, as for names ([`HostRule`]).
const WEB_PORTS: [u16; 2] = [80, 443];

/// The destinations that an attempt may reach: the parsed `egress.allow` of its step (D-SPEC).
///
/// | entry | allows |
/// |---|---|
/// | `api.example.com` | that name on ports 80 and 443 |
/// | `db.example.com:5432` | that name on that port |
/// | `*.example.com`, `*.example.com:8443` | every name below it, at any depth, and not `example.com` itself |
/// | `192.0.2.7`, `[2001:db8::1]:8080` | that address, and names that are allowed and resolve to it |
/// | `localhost:8080` | this machine's loopback; no other name leads there |
/// | `*`, `*:22` | every name and every public address |
/// | [`with_blocks`](Self::with_blocks): `10.0.0.0/8` | every address of the block, on every port |
///
/// A default of two ports, not all: an entry for a web API must not open the mail port beside it.
///
/// ```
/// use moorline_executor::egress::EgressRules;
///
/// let rules = EgressRules::parse(&["*.example.com".into(), "[2001:db8::1]:8080".into()])?;
/// assert!(rules.allows("api.example.com:443"));
/// assert!(!rules.allows("api.example.com:25"));
/// assert!(!rules.allows("example.com:443"));
/// # Ok::<(), moorline_executor::egress::EgressRuleError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EgressRules {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    host: EntryHost,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum EntryHost {
    Address(IpAddr),
    Names(HostRule),
    /// Every address of a block. Names lead there as well, to nothing else.
    Block(Block),
    Everything,
}

/// An entry of an allow-list that can not be used (D-SPEC).
#[derive(Debug, thiserror::Error)]
#[error("D-SPEC (egress): entry {position} of the allow-list, `{entry}`, is not a destination")]
pub struct EgressRuleError {
    /// 1 for the first entry.
    pub position: usize,
    /// The entry as it was given.
    pub entry: String,
    /// What is wrong with it, and what to write.
    #[source]
    pub reason: EntryError,
}

/// What is wrong with an entry.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Not a host, pattern or IPv4 address.
    #[error(transparent)]
    Host(#[from] HostRuleError),
    /// Not an IPv6 address, or one that stands for an IPv4 address.
    #[error("write an IPv6 address as `[2001:db8::1]` or `[2001:db8::1]:443`, and IPv4 as IPv4")]
    Ipv6,
    /// A port that is none.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// Not a block of addresses.
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// What a matching entry says beyond "yes".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Permit {
    /// The port was written in the entry, so whoever wrote it knows what is spoken there.
    pub(super) explicit_port: bool,
    /// The address itself was meant, by its block, whatever name is greeted there.
    pub(super) any_greeting: bool,
}

impl EgressRules {
    /// Reads the entries of an allow-list.
    ///
    /// # Errors
    /// The first entry that is not one of the forms above.
    pub fn parse(entries: &[String]) -> Result<Self, EgressRuleError> {
        let entries = entries.iter().enumerate().map(|(index, entry)| {
            Entry::parse(entry).map_err(|reason| EgressRuleError {
                position: index + 1,
                entry: entry.clone(),
                reason,
            })
        });
        Ok(Self {
            entries: entries.collect::<Result<_, _>>()?,
        })
    }

    /// Adds blocks of addresses, such as `203.0.113.0/24` or `2001:db8::/32`, on every port.
    ///
    /// Whoever writes a block means all of it: addresses in it may be private ones. Every name may be tried
    /// then, and leads to addresses in the blocks and nowhere else, unless an entry allows the name itself.
    ///
    /// ```
    /// use moorline_executor::egress::EgressRules;
    ///
    /// let rules = EgressRules::parse(&[])?.with_blocks(&["10.0.0.0/8".into()])?;
    /// assert!(rules.allows("10.1.2.3:5432"));
    /// assert!(!rules.allows("192.168.0.1:5432"));
    /// # Ok::<(), moorline_executor::egress::EgressRuleError>(())
    /// ```
    ///
    /// # Errors
    /// The first text that is not a block.
    pub fn with_blocks(mut self, blocks: &[String]) -> Result<Self, EgressRuleError> {
        for (index, text) in blocks.iter().enumerate() {
            let block = text.parse().map_err(|reason| EgressRuleError {
                position: index + 1,
                entry: text.clone(),
                reason: EntryError::Block(reason),
            })?;
            self.entries.push(Entry {
                host: EntryHost::Block(block),
                port: None,
            });
        }
        Ok(self)
    }

    /// Rules that refuse nothing: every name, address and port, private ones too.
    pub fn everything() -> Self {
        let host = EntryHost::Everything;
        Self {
            entries: vec![Entry { host, port: None }],
        }
    }

    /// Whether a connection to `host:port` may be tried. A name may still turn out to lead to an
    /// address that it must not (see [the module](super)).
    pub fn allows(&self, destination: &str) -> bool {
        Target::parse(destination, None).is_ok_and(|target| self.check(&target).is_some())
    }

    /// Whether nothing is allowed.
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether an entry allows this name itself, on whatever port.
    pub fn allows_name(&self, name: &str) -> bool {
        let allows = |entry: &Entry| {
            let port = entry.port.unwrap_or(WEB_PORTS[1]);
            let target = Target::parse(&format!("{name}:{port}"), None);
            !entry.is_block() && target.is_ok_and(|target| entry.allows(&target))
        };
        self.entries.iter().any(allows)
    }

    /// Every block of addresses that is allowed on some port, with the length of its prefix: what a network
    /// must have routes to. Names and the addresses that they lead to are not among them.
    pub fn blocks(&self) -> Vec<(IpAddr, u8)> {
        let all = |entry: &Entry| match &entry.host {
            EntryHost::Address(address) => {
                vec![(*address, if address.is_ipv4() { 32 } else { 128 })]
            }
            EntryHost::Block(block) => vec![block.parts()],
            EntryHost::Everything => vec![
                (Ipv4Addr::UNSPECIFIED.into(), 0),
                (Ipv6Addr::UNSPECIFIED.into(), 0),
            ],
            EntryHost::Names(_) => Vec::new(),
        };
        self.entries.iter().flat_map(all).collect()
    }

    pub(super) fn check(&self, target: &Target) -> Option<Permit> {
        let matching = || self.entries.iter().filter(|entry| entry.allows(target));
        matching().next()?;
        let is_address = matches!(target.host, Host::Ip(_));
        Some(Permit {
            explicit_port: matching().any(Entry::names_port),
            any_greeting: is_address && matching().any(Entry::is_wide),
        })
    }

    /// Whether `address` may be dialled for a target that [`check`](Self::check) permits.
    pub(super) fn may_dial(&self, target: &Target, address: IpAddr) -> bool {
        let listed = |host: &Host| {
            let target = Target {
                host: host.clone(),
                port: target.port,
            };
            self.entries.iter().any(|entry| entry.is_exactly(&target))
        };
        let local = Host::Name("localhost".to_owned());
        let by_name = |entry: &Entry| !entry.is_block() && entry.allows(target);
        (is_public(address) && self.entries.iter().any(by_name))
            || listed(&Host::Ip(address.to_canonical()))
            || (address.is_loopback() && target.host == local && listed(&local))
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self, EntryError> {
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((address, "")) => (address, None),
            Some((address, port)) => (address, Some(parse_port(port)?)),
            None if text.matches(':').count() > 1 => (text, None),
            None => {
                let rule: HostRule = text.parse()?;
                let port = rule.port();
                let address = rule.exact_host().and_then(|host| host.parse().ok());
                return Ok(Self {
                    host: address.map_or(EntryHost::Names(rule), EntryHost::Address),
                    port,
                });
            }
        };
        let address: Ipv6Addr = host.parse().map_err(|_| EntryError::Ipv6)?;
        if address.to_canonical().is_ipv4() {
            return Err(EntryError::Ipv6);
        }
        Ok(Self {
            host: EntryHost::Address(address.into()),
            port,
        })
    }

    fn allows(&self, target: &Target) -> bool {
        match (&self.host, &target.host) {
            (EntryHost::Address(listed), Host::Ip(asked)) => {
                let port = self
                    .port
                    .as_ref()
                    .map_or(&WEB_PORTS[..], std::slice::from_ref);
                listed == asked && port.contains(&target.port)
            }
            (EntryHost::Address(_), Host::Name(_)) => false,
            (EntryHost::Names(rule), Host::Name(name)) => rule.matches(name, target.port),
            // Only `*` is left for an address, and it stands for the outside world.
            (EntryHost::Names(rule), Host::Ip(asked)) => {
                is_public(*asked) && rule.matches(&asked.to_string(), target.port)
            }
            (EntryHost::Block(block), Host::Ip(asked)) => block.contains(*asked),
            // Where it leads is seen when it is dialled.
            (EntryHost::Block(_), Host::Name(_)) | (EntryHost::Everything, _) => true,
        }
    }

    fn is_block(&self) -> bool {
        matches!(self.host, EntryHost::Block(_))
    }

    /// Whether it means addresses and ports by the many.
    fn is_wide(&self) -> bool {
        matches!(self.host, EntryHost::Block(_) | EntryHost::Everything)
    }

    /// Whether the author knew what is spoken on the port: he wrote it, or meant every port.
    fn names_port(&self) -> bool {
        self.port.is_some() || self.is_wide()
    }

    /// Whether the entry names this very host, not a pattern that it falls under.
    fn is_exactly(&self, target: &Target) -> bool {
        let exact = match &self.host {
            EntryHost::Address(_) | EntryHost::Block(_) | EntryHost::Everything => true,
            EntryHost::Names(rule) => rule.exact_host().is_some(),
        };
        exact && self.allows(target)
    }
}

fn parse_port(text: &str) -> Result<u16, EntryError> {
    let digits = text.strip_prefix(':').ok_or(EntryError::Ipv6)?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits
        .parse()
        .ok()
        .filter(|port| plain && *port != 0)
        .ok_or(EntryError::Port)
}

#[cfg(test)]
mod tests;
