//! The life of a sandbox: its container, its first command, and why it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use moorline_modal_proto::client::generic_result::GenericStatus;

use super::command::{Command, Stream};
use super::definition::{self, Plan};
use super::live::{Live, Main, Phase, Place};
use super::record::Outcome;
use super::{images_of, output, ready};
use crate::container::{ContainerEnd, Exit};
use crate::services::apps::{self, Line};
use crate::services::named::now;
use crate::services::tasks::{Leave, NewTask, TaskKind};
use crate::world::World;

/// What processes that are asked to end get until they are made to.
const GRACE: Duration = Duration::from_millis(0);
/// How long the files of a container stay for those who still read from them.
const LAST_READERS: Duration = Duration::from_secs(10);
/// How long the commands of a sandbox that is over are remembered.
const LAST_QUESTIONS: Duration = Duration::from_secs(5);

/// Starts a sandbox and sees it through to its end, in the background.
pub(super) fn spawn(world: &Arc<World>, live: Arc<Live>, plan: Plan) {
    let gpu = live
        .definition
        .resources
        .as_ref()
        .and_then(|resources| resources.gpu_config.clone());
    let leave = world.running.begin(NewTask {
        id: live.task_id.clone(),
        kind: TaskKind::Sandbox(live.id.clone()),
        app_id: live.app_id.clone(),
        gpu,
    });
    let world_of_task = Arc::clone(world);
    world
        .tasks
        .spawn(async move { run(&world_of_task, &live, plan, leave).await });
}

async fn run(world: &Arc<World>, live: &Arc<Live>, plan: Plan, leave: Leave) {
    let asked = async {
        tokio::select! {
            outcome = live.asked_to_end() => outcome,
            () = leave.now.cancelled() => terminated("the container was stopped"),
            () = leave.gracefully.cancelled() => terminated("the container was stopped"),
            () = world.stop.cancelled() => terminated("the emulator was stopped"),
        }
    };
    tokio::pin!(asked);
    let hold = tokio::select! {
        hold = world.sandboxes.capacity.take(&world.faults, &live.definition) => hold,
        outcome = &mut asked => return finish(world, live, None, outcome).await,
    };
    let limits = (plan.timeout, plan.idle);
    let main = match start(world, plan).await {
        Ok(main) => Arc::new(main),
        Err(error) => {
            let why = super::command::told(&error).message().to_owned();
            tracing::warn!(sandbox = live.id, why, "a sandbox could not be started");
            let outcome = Outcome::new(GenericStatus::InitFailure, 1, why);
            return finish(world, live, None, outcome).await;
        }
    };
    began(world, live, &main);
    let outcome = tokio::select! {
        biased;
        outcome = &mut asked => outcome,
        outcome = ends(world, live, &main, limits) => outcome,
    };
    finish(world, live, Some(&main), outcome).await;
    drop(hold);
}

async fn start(world: &World, plan: Plan) -> Result<Main, crate::container::ContainerError> {
    let container = world.runtime.start(plan.spec).await?;
    let (env, cwd) = (plan.exec.env.clone(), plan.exec.cwd.clone());
    match Command::start(&container, plan.exec, &world.tasks).await {
        Ok(command) => {
            let place = Arc::new(Place::new(container, env, cwd));
            Ok(Main {
                place,
                command: Arc::new(command),
            })
        }
        Err(error) => {
            container.stop(Duration::ZERO).await;
            // Only space is lost when it stays.
            drop(container.remove_files());
            Err(error)
        }
    }
}

/// The container is there: tells it to everyone who waits, and starts what goes on beside it.
fn began(world: &Arc<World>, live: &Arc<Live>, main: &Arc<Main>) {
    world.running.started(&live.task_id);
    if let Some(record) = world.sandboxes.kept.write().table.get_mut(&live.id) {
        record.started_at = Some(now());
    }
    for (stream, fd) in [(Stream::Stdout, 1), (Stream::Stderr, 2)] {
        let output = main.command.output(stream, &main.place.readers);
        world
            .tasks
            .spawn(copy_to_log(Arc::clone(world), Arc::clone(live), output, fd));
    }
    live.phase.send_replace(Phase::Running(Arc::clone(main)));
    ready::spawn(world, live, main);
}

/// Output of the first command belongs to the log of the app.
async fn copy_to_log(world: Arc<World>, live: Arc<Live>, output: output::Output, fd: i32) {
    let mut pieces = output.read(0);
    while let Some(Ok((_, data))) = pieces.next().await {
        log(&world, &live, fd, data);
    }
}

fn log(world: &World, live: &Live, fd: i32, data: Bytes) {
    apps::log(
        world,
        Line {
            app_id: live.app_id.clone(),
            task_id: live.task_id.clone(),
            sandbox_id: Some(live.id.clone()),
            fd,
            data,
            ..Line::default()
        },
    );
}

