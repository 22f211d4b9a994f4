//! The life of a function's containers: started when a pool is short of them, watched, ended.

use std::sync::Arc;
use std::time::Duration;

use moorline_modal_proto::client::generic_result::GenericStatus;
use moorline_modal_proto::client::{GenericResult, GpuConfig};

use super::board::{Board, Drained, Gone};
use super::launch::{Launched, launch};
use super::pools::PATIENCE;
use super::scaling::decide;
use super::{act, instant};
use crate::container::{Exit, Log};
use crate::ids;
use crate::services::apps::{self, Line};
use crate::services::tasks::{Leave, NewTask, TaskKind};
use crate::world::World;

/// How long a container that is asked to end may take: for `exit` handlers.
const GRACE: Duration = Duration::from_secs(5);
/// How long the last words of a process are waited for, once it has ended.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// SIGINT: the official runtime runs its `exit` handlers on it.
const INTERRUPT: i32 = 2;

/// Starts as many containers as a pool is short of.
pub(super) fn scale(world: &Arc<World>, function_id: &str) {
    scale_to(world, function_id, false);
}

fn scale_to(world: &Arc<World>, function_id: &str, patient: bool) {
    if world.stop.is_cancelled() || world.functions.ending.is_cancelled() {
        return;
    }
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (start, look) = {
        let mut board = super::lock(world);
        let Some(pool) = board.pools.get_mut(function_id) else {
            return;
        };
        if patient {
            pool.looking = false;
        }
        let now = instant();
        let wait = pool
            .not_before
            .map(|then| then.saturating_duration_since(now));
        let wait = wait.filter(|wait| !wait.is_zero());
        let mut bounds = pool.bounds.clone();
        let promised = bounds.min > 0;
        if wait.is_some() {
            // The last ones failed: only inputs are a reason to try again now.
            (bounds.min, bounds.buffer) = (0, 0);
        }
        let load = super::scaling::Load {
            patient,
            ..pool.load()
        };
        let decision = decide(&bounds, load, cores);
        let look = match wait {
            _ if pool.looking => None,
            Some(wait) if promised => Some(wait),
            _ => decision.again.then_some(PATIENCE),
        };
        pool.looking |= look.is_some();
        let app_id = pool.app_id.clone();
        let start: Vec<(String, Leave)> = (0..decision.start)
            .map(|_| begin(world, &mut board, function_id, &app_id))
            .collect();
        (start, look)
    };
    for (task, leave) in start {
        world
            .tasks
            .spawn(run(Arc::clone(world), function_id.to_owned(), task, leave));
    }
    if let Some(look) = look {
        let (world_then, function_id) = (Arc::clone(world), function_id.to_owned());
        world.tasks.spawn(async move {
            let sleep = tokio::time::sleep(look);
            if world_then.stop.run_until_cancelled(sleep).await.is_some() {
                scale_to(&world_then, &function_id, true);
            }
        });
    }
}

fn begin(world: &World, board: &mut Board, function_id: &str, app_id: &str) -> (String, Leave) {
    let task = ids::new("ta");
    let leave = world.running.begin(NewTask {
        id: task.clone(),
        kind: TaskKind::Function(function_id.to_owned()),
        app_id: app_id.to_owned(),
        gpu: gpu(world, function_id),
    });
    board.begin(function_id, &task, leave.clone(), instant());
    (task, leave)
}

/// The GPUs that a function asks for.
fn gpu(world: &World, function_id: &str) -> Option<GpuConfig> {
    let effective = world.functions.catalog.read().effective(function_id)?;
    let gpu = effective.function.resources?.gpu_config;
    gpu.filter(|gpu| gpu.count > 0)
}

/// One container from its start to its end.
async fn run(world: Arc<World>, function_id: String, task: String, leave: Leave) {
    world.journal.record("container.start", &task, None);
    let gone = live(&world, &function_id, &task, &leave).await;
    let said = act(&world, |board| board.gone(&function_id, &task, &gone));
    let (status, exception) = match &gone {
        Gone::Asked => (GenericStatus::Terminated, String::new()),
        Gone::Ended => (GenericStatus::Success, String::new()),
        Gone::Crashed(how) => (GenericStatus::Failure, format!("the container {how}")),
    };
    let result = GenericResult {
        status: status.into(),
        exception,
        ..GenericResult::default()
    };
    world.running.finished(&task, said.unwrap_or(result));
    world.journal.record("container.end", &task, None);
    world.functions.ended.notify_waiters();
}

