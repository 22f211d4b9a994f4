//! Readiness: a sandbox is ready when its probe says so, or, without a probe, when its container is there.

use std::sync::Arc;
use std::time::Duration;

use moorline_modal_proto::client::Probe;
use moorline_modal_proto::client::probe::ProbeOneof;
use tonic::Status;

use super::command::Command;
use super::live::{Live, Main, ended};
use crate::container::{Exec, Exit};
use crate::services::named::now;
use crate::world::World;

/// Between two looks, when the definition names no time.
const INTERVAL: Duration = Duration::from_millis(100);
/// One look of a command; a hung one is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Watches for readiness in the background.
pub(super) fn spawn(world: &Arc<World>, live: &Arc<Live>, main: &Arc<Main>) {
    let Some(probe) = live.definition.readiness_probe.clone() else {
        is_ready(world, live);
        return;
    };
    let (world, live, main) = (Arc::clone(world), Arc::clone(live), Arc::clone(main));
    let tasks = world.tasks.clone();
    tasks.spawn(async move {
        let interval = match probe.interval_ms {
            Some(ms) if ms > 0 => Duration::from_millis(ms.into()),
            _ => INTERVAL,
        };
        let looking = async {
            while !look(&world, &main, &probe).await {
                // What is looked at is the user's program: it tells nobody when it is ready.
                tokio::time::sleep(interval).await;
            }
        };
        if live.closed.run_until_cancelled(looking).await.is_some() {
            is_ready(&world, &live);
        }
    });
}

fn is_ready(world: &World, live: &Live) {
    let at = now();
    live.ready_at.send_replace(Some(at));
    if let Some(record) = world.sandboxes.kept.write().table.get_mut(&live.id) {
        record.ready_at = Some(at);
    }
}

async fn look(world: &World, main: &Main, probe: &Probe) -> bool {
    match &probe.probe_oneof {
        Some(ProbeOneof::TcpPort(port)) => match u16::try_from(*port) {
            Ok(port) => main.place.container.connect(port).await.is_ok(),
            Err(_) => false,
        },
        Some(ProbeOneof::ExecCommand(command)) => {
            let exec = Exec {
                argv: command.argv.clone(),
                env: main.place.env.clone(),
                cwd: main.place.cwd.clone(),
                pty: None,
                timeout: Some(PATIENCE),
            };
            match Command::start(&main.place.container, exec, &world.tasks).await {
                Ok(command) => {
                    // It gets no input, and must not wait for any.
                    drop(command.stdin.write(0, bytes::Bytes::new(), true).await);
                    command.wait().await == Exit::Code(0)
                }
                Err(_) => false,
            }
        }
        None => true,
    }
}

/// Waits until a sandbox is ready.
///
/// # Errors
/// `NOT_FOUND` when it ends before, `DEADLINE_EXCEEDED` when the time is over.
pub(crate) async fn wait(live: &Live, limit: Duration) -> Result<f64, Status> {
    let mut ready = live.ready_at.subscribe();
    let is_ready = async {
        match ready.wait_for(Option::is_some).await {
            Ok(at) => at.ok_or_else(|| ended(&live.id)),
            Err(_) => Err(ended(&live.id)),
        }
    };
    tokio::select! {
        biased;
        at = is_ready => at,
        () = live.closed.cancelled() => Err(ended(&live.id)),
        () = tokio::time::sleep(limit) => {
            Err(Status::deadline_exceeded(format!("Sandbox '{}' is not ready yet", live.id)))
        }
    }
}
