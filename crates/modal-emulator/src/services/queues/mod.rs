//! Queues: first in, first out, in independent partitions.
//!
//! An item goes to one caller: a get that is repeated under the same
//! idempotency key, because its answer was lost, is answered with the same items; a caller who went away
//! while waiting takes nothing.

mod model;

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moorline_modal_proto::client::queue_list_response::QueueInfo;
use moorline_modal_proto::client::{
    QueueClearRequest, QueueDeleteRequest, QueueGetByIdRequest, QueueGetByIdResponse,
    QueueGetOrCreateRequest, QueueGetOrCreateResponse, QueueGetRequest, QueueGetResponse,
    QueueHeartbeatRequest, QueueLenRequest, QueueLenResponse, QueueListRequest, QueueListResponse,
    QueueMetadata, QueueNextItemsRequest, QueueNextItemsResponse, QueuePutRequest,
};
use tokio::sync::Notify;
use tonic::Status;

use self::model::Queue;
use super::environments;
use super::named::{Kind, Named, Object, Wanted, now};
use crate::call::Call;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::world::World;

const KIND: Kind = Kind {
    noun: "Queue",
    prefix: "qu",
};

/// Bytes of a partition's key.
const KEY_BYTES: usize = 64;
/// The longest a call is held, in seconds. Callers ask for 50 at most.
const HOLD_SECS: f32 = 60.0;
/// The life of a partition after its last put, when the put does not say, in seconds.
const PARTITION_SECS: f64 = 24.0 * 3600.0;
/// Answers that are remembered for a repeated get.
const ANSWERS: usize = 1_000;

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("QueueGetOrCreate", get_or_create);
    rpcs.read("QueueGetById", get_by_id);
    rpcs.read("QueueList", list);
    rpcs.write("QueueDelete", delete);
    rpcs.write("QueueClear", clear);
    rpcs.write("QueueHeartbeat", heartbeat);
    rpcs.write("QueuePut", put);
    // Not a `write`: a caller that hangs up must not have taken anything. `get` does its own remembering.
    rpcs.read("QueueGet", get);
    rpcs.read("QueueLen", len);
    rpcs.read("QueueNextItems", next_items);
}

/// All queues.
#[derive(Debug)]
pub(crate) struct Queues {
    state: Kept<Named<Queue>>,
    /// Woken by every put and every delete.
    changed: Notify,
    /// Answers of gets by idempotency key, the oldest first.
    answers: Mutex<VecDeque<(String, QueueGetResponse)>>,
}

impl Queues {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        let state = Kept::open(dir, "queues")?;
        Ok(Self {
            state,
            changed: Notify::new(),
            answers: Mutex::default(),
        })
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.state.flush()
    }

    fn answered(&self, key: &str) -> Option<QueueGetResponse> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers
            .iter()
            .find(|(known, _)| known == key)
            .map(|(_, answer)| answer.clone())
    }

    fn remember(&self, key: &str, answer: &QueueGetResponse) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= ANSWERS {
            answers.pop_front();
        }
        answers.push_back((key.to_owned(), answer.clone()));
    }

    /// Tries `find` now and after each change, until it finds something or the time is over.
    async fn wait<T>(
        &self,
        secs: f32,
        mut find: impl FnMut() -> Result<Option<T>, Status>,
    ) -> Result<Option<T>, Status> {
        let hold = Duration::try_from_secs_f32(secs.clamp(0.0, HOLD_SECS)).unwrap_or_default();
        if hold.is_zero() {
            return find();
        }
        let searching = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                // Listening begins before looking, so that no put falls in between.
                changed.as_mut().enable();
                if let Some(found) = find()? {
                    return Ok(Some(found));
                }
                changed.await;
            }
        };
        tokio::time::timeout(hold, searching)
            .await
            .unwrap_or(Ok(None))
    }
}

/// Removes ephemeral queues whose heartbeats stopped, and expired partitions.
pub(super) fn sweep(world: &World) {
    let mut state = world.storage.queues.state.write();
    for id in state.abandoned(now()) {
        if state.remove(KIND, &id).is_ok() {
            world.journal.record("queue.expire", id, None);
        }
    }
    for queue in state.iter_mut() {
        queue.value.expire();
    }
}

/// An environment has another name, or (`None`) is gone with all that is in it.
pub(super) fn environment_changed(world: &World, old: &str, new: Option<&str>) {
    let mut state = world.storage.queues.state.write();
    for id in state.environment_changed(old, new) {
        world.journal.record("queue.delete", id, None);
    }
}

fn metadata(queue: &Object<Queue>) -> QueueMetadata {
    QueueMetadata {
        name: queue.label(),
        creation_info: Some(queue.creation_info()),
    }
}

fn partition_key(key: &[u8]) -> Result<String, Status> {
    if key.len() > KEY_BYTES {
        return Err(Status::invalid_argument(
            "a partition key is at most 64 bytes",
        ));
    }
    Ok(super::content::hex(key))
}

fn count(items: usize) -> i32 {
    i32::try_from(items).unwrap_or(i32::MAX)
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<QueueGetOrCreateRequest>,
) -> Result<QueueGetOrCreateResponse, Status> {
    let request = call.message;
    let environment = environments::resolve(&world, &request.environment_name)?;
    let wanted = Wanted {
        environment: &environment,
        name: &request.deployment_name,
        creation: request.object_creation_type,
    };
    let mut state = world.storage.queues.state.write();
    let (id, new) = state.get_or_create(KIND, &wanted, Queue::default)?;
    if new {
        call.meta.effect("queue.create", &id);
    }
    let metadata = Some(metadata(state.get(KIND, &id)?));
    Ok(QueueGetOrCreateResponse {
        queue_id: id,
        metadata,
    })
}

