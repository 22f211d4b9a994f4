//! What every [`SecretBackend`] must do, as cases that run against any implementation.
//!
//! The back ends of Moorline pass it, and whoever writes another one runs it on theirs:
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use moorline_secrets::backend::conformance::{Backends, run_all};
//! use moorline_secrets::backend::SecretBackend;
//!
//! struct Mine;
//!
//! impl Backends for Mine {
//!     fn open(&self, name: &str) -> Arc<dyn SecretBackend> {
//!         // The same name gives another way to the same back end; a new name an empty one.
//! #       unimplemented!("{name}")
//!     }
//! }
//!
//! # async fn example() {
//! let failures = run_all(&Mine).await;
//! assert_eq!(failures, [] as [String; 0]);
//! # }
//! ```

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Arc;

use futures::future::join_all;

use super::{BackendError, KeptObject, SecretBackend, SecretPlace, SecretValues};
use crate::name::EnvKey;
use crate::value::SecretValue;

/// A value that breaks careless formats: quotes, line ends, other scripts, what JSON and shells escape.
const ODD: &str = "a=b \"c\" 'd'\\ $e\n# f\r\n\té 鍵 \u{1f511} =";

/// Where the cases get their back ends.
pub trait Backends: Send + Sync {
    /// Opens a back end. A name that was not used before is a new, empty one; the same name again is
    /// another way to the same one, as another process would have it.
    fn open(&self, name: &str) -> Arc<dyn SecretBackend>;
}

/// Runs every case, one after the other. What does not hold, each as one text; never a value.
pub async fn run_all(backends: &dyn Backends) -> Vec<String> {
    let mut failures = Vec::new();
    for (name, done) in [
        ("values", values(backends).await),
        ("merge", merge(backends).await),
        ("lanes", lanes(backends).await),
        ("remove", remove(backends).await),
        ("several", several(backends).await),
        ("silence", silence(backends).await),
    ] {
        if let Err(why) = done {
            failures.push(format!("{name}: {why}"));
        }
    }
    failures
}

fn failed(error: impl Debug) -> String {
    format!("{error:?}")
}

fn place(lane: &str, object: &str) -> Result<SecretPlace, String> {
    Ok(SecretPlace {
        lane: lane.to_owned(),
        environment: lane.to_owned(),
        object: object.parse().map_err(failed)?,
    })
}

fn key(name: &str) -> Result<EnvKey, String> {
    name.parse().map_err(failed)
}

fn pairs(pairs: &[(&str, &str)]) -> Result<SecretValues, String> {
    pairs
        .iter()
        .map(|(name, value)| Ok((key(name)?, SecretValue::from(*value))))
        .collect()
}

fn names(names: &[&str]) -> Result<BTreeSet<EnvKey>, String> {
    names.iter().map(|name| key(name)).collect()
}

fn equal<T: PartialEq + Debug>(found: &T, wanted: &T, what: &str) -> Result<(), String> {
    if found == wanted {
        return Ok(());
    }
    Err(format!("{what}: wanted {wanted:?}, found {found:?}"))
}

/// Whether exactly these values are there; where they can not be read, these keys.
async fn holds(
    backend: &dyn SecretBackend,
    place: &SecretPlace,
    wanted: &[(&str, &str)],
) -> Result<(), String> {
    let found = backend.keys(place).await.map_err(failed)?;
    let keys: Vec<&str> = wanted.iter().map(|(key, _)| *key).collect();
    equal(&found, &names(&keys)?, &format!("keys of {place}"))?;
    match backend.get(place).await {
        Err(BackendError::Unreadable { .. }) if !backend.is_readable() => Ok(()),
        Ok(_) if !backend.is_readable() => {
            Err("it gives values back and says that it does not".to_owned())
        }
        Ok(values) => {
            let same = values.len() == wanted.len()
                && wanted.iter().all(|(name, value)| {
                    values
                        .iter()
                        .any(|(key, found)| key.as_str() == *name && found.expose() == *value)
                });
            // Which value it is stays out of the text: a real back end may be under test.
            same.then_some(())
                .ok_or_else(|| format!("{place} gives back other values than were put"))
        }
        Err(error) => Err(failed(error)),
    }
}

/// `get` gives back exactly what was put, also to another process; what was never put is not there.
async fn values(backends: &dyn Backends) -> Result<(), String> {
    let (one, other) = (backends.open("values"), backends.open("values"));
    let place = place("dev", "ODD")?;
    holds(one.as_ref(), &place, &[]).await?;
    let long = "x".repeat(16 << 10);
    let wanted = [("A", ODD), ("B", " "), ("LONG", long.as_str())];
    one.put(&place, &pairs(&wanted)?).await.map_err(failed)?;
    holds(other.as_ref(), &place, &wanted).await
}