/// Waits for an end that nobody asked for.
async fn ends(
    world: &World,
    live: &Live,
    main: &Main,
    (timeout, idle): (Duration, Option<Duration>),
) -> Outcome {
    let idle_for = async {
        match idle {
            Some(limit) => live.activity.idle_for(limit).await,
            None => std::future::pending().await,
        }
    };
    let preempted = async {
        match world.faults.preemption() {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        exit = main.command.wait() => of_exit(main, exit).await,
        end = main.place.container.wait() => of_container(end),
        () = tokio::time::sleep(timeout) => {
            Outcome::new(GenericStatus::Timeout, 124, "the sandbox reached its timeout")
        }
        () = idle_for => {
            Outcome::new(GenericStatus::IdleTimeout, 137, "the sandbox was idle for too long")
        }
        () = preempted => terminated("the container was preempted"),
    }
}

async fn of_exit(main: &Main, exit: Exit) -> Outcome {
    match exit {
        Exit::Code(0) => Outcome::new(GenericStatus::Success, 0, ""),
        Exit::Code(code) => Outcome::new(GenericStatus::Failure, code, ""),
        Exit::Signal(signal) => Outcome::new(GenericStatus::Failure, 128 + signal, ""),
        Exit::TimedOut => Outcome::new(GenericStatus::Timeout, 124, ""),
        Exit::ContainerGone => of_container(main.place.container.wait().await),
    }
}

fn of_container(end: ContainerEnd) -> Outcome {
    match end {
        ContainerEnd::Stopped => terminated("the container was stopped"),
        ContainerEnd::Lost(words) => Outcome::new(GenericStatus::InternalFailure, 137, words),
    }
}

fn terminated(reason: &str) -> Outcome {
    Outcome::new(GenericStatus::Terminated, 137, reason)
}

/// Ends everything of it, keeps what may still be asked for, and then tells that it is over.
async fn finish(world: &Arc<World>, live: &Arc<Live>, main: Option<&Arc<Main>>, outcome: Outcome) {
    live.closed.cancel();
    super::sidecars::end_all(live).await;
    if let Some(main) = main {
        main.place.container.stop(GRACE).await;
        keep_outputs(world, live, main).await;
    }
    let wanted = definition::option(&live.definition, "enable_exit_snapshot").unwrap_or(false);
    let snapshot = match main {
        Some(main) if wanted => Some(images_of::at_exit(world, live, main).await),
        _ => None,
    };
    world.running.finished(&live.task_id, outcome.result());
    {
        let mut kept = world.sandboxes.kept.write();
        if let Some(record) = kept.table.get_mut(&live.id) {
            record.exit_snapshot = snapshot;
            record.ready_at = *live.ready_at.borrow();
        }
        kept.table.finish(&live.id, outcome, now());
    }
    world.sandboxes.forget(&live.id);
    live.phase.send_replace(Phase::Ended);
    if let Some(main) = main {
        remove_files(world, live, main);
    }
}

/// Copies what the first command wrote to where it outlives the container.
async fn keep_outputs(world: &World, live: &Live, main: &Main) {
    let (stdout, stderr) = (
        file(world, &live.id, Stream::Stdout),
        file(world, &live.id, Stream::Stderr),
    );
    let kept = match (main.command.process(), main.command.refusal()) {
        (Some(process), _) => {
            async {
                output::keep(process.stdout(), stdout).await?;
                output::keep(process.stderr(), stderr).await
            }
            .await
        }
        (None, Some(refusal)) => tokio::fs::write(stderr, refusal).await,
        (None, None) => Ok(()),
    };
    if let Err(error) = kept {
        tracing::warn!(%error, sandbox = live.id, "the output of a sandbox was not kept");
    }
}

/// Where the output of a sandbox is found when it is over.
pub(crate) fn file(world: &World, id: &str, stream: Stream) -> PathBuf {
    let number = match stream {
        Stream::Stdout => 1,
        Stream::Stderr => 2,
    };
    world.sandboxes.dir.join(format!("{id}.{number}"))
}

/// Once nobody reads from them any more. Who started a command may still ask for a while what became of it.
fn remove_files(world: &Arc<World>, live: &Live, main: &Arc<Main>) {
    let (world, place) = (Arc::clone(world), Arc::clone(&main.place));
    let (id, asked_for) = (live.task_id.clone(), !place.commands.is_empty());
    if asked_for {
        world.sandboxes.admit(&id, Arc::clone(&place));
    }
    let tasks = world.tasks.clone();
    tasks.spawn(async move {
        if asked_for {
            world
                .stop
                .run_until_cancelled(tokio::time::sleep(LAST_QUESTIONS))
                .await;
            world.sandboxes.dismiss(&id);
        }
        let limit = if world.stop.is_cancelled() {
            Duration::ZERO
        } else {
            LAST_READERS
        };
        place.remove_files(limit).await;
    });
}
