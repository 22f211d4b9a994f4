//! Queues: first in, first out, in independent partitions.
//!
//! Limits are Modal's documented ones. An item goes to one caller: a get that is repeated under the same
//! idempotency key, because its answer was lost, is answered with the same items; a caller who went away
//! while waiting takes nothing.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use moorline_modal_proto::client::queue_list_response::QueueInfo;
use moorline_modal_proto::client::{
    QueueClearRequest, QueueDeleteRequest, QueueGetByIdRequest, QueueGetByIdResponse,
    QueueGetOrCreateRequest, QueueGetOrCreateResponse, QueueGetRequest, QueueGetResponse,
    QueueHeartbeatRequest, QueueItem, QueueLenRequest, QueueLenResponse, QueueListRequest,
    QueueListResponse, QueueMetadata, QueueNextItemsRequest, QueueNextItemsResponse,
    QueuePutRequest,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tonic::Status;

use super::named::{Kind, Named, Object, Wanted, now};
use super::{environments, packed};
use crate::call::Call;
use crate::kept::Kept;
use crate::routes::Rpcs;
use crate::world::World;

const KIND: Kind = Kind {
    noun: "Queue",
    prefix: "qu",
};

/// Partitions of one queue.
const PARTITIONS: usize = 100_000;
/// Items of one partition.
const ITEMS: usize = 5_000;
/// Bytes of one item.
const ITEM_BYTES: usize = 1 << 20;
/// Bytes of all items of one partition.
const PARTITION_BYTES: usize = 64 << 20;
/// Bytes of a partition's key.
const KEY_BYTES: usize = 64;
/// Items in one answer of an iteration.
const NEXT_ITEMS: usize = 100;
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

/// One queue; partitions by hexadecimal key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Queue {
    partitions: BTreeMap<String, Partition>,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Partition {
    items: VecDeque<Item>,
    /// Number of the newest item there was.
    last: u64,
    /// In seconds since 1970.
    expires_at: f64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Item {
    number: u64,
    #[serde(with = "packed")]
    value: Bytes,
}

impl Partition {
    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.value.len()).sum()
    }
}

impl Queue {
    /// Forgets what has expired.
    fn expire(&mut self) {
        let now = now();
        self.partitions
            .retain(|_, partition| partition.expires_at > now);
    }

    fn len(&self) -> usize {
        self.partitions
            .values()
            .map(|partition| partition.items.len())
            .sum()
    }

    /// Adds all values, or none.
    fn put(&mut self, key: &str, values: Vec<Bytes>, ttl: f64) -> Result<(), Status> {
        if let Some(value) = values.iter().find(|value| value.len() > ITEM_BYTES) {
            let text = format!(
                "an item of a Queue is at most 1 MiB, not {} bytes",
                value.len()
            );
            return Err(Status::invalid_argument(text));
        }
        let adds: usize = values.iter().map(Bytes::len).sum();
        let (items, bytes) = self
            .partitions
            .get(key)
            .map_or((0, 0), |p| (p.items.len(), p.bytes()));
        if items + values.len() > ITEMS {
            return Err(Status::resource_exhausted(
                "the Queue's partition is full: 5000 items",
            ));
        }
        if bytes + adds > PARTITION_BYTES {
            return Err(Status::resource_exhausted(
                "the Queue's partition is full: 64 MiB",
            ));
        }
        if items == 0 && !self.partitions.contains_key(key) && self.partitions.len() >= PARTITIONS {
            return Err(Status::resource_exhausted(
                "the Queue is full: 100000 partitions",
            ));
        }
        let partition = self.partitions.entry(key.to_owned()).or_default();
        partition.expires_at = now() + ttl;
        for value in values {
            partition.last += 1;
            partition.items.push_back(Item {
                number: partition.last,
                value,
            });
        }
        Ok(())
    }

