//! Where a server listens: `https://`, `http://` (plaintext HTTP/2) or `unix://`.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// Host names that mean this machine to the official clients; certificates and schemes are judged
/// leniently for them.
const LOCAL_HOSTS: [&str; 4] = ["localhost", "127.0.0.1", "::1", "172.21.0.1"];

/// How a server is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// TLS; port 443 unless given.
    Https,
    /// Plaintext HTTP/2 with prior knowledge; port 80 unless given.
    Http,
    /// A Unix socket; the path stands for the host.
    Unix,
}

/// The address of one server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ServerUrl {
    scheme: Scheme,
    /// Host name without brackets, or the socket's path.
    host: String,
    port: u16,
}

impl ServerUrl {
    /// Reads one address.
    ///
    /// # Errors
    /// [`ErrorKind::Config`] for another scheme, a missing host or a path.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |why: &str| {
            Error::new(
                ErrorKind::Config,
                format!(
                    "server url `{}`: {why}; use https://host[:port], http://host[:port] or unix:///path",
                    shown(text)
                ),
            )
        };
        if let Some(path) = text.strip_prefix("unix://") {
            if !path.starts_with('/') {
                return Err(bad("the socket's path must be absolute"));
            }
            return Ok(Self {
                scheme: Scheme::Unix,
                host: path.to_owned(),
                port: 0,
            });
        }
        let uri: http::Uri = text.parse().map_err(|_| bad("not a url"))?;
        let (scheme, default_port) = match uri.scheme_str() {
            Some("https") => (Scheme::Https, 443),
            Some("http") => (Scheme::Http, 80),
            Some(_) => return Err(bad("unknown scheme")),
            None => return Err(bad("no scheme")),
        };
        if uri.path().len() > 1 || uri.query().is_some() {
            return Err(bad("a path or query has no meaning here"));
        }
        let authority = uri.authority().ok_or_else(|| bad("no host"))?;
        if authority.as_str().contains('@') {
            return Err(bad("credentials do not belong into a url"));
        }
        let host = authority
            .host()
            .trim_start_matches('[')
            .trim_end_matches(']');
        if host.is_empty() {
            return Err(bad("no host"));
        }
        Ok(Self {
            scheme,
            host: host.to_owned(),
            port: authority.port_u16().unwrap_or(default_port),
        })
    }

    /// Reads a comma-separated list: the first is the preferred one, the others are fallbacks.
    ///
    /// # Errors
    /// As [`parse`](Self::parse), and for an empty list.
    pub fn parse_list(text: &str) -> Result<Vec<Self>> {
        let urls: Vec<Self> = text
            .split(',')
            .map(str::trim)
            .filter(|url| !url.is_empty())
            .map(Self::parse)
            .collect::<Result<_>>()?;
        if urls.is_empty() {
            return Err(Error::new(
                ErrorKind::Config,
                "server url: empty; give at least one address",
            ));
        }
        Ok(urls)
    }

    /// How it is reached.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The host's name or address, or the socket's path.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it names this machine by one of the names that the official clients know.
    pub fn is_local(&self) -> bool {
        self.scheme == Scheme::Unix || LOCAL_HOSTS.contains(&self.host.as_str())
    }

    /// The same address in plaintext.
    #[must_use]
    pub fn as_plaintext(&self) -> Self {
        match self.scheme {
            Scheme::Https => Self {
                scheme: Scheme::Http,
                ..self.clone()
            },
            Scheme::Http | Scheme::Unix => self.clone(),
        }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Unix => return write!(f, "unix://{}", self.host),
            Scheme::Https => "https",
            Scheme::Http => "http",
        };
        if self.host.contains(':') {
            write!(f, "{scheme}://[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{scheme}://{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text without what may be a password in it.
fn shown(text: &str) -> &str {
    text.rsplit_once('@').map_or(text, |(_, after)| after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn error(text: &str) -> String {
        ServerUrl::parse(text).unwrap_err().to_string()
    }

    #[test]
    fn ports_have_the_defaults_of_their_schemes() {
        let url = |text| ServerUrl::parse(text).unwrap().to_string();
        assert_eq!(url("https://api.modal.com"), "https://api.modal.com:443");
        assert_eq!(url("http://127.0.0.1"), "http://127.0.0.1:80");
        assert_eq!(url("http://[::1]:5000"), "http://[::1]:5000");
        assert_eq!(url("unix:///run/modal.sock"), "unix:///run/modal.sock");
    }

    #[test]
    fn only_this_machines_names_are_local() {
        let local = |text| ServerUrl::parse(text).unwrap().is_local();
        assert!(
            local("http://localhost:1") && local("https://127.0.0.1:1") && local("http://[::1]:1")
        );
        assert!(local("unix:///x") && local("http://172.21.0.1:1"));
        assert!(!local("https://api.modal.com") && !local("https://127.0.0.1.example.com"));
    }

    #[test]
    fn a_list_keeps_its_order_and_forgives_spaces() {
        let list = ServerUrl::parse_list("https://a.example, https://b.example:1,").unwrap();
        let list: Vec<_> = list.iter().map(ToString::to_string).collect();
        assert_eq!(list, ["https://a.example:443", "https://b.example:1"]);
        assert_eq!(
            ServerUrl::parse_list(" ,").unwrap_err().kind(),
            ErrorKind::Config
        );
    }

    #[test]
    fn what_is_wrong_is_told_without_a_password() {
        assert!(error("ftp://x").contains("unknown scheme"));
        assert!(error("localhost:50051").contains("scheme"));
        assert!(error("https://h/path").contains("path"));
        assert!(error("unix://relative").contains("absolute"));
        assert!(!error("https://user:hunter2@host").contains("hunter2"));
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back_as_the_same(text in "(https?://[a-z0-9.-]{1,20}(:[1-9][0-9]{0,3})?|unix:///[a-z/]{0,10})") {
            if let Ok(url) = ServerUrl::parse(&text) {
                prop_assert_eq!(ServerUrl::parse(&url.to_string()).unwrap(), url);
            }
        }
    }
}
