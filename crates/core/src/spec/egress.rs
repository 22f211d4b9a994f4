//! Which network destinations a step may reach.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The egress rule of a step: which network destinations it may reach.
///
/// `"none"` (nothing leaves), `"open"` (everything; refused in production lanes), or `{"allow": […]}` with
/// entries of the form `host`, `host:port`, `*.domain` or `*.domain:port`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Egress {
    /// No connection leaves, DNS included.
    #[default]
    None,
    /// Every destination.
    Open,
    /// Only the hosts named: `host`, `host:port`, `*.domain`, `*.domain:port`. `*` alone stands for every
    /// host and is refused in production lanes.
    Allow(#[schemars(length(min = 1))] Vec<String>),
}

impl Egress {
    /// The parsed entries of an allow-list; empty for the two other forms.
    ///
    /// # Errors
    /// The first entry that is not a [`HostRule`]. A loaded spec has none (D-SPEC-3j).
    pub fn host_rules(&self) -> Result<Vec<HostRule>, HostRuleError> {
        match self {
            Self::None | Self::Open => Ok(Vec::new()),
            Self::Allow(entries) => entries.iter().map(|entry| entry.parse()).collect(),
        }
    }

    /// The first destination that this rule reaches and `cap` does not; none when all of it is inside.
    ///
    /// Entries that are no [`HostRule`] are outside of everything.
    ///
    /// ```
    /// use moorline_core::spec::Egress;
    ///
    /// let allow = |entries: &[&str]| Egress::Allow(entries.iter().map(|e| (*e).to_owned()).collect());
    /// let cap = allow(&["*.bank.example", "api.example:443"]);
    /// assert_eq!(allow(&["eu.bank.example:443"]).first_outside(&cap), None);
    /// assert_eq!(allow(&["api.example"]).first_outside(&cap), Some("api.example".to_owned()));
    /// assert_eq!(Egress::Open.first_outside(&cap), Some("every destination".to_owned()));
    /// ```
    pub fn first_outside(&self, cap: &Self) -> Option<String> {
        let caps = match cap {
            Self::Open => return None,
            Self::None | Self::Allow(_) => cap.host_rules().unwrap_or_default(),
        };
        match self {
            Self::None => None,
            Self::Open => Some("every destination".to_owned()),
            Self::Allow(entries) => entries
                .iter()
                .find(|entry| {
                    let rule = entry.parse::<HostRule>();
                    !rule.is_ok_and(|rule| rule.is_within(&caps))
                })
                .cloned(),
        }
    }

    /// Whether some entry reaches every host, or the rule itself does.
    pub fn is_unbounded(&self) -> bool {
        match self {
            Self::None => false,
            Self::Open => true,
            Self::Allow(entries) => entries.iter().any(|entry| {
                entry
                    .parse()
                    .is_ok_and(|rule: HostRule| rule.host == HostPattern::Any)
            }),
        }
    }
}

/// Ports that an entry without a port stands for.
const WEB_PORTS: [u16; 2] = [80, 443];

/// One entry of an egress allow-list.
///
/// Host names compare without regard to case and to a final dot (RFC 4343, RFC 1034). `*.example.com`
/// stands for every name below `example.com`, at any depth, and not for `example.com` itself. Without a
/// port, the web's are meant, 80 and 443: an entry for an API does not open the mail port beside it.
///
/// ```
/// use moorline_core::spec::HostRule;
///
/// let rule: HostRule = "*.example.com:443".parse().unwrap();
/// assert!(rule.matches("api.eu.Example.com", 443));
/// assert!(!rule.matches("example.com", 443));
/// assert!(!rule.matches("api.example.com", 80));
/// assert!("https://example.com/".parse::<HostRule>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostRule {
    host: HostPattern,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum HostPattern {
    Any,
    Exact(String),
    /// The domain with its leading dot.
    Below(String),
}