    fn take(&mut self, key: &str, max: usize) -> Vec<Bytes> {
        let Some(partition) = self.partitions.get_mut(key) else {
            return Vec::new();
        };
        let count = partition.items.len().min(max);
        partition
            .items
            .drain(..count)
            .map(|item| item.value)
            .collect()
    }

    /// Items after the one that `after` names; nothing is taken.
    fn next(&self, key: &str, after: u64) -> Vec<QueueItem> {
        let items = self
            .partitions
            .get(key)
            .into_iter()
            .flat_map(|partition| &partition.items);
        let item = |item: &Item| QueueItem {
            value: item.value.clone(),
            entry_id: format!("{}-0", item.number),
        };
        items
            .filter(|item| item.number > after)
            .take(NEXT_ITEMS)
            .map(item)
            .collect()
    }
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
        environment_name: environment.clone(),
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
    match all_partitions {
        true => queue.partitions.clear(),
        false => drop(queue.partitions.remove(&key)),
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
    let items = match total {
        true => queue.len(),
        false => queue
            .partitions
            .get(&key)
            .map_or(0, |partition| partition.items.len()),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_full_partition_takes_all_or_nothing_and_others_go_on() {
        let mut queue = Queue::default();
        queue.put("a", vec![bytes("x"); ITEMS - 1], 60.0).unwrap();
        let full = queue.put("a", vec![bytes("y"); 2], 60.0).unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted);
        queue.put("b", vec![bytes("y"); 2], 60.0).unwrap();
        queue.put("a", vec![bytes("z")], 60.0).unwrap();
        assert_eq!(queue.len(), ITEMS + 2);
        let mega = Bytes::from(vec![0; ITEM_BYTES]);
        queue.put("c", vec![mega.clone(); 64], 60.0).unwrap();
        let full = queue.put("c", vec![bytes("x")], 60.0).unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted);
        let large = Bytes::from(vec![0; ITEM_BYTES + 1]);
        assert_eq!(
            queue.put("d", vec![large], 60.0).unwrap_err().code(),
            Code::InvalidArgument
        );
    }

    #[test]
    fn a_partition_lives_as_long_as_its_last_put_says() {
        let mut queue = Queue::default();
        queue.put("short", vec![bytes("x")], -1.0).unwrap();
        queue.put("long", vec![bytes("x")], 60.0).unwrap();
        queue.expire();
        assert_eq!(queue.partitions.keys().collect::<Vec<_>>(), ["long"]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, u8),
        Take(u8, usize),
        Read(u8),
    }

    proptest! {
        #[test]
        fn each_partition_is_a_list_whatever_the_others_do(
            steps in prop::collection::vec(
                prop_oneof![
                    (0..3u8, any::<u8>()).prop_map(|(p, v)| Step::Put(p, v)),
                    (0..3u8, 0..4usize).prop_map(|(p, n)| Step::Take(p, n)),
                    (0..3u8).prop_map(Step::Read),
                ],
                0..60,
            )
        ) {
            let mut queue = Queue::default();
            let mut model: [VecDeque<u8>; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Put(p, v) => {
                        queue.put(&p.to_string(), vec![Bytes::from(vec![v])], 60.0).unwrap();
                        model[usize::from(p)].push_back(v);
                    }
                    Step::Take(p, n) => {
                        let taken: Vec<u8> =
                            queue.take(&p.to_string(), n).iter().map(|value| value[0]).collect();
                        let model = &mut model[usize::from(p)];
                        let expected: Vec<u8> = model.drain(..n.min(model.len())).collect();
                        prop_assert_eq!(taken, expected);
                    }
                    Step::Read(p) => {
                        let (mut read, mut after) = (VecDeque::new(), 0);
                        while let items @ [_, ..] = &*queue.next(&p.to_string(), after) {
                            read.extend(items.iter().map(|item| item.value[0]));
                            after = items[items.len() - 1].entry_id.trim_end_matches("-0").parse().unwrap();
                        }
                        prop_assert_eq!(&read, &model[usize::from(p)]);
                    }
                }
            }
        }
    }
}
