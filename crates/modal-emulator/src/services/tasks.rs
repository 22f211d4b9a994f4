//! Tasks: one container each, whether it runs a function or a sandbox.
//!
//! Whoever starts a container calls [`Tasks::begin`] and keeps the [`Leave`] that it returns: others ask
//! through it that the container ends. Tasks live in memory; they end with the emulator, as containers do.
//!
//! RPCs: `TaskList`, `TaskGetInfo`, `ContainerStop`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moorline_modal_proto::client::{
    ContainerStopRequest, ContainerStopResponse, GenericResult, GpuConfig, TaskGetInfoRequest,
    TaskGetInfoResponse, TaskInfo, TaskListRequest, TaskListResponse, TaskStats,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::call::Call;
use crate::clock::seconds;
use crate::routes::Rpcs;
use crate::services::apps;
use crate::world::World;

/// Finished tasks that are remembered, for `TaskGetInfo`.
const REMEMBERED: usize = 4096;

/// What a task runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// A function, by id.
    Function(String),
    /// A sandbox, by id.
    Sandbox(String),
}

/// A task that begins.
#[derive(Debug, Clone)]
pub(crate) struct NewTask {
    /// `ta-…`.
    pub(crate) id: String,
    pub(crate) kind: TaskKind,
    pub(crate) app_id: String,
    pub(crate) gpu: Option<GpuConfig>,
}

/// Requests that a task ends. Cancelling the first is final; the second lets it finish what it has begun.
#[derive(Debug, Clone, Default)]
pub(crate) struct Leave {
    /// End now.
    pub(crate) now: CancellationToken,
    /// Take nothing new, and end then. Of functions only.
    pub(crate) gracefully: CancellationToken,
}

/// The time of a container, for its bill.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) app_id: String,
    pub(crate) gpu: Option<GpuConfig>,
    /// Seconds since 1970.
    pub(crate) started_at: f64,
    /// 0 is "not yet".
    pub(crate) finished_at: f64,
}

#[derive(Debug)]
struct Task {
    of: NewTask,
    /// Seconds since 1970.
    enqueued_at: f64,
    /// 0 is "not yet".
    started_at: f64,
    /// 0 is "not yet".
    finished_at: f64,
    result: Option<GenericResult>,
    leave: Leave,
    /// It has ended, and is on a bill.
    billed: bool,
}

impl Task {
    fn span(&self) -> Span {
        Span {
            app_id: self.of.app_id.clone(),
            gpu: self.of.gpu.clone(),
            started_at: self.started_at,
            finished_at: self.finished_at,
        }
    }
}

/// All tasks, by id.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    state: Mutex<BTreeMap<String, Task>>,
    /// A task has ended.
    pub(crate) ended: Notify,
}

impl Tasks {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Task>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A task waits for its container.
    pub(crate) fn begin(&self, task: NewTask) -> Leave {
        let leave = Leave::default();
        let entry = Task {
            enqueued_at: seconds(),
            started_at: 0.0,
            finished_at: 0.0,
            result: None,
            leave: leave.clone(),
            billed: false,
            of: task,
        };
        let mut tasks = self.lock();
        tasks.insert(entry.of.id.clone(), entry);
        forget_oldest(&mut tasks);
        leave
    }

    /// Its container runs.
    pub(crate) fn started(&self, id: &str) {
        if let Some(task) = self.lock().get_mut(id) {
            task.started_at = seconds();
        }
    }

    /// Its container is gone. The first result stays.
    pub(crate) fn finished(&self, id: &str, result: GenericResult) {
        if let Some(task) = self.lock().get_mut(id)
            && task.result.is_none()
        {
            task.finished_at = seconds();
            task.result = Some(result);
            self.ended.notify_one();
        }
    }

    /// To ask a task that runs to end.
    pub(crate) fn leave(&self, id: &str) -> Option<Leave> {
        let tasks = self.lock();
        let task = tasks.get(id)?;
        task.result.is_none().then(|| task.leave.clone())
    }

    /// What a task that runs is of.
    pub(crate) fn kind(&self, id: &str) -> Option<TaskKind> {
        let tasks = self.lock();
        let task = tasks.get(id).filter(|task| task.result.is_none())?;
        Some(task.of.kind.clone())
    }

    /// Tasks that run, as (id, kind, app id), oldest first.
    pub(crate) fn running(&self) -> Vec<(String, TaskKind, String)> {
        let tasks = self.lock();
        let mut running: Vec<&Task> = tasks
            .values()
            .filter(|task| task.result.is_none())
            .collect();
        running.sort_by(|a, b| a.enqueued_at.total_cmp(&b.enqueued_at));
        let told = |t: &Task| (t.of.id.clone(), t.of.kind.clone(), t.of.app_id.clone());
        running.into_iter().map(told).collect()
    }

