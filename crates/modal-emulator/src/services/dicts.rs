//! Dicts: shared maps from bytes to bytes.
//!
//! Keys and values are what the callers serialized; two keys are the same when their bytes are. As on
//! Modal, an entry that nobody read or wrote for seven days is gone.

use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use moorline_modal_proto::client::dict_list_response::DictInfo;
use moorline_modal_proto::client::{
    DictClearRequest, DictContainsRequest, DictContainsResponse, DictContentsRequest,
    DictDeleteRequest, DictEntry, DictGetByIdRequest, DictGetByIdResponse, DictGetOrCreateRequest,
    DictGetOrCreateResponse, DictGetRequest, DictGetResponse, DictHeartbeatRequest, DictLenRequest,
    DictLenResponse, DictListRequest, DictListResponse, DictMetadata, DictPopRequest,
    DictPopResponse, DictUpdateRequest, DictUpdateResponse,
};
use serde::{Deserialize, Serialize};
use tonic::Status;

use super::named::{Kind, Named, Object, Wanted, now};
use super::{environments, packed};
use crate::call::Call;
use crate::kept::Kept;
use crate::routes::{Answers, Rpcs};
use crate::world::World;

const KIND: Kind = Kind {
    noun: "Dict",
    prefix: "di",
};

/// An entry is gone this long after it was last read or written, in seconds.
const ENTRY_SECS: f64 = 7.0 * 24.0 * 3600.0;

/// The longest key and value together, in bytes. (Provisional: Modal's documentation speaks of 100 MiB.)
const ENTRY_BYTES: usize = 100 << 20;

pub(crate) fn register(rpcs: &mut Rpcs<'_>) {
    rpcs.write("DictGetOrCreate", get_or_create);
    rpcs.read("DictGetById", get_by_id);
    rpcs.read("DictList", list);
    rpcs.write("DictDelete", delete);
    rpcs.write("DictClear", clear);
    rpcs.write("DictHeartbeat", heartbeat);
    rpcs.write("DictUpdate", update);
    rpcs.read("DictGet", get);
    rpcs.read("DictContains", contains);
    rpcs.read("DictLen", len);
    rpcs.write("DictPop", pop);
    rpcs.stream("DictContents", contents);
}

/// All dicts.
#[derive(Debug)]
pub(crate) struct Dicts {
    state: Kept<Named<Map>>,
}

/// The entries of one.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Map {
    #[serde(with = "pairs")]
    entries: HashMap<Bytes, Entry>,
    /// Counts insertions, so that contents come in the order in which they were added.
    added: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Entry {
    #[serde(with = "packed")]
    value: Bytes,
    number: u64,
    /// Last read or written, in seconds since 1970.
    used_at: f64,
}

/// A map with keys of bytes, as a list: JSON has only text for keys.
mod pairs {
    use serde::{Deserializer, Serializer};

    use super::{Bytes, Deserialize, Entry, HashMap, Serialize, packed};

    #[derive(Serialize, Deserialize)]
    struct Pair<E> {
        #[serde(with = "packed")]
        key: Bytes,
        entry: E,
    }