async fn live(world: &Arc<World>, function_id: &str, task: &str, leave: &Leave) -> Gone {
    let Some(effective) = world.functions.catalog.read().effective(function_id) else {
        return Gone::Asked;
    };
    let ending = &world.functions.ending;
    let launched = tokio::select! {
        biased;
        () = leave.now.cancelled() => return Gone::Asked,
        () = ending.cancelled() => return Gone::Asked,
        launched = launch(world, &effective, task) => launched,
    };
    let launched = match launched {
        Ok(launched) => launched,
        Err(status) => {
            let text = format!("could not be started: {}", status.message());
            say(world, &effective.app_id, function_id, task, &text);
            return Gone::Crashed(text);
        }
    };
    world.running.started(task);
    let source = Source {
        world: Arc::clone(world),
        app_id: effective.app_id.clone(),
        function_id: function_id.to_owned(),
        task: task.to_owned(),
    };
    let (out, err) = (
        launched.process.stdout().clone(),
        launched.process.stderr().clone(),
    );
    let pumps = [
        world.tasks.spawn(pump(source.clone(), out, 1)),
        world.tasks.spawn(pump(source, err, 2)),
    ];
    let gone = watch(world, function_id, task, leave, &launched).await;
    world.sandboxes.dismiss(task);
    launched.container.stop(Duration::ZERO).await;
    // What was written before the end is in the log before the container counts as gone.
    let words = futures::future::join_all(pumps);
    let _all = tokio::time::timeout(LAST_WORDS, words).await;
    launched.remove_files();
    if let Gone::Crashed(how) = &gone {
        say(
            world,
            &effective.app_id,
            function_id,
            task,
            &format!("the container {how}"),
        );
    }
    gone
}

/// Waits for the end of a container's process, and ends it when it must.
async fn watch(
    world: &Arc<World>,
    function_id: &str,
    task: &str,
    leave: &Leave,
    launched: &Launched,
) -> Gone {
    let process = &launched.process;
    let mut draining = false;
    loop {
        let next = act(world, |board| {
            let slot = board.slot(function_id, task)?;
            Some((slot.deadline(), Arc::clone(&slot.clock).notified_owned()))
        });
        let Some((deadline, clock)) = next else {
            return Gone::Asked;
        };
        let overdue = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            exit = process.wait() => return ended(world, function_id, task, exit),
            () = world.functions.ending.cancelled() => return Gone::Asked,
            () = leave.now.cancelled() => {
                interrupt(world, function_id, task, launched).await;
                return Gone::Asked;
            }
            () = leave.gracefully.cancelled(), if !draining => {
                draining = true;
                act(world, |board| board.drain(function_id, task));
            }
            () = overdue => {
                if act(world, |board| board.overdue(function_id, task, instant())) {
                    interrupt(world, function_id, task, launched).await;
                    return Gone::Asked;
                }
            }
            () = clock => {}
        }
    }
}

/// What the end of a process means: one that ended well, with nothing to do, was told to.
fn ended(world: &Arc<World>, function_id: &str, task: &str, exit: Exit) -> Gone {
    let idle = act(world, |board| {
        board
            .slot(function_id, task)
            .is_some_and(|slot| slot.ready && slot.running.is_empty())
    });
    let how = match exit {
        Exit::Code(0) if idle => return Gone::Ended,
        Exit::Code(code) => format!("exited with code {code}"),
        Exit::Signal(signal) => format!("was killed by signal {signal}"),
        Exit::TimedOut => "was killed: its time was over".to_owned(),
        Exit::ContainerGone => "was lost".to_owned(),
    };
    Gone::Crashed(how)
}

/// Asks a container to end: an idle one by the answer to its request, a busy one by a signal. One that has
/// not begun has nothing to end.
async fn interrupt(world: &Arc<World>, function_id: &str, task: &str, launched: &Launched) {
    match act(world, |board| board.drain(function_id, task)) {
        Drained::Starting => return,
        Drained::Idle => {}
        Drained::Busy => launched.process.kill(INTERRUPT),
    }
    let ended = tokio::time::timeout(GRACE, launched.process.wait());
    let _ended = world.functions.ending.run_until_cancelled(ended).await;
}

/// Waits until no container of an app is left.
pub(super) async fn gone(world: &Arc<World>, app_id: &str) {
    loop {
        let ended = world.functions.ended.notified();
        let left = world
            .running
            .running()
            .into_iter()
            .any(|(_, kind, app)| app == app_id && matches!(kind, TaskKind::Function(_)));
        if !left || world.stop.run_until_cancelled(ended).await.is_none() {
            return;
        }
    }
}

/// A word of the emulator in the app's log.
fn say(world: &World, app_id: &str, function_id: &str, task: &str, text: &str) {
    let line = Line {
        app_id: app_id.to_owned(),
        task_id: task.to_owned(),
        function_id: Some(function_id.to_owned()),
        fd: 3,
        data: format!("{text}\n").into(),
        ..Line::default()
    };
    apps::log(world, line);
}

/// Where words come from.
#[derive(Clone)]
struct Source {
    world: Arc<World>,
    app_id: String,
    function_id: String,
    task: String,
}

/// Copies what a process writes into the log of its app.
async fn pump(source: Source, log: Log, fd: i32) {
    let Source {
        world,
        app_id,
        function_id,
        task,
    } = source;
    let mut reader = log.reader(0);
    loop {
        match reader.next().await {
            Ok(Some(data)) => {
                let (call, input) =
                    act(&world, |board| board.only_input(&function_id, &task)).unzip();
                apps::log(
                    &world,
                    Line {
                        app_id: app_id.clone(),
                        task_id: task.clone(),
                        function_id: Some(function_id.clone()),
                        function_call_id: call,
                        input_id: input,
                        fd,
                        data,
                        ..Line::default()
                    },
                );
            }
            Ok(None) => return,
            Err(error) => {
                tracing::warn!(%error, task, "output of a container can not be read");
                return;
            }
        }
    }
}
