//! Dicts: named tables, by bytes or (through serde) by CBOR.
//!
//! An entry is found by the exact bytes of its key. The Python client pickles keys and values, so what it
//! wrote is read here as pickles, byte for byte; a dict that programs share across languages is best
//! written in CBOR by all of them. Deliberately absent: pickling.

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
use crate::transport::Client;
use crate::wire::{self, Existence, time};

control_plane! {
    CLEAR = DictClear(DictClearRequest) -> Empty, Keyed;
    CONTAINS = DictContains(DictContainsRequest) -> DictContainsResponse, Read;
    CONTENTS = DictContents(DictContentsRequest) -> DictEntry, Read;
    DELETE = DictDelete(DictDeleteRequest) -> Empty, Keyed;
    GET = DictGet(DictGetRequest) -> DictGetResponse, Read;
    GET_OR_CREATE = DictGetOrCreate(DictGetOrCreateRequest) -> DictGetOrCreateResponse, Keyed;
    HEARTBEAT = DictHeartbeat(DictHeartbeatRequest) -> Empty, Read;
    LEN = DictLen(DictLenRequest) -> DictLenResponse, Read;
    LIST = DictList(DictListRequest) -> DictListResponse, Read;
    POP = DictPop(DictPopRequest) -> DictPopResponse, Keyed;
    UPDATE = DictUpdate(DictUpdateRequest) -> DictUpdateResponse, Keyed;
}

/// Objects a page of a list.
const PAGE: i32 = 100;

/// One line of a list of dicts or queues.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DictInfo {
    /// `di-…`.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: Option<Timestamp>,
}

/// Calls about dicts.
#[derive(Clone, Debug)]
pub struct Dicts {
    client: Client,
}

impl Client {
    /// Dicts.
    pub fn dicts(&self) -> Dicts {
        Dicts {
            client: self.clone(),
        }
    }
}

impl Dicts {
    /// The dict of that name.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if it must exist and does not.
    pub async fn lookup(
        &self,
        name: &str,
        environment: Option<&str>,
        existence: Existence,
    ) -> Result<Dict> {
        wire::check_name("dict", name)?;
        self.open(name, environment, existence.wire()).await
    }

    /// A dict without a name that lives as long as the returned value: its heartbeat runs in the
    /// background of this tokio runtime until it is dropped.
    ///
    /// # Errors
    /// What the server says.
    pub async fn ephemeral(&self, environment: Option<&str>) -> Result<EphemeralDict> {
        let kind = pb::ObjectCreationType::Ephemeral.into();
        let dict = self.open("", environment, kind).await?;
        let (client, id) = (self.client.clone(), dict.id.clone());
        let heartbeat = keep_alive("dict", move || {
            let (client, dict_id) = (client.clone(), id.clone());
            async move {
                client
                    .unary(HEARTBEAT, pb::DictHeartbeatRequest { dict_id })
                    .await
            }
        });
        Ok(EphemeralDict {
            dict,
            _heartbeat: heartbeat,
        })
    }

    async fn open(&self, name: &str, environment: Option<&str>, kind: i32) -> Result<Dict> {
        let request = pb::DictGetOrCreateRequest {
            deployment_name: name.to_owned(),
            environment_name: self.client.environment_or_default(environment),
            object_creation_type: kind,
            data: Vec::new(),
        };
        let reply = self.client.unary(GET_OR_CREATE, request).await?;
        Ok(Dict {
            client: self.client.clone(),
            id: wire::required(reply.dict_id, "dict id")?,
        })
    }

    /// A dict by its id, `di-…`, unchecked.
    pub fn by_id(&self, id: impl Into<String>) -> Dict {
        Dict {
            client: self.client.clone(),
            id: id.into(),
        }
    }

    /// All named dicts of an environment, newest first.
    ///
    /// # Errors
    /// What the server says.
    pub async fn list(&self, environment: Option<&str>) -> Result<Vec<DictInfo>> {
        let mut all = Vec::new();
        let mut created_before = 0.0;
        loop {
            let request = pb::DictListRequest {
                environment_name: self.client.environment_or_default(environment),
                pagination: Some(pb::ListPagination {
                    max_objects: PAGE,
                    created_before,
                }),
            };
            let page = self.client.unary(LIST, request).await?.dicts;
            let count = page.len();
            let oldest = page.last().map_or(0.0, |item| item.created_at);
            all.extend(page.into_iter().map(|item| DictInfo {
                created_at: time(item.created_at),
                id: item.dict_id,
                name: item.name,
            }));
            if wire::is_last_page(count, PAGE, created_before, oldest) {
                return Ok(all);
            }
            created_before = oldest;
        }
    }

    /// Deletes a dict with all its entries.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] if there is none.
    pub async fn delete(&self, id: &str) -> Result<()> {
        self.client
            .unary(
                DELETE,
                pb::DictDeleteRequest {
                    dict_id: id.to_owned(),
                },
            )
            .await
    }
}

/// One dict. Methods with `_bytes` take keys and values as they are; the others encode them in CBOR.
#[derive(Clone, Debug)]
pub struct Dict {
    client: Client,
    id: String,
}

impl Dict {
    /// `di-…`.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if it is not a CBOR value of that type.
    pub async fn get<V: DeserializeOwned>(
        &self,
        key: &(impl Serialize + ?Sized),
    ) -> Result<Option<V>> {
        let value = self.get_bytes(cbor::encode(key)?).await?;
        value.map(|bytes| cbor::decode(&bytes)).transpose()
    }

