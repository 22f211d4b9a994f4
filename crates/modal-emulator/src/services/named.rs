//! Objects with an id and perhaps a name in an environment: what volumes, dicts and queues have in common.

use std::collections::BTreeMap;

use moorline_modal_proto::client::{CreationInfo, ListPagination, ObjectCreationType};
use serde::{Deserialize, Serialize};
use tonic::Status;

pub(crate) use crate::clock::seconds as now;
use crate::ids;

/// An ephemeral object whose heartbeats stopped this long ago is gone. Clients send one each 300 seconds.
const HEARTBEATS_STOPPED_SECS: f64 = 900.0;

/// Who made an object, as far as an emulator without accounts knows.
pub(crate) const USER: &str = "emulator";

/// The objects of one kind.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "T: Serialize + serde::de::DeserializeOwned")]
pub(crate) struct Named<T> {
    objects: BTreeMap<String, Object<T>>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self {
            objects: BTreeMap::new(),
        }
    }
}

/// One object.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Object<T> {
    pub(crate) id: String,
    /// Absent for an anonymous one.
    pub(crate) name: Option<String>,
    pub(crate) environment: String,
    /// Seconds since 1970.
    pub(crate) created_at: f64,
    /// The last sign of life of an ephemeral one, in seconds since 1970.
    heartbeat_at: Option<f64>,
    pub(crate) value: T,
}

impl<T> Object<T> {
    /// When and by whom it was made.
    pub(crate) fn creation_info(&self) -> CreationInfo {
        CreationInfo {
            created_at: self.created_at,
            created_by: USER.to_owned(),
        }
    }

    /// The name; empty for an anonymous one.
    pub(crate) fn label(&self) -> String {
        self.name.clone().unwrap_or_default()
    }
}

/// What a kind is called: in texts for people, and in front of its ids.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// E.g. `Volume`.
    pub(crate) noun: &'static str,
    /// E.g. `vo`.
    pub(crate) prefix: &'static str,
}

/// What a "get or create" request asks for.
#[derive(Debug)]
pub(crate) struct Wanted<'r> {
    pub(crate) environment: &'r str,
    /// Empty for an anonymous object.
    pub(crate) name: &'r str,
    /// An [`ObjectCreationType`] of the wire.
    pub(crate) creation: i32,
}

impl Kind {
    /// The refusal for an id that nothing has.
    pub(crate) fn no_id(self, id: &str) -> Status {
        Status::not_found(format!("{} '{id}' not found", self.noun))
    }

    fn no_name(self, wanted: &Wanted<'_>) -> Status {
        let (noun, name, environment) = (self.noun, wanted.name, wanted.environment);
        Status::not_found(format!(
            "{noun} '{name}' not found in environment '{environment}'"
        ))
    }
}

impl<T> Named<T> {
    /// The object with this id.
    pub(crate) fn get(&self, kind: Kind, id: &str) -> Result<&Object<T>, Status> {
        self.objects.get(id).ok_or_else(|| kind.no_id(id))
    }

    /// The object with this id, to be changed.
    pub(crate) fn get_mut(&mut self, kind: Kind, id: &str) -> Result<&mut Object<T>, Status> {
        self.objects.get_mut(id).ok_or_else(|| kind.no_id(id))
    }

    fn by_name(&self, environment: &str, name: &str) -> Option<&str> {
        let found = self.objects.values().find(|object| {
            object.name.as_deref() == Some(name) && object.environment == environment
        });
        found.map(|object| object.id.as_str())
    }

