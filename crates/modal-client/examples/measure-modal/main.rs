//! What the client does against a server, as raw samples for `cargo xtask bench`.
//!
//! `measure-modal WHAT URL [COUNT]`, where `WHAT` is one of
//!
//! | `WHAT` | does | prints |
//! |---|---|---|
//! | `null` | serves gRPC that answers every call with an empty message, until its standard input ends | `url`, once |
//! | `unary` | one RPC, one after the other, and 64 at once; by this client and by a bare tonic client in turn | `ours`, `bare`: ms of each call; `ours_rate`, `bare_rate`: calls in a second |
//!
//! A line is a name and its samples. What they come to is for the caller to say.

mod null;
mod unary;

use std::error::Error;

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

#[expect(
    clippy::disallowed_methods,
    reason = "the one place where the arguments are read"
)]
fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["null"] => runtime.block_on(null::serve()),
        ["unary", url, rest @ ..] => {
            let count = rest.first().map_or(Ok(2000), |n| n.parse())?;
            runtime.block_on(unary::measure(url, count))
        }
        _ => Err("usage: measure-modal null | unary URL [COUNT]".into()),
    }
}

/// A line of the output.
#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
pub(crate) fn line(name: &str, samples: &[f64]) {
    let samples: Vec<String> = samples.iter().map(|sample| format!("{sample:.6}")).collect();
    println!("{name} {}", samples.join(" "));
}