/// `put` sets the keys that are given and leaves the others.
async fn merge(backends: &dyn Backends) -> Result<(), String> {
    let backend = backends.open("merge");
    let place = place("dev", "REGISTRY_AUTH")?;
    let first = pairs(&[("USERNAME", "ada"), ("PASSWORD", "one")])?;
    backend.put(&place, &first).await.map_err(failed)?;
    let second = pairs(&[("PASSWORD", "two"), ("REALM", "ghcr")])?;
    backend.put(&place, &second).await.map_err(failed)?;
    let merged = [("PASSWORD", "two"), ("REALM", "ghcr"), ("USERNAME", "ada")];
    holds(backend.as_ref(), &place, &merged).await
}

/// L57: what one lane keeps is not seen, read or removed for another.
async fn lanes(backends: &dyn Backends) -> Result<(), String> {
    let backend = backends.open("lanes");
    let (dev, prod) = (place("dev", "TOKEN")?, place("prod", "TOKEN")?);
    backend
        .put(&prod, &pairs(&[("TOKEN", "p")])?)
        .await
        .map_err(failed)?;
    holds(backend.as_ref(), &dev, &[]).await?;
    backend
        .put(&dev, &pairs(&[("TOKEN", "d")])?)
        .await
        .map_err(failed)?;
    holds(backend.as_ref(), &prod, &[("TOKEN", "p")]).await?;
    backend.remove(&dev, None).await.map_err(failed)?;
    holds(backend.as_ref(), &prod, &[("TOKEN", "p")]).await?;
    let listed = backend.list("prod", "prod").await.map_err(failed)?;
    let wanted = [KeptObject {
        object: prod.object.clone(),
        keys: names(&["TOKEN"])?,
    }];
    equal(&listed.as_slice(), &wanted.as_slice(), "objects of prod")
}

/// Removing is idempotent, by key and as a whole; an object without keys is gone.
async fn remove(backends: &dyn Backends) -> Result<(), String> {
    let backend = backends.open("remove");
    let place = place("dev", "PAIR")?;
    backend
        .put(&place, &pairs(&[("A", "1"), ("B", "2")])?)
        .await
        .map_err(failed)?;
    for there in [true, false] {
        let removed = backend
            .remove(&place, Some(&names(&["A"])?))
            .await
            .map_err(failed)?;
        equal(&removed, &there, "removing a key")?;
        holds(backend.as_ref(), &place, &[("B", "2")]).await?;
    }
    backend
        .remove(&place, Some(&names(&["B"])?))
        .await
        .map_err(failed)?;
    equal(
        &backend.list("dev", "dev").await.map_err(failed)?,
        &Vec::new(),
        "objects without keys",
    )?;
    backend
        .put(&place, &pairs(&[("A", "1")])?)
        .await
        .map_err(failed)?;
    for there in [true, false] {
        let removed = backend.remove(&place, None).await.map_err(failed)?;
        equal(&removed, &there, "removing an object")?;
        holds(backend.as_ref(), &place, &[]).await?;
    }
    Ok(())
}

/// No change is lost when several processes put at once.
async fn several(backends: &dyn Backends) -> Result<(), String> {
    let place = place("dev", "SHARED")?;
    let writers: Vec<_> = (0..8).map(|_| backends.open("several")).collect();
    let writes = writers.iter().enumerate().map(|(at, backend)| {
        let place = &place;
        async move {
            let (name, value) = (format!("KEY_{at}"), at.to_string());
            let values = pairs(&[(name.as_str(), value.as_str())])?;
            backend.put(place, &values).await.map_err(failed)
        }
    });
    for done in join_all(writes).await {
        done?;
    }
    let wanted: Vec<(String, String)> = (0..8)
        .map(|at| (format!("KEY_{at}"), at.to_string()))
        .collect();
    let wanted: Vec<(&str, &str)> = wanted
        .iter()
        .map(|(k, v)| (k.as_str(), v.as_str()))
        .collect();
    holds(backends.open("several").as_ref(), &place, &wanted).await
}

/// No `Debug` of a back end or of what it lists shows a value.
async fn silence(backends: &dyn Backends) -> Result<(), String> {
    let backend = backends.open("silence");
    let (place, value) = (place("dev", "QUIET")?, "hunter2-not-shown");
    backend
        .put(&place, &pairs(&[("QUIET", value)])?)
        .await
        .map_err(failed)?;
    let listed = backend.list("dev", "dev").await.map_err(failed)?;
    let got = backend.get(&place).await;
    let shown = format!("{backend:?} {listed:?} {got:?} {}", backend.origin());
    if shown.contains(value) {
        return Err("a value is shown by `Debug`".to_owned());
    }
    Ok(())
}