    /// Does what the creation type says. Returns the object's id, and whether it is new.
    pub(crate) fn get_or_create(
        &mut self,
        kind: Kind,
        wanted: &Wanted<'_>,
        make: impl FnOnce() -> T,
    ) -> Result<(String, bool), Status> {
        use ObjectCreationType as Type;
        let creation = Type::try_from(wanted.creation)
            .map_err(|_| Status::invalid_argument("unknown object creation type"))?;
        let anonymous = matches!(creation, Type::Ephemeral | Type::AnonymousOwnedByApp);
        if anonymous {
            let heartbeat_at = (creation == Type::Ephemeral).then(now);
            return Ok((
                self.insert(kind, wanted.environment, None, heartbeat_at, make()),
                true,
            ));
        }
        if wanted.name.is_empty() {
            return Err(Status::invalid_argument(format!(
                "a {} needs a name",
                kind.noun
            )));
        }
        let found = self
            .by_name(wanted.environment, wanted.name)
            .map(str::to_owned);
        match (found, creation) {
            (Some(_), Type::CreateFailIfExists) => {
                let (noun, name) = (kind.noun, wanted.name);
                Err(Status::already_exists(format!(
                    "{noun} '{name}' already exists in environment '{}'",
                    wanted.environment
                )))
            }
            (Some(id), Type::CreateOverwriteIfExists) => {
                self.objects.remove(&id);
                let name = Some(wanted.name.to_owned());
                Ok((
                    self.insert(kind, wanted.environment, name, None, make()),
                    true,
                ))
            }
            (Some(id), _) => Ok((id, false)),
            (None, Type::Unspecified) => Err(kind.no_name(wanted)),
            (None, _) => {
                let name = Some(wanted.name.to_owned());
                Ok((
                    self.insert(kind, wanted.environment, name, None, make()),
                    true,
                ))
            }
        }
    }

    fn insert(
        &mut self,
        kind: Kind,
        environment: &str,
        name: Option<String>,
        heartbeat_at: Option<f64>,
        value: T,
    ) -> String {
        let id = ids::new(kind.prefix);
        let object = Object {
            id: id.clone(),
            name,
            environment: environment.to_owned(),
            created_at: now(),
            heartbeat_at,
            value,
        };
        self.objects.insert(id.clone(), object);
        id
    }

    /// Named objects of an environment, the newest first, as a page.
    pub(crate) fn list(&self, environment: &str, page: Option<&ListPagination>) -> Vec<&Object<T>> {
        let named = self.objects.values().filter(|object| object.name.is_some());
        let mut found: Vec<_> = named
            .filter(|object| object.environment == environment)
            .collect();
        found.sort_by(|a, b| {
            b.created_at
                .total_cmp(&a.created_at)
                .then_with(|| a.id.cmp(&b.id))
        });
        if let Some(page) = page {
            if page.created_before > 0.0 {
                found.retain(|object| object.created_at < page.created_before);
            }
            if let Ok(max @ 1..) = usize::try_from(page.max_objects) {
                found.truncate(max);
            }
        }
        found
    }

    /// Gives an object another name of its environment.
    pub(crate) fn rename(&mut self, kind: Kind, id: &str, name: &str) -> Result<(), Status> {
        let environment = self.get(kind, id)?.environment.clone();
        match self.by_name(&environment, name) {
            Some(other) if other == id => {}
            Some(_) => {
                let text = format!(
                    "{} '{name}' already exists in environment '{environment}'",
                    kind.noun
                );
                return Err(Status::already_exists(text));
            }
            None => self.get_mut(kind, id)?.name = Some(name.to_owned()),
        }
        Ok(())
    }

    /// Takes an object away.
    pub(crate) fn remove(&mut self, kind: Kind, id: &str) -> Result<Object<T>, Status> {
        self.objects.remove(id).ok_or_else(|| kind.no_id(id))
    }

    /// A sign of life of an ephemeral object.
    pub(crate) fn heartbeat(&mut self, kind: Kind, id: &str) -> Result<(), Status> {
        let object = self.get_mut(kind, id)?;
        if object.heartbeat_at.is_some() {
            object.heartbeat_at = Some(now());
        }
        Ok(())
    }

    /// Ids of ephemeral objects whose heartbeats have stopped, at a time in seconds since 1970.
    pub(crate) fn abandoned(&self, at: f64) -> Vec<String> {
        let silent = self.objects.values().filter(|object| {
            object
                .heartbeat_at
                .is_some_and(|last| at - last > HEARTBEATS_STOPPED_SECS)
        });
        silent.map(|object| object.id.clone()).collect()
    }

