//! Reading the head of a request or response, and writing the head that goes on (RFC 9112).
//!
//! Requests are read strictly: what two programs could read differently is refused, not repaired. The
//! head that goes on is written anew from what was understood, so the next hop sees the host that the
//! rules saw, and the body that this proxy counts.

use httparse::{Header, Status};

use super::body::Framing;
use super::target::{Target, TargetError, shown};

/// Bytes of a request's head.
pub(super) const REQUEST_HEAD_LIMIT: usize = 16 << 10;
/// Bytes of a response's head; servers send more than clients.
pub(super) const RESPONSE_HEAD_LIMIT: usize = 64 << 10;
const FIELD_LIMIT: usize = 128;

/// Fields that are meant for one connection (RFC 9110, section 7.6.1) or that are written anew.
const OWN_FIELDS: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// What a client asks of the proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// `CONNECT host:port`.
    Tunnel(Target),
    /// A request with an absolute `http://` target.
    Forward {
        target: Target,
        /// The head to send there, in origin form.
        head: Vec<u8>,
        body: Framing,
        /// `HEAD`, whose response has no body whatever its fields say.
        is_head: bool,
    },
}

/// Why a request is not served, with what is needed to answer it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum RequestError {
    #[error("not a request that this proxy understands: {0}")]
    Malformed(&'static str),
    #[error("the request head is longer than {REQUEST_HEAD_LIMIT} bytes or has too many fields")]
    TooLarge,
    #[error("not supported here: {0}")]
    Unsupported(&'static str),
    /// The destination is not in canonical form, so no rule can allow it.
    #[error("`{asked}` is not a destination: {reason}")]
    Target { asked: String, reason: TargetError },
}

/// Reads a request from the bytes so far: the request and the length of its head, or `None` when the
/// head is not complete.
pub(super) fn read_request(bytes: &[u8]) -> Result<Option<(Request, usize)>, RequestError> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut request = httparse::Request::new(&mut fields);
    let length = match request.parse(bytes) {
        Ok(Status::Complete(length)) if length <= REQUEST_HEAD_LIMIT => length,
        Ok(Status::Partial) if bytes.len() <= REQUEST_HEAD_LIMIT => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(RequestError::TooLarge),
        Err(_) => return Err(RequestError::Malformed("bad syntax")),
    };
    let head = bytes.get(..length).unwrap_or_default();
    if head.starts_with(b"\r") || has_bare_line_feed(head) {
        return Err(RequestError::Malformed("lines end with CR LF"));
    }
    let (Some(method), Some(uri), Some(version)) = (request.method, request.path, request.version)
    else {
        return Err(RequestError::Malformed("bad syntax"));
    };
    let request = if method == "CONNECT" {
        Request::Tunnel(parse_target(uri, None)?)
    } else {
        forward(method, uri, version, request.headers)?
    };
    Ok(Some((request, length)))
}

