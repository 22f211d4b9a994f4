//! Lists apps through crates.io's `modal-rs`: one call after the other, and 64 clients at once.
//!
//! `bench-modal-rs URL COUNT` prints `modal_rs` (ms of each call) and `modal_rs_rate` (calls in a second).

use std::error::Error;
use std::time::Instant;

use modal_rs::ModalClient;
use modal_rs::app::AppListOptions;
use modal_rs::config::ModalConfig;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const AT_ONCE: usize = 64;

#[tokio::main(worker_threads = 2)]
async fn main() -> Result {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [url, count] = args.as_slice() else {
        return Err("usage: bench-modal-rs URL COUNT".into());
    };
    let count: usize = count.parse()?;
    let config = ModalConfig {
        profile: "bench".to_owned(),
        server_url: url.clone(),
        token_id: "ak-bench".to_owned(),
        token_secret: "as-bench".to_owned(),
        environment: None,
        image_builder_version: None,
        loglevel: None,
        task_command_router_insecure: false,
    };
    let mut client = ModalClient::from_config(config).await?;
    list(&mut client).await?;
    let mut samples = Vec::with_capacity(count);
    for _ in 0..count {
        let start = Instant::now();
        list(&mut client).await?;
        samples.push(format!("{:.6}", start.elapsed().as_secs_f64() * 1000.0));
    }
    println!("modal_rs {}", samples.join(" "));

    // A client serves one call at a time; clones share its connection.
    let start = Instant::now();
    let mut callers = Vec::with_capacity(AT_ONCE);
    for _ in 0..AT_ONCE {
        let mut client = client.clone();
        callers.push(tokio::spawn(async move {
            for _ in 0..count / AT_ONCE {
                list(&mut client).await?;
            }
            Result::Ok(())
        }));
    }
    for caller in callers {
        caller.await??;
    }
    let calls = count / AT_ONCE * AT_ONCE;
    println!("modal_rs_rate {:.6}", calls as f64 / start.elapsed().as_secs_f64());
    Ok(())
}

async fn list(client: &mut ModalClient) -> Result {
    client.apps().list("", AppListOptions::default()).await?;
    Ok(())
}
