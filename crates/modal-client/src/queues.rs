//! Queues: first in, first out within each partition, by bytes or (through serde) by CBOR.
//!
//! The official clients pickle values; see [`crate::dicts`]. Deliberately absent: pickling.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use jiff::Timestamp;
use moorline_modal_proto::client as pb;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::cbor;
use crate::error::{Error, ErrorKind, Result};
use crate::keepalive::keep_alive;
use crate::rpc::{CallOptions, control_plane};
use crate::transport::{Client, instant};
use crate::wire::{self, Existence, time};

control_plane! {
    CLEAR = QueueClear(QueueClearRequest) -> Empty, Keyed;
    DELETE = QueueDelete(QueueDeleteRequest) -> Empty, Keyed;
    GET = QueueGet(QueueGetRequest) -> QueueGetResponse, Keyed;
    GET_OR_CREATE = QueueGetOrCreate(QueueGetOrCreateRequest) -> QueueGetOrCreateResponse, Keyed;
    HEARTBEAT = QueueHeartbeat(QueueHeartbeatRequest) -> Empty, Read;
    LEN = QueueLen(QueueLenRequest) -> QueueLenResponse, Read;
    LIST = QueueList(QueueListRequest) -> QueueListResponse, Read;
    NEXT = QueueNextItems(QueueNextItemsRequest) -> QueueNextItemsResponse, Read;
    PUT = QueuePut(QueuePutRequest) -> Empty, Keyed;
}

/// Objects a page of a list.
const PAGE: i32 = 100;
/// Sizes in a list are counted up to here.
const SIZE_LIMIT: i32 = 100_000;
/// The longest hold of one `QueueGet`.
const HOLD: Duration = Duration::from_secs(50);
/// What an attempt may take beyond its hold.
const SLACK: Duration = Duration::from_secs(15);
/// Waits while a partition is full.
const FULL_FIRST: Duration = Duration::from_millis(100);
const FULL_LAST: Duration = Duration::from_secs(30);

/// One line of the list of queues.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct QueueInfo {
    /// `qu-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
    /// How many partitions it has.
    pub partitions: u32,
    /// How many values, counted up to 100,000.
    pub size: u32,
}

/// Calls about queues.
#[derive(Clone, Debug)]
pub struct Queues {
    client: Client,
}

impl Client {
    /// Queues.
    pub fn queues(&self) -> Queues {
        Queues {
            client: self.clone(),
        }
    }
}

impl Queues {
    /// The queue of that name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it must exist and does not.
    pub async fn lookup(
        &self,
        name: &str,
        environment: Option<&str>,
        existence: Existence,
    ) -> Result<Queue> {
        wire::check_name("queue", name)?;
        self.open(name, environment, existence.wire()).await
    }

    /// A queue without a name that lives as long as the returned value: its heartbeat runs in the
    /// background of this tokio runtime until it is dropped.
    ///
    /// # Errors
    /// What the server says.
    pub async fn ephemeral(&self, environment: Option<&str>) -> Result<EphemeralQueue> {
        let kind = pb::ObjectCreationType::Ephemeral.into();
        let queue = self.open("", environment, kind).await?;
        let (client, id) = (self.client.clone(), queue.id.clone());
        let heartbeat = keep_alive("queue", move || {
            let (client, queue_id) = (client.clone(), id.clone());
            async move {
                client
                    .unary(HEARTBEAT, pb::QueueHeartbeatRequest { queue_id })
                    .await
            }
        });
        Ok(EphemeralQueue {
            queue,
            _heartbeat: heartbeat,
        })
    }

    async fn open(&self, name: &str, environment: Option<&str>, kind: i32) -> Result<Queue> {
        let request = pb::QueueGetOrCreateRequest {
            deployment_name: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            object_creation_type: kind,
        };
        let reply = self.client.unary(GET_OR_CREATE, request).await?;
        Ok(self.by_id(wire::required(reply.queue_id, "queue id")?))
    }

    /// A queue by its id, `qu-…`, unchecked.
    pub fn by_id(&self, id: impl Into<String>) -> Queue {
        Queue {
            client: self.client.clone(),
            id: id.into(),
            partition: Bytes::new(),
        }
    }