fn forward(
    method: &str,
    uri: &str,
    version: u8,
    fields: &[Header<'_>],
) -> Result<Request, RequestError> {
    let (scheme, rest) = uri.split_once("://").ok_or(RequestError::Malformed(
        "this is a proxy: give the whole URL, or use CONNECT",
    ))?;
    if !scheme.eq_ignore_ascii_case("http") {
        return Err(RequestError::Unsupported(
            "only http:// URLs; use CONNECT for others",
        ));
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if path.contains('#') {
        return Err(RequestError::Malformed("a request has no fragment"));
    }
    let target = parse_target(authority, Some(80))?;
    let named = |name: &'static str| {
        fields
            .iter()
            .filter(move |f| f.name.eq_ignore_ascii_case(name))
    };
    if named("host").count() > 1 {
        return Err(RequestError::Malformed("more than one Host field"));
    }
    let body = match (
        named("transfer-encoding").count(),
        named("content-length").count(),
    ) {
        (0, 0) => Framing::Empty,
        (0, 1) => framing_length(fields).ok_or(RequestError::Malformed("bad Content-Length"))?,
        (1, 0) if version == 1 => {
            is_chunked(fields)
                .then_some(Framing::Chunked)
                .ok_or(RequestError::Unsupported(
                    "a transfer coding other than chunked",
                ))?
        }
        _ => {
            return Err(RequestError::Malformed(
                "the length of the body is told in two ways",
            ));
        }
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let mut head = format!(
        "{method} {slash}{path} HTTP/1.{version}\r\nHost: {}\r\n",
        target.host_field()
    )
    .into_bytes();
    push_fields(&mut head, fields);
    push_framing(&mut head, body);
    head.extend_from_slice(b"Via: 1.1 moorline\r\nConnection: close\r\n\r\n");
    Ok(Request::Forward {
        target,
        head,
        body,
        is_head: method == "HEAD",
    })
}

fn parse_target(authority: &str, default_port: Option<u16>) -> Result<Target, RequestError> {
    Target::parse(authority, default_port).map_err(|reason| RequestError::Target {
        asked: shown(authority),
        reason,
    })
}

/// A response's head as it goes on to the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ResponseHead {
    /// Bytes of the head that was read.
    pub(super) length: usize,
    pub(super) head: Vec<u8>,
    /// `None` for an interim response (1xx), behind which another one comes.
    pub(super) body: Option<Framing>,
}

/// Reads a response head from the bytes so far; `None` when it is not complete.
///
/// # Errors
/// What is wrong with it.
pub(super) fn read_response(
    bytes: &[u8],
    to_head_request: bool,
) -> Result<Option<ResponseHead>, &'static str> {
    let mut fields = [httparse::EMPTY_HEADER; FIELD_LIMIT];
    let mut response = httparse::Response::new(&mut fields);
    let length = match response.parse(bytes) {
        Ok(Status::Complete(length)) if length <= RESPONSE_HEAD_LIMIT => length,
        Ok(Status::Partial) if bytes.len() <= RESPONSE_HEAD_LIMIT => return Ok(None),
        Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err("its head is too long"),
        Err(_) => return Err("it is not HTTP"),
    };
    let fields = &*response.headers;
    let (Some(status), Some(version)) = (response.code, response.version) else {
        return Err("it is not HTTP");
    };
    let count = |name: &str| {
        fields
            .iter()
            .filter(|f| f.name.eq_ignore_ascii_case(name))
            .count()
    };
    let body = match (status, count("transfer-encoding"), count("content-length")) {
        (101, _, _) => return Err("it switches protocols, which was not asked for"),
        (100..=199, _, _) => None,
        (204 | 304, _, _) => Some(Framing::Empty),
        _ if to_head_request => Some(Framing::Empty),
        (_, 0, 0) => Some(Framing::UntilClose),
        (_, 0, 1) => Some(framing_length(fields).ok_or("its Content-Length is not a number")?),
        (_, 1, 0) if is_chunked(fields) => Some(Framing::Chunked),
        _ => return Err("the length of its body is not clear"),
    };
    let reason = response.reason.unwrap_or_default();
    let mut head = format!("HTTP/1.{version} {status} {reason}\r\n").into_bytes();
    push_fields(&mut head, fields);
    match body {
        None => {}
        // The length that a body would have, which the client may want to know.
        Some(Framing::Empty) => {
            if let Some(framing) = framing_length(fields).filter(|_| status != 204) {
                push_framing(&mut head, framing);
            }
        }
        Some(framing) => push_framing(&mut head, framing),
    }
    if body.is_some() {
        head.extend_from_slice(b"Via: 1.1 moorline\r\nConnection: close\r\n");
    }
    head.extend_from_slice(b"\r\n");
    Ok(Some(ResponseHead { length, head, body }))
}

/// Copies the fields that are meant for the other end.
fn push_fields(head: &mut Vec<u8>, fields: &[Header<'_>]) {
    let nominated: Vec<&[u8]> = fields
        .iter()
        .filter(|field| field.name.eq_ignore_ascii_case("connection"))
        .flat_map(|field| field.value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .collect();
    for field in fields {
        let own = OWN_FIELDS
            .iter()
            .any(|own| field.name.eq_ignore_ascii_case(own))
            || nominated
                .iter()
                .any(|name| field.name.as_bytes().eq_ignore_ascii_case(name));
        if !own {
            head.extend_from_slice(field.name.as_bytes());
            head.extend_from_slice(b": ");
            head.extend_from_slice(field.value);
            head.extend_from_slice(b"\r\n");
        }
    }
}

fn push_framing(head: &mut Vec<u8>, framing: Framing) {
    match framing {
        Framing::Empty | Framing::UntilClose => {}
        Framing::Length(bytes) => {
            head.extend_from_slice(format!("Content-Length: {bytes}\r\n").as_bytes());
        }
        Framing::Chunked => head.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
    }
}

fn framing_length(fields: &[Header<'_>]) -> Option<Framing> {
    let field = fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("content-length"))?;
    let plain = !field.value.is_empty() && field.value.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(field.value).ok().filter(|_| plain)?;
    text.parse().ok().map(Framing::Length)
}

fn is_chunked(fields: &[Header<'_>]) -> bool {
    fields
        .iter()
        .find(|field| field.name.eq_ignore_ascii_case("transfer-encoding"))
        .is_some_and(|field| field.value.eq_ignore_ascii_case(b"chunked"))
}

fn has_bare_line_feed(head: &[u8]) -> bool {
    let mut lines = head.split(|&byte| byte == b'\n');
    lines.next_back();
    lines.any(|line| line.last() != Some(&b'\r'))
}

#[cfg(test)]
mod tests;
