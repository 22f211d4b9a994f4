//! The ASGI scope of a request, as the input of a call: `[[scope], {}]` in CBOR.

use std::net::SocketAddr;

use http::request::Parts;
use http::{HeaderMap, Version};
use moorline_modal_proto::client::function_input::ArgsOneof;
use moorline_modal_proto::client::{DataFormat, FunctionInput};
use percent_encoding::percent_decode_str;

use super::cbor::Cbor;

/// What kind of exchange begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request with one answer.
    Http,
    /// Messages both ways.
    WebSocket,
}

/// The input for a request: to a method of a class, or to the function itself.
pub(super) fn input(
    kind: Kind,
    parts: &Parts,
    peer: SocketAddr,
    server: SocketAddr,
    method: &str,
) -> FunctionInput {
    let mut cbor = Cbor::default();
    cbor.array(2).array(1);
    scope(&mut cbor, kind, parts, peer, server);
    cbor.map(0);
    FunctionInput {
        args_oneof: Some(ArgsOneof::Args(cbor.0.into())),
        data_format: DataFormat::Cbor.into(),
        method_name: (!method.is_empty()).then(|| method.to_owned()),
        ..FunctionInput::default()
    }
}

fn scope(cbor: &mut Cbor, kind: Kind, parts: &Parts, peer: SocketAddr, server: SocketAddr) {
    let (name, scheme) = match kind {
        Kind::Http => ("http", "http"),
        Kind::WebSocket => ("websocket", "ws"),
    };
    let version = match parts.version {
        Version::HTTP_09 | Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    };
    let path = parts.uri.path();
    let shown = percent_decode_str(path).decode_utf8_lossy();
    // From 2.4 on, frameworks do not read the body away while they look out for a disconnect.
    cbor.map(12).text("type").text(name);
    cbor.text("asgi")
        .map(2)
        .text("version")
        .text("3.0")
        .text("spec_version")
        .text("2.4");
    cbor.text("http_version").text(version);
    cbor.text("scheme").text(scheme);
    cbor.text("path").text(&shown);
    cbor.text("raw_path").bytes(path.as_bytes());
    cbor.text("query_string")
        .bytes(parts.uri.query().unwrap_or_default().as_bytes());
    cbor.text("root_path").text("");
    cbor.text("headers");
    headers(cbor, parts);
    cbor.text("client");
    address(cbor, peer);
    cbor.text("server");
    address(cbor, server);
    match kind {
        Kind::Http => {
            cbor.text("method").text(parts.method.as_str());
        }
        Kind::WebSocket => {
            let offered = subprotocols(&parts.headers);
            cbor.text("subprotocols").array(offered.len());
            for protocol in offered {
                cbor.text(&protocol);
            }
        }
    }
}

/// The subprotocols that a WebSocket's caller offers.
pub(super) fn subprotocols(headers: &HeaderMap) -> Vec<String> {
    let offers = headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL).iter();
    let names = offers
        .filter_map(|offer| offer.to_str().ok())
        .flat_map(|offer| offer.split(','));
    names
        .map(|name| name.trim().to_owned())
        .filter(|name| !name.is_empty())
        .collect()
}

fn address(cbor: &mut Cbor, address: SocketAddr) {
    cbor.array(2)
        .text(&address.ip().to_string())
        .number(u64::from(address.port()));
}

/// Names are lower case already. A request by HTTP/2 names its host in the URI only.
fn headers(cbor: &mut Cbor, parts: &Parts) {
    let named = parts.headers.contains_key(http::header::HOST);
    let host = parts
        .uri
        .authority()
        .filter(|_| !named)
        .map(ToString::to_string);
    cbor.array(parts.headers.len() + usize::from(host.is_some()));
    if let Some(host) = host {
        cbor.array(2).bytes(b"host").bytes(host.as_bytes());
    }
    for (name, value) in &parts.headers {
        cbor.array(2)
            .bytes(name.as_str().as_bytes())
            .bytes(value.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_scope_has_the_decoded_and_the_raw_path() {
        let request = Request::get("/a%20b?x=1")
            .header("x-y", "z")
            .body(())
            .unwrap();
        let (parts, ()) = request.into_parts();
        let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let input = input(Kind::Http, &parts, peer, peer, "");
        let Some(ArgsOneof::Args(args)) = input.args_oneof else {
            panic!("{input:?}")
        };
        let has = |part: &[u8]| args.windows(part.len()).any(|window| window == part);
        assert!(has(b"dpathd/a b"), "{args:?}");
        assert!(has(b"hraw_pathF/a%20b"));
        assert!(has(b"lquery_stringCx=1"));
        assert!(has(b"\x82Cx-yAz"));
        assert_eq!(args[..2], [0x82, 0x81]);
        assert_eq!(input.method_name, None);
    }

    #[test]
    fn subprotocols_are_split_at_commas() {
        let mut headers = HeaderMap::new();
        headers.append("sec-websocket-protocol", "a, b".parse().unwrap());
        headers.append("sec-websocket-protocol", "c".parse().unwrap());
        assert_eq!(subprotocols(&headers), ["a", "b", "c"]);
    }
}