impl HostPattern {
    /// Whether every host of `other` is one of this.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(cap), Self::Exact(name)) => cap == name,
            (Self::Below(cap), Self::Exact(name)) => {
                name.len() > cap.len() && name.ends_with(cap) && is_name(name)
            }
            (Self::Below(cap), Self::Below(suffix)) => suffix.ends_with(cap),
            (Self::Exact(_) | Self::Below(_), Self::Any) | (Self::Exact(_), Self::Below(_)) => {
                false
            }
        }
    }
}

impl HostRule {
    /// Whether a connection to `host` (a name, or an address as text) on `port` is allowed.
    pub fn matches(&self, host: &str, port: u16) -> bool {
        if !self.allows_port(port) {
            return false;
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        match &self.host {
            HostPattern::Any => true,
            HostPattern::Exact(name) => *name == host,
            HostPattern::Below(suffix) => {
                host.len() > suffix.len() && host.ends_with(suffix) && is_name(&host)
            }
        }
    }

    /// Whether every connection that this rule allows is allowed by one of these.
    fn is_within(&self, caps: &[Self]) -> bool {
        let ports = self
            .port
            .as_ref()
            .map_or(&WEB_PORTS[..], std::slice::from_ref);
        ports.iter().all(|port| {
            caps.iter()
                .any(|cap| cap.allows_port(*port) && cap.host.covers(&self.host))
        })
    }

    fn allows_port(&self, port: u16) -> bool {
        match self.port {
            Some(allowed) => allowed == port,
            None => WEB_PORTS.contains(&port),
        }
    }

    /// The exact host, when the rule is not a pattern.
    pub fn exact_host(&self) -> Option<&str> {
        match &self.host {
            HostPattern::Exact(name) => Some(name),
            HostPattern::Any | HostPattern::Below(_) => None,
        }
    }

    /// The one port allowed, or `None` for 80 and 443.
    pub const fn port(&self) -> Option<u16> {
        self.port
    }
}

impl fmt::Display for HostRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            HostPattern::Any => f.write_str("*")?,
            HostPattern::Exact(name) => f.write_str(name)?,
            HostPattern::Below(suffix) => write!(f, "*{suffix}")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Why a text is not an entry of an egress allow-list. Each says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostRuleError {
    /// A URL, path, credentials or query where only a host belongs.
    #[error("give the host alone, without scheme, path or user")]
    NotAHost,
    /// A star elsewhere than as the whole first label.
    #[error("a star stands alone for the first label, as in `*.example.com`")]
    Star,
    /// A port outside 1 to 65535.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// An IPv6 address or an address range.
    #[error("give a host name or an IPv4 address; IPv6 and ranges are not supported")]
    Address,
    /// Not a host name (RFC 1123).
    #[error("a host name has labels of letters, digits and hyphens, joined by dots")]
    Name,
}

impl FromStr for HostRule {
    type Err = HostRuleError;

    fn from_str(text: &str) -> Result<Self, HostRuleError> {
        if text.contains("://") || text.contains(['@', '?', '#']) {
            return Err(HostRuleError::NotAHost);
        }
        if text.contains('[') || text.matches(':').count() > 1 {
            return Err(HostRuleError::Address);
        }
        if let Some((host, _)) = text.split_once('/') {
            let range = host.parse::<Ipv4Addr>().is_ok();
            return Err(if range {
                HostRuleError::Address
            } else {
                HostRuleError::NotAHost
            });
        }
        let (host, port) = match text.split_once(':') {
            None => (text, None),
            Some((host, digits)) => (host, Some(parse_port(digits)?)),
        };
        if host == "*." {
            return Err(HostRuleError::Star);
        }
        let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        let host = if host == "*" {
            HostPattern::Any
        } else if let Some(domain) = host.strip_prefix('*') {
            let name = domain.strip_prefix('.').ok_or(HostRuleError::Star)?;
            check_name(name)?;
            HostPattern::Below(domain.to_owned())
        } else {
            check_name(&host)?;
            HostPattern::Exact(host)
        };
        Ok(Self { host, port })
    }
}

fn parse_port(digits: &str) -> Result<u16, HostRuleError> {
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    match digits.parse() {
        Ok(port) if plain && port != 0 => Ok(port),
        _ => Err(HostRuleError::Port),
    }
}

fn check_name(name: &str) -> Result<(), HostRuleError> {
    if name.contains('*') {
        return Err(HostRuleError::Star);
    }
    // Digits and dots alone are an address, in full form or not at all: `127.1` would reach loopback.
    if name.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return name
            .parse::<Ipv4Addr>()
            .map(drop)
            .map_err(|_| HostRuleError::Name);
    }
    if is_name(name) {
        Ok(())
    } else {
        Err(HostRuleError::Name)
    }
}

