//! A bare axum route, which `cargo xtask bench` holds `moorlined` against.
//!
//! It answers `GET /bare` with as many bytes of JSON as `GET /v1/whoami` has, on a runtime like that of
//! `moorlined`, prints `listening on http://ADDRESS:PORT` and serves until it is killed. It knows no tokens, no
//! limits and no store.

use std::error::Error;

use axum::Router;
use axum::routing::get;
use http::header::CONTENT_TYPE;
use tokio::net::TcpListener;

/// What the server says of a person with a token, in form and length.
const BODY: &str = r#"{"principal":"human:bench","role":"admin","role_from":"default","keys":[],"removed_at":null}"#;

#[expect(
    clippy::print_stdout,
    reason = "whoever started it reads there where it listens"
)]
fn main() -> Result<(), Box<dyn Error>> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on http://{}", listener.local_addr()?);
        let route = get(async || ([(CONTENT_TYPE, "application/json")], BODY));
        axum::serve(listener, Router::new().route("/bare", route)).await?;
        Ok(())
    })
}