    /// All named queues of an environment, newest first.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self, environment: Option<&str>) -> Result<Vec<QueueInfo>> {
        let mut all = Vec::new();
        let mut created_before = 0.0;
        loop {
            let request = pb::QueueListRequest {
                environment_name: self.client.environment_or_default(environment),
                total_size_limit: SIZE_LIMIT,
                pagination: Some(pb::ListPagination {
                    max_objects: PAGE,
                    created_before,
                }),
            };
            let page = self.client.unary(LIST, request).await?.queues;
            let count = page.len();
            let oldest = page.last().map_or(0.0, |item| item.created_at);
            all.extend(page.into_iter().map(|item| QueueInfo {
                created_at: time(item.created_at),
                partitions: item.num_partitions.try_into().unwrap_or(0),
                size: item.total_size.try_into().unwrap_or(0),
                id: item.queue_id,
                name: item.name,
            }));
            if wire::is_last_page(count, PAGE, created_before, oldest) {
                return Ok(all);
            }
            created_before = oldest;
        }
    }

    /// Deletes a queue with all its values.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.client
            .unary(
                DELETE,
                pb::QueueDeleteRequest {
                    queue_id: id.to_owned(),
                },
            )
            .await
    }
}

/// How values are put.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// How long to wait while the partition is full; not at all when `None`.
    pub wait: Option<Duration>,
    /// How long the partition lives after this; a day when `None`.
    pub partition_ttl: Option<Duration>,
}

impl PutOptions {
    /// Waits while the partition is full.
    #[must_use]
    pub fn wait(mut self, wait: Duration) -> Self {
        self.wait = Some(wait);
        self
    }

    /// Sets how long the partition lives after this.
    #[must_use]
    pub fn partition_ttl(mut self, ttl: Duration) -> Self {
        self.partition_ttl = Some(ttl);
        self
    }
}

/// One partition of a queue; the one without a name unless [`partition`](Self::partition) names another.
/// Methods with `_bytes` take values as they are; the others encode them in CBOR.
#[derive(Clone, Debug)]
pub struct Queue {
    client: Client,
    id: String,
    partition: Bytes,
}

impl Queue {
    /// `qu-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Another partition of the same queue.
    #[must_use]
    pub fn partition(&self, name: impl Into<Bytes>) -> Self {
        Self {
            partition: name.into(),
            ..self.clone()
        }
    }

    /// Puts a value at the end.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if the partition is full, and stayed so.
    pub async fn put(&self, value: &(impl Serialize + ?Sized), options: PutOptions) -> Result<()> {
        self.put_bytes(vec![cbor::encode(value)?], options).await
    }

    /// Takes the first value out. Waits for one as long as `timeout`, `None` is forever; `Ok(None)` if
    /// none came.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if the value, which is gone then, is not a CBOR value of that type.
    pub async fn get<V: DeserializeOwned>(&self, timeout: Option<Duration>) -> Result<Option<V>> {
        let value = self.get_bytes(1, timeout).await?.into_iter().next();
        value.map(|bytes| cbor::decode(&bytes)).transpose()
    }

    /// Puts values at the end, in this order and at once.
    ///
    /// # Errors
    /// As for [`put`](Self::put).
    pub async fn put_bytes(&self, values: Vec<Bytes>, options: PutOptions) -> Result<()> {
        let began = instant();
        let mut pause = FULL_FIRST;
        loop {
            let request = pb::QueuePutRequest {
                queue_id: self.id.clone(),
                values: values.clone(),
                partition_key: self.partition.clone(),
                partition_ttl_seconds: options.partition_ttl.map_or(0, |ttl| {
                    ttl.as_secs().clamp(1, 7 * 86_400).try_into().unwrap_or(0)
                }),
            };
            match self.client.unary(PUT, request).await {
                Err(error) if error.kind() == ErrorKind::ResourceExhausted => {
                    let left = options
                        .wait
                        .unwrap_or_default()
                        .saturating_sub(began.elapsed());
                    if left.is_zero() {
                        return Err(error);
                    }
                    tokio::time::sleep(pause.min(left)).await;
                    pause = (pause * 2).min(FULL_LAST);
                }
                result => return result,
            }
        }
    }