    /// An environment has another name, or (`None`) is gone with all that is in it. Answers the ids of that.
    pub(crate) fn environment_changed(&mut self, old: &str, new: Option<&str>) -> Vec<String> {
        let there = self.iter_mut().filter(|object| object.environment == old);
        if let Some(new) = new {
            there.for_each(|object| new.clone_into(&mut object.environment));
            return Vec::new();
        }
        let ids: Vec<String> = there.map(|object| object.id.clone()).collect();
        self.objects.retain(|id, _| !ids.contains(id));
        ids
    }

    /// All of them.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Object<T>> {
        self.objects.values_mut()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    const KIND: Kind = Kind {
        noun: "Volume",
        prefix: "vo",
    };

    fn wanted(name: &str, creation: ObjectCreationType) -> Wanted<'_> {
        Wanted {
            environment: "main",
            name,
            creation: creation as i32,
        }
    }

    #[test]
    fn a_name_is_created_found_refused_and_overwritten_as_the_creation_type_says() {
        use ObjectCreationType as Type;
        let mut all = Named::<u8>::default();
        let missing = all
            .get_or_create(KIND, &wanted("a", Type::Unspecified), || 1)
            .unwrap_err();
        assert_eq!(missing.code(), Code::NotFound);
        assert_eq!(
            missing.message(),
            "Volume 'a' not found in environment 'main'"
        );
        let (id, new) = all
            .get_or_create(KIND, &wanted("a", Type::CreateIfMissing), || 1)
            .unwrap();
        assert!(new && id.starts_with("vo-"));
        for creation in [Type::Unspecified, Type::CreateIfMissing] {
            let again = all
                .get_or_create(KIND, &wanted("a", creation), || 2)
                .unwrap();
            assert_eq!(again, (id.clone(), false));
        }
        let taken = all.get_or_create(KIND, &wanted("a", Type::CreateFailIfExists), || 3);
        assert_eq!(taken.unwrap_err().code(), Code::AlreadyExists);
        let over = all.get_or_create(KIND, &wanted("a", Type::CreateOverwriteIfExists), || 4);
        let (other, new) = over.unwrap();
        assert!(new && other != id);
        assert_eq!(all.get(KIND, &id).unwrap_err().code(), Code::NotFound);
        assert_eq!(all.get(KIND, &other).unwrap().value, 4);
    }

    #[test]
    fn a_rename_keeps_the_id_and_never_takes_a_name_away() {
        use ObjectCreationType as Type;
        let mut all = Named::<u8>::default();
        let (a, _) = all
            .get_or_create(KIND, &wanted("a", Type::CreateIfMissing), || 1)
            .unwrap();
        all.get_or_create(KIND, &wanted("b", Type::CreateIfMissing), || 2)
            .unwrap();
        assert_eq!(
            all.rename(KIND, &a, "b").unwrap_err().code(),
            Code::AlreadyExists
        );
        all.rename(KIND, &a, "c").unwrap();
        let names: Vec<_> = all.list("main", None).iter().map(|o| o.label()).collect();
        assert_eq!(names, ["b", "c"]);
        assert!(all.list("other", None).is_empty());
    }

    #[test]
    fn an_ephemeral_object_lives_as_long_as_its_heartbeats() {
        use ObjectCreationType as Type;
        let mut all = Named::<u8>::default();
        let (id, _) = all
            .get_or_create(KIND, &wanted("", Type::Ephemeral), || 1)
            .unwrap();
        all.get_or_create(KIND, &wanted("a", Type::CreateIfMissing), || 1)
            .unwrap();
        assert_eq!(all.list("main", None).len(), 1);
        assert_eq!(all.abandoned(now() + 800.0), Vec::<String>::new());
        assert_eq!(all.abandoned(now() + 1000.0), [id]);
    }
}