    pub(super) fn serialize<S: Serializer>(
        map: &HashMap<Bytes, Entry>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(map.iter().map(|(key, entry)| Pair {
            key: key.clone(),
            entry,
        }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<HashMap<Bytes, Entry>, D::Error> {
        let pairs = Vec::<Pair<Entry>>::deserialize(from)?;
        Ok(pairs
            .into_iter()
            .map(|pair| (pair.key, pair.entry))
            .collect())
    }
}

impl Map {
    fn put(&mut self, entry: DictEntry, keep: bool) -> bool {
        let used_at = now();
        if let Some(known) = self.entries.get_mut(&entry.key) {
            if !keep {
                known.value = entry.value;
                known.used_at = used_at;
            }
            return false;
        }
        self.added += 1;
        let number = self.added;
        self.entries.insert(
            entry.key,
            Entry {
                value: entry.value,
                number,
                used_at,
            },
        );
        true
    }

    fn ordered(&self) -> Vec<(&Bytes, &Entry)> {
        let mut all: Vec<_> = self.entries.iter().collect();
        all.sort_by_key(|(_, entry)| entry.number);
        all
    }
}

impl Dicts {
    pub(super) fn open(dir: &Path) -> io::Result<Self> {
        Ok(Self {
            state: Kept::open(dir, "dicts")?,
        })
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        self.state.flush()
    }
}

/// Removes ephemeral dicts whose heartbeats stopped, and entries that nobody uses.
pub(super) fn sweep(world: &World) {
    let mut state = world.storage.dicts.state.write();
    for id in state.abandoned(now()) {
        if state.remove(KIND, &id).is_ok() {
            world.journal.record("dict.expire", id, None);
        }
    }
    for dict in state.iter_mut() {
        dict.value
            .entries
            .retain(|_, entry| now() - entry.used_at < ENTRY_SECS);
    }
}

/// An environment has another name, or (`None`) is gone with all that is in it.
pub(super) fn environment_changed(world: &World, old: &str, new: Option<&str>) {
    let mut state = world.storage.dicts.state.write();
    for id in state.environment_changed(old, new) {
        world.journal.record("dict.delete", id, None);
    }
}

fn metadata(dict: &Object<Map>) -> DictMetadata {
    DictMetadata {
        name: dict.label(),
        creation_info: Some(dict.creation_info()),
    }
}

fn check(entries: &[DictEntry]) -> Result<(), Status> {
    if entries
        .iter()
        .any(|entry| entry.key.len() + entry.value.len() > ENTRY_BYTES)
    {
        return Err(Status::invalid_argument(
            "an entry of a Dict is at most 100 MiB",
        ));
    }
    Ok(())
}

async fn get_or_create(
    world: Arc<World>,
    call: Call<DictGetOrCreateRequest>,
) -> Result<DictGetOrCreateResponse, Status> {
    let request = call.message;
    let environment = environments::resolve(&world, &request.environment_name)?;
    let wanted = Wanted {
        environment: &environment,
        name: &request.deployment_name,
        creation: request.object_creation_type,
    };
    check(&request.data)?;
    let mut state = world.storage.dicts.state.write();
    let (id, new) = state.get_or_create(KIND, &wanted, Map::default)?;
    if new {
        let dict = state.get_mut(KIND, &id)?;
        for entry in request.data {
            dict.value.put(entry, false);
        }
        call.meta.effect("dict.create", &id);
    }
    let metadata = Some(metadata(state.get(KIND, &id)?));
    Ok(DictGetOrCreateResponse {
        dict_id: id,
        metadata,
    })
}

async fn get_by_id(
    world: Arc<World>,
    call: Call<DictGetByIdRequest>,
) -> Result<DictGetByIdResponse, Status> {
    let state = world.storage.dicts.state.read();
    let dict = state.get(KIND, &call.message.dict_id)?;
    Ok(DictGetByIdResponse {
        dict_id: dict.id.clone(),
        metadata: Some(metadata(dict)),
    })
}

async fn list(world: Arc<World>, call: Call<DictListRequest>) -> Result<DictListResponse, Status> {
    let environment = environments::resolve(&world, &call.message.environment_name)?;
    let state = world.storage.dicts.state.read();
    let dicts = state
        .list(&environment, call.message.pagination.as_ref())
        .into_iter()
        .map(|dict| DictInfo {
            name: dict.label(),
            created_at: dict.created_at,
            dict_id: dict.id.clone(),
            metadata: Some(metadata(dict)),
        })
        .collect();
    Ok(DictListResponse {
        dicts,
        environment_name: environment,
    })
}

async fn delete(world: Arc<World>, call: Call<DictDeleteRequest>) -> Result<(), Status> {
    world
        .storage
        .dicts
        .state
        .write()
        .remove(KIND, &call.message.dict_id)?;
    call.meta.effect("dict.delete", call.message.dict_id);
    Ok(())
}

async fn clear(world: Arc<World>, call: Call<DictClearRequest>) -> Result<(), Status> {
    let mut state = world.storage.dicts.state.write();
    state
        .get_mut(KIND, &call.message.dict_id)?
        .value
        .entries
        .clear();
    call.meta.effect("dict.clear", call.message.dict_id);
    Ok(())
}

async fn heartbeat(world: Arc<World>, call: Call<DictHeartbeatRequest>) -> Result<(), Status> {
    world
        .storage
        .dicts
        .state
        .write()
        .heartbeat(KIND, &call.message.dict_id)
}

async fn update(
    world: Arc<World>,
    call: Call<DictUpdateRequest>,
) -> Result<DictUpdateResponse, Status> {
    let DictUpdateRequest {
        dict_id,
        updates,
        if_not_exists,
    } = call.message;
    check(&updates)?;
    let mut state = world.storage.dicts.state.write();
    let map = &mut state.get_mut(KIND, &dict_id)?.value;
    let mut created = false;
    for entry in updates {
        created |= map.put(entry, if_not_exists);
    }
    call.meta.effect("dict.update", dict_id);
    // Without `if_not_exists` the entry is always set, which callers are told as "created".
    Ok(DictUpdateResponse {
        created: created || !if_not_exists,
    })
}

async fn get(world: Arc<World>, call: Call<DictGetRequest>) -> Result<DictGetResponse, Status> {
    let mut state = world.storage.dicts.state.write();
    let map = &mut state.get_mut(KIND, &call.message.dict_id)?.value;
    let value = map.entries.get_mut(&call.message.key).map(|entry| {
        entry.used_at = now();
        entry.value.clone()
    });
    Ok(DictGetResponse {
        found: value.is_some(),
        value,
    })
}

async fn contains(
    world: Arc<World>,
    call: Call<DictContainsRequest>,
) -> Result<DictContainsResponse, Status> {
    let state = world.storage.dicts.state.read();
    let map = &state.get(KIND, &call.message.dict_id)?.value;
    Ok(DictContainsResponse {
        found: map.entries.contains_key(&call.message.key),
    })
}

async fn len(world: Arc<World>, call: Call<DictLenRequest>) -> Result<DictLenResponse, Status> {
    let state = world.storage.dicts.state.read();
    let len = state.get(KIND, &call.message.dict_id)?.value.entries.len();
    Ok(DictLenResponse {
        len: i32::try_from(len).unwrap_or(i32::MAX),
    })
}

async fn pop(world: Arc<World>, call: Call<DictPopRequest>) -> Result<DictPopResponse, Status> {
    let DictPopRequest { dict_id, key } = call.message;
    let mut state = world.storage.dicts.state.write();
    let popped = state.get_mut(KIND, &dict_id)?.value.entries.remove(&key);
    if popped.is_some() {
        call.meta.effect("dict.pop", dict_id);
    }
    let value = popped.map(|entry| entry.value);
    Ok(DictPopResponse {
        found: value.is_some(),
        value,
    })
}

async fn contents(
    world: Arc<World>,
    call: Call<DictContentsRequest>,
) -> Result<Answers<DictEntry>, Status> {
    let DictContentsRequest {
        dict_id,
        keys,
        values,
    } = call.message;
    let state = world.storage.dicts.state.read();
    let ordered = state.get(KIND, &dict_id)?.value.ordered().into_iter();
    let wanted = |wanted: bool, bytes: &Bytes| if wanted { bytes.clone() } else { Bytes::new() };
    let entries: Vec<_> = ordered
        .map(|(key, entry)| {
            Ok(DictEntry {
                key: wanted(keys, key),
                value: wanted(values, &entry.value),
            })
        })
        .collect();
    Ok(futures::stream::iter(entries).boxed())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_map_survives_its_state_file_in_order() {
        let mut map = Map::default();
        let entry = |key: &'static [u8], value: &'static [u8]| DictEntry {
            key: Bytes::from_static(key),
            value: Bytes::from_static(value),
        };
        assert!(map.put(entry(b"\xff\0", b"1"), false));
        assert!(map.put(entry(b"b", b"\xfe"), true));
        assert!(!map.put(entry(b"b", b"other"), true));
        assert!(!map.put(entry(b"\xff\0", b"2"), false));
        let text = serde_json::to_string(&map).unwrap();
        let map: Map = serde_json::from_str(&text).unwrap();
        let pairs: Vec<_> = map
            .ordered()
            .into_iter()
            .map(|(k, e)| (&**k, &*e.value))
            .collect();
        assert_eq!(pairs, [(&b"\xff\0"[..], &b"2"[..]), (b"b", b"\xfe")]);
    }
}