    /// The times of containers that run now.
    pub(crate) fn spans(&self) -> Vec<Span> {
        let tasks = self.lock();
        let runs = |task: &&Task| task.result.is_none() && task.started_at > 0.0;
        tasks.values().filter(runs).map(Task::span).collect()
    }

    /// The times of containers that have ended, each once.
    pub(crate) fn take_ended(&self) -> Vec<Span> {
        let mut tasks = self.lock();
        let ended = tasks
            .values_mut()
            .filter(|task| task.result.is_some() && !task.billed);
        let ended = ended.map(|task| {
            task.billed = true;
            task.span()
        });
        ended.filter(|span| span.started_at > 0.0).collect()
    }
}

fn forget_oldest(tasks: &mut BTreeMap<String, Task>) {
    if tasks.len() <= 2 * REMEMBERED {
        return;
    }
    let mut finished: Vec<(f64, String)> = tasks
        .values()
        .filter(|task| task.result.is_some())
        .map(|task| (task.finished_at, task.of.id.clone()))
        .collect();
    finished.sort_by(|a, b| b.0.total_cmp(&a.0));
    for (_, id) in finished.into_iter().skip(REMEMBERED) {
        tasks.remove(&id);
    }
}

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.read("TaskList", task_list);
    rpcs.read("TaskGetInfo", task_get_info);
    rpcs.write("ContainerStop", container_stop);
}

async fn task_list(
    world: Arc<World>,
    call: Call<TaskListRequest>,
) -> Result<TaskListResponse, Status> {
    let TaskListRequest {
        app_id,
        environment_name,
    } = call.message;
    let stats = |task: &Task| TaskStats {
        task_id: task.of.id.clone(),
        app_id: task.of.app_id.clone(),
        app_description: String::new(),
        started_at: task.started_at,
        enqueued_at: task.enqueued_at,
    };
    let mut running: Vec<TaskStats> = world
        .running
        .lock()
        .values()
        .filter(|task| task.result.is_none())
        .filter(|task| app_id.is_empty() || task.of.app_id == app_id)
        .map(stats)
        .collect();
    running.retain_mut(|task| {
        let Ok(app) = apps::get(&world, &task.app_id) else {
            return false;
        };
        task.app_description = app.description;
        environment_name.is_empty() || app.environment == environment_name
    });
    running.sort_by(|a, b| a.enqueued_at.total_cmp(&b.enqueued_at));
    Ok(TaskListResponse { tasks: running })
}

async fn task_get_info(
    world: Arc<World>,
    call: Call<TaskGetInfoRequest>,
) -> Result<TaskGetInfoResponse, Status> {
    let tasks = world.running.lock();
    let id = &call.message.task_id;
    let Some(task) = tasks.get(id) else {
        return Err(no_task(id));
    };
    let sandbox_id = match &task.of.kind {
        TaskKind::Sandbox(id) => id.clone(),
        TaskKind::Function(_) => String::new(),
    };
    let info = TaskInfo {
        id: task.of.id.clone(),
        started_at: task.started_at,
        finished_at: task.finished_at,
        result: task.result.clone(),
        enqueued_at: task.enqueued_at,
        gpu_type: task
            .of
            .gpu
            .as_ref()
            .map(|gpu| gpu.gpu_type.clone())
            .unwrap_or_default(),
        gpu_config: task.of.gpu.clone(),
        sandbox_id,
        ..TaskInfo::default()
    };
    Ok(TaskGetInfoResponse {
        app_id: task.of.app_id.clone(),
        info: Some(info),
    })
}

/// Of a task that has ended, too: it is as the caller wants it.
async fn container_stop(
    world: Arc<World>,
    call: Call<ContainerStopRequest>,
) -> Result<ContainerStopResponse, Status> {
    let ContainerStopRequest { task_id, graceful } = &call.message;
    if !world.running.lock().contains_key(task_id) {
        return Err(no_task(task_id));
    }
    if let Some(leave) = world.running.leave(task_id) {
        if *graceful {
            leave.gracefully.cancel();
        } else {
            leave.now.cancel();
        }
        call.meta.effect("container.stop", task_id);
    }
    Ok(ContainerStopResponse::default())
}

fn no_task(id: &str) -> Status {
    Status::not_found(format!("Container '{id}' not found"))
}
