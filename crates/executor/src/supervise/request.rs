//! What a launcher asks of a supervisor, and how it travels.
//!
//! The request goes through the supervisor's standard input alone, since it holds secret values: eight
//! bytes of length (little endian), then JSON. A supervisor that does not get all of it exits without
//! having started anything.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;

use moorline_core::attempt::{Attempt, Isolation};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::sandbox::bwrap::Sandbox;
use crate::sandbox::cgroup::Group;
use crate::sandbox::link::Confine;

/// A longer request is not one of ours.
const LONGEST: u64 = 64 << 20;

/// One launch.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Request {
    /// Directory that holds the attempts.
    pub(crate) root: PathBuf,
    pub(crate) boot_id: String,
    /// The attempt, its limits completed by the configured ones.
    pub(crate) attempt: Attempt,
    pub(crate) secrets: BTreeMap<String, SecretText>,
    /// How long pipes that someone keeps open are read after the tree is dead.
    pub(crate) drain_ms: u64,
    pub(crate) backend: Backend,
    /// Cgroups to make for it.
    pub(crate) groups: Vec<Group>,
    /// What the launcher found this machine to give.
    pub(crate) isolation: Isolation,
}

/// What stands between the job and the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Backend {
    /// Nothing but control of the process tree.
    Plain,
    /// A machine that is the attempt's own, see [`guest`](super::guest).
    Guest,
    /// What a process can take from itself.
    Process {
        /// The binary that does it.
        helper: PathBuf,
        confine: Confine,
    },
    /// A sandbox.
    Bubblewrap { sandbox: Sandbox, confine: Confine },
}

/// A secret value on its way. It does not print, and is wiped when it is dropped.
#[derive(Clone)]
pub(crate) struct SecretText(Zeroizing<String>);

impl SecretText {
    pub(crate) fn new(value: &str) -> Self {
        Self(Zeroizing::new(value.to_owned()))
    }

    pub(crate) fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SecretText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for SecretText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|value| Self(Zeroizing::new(value)))
    }
}

impl Request {
    /// The request as it travels.
    pub(crate) fn encode(&self) -> io::Result<Zeroizing<Vec<u8>>> {
        // A vector that grows leaves its old buffers behind unwiped, so it is made large enough.
        let mut bytes = Zeroizing::new(Vec::with_capacity(self.size_hint()));
        bytes.extend_from_slice(&[0; 8]);
        serde_json::to_writer(&mut *bytes, self)?;
        let length = bytes.len() as u64 - 8;
        bytes[..8].copy_from_slice(&length.to_le_bytes());
        Ok(bytes)
    }

    fn size_hint(&self) -> usize {
        let argv: usize = self
            .attempt
            .argv
            .iter()
            .map(|arg| arg.as_bytes().len())
            .sum();
        let secrets: usize = self
            .secrets
            .values()
            .map(|value| value.expose().len())
            .sum();
        // Text can double when it is escaped; control characters take six bytes, which are rare.
        16 * 1024 + 2 * (argv + secrets)
    }

    /// Reads a request. `None` when the other end went away before it was complete.
    pub(super) fn read(mut from: impl Read) -> io::Result<Option<Self>> {
        let mut length = [0; 8];
        if !read_all(&mut from, &mut length)? {
            return Ok(None);
        }
        let length = u64::from_le_bytes(length);
        let size = usize::try_from(length).ok().filter(|_| length <= LONGEST);
        let size = size.ok_or_else(|| io::Error::other("the request is longer than 64 MiB"))?;
        let mut bytes = Zeroizing::new(vec![0; size]);
        if !read_all(&mut from, &mut bytes)? {
            return Ok(None);
        }
        serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(io::Error::from)
    }
}

/// Fills the buffer; false when the end comes first.
fn read_all(from: &mut impl Read, buffer: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(buffer) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}
