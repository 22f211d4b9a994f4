//! Where a request wants to go, in one canonical form.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The host of a request, canonical: two texts that reach one host are one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Host {
    /// A DNS name in lower case, without the final dot.
    Name(String),
    /// An address; an IPv4-mapped IPv6 address is the IPv4 one.
    Ip(IpAddr),
}

/// A host and a port, the only form in which a destination reaches the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: Host,
    pub(super) port: u16,
}

/// Why an authority (RFC 3986, section 3.2) is not a destination. Each could mean one host to this proxy
/// and another to a resolver, so none is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum TargetError {
    #[error("user names do not belong in a proxy request")]
    UserInfo,
    #[error("a port is a number from 1 to 65535")]
    Port,
    #[error("a host name has labels of letters, digits, hyphens and underscores, joined by dots")]
    Name,
    #[error("an IPv4 address has four decimal numbers, without leading zeros")]
    Ipv4,
    #[error("an IPv6 address stands in brackets, without a zone")]
    Ipv6,
}

impl Host {
    /// Reads a host as it stands in a URI or a TLS server name.
    pub(super) fn parse(text: &str) -> Result<Self, TargetError> {
        if let Some(rest) = text.strip_prefix('[') {
            let inner = rest.strip_suffix(']').ok_or(TargetError::Ipv6)?;
            let address: Ipv6Addr = inner.parse().map_err(|_| TargetError::Ipv6)?;
            return Ok(Self::Ip(IpAddr::V6(address).to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if ends_in_number(&name) {
            let address: Ipv4Addr = name.parse().map_err(|_| TargetError::Ipv4)?;
            return Ok(Self::Ip(address.into()));
        }
        if is_name(&name) {
            Ok(Self::Name(name))
        } else {
            Err(TargetError::Name)
        }
    }
}

impl Target {
    /// Reads `host[:port]`.
    ///
    /// # Errors
    /// When it is anything else: credentials, an escape, a number that some resolvers take for an
    /// address (`2130706433`, `0x7f.1`, `127.1`), or no port where there is no default.
    pub(super) fn parse(authority: &str, default_port: Option<u16>) -> Result<Self, TargetError> {
        if authority.contains('@') {
            return Err(TargetError::UserInfo);
        }
        // The last colon outside of brackets is the port's.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, Some(port)),
            _ => (authority, None),
        };
        if host.contains(':') && !host.starts_with('[') {
            return Err(TargetError::Ipv6);
        }
        let port = port
            .map_or(default_port, parse_port)
            .ok_or(TargetError::Port)?;
        Ok(Self {
            host: Host::parse(host)?,
            port,
        })
    }

    /// The value of a `Host` field for this target, without the port that is the scheme's default.
    pub(super) fn host_field(&self) -> String {
        if self.port == 80 {
            self.host.to_string()
        } else {
            self.to_string()
        }
    }
}

/// As in a URI: IPv6 in brackets.
impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(address)) => address.fmt(f),
            Self::Ip(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

fn parse_port(digits: &str) -> Option<u16> {
    let plain = (1..=5).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    plain
        .then(|| digits.parse().ok())
        .flatten()
        .filter(|port| *port != 0)
}

/// Whether the C library or a browser would take the text for an IPv4 address: its last label is a
/// decimal, octal or hexadecimal number (the "ends in a number" check of the WHATWG URL standard).
fn ends_in_number(host: &str) -> bool {
    let last = host.rsplit('.').next().unwrap_or(host);
    let hex = last
        .strip_prefix("0x")
        .is_some_and(|h| h.bytes().all(|b| b.is_ascii_hexdigit()));
    hex || (!last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()))
}

/// RFC 1123, and underscores, which some service names have. `name` is in lower case.
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
        })
}

/// What may be shown of a destination that was refused, whatever bytes it had: at most 255 visible ASCII
/// characters, others as `?`.
pub(super) fn shown(authority: &str) -> String {
    authority
        .chars()
        .take(255)
        .map(|c| if c.is_ascii_graphic() { c } else { '?' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(authority: &str) -> Result<String, TargetError> {
        Target::parse(authority, Some(80)).map(|target| target.to_string())
    }

    #[test]
    fn equal_hosts_have_one_form() {
        for (text, canonical) in [
            ("example.com", "example.com:80"),
            ("EXAMPLE.Com.:8080", "example.com:8080"),
            ("_dmarc.example.com", "_dmarc.example.com:80"),
            ("192.0.2.7:1", "192.0.2.7:1"),
            ("192.0.2.7.", "192.0.2.7:80"),
            ("[2001:DB8:0::1]:443", "[2001:db8::1]:443"),
            ("[::ffff:127.0.0.1]", "127.0.0.1:80"),
            ("[::ffff:7f00:1]:81", "127.0.0.1:81"),
            ("0x7f.example", "0x7f.example:80"),
        ] {
            assert_eq!(parsed(text), Ok(canonical.to_owned()), "{text}");
        }
    }

    #[test]
    fn ambiguous_hosts_are_refused() {
        use TargetError as E;
        for (text, error) in [
            ("", E::Name),
            (".", E::Name),
            ("a..b", E::Name),
            ("a.b..", E::Name),
            ("-a.b", E::Name),
            ("a b", E::Name),
            ("a%2eb", E::Name),
            ("a\\b", E::Name),
            ("a\0b", E::Name),
            ("b\u{fc}cher.example", E::Name),
            ("ex\u{ff41}mple.com", E::Name),
            ("*.example.com", E::Name),
            ("good@evil", E::UserInfo),
            ("good:80@evil:80", E::UserInfo),
            ("2130706433", E::Ipv4),
            ("0x7f000001", E::Ipv4),
            ("0X7F.1", E::Ipv4),
            ("0x", E::Ipv4),
            ("127.1", E::Ipv4),
            ("0177.0.0.1", E::Ipv4),
            ("127.0.0.01", E::Ipv4),
            ("1.2.3.4.5", E::Ipv4),
            ("example.1", E::Ipv4),
            ("256.0.0.1", E::Ipv4),
            ("::1", E::Ipv6),
            ("::1:80", E::Ipv6),
            ("a:b:80", E::Ipv6),
            ("[::1", E::Ipv6),
            ("[::1%25lo]", E::Ipv6),
            ("[::1]x", E::Ipv6),
            ("[127.0.0.1]", E::Ipv6),
            ("a:", E::Port),
            ("a:0", E::Port),
            ("a:+1", E::Port),
            ("a: 80", E::Port),
            ("a:65536", E::Port),
            ("a:080000", E::Port),
        ] {
            assert_eq!(parsed(text), Err(error), "{text:?}");
        }
        assert_eq!(Target::parse("a", None), Err(E::Port));
    }
}