async fn get_by_id(
    world: Arc<World>,
    call: Call<QueueGetByIdRequest>,
) -> Result<QueueGetByIdResponse, Status> {
    let state = world.storage.queues.state.read();
    let queue = state.get(KIND, &call.message.queue_id)?;
    Ok(QueueGetByIdResponse {
        queue_id: queue.id.clone(),
        metadata: Some(metadata(queue)),
    })
}

async fn list(
    world: Arc<World>,
    call: Call<QueueListRequest>,
) -> Result<QueueListResponse, Status> {
    let environment = environments::resolve(&world, &call.message.environment_name)?;
    // Sizes are told up to this one, so that a caller can stop counting.
    let limit = match call.message.total_size_limit {
        ..=0 => i32::MAX,
        limit => limit,
    };
    let mut state = world.storage.queues.state.write();
    state.iter_mut().for_each(|queue| queue.value.expire());
    let queues = state
        .list(&environment, call.message.pagination.as_ref())
        .into_iter()
        .map(|queue| QueueInfo {
            name: queue.label(),
            created_at: queue.created_at,
            num_partitions: count(queue.value.partitions.len()),
            total_size: count(queue.value.len()).min(limit),
            queue_id: queue.id.clone(),
            metadata: Some(metadata(queue)),
        })
        .collect();
    Ok(QueueListResponse {
        queues,
        environment_name: environment,
    })
}

async fn delete(world: Arc<World>, call: Call<QueueDeleteRequest>) -> Result<(), Status> {
    world
        .storage
        .queues
        .state
        .write()
        .remove(KIND, &call.message.queue_id)?;
    world.storage.queues.changed.notify_waiters();
    call.meta.effect("queue.delete", call.message.queue_id);
    Ok(())
}

async fn clear(world: Arc<World>, call: Call<QueueClearRequest>) -> Result<(), Status> {
    let QueueClearRequest {
        queue_id,
        partition_key: key,
        all_partitions,
    } = call.message;
    let key = partition_key(&key)?;
    let mut state = world.storage.queues.state.write();
    let queue = &mut state.get_mut(KIND, &queue_id)?.value;
    if all_partitions {
        queue.partitions.clear();
    } else {
        queue.partitions.remove(&key);
    }
    call.meta.effect("queue.clear", queue_id);
    Ok(())
}

async fn heartbeat(world: Arc<World>, call: Call<QueueHeartbeatRequest>) -> Result<(), Status> {
    world
        .storage
        .queues
        .state
        .write()
        .heartbeat(KIND, &call.message.queue_id)
}

async fn put(world: Arc<World>, call: Call<QueuePutRequest>) -> Result<(), Status> {
    let request = call.message;
    let key = partition_key(&request.partition_key)?;
    let ttl = match request.partition_ttl_seconds {
        ..=0 => PARTITION_SECS,
        secs => f64::from(secs),
    };
    {
        let mut state = world.storage.queues.state.write();
        let queue = &mut state.get_mut(KIND, &request.queue_id)?.value;
        queue.expire();
        queue.put(&key, request.values, ttl)?;
    }
    world.storage.queues.changed.notify_waiters();
    call.meta.effect("queue.put", request.queue_id);
    Ok(())
}

async fn get(world: Arc<World>, call: Call<QueueGetRequest>) -> Result<QueueGetResponse, Status> {
    let queues = &world.storage.queues;
    let request = &call.message;
    let again = call.meta.idempotency_key();
    if let Some(answer) = again.and_then(|key| queues.answered(key)) {
        return Ok(answer);
    }
    let key = partition_key(&request.partition_key)?;
    let max = usize::try_from(request.n_values).unwrap_or(1).max(1);
    let taking = queues.wait(request.timeout, || {
        let mut state = queues.state.write();
        let queue = &mut state.get_mut(KIND, &request.queue_id)?.value;
        queue.expire();
        let values = queue.take(&key, max);
        if values.is_empty() {
            return Ok(None);
        }
        let answer = QueueGetResponse { values };
        if let Some(again) = again {
            queues.remember(again, &answer);
        }
        call.meta.effect("queue.get", &request.queue_id);
        Ok(Some(answer))
    });
    Ok(taking.await?.unwrap_or_default())
}

async fn len(world: Arc<World>, call: Call<QueueLenRequest>) -> Result<QueueLenResponse, Status> {
    let QueueLenRequest {
        queue_id,
        partition_key: key,
        total,
    } = call.message;
    let key = partition_key(&key)?;
    let mut state = world.storage.queues.state.write();
    let queue = &mut state.get_mut(KIND, &queue_id)?.value;
    queue.expire();
    let items = if total {
        queue.len()
    } else {
        queue
            .partitions
            .get(&key)
            .map_or(0, |partition| partition.items.len())
    };
    Ok(QueueLenResponse { len: count(items) })
}

async fn next_items(
    world: Arc<World>,
    call: Call<QueueNextItemsRequest>,
) -> Result<QueueNextItemsResponse, Status> {
    let queues = &world.storage.queues;
    let request = &call.message;
    let key = partition_key(&request.partition_key)?;
    let after = request.last_entry_id.split('-').next().unwrap_or_default();
    let after = match after {
        "" => 0,
        number => number
            .parse()
            .map_err(|_| Status::invalid_argument("unknown last_entry_id"))?,
    };
    let found = queues.wait(request.item_poll_timeout, || {
        let mut state = queues.state.write();
        let queue = &mut state.get_mut(KIND, &request.queue_id)?.value;
        queue.expire();
        let items = queue.next(&key, after);
        Ok((!items.is_empty()).then_some(items))
    });
    Ok(QueueNextItemsResponse {
        items: found.await?.unwrap_or_default(),
    })
}
