//! What the client does against a server, as raw samples for `cargo xtask bench`.
//!
//! `measure-modal WHAT URL [COUNT]`, where `WHAT` is one of
//!
//! | `WHAT` | does | prints |
//! |---|---|---|
//! | `null FILE` | answers every gRPC call with an empty message, and keeps one file by plain HTTP, until its standard input ends | `url`, once |
//! | `unary` | one RPC, one after the other, and 64 at once; by this client and by a bare tonic client in turn | `ours`, `bare`: ms of each call; `ours_rate`, `bare_rate`: calls in a second |
//! | `first-byte` | sandboxes that print a line, one after the other | `sandbox`: ms from the call to the line; `process`: ms of the same process without one |
//! | `sandboxes` | sandboxes that do nothing, sixteen at once | `rate`: created and finished in a second |
//! | `log` | one sandbox that prints 256 MiB | `rate`: MB/s |
//! | `volumes PLAIN_URL DIRECTORY` | a file of COUNT MB into a volume and back, and by plain HTTP | `put`, `get`, `plain_put`, `plain_get`: MB/s; `peak_mib` of this process |
//!
//! A line is a name and its samples. What they come to is for the caller to say.

mod null;
mod sandboxes;
mod unary;
mod volumes;

use std::error::Error;
use std::path::Path;
use std::time::{Duration, Instant};

use moorline_modal_client::{Client, Config};

pub(crate) type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    let runtime = runtime.worker_threads(2).enable_all().build()?;
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["null", file] => runtime.block_on(null::serve(file.into())),
        [what, url, rest @ ..] => runtime.block_on(measure(what, url, rest)),
        _ => Err("usage: measure-modal null FILE | WHAT URL [PLAIN_URL DIRECTORY] [COUNT]".into()),
    }
}

async fn measure(what: &str, url: &str, rest: &[&str]) -> Result {
    let variables = [
        ("MODAL_SERVER_URL", url),
        ("MODAL_TOKEN_ID", "ak-bench"),
        ("MODAL_TOKEN_SECRET", "as-bench"),
    ];
    let client = Client::new(Config::from_env(variables)?)?;
    match (what, rest) {
        ("unary", [count]) => unary::measure(&client, url, count.parse()?).await,
        ("first-byte", [count]) => sandboxes::first_byte(&client, count.parse()?).await,
        ("sandboxes", [count]) => sandboxes::rate(&client, count.parse()?).await,
        ("log", []) => sandboxes::log(&client).await,
        ("volumes", [plain, directory, megabytes]) => {
            volumes::measure(&client, plain, Path::new(directory), megabytes.parse()?).await
        }
        _ => {
            Err(format!("`{what}` is not something to measure, or not with these arguments").into())
        }
    }
}

/// How many of something came to pass in a second.
#[expect(clippy::cast_precision_loss, reason = "nobody counts that far")]
pub(crate) fn per_second(count: usize, time: Duration) -> f64 {
    count as f64 / time.as_secs_f64()
}

#[expect(clippy::disallowed_methods, reason = "a clock is what measuring needs")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// A line of the output.
#[expect(clippy::print_stdout, reason = "figures are what this program is for")]
pub(crate) fn line(name: &str, samples: &[f64]) {
    let samples: Vec<String> = samples
        .iter()
        .map(|sample| format!("{sample:.6}"))
        .collect();
    println!("{name} {}", samples.join(" "));
}