    /// Sets the value of a key.
    ///
    /// # Errors
    /// What the server says.
    pub async fn put(
        &self,
        key: &(impl Serialize + ?Sized),
        value: &(impl Serialize + ?Sized),
    ) -> Result<()> {
        let entry = (cbor::encode(key)?, cbor::encode(value)?);
        self.update_bytes([entry], false).await.map(drop)
    }

    /// Sets the value of a key that has none; `false` if it has one.
    ///
    /// # Errors
    /// What the server says.
    pub async fn put_if_absent(
        &self,
        key: &(impl Serialize + ?Sized),
        value: &(impl Serialize + ?Sized),
    ) -> Result<bool> {
        let entry = (cbor::encode(key)?, cbor::encode(value)?);
        self.update_bytes([entry], true).await
    }

    /// Takes a key and its value out.
    ///
    /// # Errors
    /// [`ErrorKind::Protocol`] if the value, which is gone then, is not a CBOR value of that type.
    pub async fn pop<V: DeserializeOwned>(
        &self,
        key: &(impl Serialize + ?Sized),
    ) -> Result<Option<V>> {
        let value = self.pop_bytes(cbor::encode(key)?).await?;
        value.map(|bytes| cbor::decode(&bytes)).transpose()
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// What the server says.
    pub async fn contains(&self, key: &(impl Serialize + ?Sized)) -> Result<bool> {
        self.contains_bytes(cbor::encode(key)?).await
    }

    /// The value of a key.
    ///
    /// # Errors
    /// What the server says.
    pub async fn get_bytes(&self, key: Bytes) -> Result<Option<Bytes>> {
        let request = pb::DictGetRequest {
            dict_id: self.id.clone(),
            key,
        };
        let reply = self.client.unary(GET, request).await?;
        Ok(reply.found.then(|| reply.value.unwrap_or_default()))
    }

    /// Sets entries, at once; with `if_absent` only those whose key has no value. Tells whether something
    /// was written for `if_absent`, and `true` otherwise.
    ///
    /// # Errors
    /// What the server says.
    pub async fn update_bytes(
        &self,
        entries: impl IntoIterator<Item = (Bytes, Bytes)>,
        if_absent: bool,
    ) -> Result<bool> {
        let updates = entries
            .into_iter()
            .map(|(key, value)| pb::DictEntry { key, value })
            .collect();
        let request = pb::DictUpdateRequest {
            dict_id: self.id.clone(),
            updates,
            if_not_exists: if_absent,
        };
        let reply = self.client.unary(UPDATE, request).await?;
        Ok(!if_absent || reply.created)
    }

    /// Takes a key and its value out.
    ///
    /// # Errors
    /// What the server says.
    pub async fn pop_bytes(&self, key: Bytes) -> Result<Option<Bytes>> {
        let request = pb::DictPopRequest {
            dict_id: self.id.clone(),
            key,
        };
        let reply = self.client.unary(POP, request).await?;
        Ok(reply.found.then(|| reply.value.unwrap_or_default()))
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    /// What the server says.
    pub async fn contains_bytes(&self, key: Bytes) -> Result<bool> {
        let request = pb::DictContainsRequest {
            dict_id: self.id.clone(),
            key,
        };
        Ok(self.client.unary(CONTAINS, request).await?.found)
    }

    /// How many entries it has.
    ///
    /// # Errors
    /// What the server says.
    pub async fn len(&self) -> Result<u64> {
        let reply = self
            .client
            .unary(
                LEN,
                pb::DictLenRequest {
                    dict_id: self.id.clone(),
                },
            )
            .await?;
        Ok(reply.len.try_into().unwrap_or(0))
    }

    /// Whether it has none.
    ///
    /// # Errors
    /// What the server says.
    pub async fn is_empty(&self) -> Result<bool> {
        Ok(self.len().await? == 0)
    }

    /// Removes all entries.
    ///
    /// # Errors
    /// What the server says.
    pub async fn clear(&self) -> Result<()> {
        self.client
            .unary(
                CLEAR,
                pb::DictClearRequest {
                    dict_id: self.id.clone(),
                },
            )
            .await
    }

    /// All entries, in no order, as they come. The server has no position in them, so a broken stream
    /// ends with its error and is not resumed: begin again.
    pub fn entries(&self) -> impl Stream<Item = Result<(Bytes, Bytes)>> + Send + use<> {
        let (client, dict_id) = (self.client.clone(), self.id.clone());
        async_stream::try_stream! {
            let request = pb::DictContentsRequest { dict_id, keys: true, values: true };
            let mut stream = client.server_stream(CONTENTS, request, &CallOptions::default()).await?;
            let idle = client.config().retry.attempt_timeout;
            loop {
                let next = tokio::time::timeout(idle, stream.message()).await.map_err(|_| {
                    Error::new(ErrorKind::Timeout, "the entries stopped in the middle")
                        .with_rpc(CONTENTS.name())
                })?;
                match next.map_err(|status| Error::from_status(CONTENTS.name(), status))? {
                    Some(entry) => yield (entry.key, entry.value),
                    None => break,
                }
            }
        }
    }
}

/// A dict that lives while this value does.
#[derive(Debug)]
pub struct EphemeralDict {
    dict: Dict,
    _heartbeat: JoinSet<()>,
}

impl std::ops::Deref for EphemeralDict {
    type Target = Dict;

    fn deref(&self) -> &Dict {
        &self.dict
    }
}
