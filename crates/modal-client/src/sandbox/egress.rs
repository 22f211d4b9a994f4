//! Which connections a sandbox may open.

use std::net::IpAddr;

use moorline_modal_proto::client::NetworkAccess;
use moorline_modal_proto::client::network_access::NetworkAccessType;

use crate::{Error, ErrorKind, Result};

/// What a sandbox reaches beyond itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Egress {
    /// Everything.
    #[default]
    Open,
    /// Nothing.
    Blocked,
    /// What is listed, and nothing else; two empty lists allow nothing.
    AllowList {
        /// Networks in CIDR form (`10.0.0.0/8`, `2001:db8::/32`).
        cidrs: Vec<String>,
        /// Host names; `*.example.com` is every name below `example.com`.
        domains: Vec<String>,
    },
}

impl Egress {
    /// Checks the lists: the server's own checks come after an image was built.
    pub fn validate(&self) -> Result<()> {
        match self {
            Self::Open | Self::Blocked => Ok(()),
            Self::AllowList { cidrs, domains } => {
                cidrs.iter().try_for_each(|cidr| check_cidr(cidr))?;
                domains.iter().try_for_each(|domain| check_domain(domain))
            }
        }
    }

    /// The message that a creation or a live change carries.
    pub fn to_proto(&self) -> NetworkAccess {
        let (kind, cidrs, domains) = match self {
            Self::Open => (NetworkAccessType::Open, Vec::new(), Vec::new()),
            Self::Blocked => (NetworkAccessType::Blocked, Vec::new(), Vec::new()),
            Self::AllowList { cidrs, domains } => {
                (NetworkAccessType::Allowlist, cidrs.clone(), domains.clone())
            }
        };
        NetworkAccess {
            network_access_type: kind.into(),
            allowed_cidrs: cidrs,
            allowed_domains: domains,
        }
    }
}

/// Checks one network: an address and the number of its leading bits that count.
pub(crate) fn check_cidr(cidr: &str) -> Result<()> {
    let parsed = cidr.split_once('/').and_then(|(address, bits)| {
        let address: IpAddr = address.parse().ok()?;
        let digits = !bits.is_empty() && bits.bytes().all(|byte| byte.is_ascii_digit());
        let bits: u8 = bits.parse().ok().filter(|_| digits)?;
        Some(bits <= if address.is_ipv4() { 32 } else { 128 })
    });
    if parsed == Some(true) {
        return Ok(());
    }
    let message =
        format!("Invalid CIDR: `{cidr}`; write address and prefix length, as in `10.0.0.0/8`");
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

/// Checks one host name by the rules of RFC 1123, 2.1, with `*.` allowed in front.
fn check_domain(domain: &str) -> Result<()> {
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() <= 253 && name.split('.').all(label) && name.parse::<IpAddr>().is_err() {
        return Ok(());
    }
    let message = format!(
        "`{domain}` is not a host name that can be allowed; write `example.com` or `*.example.com`, \
         and addresses as a CIDR"
    );
    Err(Error::new(ErrorKind::InvalidArgument, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(cidrs: &[&str], domains: &[&str]) -> Egress {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Egress::AllowList {
            cidrs: strings(cidrs),
            domains: strings(domains),
        }
    }

    #[test]
    fn networks_and_names_are_checked() {
        let good = allow(
            &["0.0.0.0/0", "10.1.2.3/32", "::/0", "2001:db8::/32"],
            &["a.b", "*.github.com", "x"],
        );
        good.validate().unwrap();
        for cidr in [
            "",
            "10.0.0.0",
            "10.0.0.0/33",
            "10.0.0/8",
            "::/129",
            "10.0.0.0/+8",
            "10.0.0.0/ 8",
            "a/8",
        ] {
            let error = allow(&[cidr], &[]).validate().unwrap_err();
            assert!(
                error.to_string().starts_with("Invalid CIDR: "),
                "{cidr}: {error}"
            );
        }
        for domain in [
            "",
            "*",
            "*.",
            "a..b",
            "-a.b",
            "a_b.c",
            "http://a.b",
            "a.b/c",
            "10.0.0.1",
            "a.*.b",
        ] {
            assert!(allow(&[], &[domain]).validate().is_err(), "{domain}");
        }
    }

    #[test]
    fn each_kind_has_its_number() {
        assert_eq!(Egress::Open.to_proto().network_access_type, 1);
        assert_eq!(Egress::Blocked.to_proto().network_access_type, 2);
        let list = allow(&["10.0.0.0/8"], &["a.b"]).to_proto();
        assert_eq!(list.network_access_type, 3);
        assert_eq!(
            (list.allowed_cidrs, list.allowed_domains),
            (vec!["10.0.0.0/8".into()], vec!["a.b".into()])
        );
    }
}