/// RFC 1123 host name, with underscores as some service names have them.
fn is_name(name: &str) -> bool {
    name.len() <= 253
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_forms_are_plain_json() {
        let forms = [
            (r#""none""#, Egress::None),
            (r#""open""#, Egress::Open),
            (
                r#"{"allow":["a.example"]}"#,
                Egress::Allow(vec!["a.example".to_owned()]),
            ),
        ];
        for (json, egress) in forms {
            assert_eq!(serde_json::from_str::<Egress>(json).unwrap(), egress);
            assert_eq!(serde_json::to_string(&egress).unwrap(), json);
        }
    }

    #[test]
    fn host_rules_match_what_they_say_and_nothing_else() {
        let cases = [
            ("api.example.com", "api.example.com", 443, true),
            ("api.example.com", "API.example.com.", 80, true),
            ("api.example.com", "x.api.example.com", 443, false),
            ("api.example.com", "api.example.com.evil.test", 443, false),
            ("api.example.com:443", "api.example.com", 444, false),
            ("api.example.com", "api.example.com", 25, false),
            ("*.example.com", "a.b.example.com", 443, true),
            ("*.example.com", "example.com", 443, false),
            ("*.example.com", "evilexample.com", 443, false),
            ("*.example.com", "evil\u{0}.example.com", 443, false),
            ("192.0.2.7:5432", "192.0.2.7", 5432, true),
            ("*", "anything.test", 80, true),
            ("*", "anything.test", 9, false),
            ("*:9", "anything.test", 9, true),
        ];
        for (rule, host, port, expected) in cases {
            let parsed: HostRule = rule.parse().unwrap();
            assert_eq!(parsed.matches(host, port), expected, "{rule} {host}:{port}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn other_texts_are_refused_with_the_reason() {
        use HostRuleError as E;
        let cases = [
            ("", E::Name),
            ("https://example.com", E::NotAHost),
            ("user@example.com", E::NotAHost),
            ("example.com/path", E::NotAHost),
            ("10.0.0.0/8", E::Address),
            ("[::1]:443", E::Address),
            ("2001:db8::1", E::Address),
            ("example.com:", E::Port),
            ("example.com:0", E::Port),
            ("example.com:+80", E::Port),
            ("example.com:65536", E::Port),
            ("a.*.example.com", E::Star),
            ("*example.com", E::Star),
            ("*.*.example.com", E::Star),
            ("*.", E::Star),
            ("-a.example", E::Name),
            ("a..example", E::Name),
            ("a b", E::Name),
            ("127.1", E::Name),
            ("256.1.1.1", E::Name),
            ("b\u{fc}cher.example", E::Name),
        ];
        for (text, error) in cases {
            assert_eq!(text.parse::<HostRule>(), Err(error), "{text}");
        }
    }

    #[test]
    fn a_list_with_a_bare_star_is_unbounded() {
        let allow = |entry: &str| Egress::Allow(vec!["a.example".to_owned(), entry.to_owned()]);
        assert!(Egress::Open.is_unbounded());
        assert!(allow("*").is_unbounded());
        assert!(allow("*:443").is_unbounded());
        assert!(!allow("*.example").is_unbounded());
        assert!(!Egress::None.is_unbounded());
    }
}