    /// Takes up to `max` values out: waits for the first as long as `timeout` (`None` is forever), and
    /// takes what is there with it. Empty if none came.
    ///
    /// Not cancel-safe: a value that the server has already handed out is lost when the future is dropped.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get_bytes(&self, max: u32, timeout: Option<Duration>) -> Result<Vec<Bytes>> {
        if max == 0 {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                "asked for at most 0 values; ask for 1 or more",
            ));
        }
        let began = instant();
        loop {
            let left = timeout.map_or(HOLD, |timeout| timeout.saturating_sub(began.elapsed()));
            let hold = left.min(HOLD);
            let request = pb::QueueGetRequest {
                queue_id: self.id.clone(),
                timeout: hold.as_secs_f32(),
                n_values: max.try_into().unwrap_or(i32::MAX),
                partition_key: self.partition.clone(),
            };
            let options = CallOptions::new().attempt_timeout(hold + SLACK);
            let values = self.client.call(GET, request, &options).await?.values;
            let over = timeout.is_some_and(|timeout| began.elapsed() >= timeout);
            if !values.is_empty() || over {
                return Ok(values);
            }
        }
    }

    /// The values from the first on, left where they are; ends when none came for `timeout`. Goes on behind
    /// the last one after a broken connection.
    pub fn iter_bytes(
        &self,
        timeout: Duration,
    ) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let queue = self.clone();
        async_stream::try_stream! {
            let mut last_entry_id = String::new();
            let mut deadline = instant() + timeout;
            loop {
                let hold = deadline.saturating_duration_since(instant()).min(HOLD);
                let request = pb::QueueNextItemsRequest {
                    queue_id: queue.id.clone(),
                    partition_key: queue.partition.clone(),
                    last_entry_id: last_entry_id.clone(),
                    item_poll_timeout: hold.as_secs_f32(),
                };
                let options = CallOptions::new().attempt_timeout(hold + SLACK);
                let items = queue.client.call(NEXT, request, &options).await?.items;
                if items.is_empty() {
                    if instant() >= deadline {
                        break;
                    }
                    continue;
                }
                for item in items {
                    last_entry_id = item.entry_id;
                    yield item.value;
                }
                deadline = instant() + timeout;
            }
        }
    }

    /// How many values the partition has.
    ///
    /// # Errors
    /// What the server says.
    pub async fn len(&self) -> Result<u64> {
        self.count(false).await
    }

    /// Whether it has none.
    ///
    /// # Errors
    /// What the server says.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// How many values all partitions have together.
    ///
    /// # Errors
    /// What the server says.
    pub async fn total_len(&self) -> Result<u64> {
        self.count(true).await
    }

    async fn count(&self, total: bool) -> Result<u64> {
        let partition_key = if total {
            Bytes::new()
        } else {
            self.partition.clone()
        };
        let request = pb::QueueLenRequest {
            queue_id: self.id.clone(),
            partition_key,
            total,
        };
        Ok(self
            .client
            .unary(LEN, request)
            .await?
            .len
            .try_into()
            .unwrap_or(0))
    }

    /// Removes the values of the partition, or of all.
    ///
    /// # Errors
    /// What the server says.
    pub async fn clear(&self, all_partitions: bool) -> Result<()> {
        let partition_key = if all_partitions {
            Bytes::new()
        } else {
            self.partition.clone()
        };
        let request = pb::QueueClearRequest {
            queue_id: self.id.clone(),
            partition_key,
            all_partitions,
        };
        self.client.unary(CLEAR, request).await
    }
}

/// A queue that lives while this value does.
#[derive(Debug)]
pub struct EphemeralQueue {
    queue: Queue,
    _heartbeat: JoinSet<()>,
}

impl std::ops::Deref for EphemeralQueue {
    type Target = Queue;

    fn deref(&self) -> &Queue {
        &self.queue
    }
}
