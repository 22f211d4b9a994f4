//! Sandboxes, from the call that creates them to their output and their end.

use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_client::images::{BuildOptions, ImageDefinition};
use moorline_modal_client::sandbox::SandboxSpec;
use moorline_modal_client::{Client, Error, Existence};
use tokio::process::Command;
use tokio::task::JoinSet;

use crate::{Result, line, now, per_second};

/// Sandboxes that are alive at once, where they are counted in a second.
const AT_ONCE: usize = 16;
/// Bytes of a long log.
const LOG: usize = 256 << 20;

/// What a sandbox is made from.
#[derive(Debug, Clone)]
struct Ground {
    client: Client,
    app_id: String,
    image_id: String,
}

impl Ground {
    async fn new(client: &Client) -> Result<Self> {
        let app = client
            .apps()
            .lookup("bench", None, Existence::CreateIfMissing)
            .await?;
        let definition = ImageDefinition::from_registry("debian:12-slim")?;
        let image = client.images();
        let image = image
            .build(&app.id, &definition, &BuildOptions::default())
            .await?;
        Ok(Self {
            client: client.clone(),
            app_id: app.id,
            image_id: image.id,
        })
    }

    fn spec(&self, command: &[&str]) -> SandboxSpec {
        SandboxSpec::new(&self.app_id, &self.image_id)
            .command(command.iter().copied())
            .timeout(Duration::from_mins(5))
    }
}

/// Milliseconds from the call to the first byte of output; and of the same process without a sandbox.
pub(crate) async fn first_byte(client: &Client, count: usize) -> Result {
    let ground = Ground::new(client).await?;
    let spec = ground.spec(&["echo", "hello"]);
    let (mut sandboxes, mut processes) = (Vec::new(), Vec::new());
    for _ in 0..count {
        let start = now();
        let sandbox = client.sandboxes().create(&spec).await?;
        let mut output = sandbox.stdout().await?;
        if output.next().await.transpose()?.is_none() {
            return Err("a sandbox printed nothing".into());
        }
        sandboxes.push(start.elapsed().as_secs_f64() * 1000.0);
        sandbox.wait().await?;

        let start = now();
        #[expect(clippy::disallowed_methods, reason = "the floor of starting a process")]
        Command::new("echo").arg("hello").output().await?;
        processes.push(start.elapsed().as_secs_f64() * 1000.0);
    }
    line("sandbox", &sandboxes);
    line("process", &processes);
    Ok(())
}

/// Sandboxes created and finished in a second.
pub(crate) async fn rate(client: &Client, count: usize) -> Result {
    let ground = Ground::new(client).await?;
    let start = now();
    let mut callers = JoinSet::new();
    for _ in 0..AT_ONCE {
        let ground = ground.clone();
        callers.spawn(async move {
            for _ in 0..count / AT_ONCE {
                let spec = ground.spec(&["true"]);
                let sandbox = ground.client.sandboxes().create(&spec).await?;
                sandbox.wait().await?;
            }
            Ok::<_, Error>(())
        });
    }
    while let Some(done) = callers.join_next().await {
        done??;
    }
    line(
        "rate",
        &[per_second(count / AT_ONCE * AT_ONCE, start.elapsed())],
    );
    Ok(())
}

/// Megabytes of output that arrive in a second.
pub(crate) async fn log(client: &Client) -> Result {
    let ground = Ground::new(client).await?;
    let size = LOG.to_string();
    let spec = ground.spec(&["head", "-c", &size, "/dev/zero"]);
    let start = now();
    let sandbox = client.sandboxes().create(&spec).await?;
    let output = sandbox.stdout().await?;
    let got = output
        .try_fold(0, async |sum, chunk| Ok(sum + chunk.data.len()))
        .await?;
    if got != LOG {
        return Err(format!("{got} bytes of {LOG} arrived").into());
    }
    line("rate", &[per_second(LOG, start.elapsed()) / 1e6]);
    Ok(())
}
