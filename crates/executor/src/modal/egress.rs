//! A step's egress rule in the terms of Modal's sandboxes.
//!
//! Modal filters by network and by host name, not by port. So an entry that names a port other than the
//! web's is refused rather than widened: a job that may reach a mail server's port 587 would otherwise reach
//! everything else on that host. An entry without a port stands for 80 and 443, and one for either of them
//! is taken for the host, as both protocols are looked into by name there.

use std::net::IpAddr;

use moorline_core::attempt::IsolationNeed;
use moorline_core::spec::Egress as Rule;
use moorline_modal_client::sandbox::Egress;

use super::NAME;
use crate::executor::ExecutorError;

/// Translates the rule, or refuses it where Modal can not keep it.
pub(super) fn translate(rule: &Rule, need: IsolationNeed) -> Result<Egress, ExecutorError> {
    let entries = match rule {
        Rule::None => return Ok(Egress::Blocked),
        Rule::Open => return Ok(Egress::Open),
        Rule::Allow(entries) => entries,
    };
    let rules = rule
        .host_rules()
        .map_err(|error| ExecutorError::unsupported(NAME, error.to_string()))?;
    if rule.is_unbounded() {
        if need == IsolationNeed::Required {
            let what = "allow every host where isolation is required: list the hosts";
            return Err(ExecutorError::unsupported(NAME, what));
        }
        return Ok(Egress::Open);
    }
    let (mut cidrs, mut domains) = (Vec::new(), Vec::new());
    for (entry, rule) in entries.iter().zip(&rules) {
        if !matches!(rule.port(), None | Some(80 | 443)) {
            let what = format!(
                "bind the egress entry `{entry}` to its port: Modal filters by host; allow the host for 443 \
                 or run it on the local executor"
            );
            return Err(ExecutorError::unsupported(NAME, what));
        }
        let host = match rule.exact_host() {
            Some(host) => host.to_owned(),
            None => without_port(entry).to_ascii_lowercase(),
        };
        match host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address @ IpAddr::V4(_)) => cidrs.push(format!("{address}/32")),
            Ok(address @ IpAddr::V6(_)) => cidrs.push(format!("{address}/128")),
            Err(_) => domains.push(host),
        }
    }
    let list = Egress::AllowList { cidrs, domains };
    list.validate()
        .map_err(|error| ExecutorError::unsupported(NAME, error.to_string()))?;
    Ok(list)
}

/// `*.example.com:443` without its port.
fn without_port(entry: &str) -> &str {
    entry.rsplit_once(':').map_or(entry, |(host, _)| host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allow(entries: &[&str]) -> Rule {
        Rule::Allow(entries.iter().map(ToString::to_string).collect())
    }

    fn list(cidrs: &[&str], domains: &[&str]) -> Egress {
        let strings = |list: &[&str]| list.iter().map(ToString::to_string).collect();
        Egress::AllowList {
            cidrs: strings(cidrs),
            domains: strings(domains),
        }
    }

    #[test]
    fn each_rule_has_its_counterpart() {
        let need = IsolationNeed::Required;
        assert_eq!(translate(&Rule::None, need).unwrap(), Egress::Blocked);
        assert_eq!(translate(&Rule::Open, need).unwrap(), Egress::Open);
        let rule = allow(&[
            "api.example.com:443",
            "*.github.com",
            "10.1.2.3:80",
            "files.example.org",
        ]);
        let expected = list(
            &["10.1.2.3/32"],
            &["api.example.com", "*.github.com", "files.example.org"],
        );
        assert_eq!(translate(&rule, need).unwrap(), expected);
    }

    #[test]
    fn what_modal_can_not_keep_is_refused() {
        let error =
            translate(&allow(&["smtp.example.com:587"]), IsolationNeed::BestEffort).unwrap_err();
        assert!(
            error.to_string().contains("`smtp.example.com:587`"),
            "{error}"
        );
        assert_eq!(
            translate(&allow(&["*"]), IsolationNeed::BestEffort).unwrap(),
            Egress::Open
        );
        assert!(translate(&allow(&["*"]), IsolationNeed::Required).is_err());
    }
}
