//! Connection URLs: another database of the same server, and the server's address for `psql`.

use std::collections::BTreeMap;
use std::path::Path;

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::chaos::Upstream;

/// A `postgres://user:password@host:port/database?parameters` URL, in parts.
///
/// The part before the database and the parameters are kept as they were written.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct ConnectionUrl {
    authority: String,
    database: String,
    parameters: Option<String>,
}

impl ConnectionUrl {
    /// `None` when `url` does not have the form above.
    pub(super) fn parse(url: &str) -> Option<Self> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))?;
        let (rest, parameters) = match rest.split_once('?') {
            Some((rest, parameters)) => (rest, Some(parameters.to_owned())),
            None => (rest, None),
        };
        let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
        Some(Self {
            authority: authority.to_owned(),
            database: database.to_owned(),
            parameters,
        })
    }

    /// The same server, another database. `name` needs no escaping: we choose it.
    pub(super) fn with_database(&self, name: &str) -> Self {
        Self {
            database: name.to_owned(),
            ..self.clone()
        }
    }

    pub(super) fn to_text(&self) -> String {
        let parameters = self
            .parameters
            .as_ref()
            .map_or(String::new(), |p| format!("?{p}"));
        format!(
            "postgres://{}/{}{parameters}",
            self.authority, self.database
        )
    }

    /// Where the server is, and who connects: `user` or `user:password`, as in a URL.
    pub(super) fn upstream(&self) -> (Upstream, String) {
        let found: BTreeMap<&str, String> = self.libpq_environment().into_iter().collect();
        let of = |name: &str, default: &str| {
            let value = found.get(name).map_or(default, String::as_str);
            value.to_owned()
        };
        let (host, port) = (of("PGHOST", "localhost"), of("PGPORT", "5432"));
        let encoded = |text: String| utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
        let mut user = encoded(of("PGUSER", "postgres"));
        if let Some(password) = found.get("PGPASSWORD") {
            user = format!("{user}:{}", encoded(password.clone()));
        }
        let upstream = if host.starts_with('/') {
            Upstream::Unix(Path::new(&host).join(format!(".s.PGSQL.{port}")))
        } else {
            let host = host.trim_matches(['[', ']']);
            Upstream::Tcp(format!("{host}:{port}"))
        };
        (upstream, user)
    }

    /// The address as the environment variables of libpq. They, and not an argument, carry it to
    /// `psql`, since a password in an argument can be read by every user of the machine.
    pub(super) fn libpq_environment(&self) -> Vec<(&'static str, String)> {
        let (user_info, host_port) = self
            .authority
            .rsplit_once('@')
            .unwrap_or(("", self.authority.as_str()));
        let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
        // An IPv6 address stands in brackets and has colons of its own.
        let (host, port) = match host_port.strip_prefix('[').and_then(|h| h.split_once(']')) {
            Some((address, port)) => (address, port.trim_start_matches(':')),
            None => host_port.split_once(':').unwrap_or((host_port, "")),
        };
        let parameter = |name: &str| {
            self.parameters
                .iter()
                .flat_map(|all| all.split('&'))
                .find_map(|pair| {
                    pair.split_once('=')
                        .filter(|(key, _)| *key == name)
                        .map(|(_, value)| value)
                })
        };
        [
            ("PGHOST", parameter("host").unwrap_or(host)),
            ("PGPORT", parameter("port").unwrap_or(port)),
            ("PGUSER", parameter("user").unwrap_or(user)),
            ("PGPASSWORD", parameter("password").unwrap_or(password)),
            ("PGDATABASE", parameter("dbname").unwrap_or(&self.database)),
            ("PGSSLMODE", parameter("sslmode").unwrap_or("")),
            ("PGSSLROOTCERT", parameter("sslrootcert").unwrap_or("")),
        ]
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            (
                name,
                percent_decode_str(value).decode_utf8_lossy().into_owned(),
            )
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(url: &str) -> Vec<(&'static str, String)> {
        ConnectionUrl::parse(url).unwrap().libpq_environment()
    }

    fn pairs(expected: &[(&'static str, &str)]) -> Vec<(&'static str, String)> {
        expected
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect()
    }

    #[test]
    fn a_socket_directory_wins_over_the_host() {
        assert_eq!(
            environment("postgres://postgres@localhost/postgres?host=/var/tmp/x"),
            pairs(&[
                ("PGHOST", "/var/tmp/x"),
                ("PGUSER", "postgres"),
                ("PGDATABASE", "postgres")
            ])
        );
    }

    #[test]
    fn a_password_is_decoded_and_ports_are_found_behind_ipv6() {
        assert_eq!(
            environment("postgresql://me:p%40ss:word@[::1]:6543/db?sslmode=require"),
            pairs(&[
                ("PGHOST", "::1"),
                ("PGPORT", "6543"),
                ("PGUSER", "me"),
                ("PGPASSWORD", "p@ss:word"),
                ("PGDATABASE", "db"),
                ("PGSSLMODE", "require"),
            ])
        );
    }

    #[test]
    fn another_database_keeps_everything_else() {
        let url = ConnectionUrl::parse("postgres://me:pw@host:1/one?sslmode=require").unwrap();
        assert_eq!(
            url.with_database("two").to_text(),
            "postgres://me:pw@host:1/two?sslmode=require"
        );
        assert!(ConnectionUrl::parse("mysql://host/db").is_none());
    }
}
