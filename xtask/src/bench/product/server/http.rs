//! A request that does next to nothing, beside a bare axum route.

use super::super::super::row::{Probe, Row, Unit};
use super::client::{Message, rate};
use super::{Options, Server, program, row, token};

/// Connections at the same time.
const CONNECTIONS: u32 = 16;
const REQUESTS: u32 = 20_000;

pub(super) fn probe() -> Probe {
    let rows = vec![
        Row {
            id: "http.bare",
            what: "GET of a bare axum route, 16 connections that are kept",
            scope: "a server process, and the client's",
            bound_by: "the kernel's loopback and hyper, on the cores that server and client share",
            ..row(Unit::PER_SECOND)
        },
        Row {
            id: "http.noop",
            what: "GET /v1/whoami of moorlined with a token, an answer of the same length, the same client",
            against: Some("http.bare"),
            scope: "a server process, and the client's",
            bound_by: "as http.bare; the token and the principal are looked up in the store, and what is around every route",
            ..row(Unit::PER_SECOND)
        },
    ];
    Probe::new(rows, |bench| {
        let options = Options::of("state-http");
        let server = Server::start(bench, options)?;
        let bare = Server::of(program(bench, &bench.example("bare")))?;
        let token = token(bench, options)?;
        let request = |path| Message::get(path, &token, "");
        let of_bare = rate(&bare.address, CONNECTIONS, REQUESTS, &request("/bare"))?;
        let whoami = request("/v1/whoami");
        let of_server = rate(&server.address, CONNECTIONS, REQUESTS, &whoami)?;
        Ok(vec![("http.bare", of_bare), ("http.noop", of_server)])
    })
}
