//! What a sandbox may reach: lists of names and blocks, checked before anything is made of them.

use std::net::IpAddr;

use moorline_executor::egress::EgressRules;
use moorline_modal_proto::client::NetworkAccess;
use moorline_modal_proto::client::network_access::NetworkAccessType;
use tonic::Status;

use crate::container::Network;

/// The network that a definition or a live change asks for.
///
/// # Errors
/// `INVALID_ARGUMENT`, in the words that the official SDKs' tests look for.
pub(crate) fn network(access: &NetworkAccess) -> Result<Network, Status> {
    access
        .allowed_cidrs
        .iter()
        .try_for_each(|cidr| check_cidr(cidr))?;
    access
        .allowed_domains
        .iter()
        .try_for_each(|domain| check_domain(domain))?;
    let (domains, cidrs) = (&access.allowed_domains, &access.allowed_cidrs);
    let rules = EgressRules::parse(domains).and_then(|rules| rules.with_blocks(cidrs));
    rules.map_err(|error| Status::invalid_argument(format!("Invalid domain: {}", error.entry)))?;
    match access.network_access_type() {
        NetworkAccessType::Unspecified | NetworkAccessType::Open => Ok(Network::Open),
        NetworkAccessType::Blocked => Ok(Network::Blocked),
        NetworkAccessType::Allowlist => Ok(Network::Allow {
            domains: access.allowed_domains.clone(),
            cidrs: access.allowed_cidrs.clone(),
        }),
    }
}

pub(super) fn check_cidr(cidr: &str) -> Result<(), Status> {
    let valid = cidr.split_once('/').is_some_and(|(address, prefix)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        prefix.parse::<u8>().is_ok_and(|prefix| prefix <= most)
    });
    if valid {
        Ok(())
    } else {
        Err(Status::invalid_argument(format!("Invalid CIDR: {cidr}")))
    }
}

fn check_domain(domain: &str) -> Result<(), Status> {
    if domain == "*" {
        return Ok(());
    }
    let name = domain.strip_prefix("*.").unwrap_or(domain);
    let label = |label: &str| {
        !label.is_empty()
            && label.len() <= 63
            && label
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if name.len() <= 253 && name.split('.').all(label) {
        Ok(())
    } else {
        Err(Status::invalid_argument(format!(
            "Invalid domain: {domain}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(cidrs: &[&str], domains: &[&str]) -> NetworkAccess {
        NetworkAccess {
            network_access_type: NetworkAccessType::Allowlist.into(),
            allowed_cidrs: cidrs.iter().map(|&cidr| cidr.to_owned()).collect(),
            allowed_domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        }
    }

    #[test]
    fn destinations_are_checked_in_the_words_that_sdk_tests_look_for() {
        for cidr in ["not-an-ip/8", "10.0.0.0/33", "10.0.0.0", "::/129", ""] {
            let error = network(&access(&[cidr], &[])).unwrap_err();
            assert_eq!(error.code(), tonic::Code::InvalidArgument);
            assert_eq!(error.message(), format!("Invalid CIDR: {cidr}"));
        }
        for domain in ["", "*.", "a..b", "*.*.com", "a b", "exa/mple.com"] {
            assert!(network(&access(&[], &[domain])).is_err(), "{domain}");
        }
        let allowed = network(&access(&["10.0.0.0/8", "::/0"], &["*.github.com", "a.io"])).unwrap();
        let domains = vec!["*.github.com".to_owned(), "a.io".to_owned()];
        let cidrs = vec!["10.0.0.0/8".to_owned(), "::/0".to_owned()];
        assert_eq!(allowed, Network::Allow { domains, cidrs });
    }
}
