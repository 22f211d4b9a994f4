//! What is recorded of a principal: its role, and the keys that it signs with. A pure state machine.
//!
//! A key is never deleted: it is valid from when it was registered until it was retired, so that what was
//! signed in between can be checked for ever (`D-ART-3`). Deliberately absent: private keys, which never
//! leave the machine of whoever owns them, and roles of the settings, which stand behind this record.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::VerifyingKey;
use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Principal, PrincipalKind, Role};
use crate::denial::Denial;
use crate::error_code::ErrorCode;
use crate::text::{quoted, serde_as_text};

/// An ed25519 public key (RFC 8032) as base64 of its 32 bytes.
///
/// ```
/// use moorline_core::principal::PublicKey;
///
/// let key: PublicKey = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=".parse()?;
/// assert_eq!(key.fingerprint(), "11qYAYKxCrfV");
/// assert!("AAAA".parse::<PublicKey>().is_err());
/// # Ok::<(), moorline_core::principal::PublicKeyError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

serde_as_text!(
    PublicKey,
    "^[A-Za-z0-9+/]{43}=$",
    "Public key (ed25519), as base64 of its 32 bytes"
);

impl PublicKey {
    /// The key, to check signatures with.
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.0
    }

    /// The first twelve characters, for people to compare.
    pub fn fingerprint(&self) -> String {
        self.to_string().chars().take(12).collect()
    }
}

impl From<VerifyingKey> for PublicKey {
    fn from(key: VerifyingKey) -> Self {
        Self(key)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&STANDARD.encode(self.0.as_bytes()))
    }
}

/// The text is no public key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{} is not a public key: give the base64 text that `moorline principal keygen` prints",
    quoted(.text)
)]
pub struct PublicKeyError {
    text: String,
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, PublicKeyError> {
        let error = || PublicKeyError {
            text: text.to_owned(),
        };
        let bytes = STANDARD.decode(text).map_err(|_| error())?;
        let bytes: [u8; 32] = bytes.try_into().map_err(|_| error())?;
        let key = VerifyingKey::from_bytes(&bytes).map_err(|_| error())?;
        // Under a weak key many signatures hold for many texts.
        if key.is_weak() {
            return Err(error());
        }
        Ok(Self(key))
    }
}

/// A key with the time in which it was valid.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RegisteredKey {
    /// The key.
    pub public_key: PublicKey,
    /// When it was registered.
    pub since: Timestamp,
    /// When it was retired; absent while it is valid.
    pub until: Option<Timestamp>,
}

impl RegisteredKey {
    /// Whether what was signed at this time counts.
    pub fn valid_at(&self, at: Timestamp) -> bool {
        self.since <= at && self.until.is_none_or(|until| at < until)
    }
}

/// What is recorded of a principal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PrincipalRecord {
    /// Who.
    pub principal: Principal,
    /// Its role; absent means the one of the settings.
    pub role: Option<Role>,
    /// Its keys, oldest first, the retired ones too.
    pub keys: Vec<RegisteredKey>,
    /// When it was removed; such a one may look, and nothing else.
    pub removed_at: Option<Timestamp>,
    /// When this last changed.
    pub updated_at: Timestamp,
    /// Who changed it.
    pub updated_by: Principal,
}

impl PrincipalRecord {
    /// The role that this record gives: the least one to who was removed; none where the settings decide.
    pub fn role(&self) -> Option<Role> {
        if self.removed_at.is_some() {
            return Some(Role::Viewer);
        }
        self.role
    }

    /// The keys that are valid at this time.
    pub fn valid_keys(&self, at: Timestamp) -> impl Iterator<Item = &PublicKey> {
        self.keys
            .iter()
            .filter(move |key| key.valid_at(at))
            .map(|key| &key.public_key)
    }
}

/// A change of a principal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PrincipalChange {
    /// Gives a role or a key, or retires a key; brings back who was removed.
    Set {
        /// The role; absent leaves it.
        role: Option<Role>,
        /// A key to register.
        add_key: Option<PublicKey>,
        /// A key to retire.
        retire_key: Option<PublicKey>,
    },
    /// Registers the first key of a person who signs something for the first time on this machine.
    FirstKey(PublicKey),
    /// Takes the role away and retires all keys.
    Remove,
}

/// Applies a change. `Ok(None)` when everything is so already.
///
/// # Errors
/// * `D-AUDIT-1`: Moorline itself has no record.
/// * `D-AUDIT-2`: nobody lowers or removes themself, so that someone who manages principals always
///   remains; who was removed does not come back by signing something.
/// * `D-ART-4`: only people have keys, since only people approve.
pub fn change(
    record: Option<&PrincipalRecord>,
    principal: &Principal,
    change: PrincipalChange,
    actor: &Principal,
    now: Timestamp,
) -> Result<Option<PrincipalRecord>, Denial> {
    if principal.kind() == PrincipalKind::System {
        let message = format!("{principal} is Moorline itself and has neither role nor key");
        return Err(forbidden("D-AUDIT-1", message));
    }
    let fresh = || PrincipalRecord {
        principal: principal.clone(),
        role: None,
        keys: Vec::new(),
        removed_at: None,
        updated_at: now,
        updated_by: actor.clone(),
    };
    let mut next = record.cloned().unwrap_or_else(fresh);
    match change {
        PrincipalChange::Set {
            role,
            add_key,
            retire_key,
        } => {
            if let Some(role) = role {
                if principal == actor && role < Role::Admin {
                    return Err(not_oneself(principal));
                }
                next.role = Some(role);
            }
            next.removed_at = None;
            if let Some(key) = add_key {
                register(&mut next, key, now)?;
            }
            if let Some(key) = retire_key {
                retire(&mut next, &key, now)?;
            }
        }
        PrincipalChange::FirstKey(key) => {
            if next.removed_at.is_some() || !next.keys.is_empty() {
                let why = if next.removed_at.is_some() {
                    "was removed"
                } else {
                    "has other keys than the one of this machine"
                };
                let message = format!("{principal} {why}");
                return Err(forbidden("D-AUDIT-2", message).hint(format!(
                    "an admin registers it: `moorline principal set {principal} --add-key {key} \
                     --reason …`"
                )));
            }
            register(&mut next, key, now)?;
        }
        PrincipalChange::Remove => {
            if principal == actor {
                return Err(not_oneself(principal));
            }
            if record.is_none() {
                let message = format!("nothing is recorded of {principal}");
                return Err(
                    Denial::new(ErrorCode::NotFound, "D-AUDIT-2", message).hint(format!(
                        "to take rights away, give the least role: `moorline principal set \
                         {principal} --role viewer --reason …`"
                    )),
                );
            }
            next.role = None;
            next.removed_at = next.removed_at.or(Some(now));
            for key in &mut next.keys {
                key.until = key.until.or(Some(now));
            }
        }
    }
    if record == Some(&next) {
        return Ok(None);
    }
    next.updated_at = now;
    next.updated_by = actor.clone();
    Ok(Some(next))
}

fn register(record: &mut PrincipalRecord, key: PublicKey, now: Timestamp) -> Result<(), Denial> {
    let principal = &record.principal;
    if !principal.is_human() {
        let message = format!("{principal} can not have a key: only people approve");
        return Err(forbidden("D-ART-4", message));
    }
    match record.keys.iter().find(|known| known.public_key == key) {
        Some(known) if known.until.is_some() => {
            let message = format!(
                "the key {} of {principal} is retired, and stays so",
                key.fingerprint()
            );
            return Err(Denial::new(ErrorCode::Conflict, "D-ART-3", message)
                .hint("make a new one with `moorline principal keygen`"));
        }
        Some(_) => {}
        None => record.keys.push(RegisteredKey {
            public_key: key,
            since: now,
            until: None,
        }),
    }
    Ok(())
}

fn retire(record: &mut PrincipalRecord, key: &PublicKey, now: Timestamp) -> Result<(), Denial> {
    let Some(known) = record.keys.iter_mut().find(|k| k.public_key == *key) else {
        let message = format!("{} has no key {}", record.principal, key.fingerprint());
        return Err(
            Denial::new(ErrorCode::NotFound, "D-AUDIT-2", message).hint(format!(
                "see its keys with `moorline principal show {}`",
                record.principal
            )),
        );
    };
    known.until = known.until.or(Some(now));
    Ok(())
}

fn forbidden(rule: &str, message: String) -> Denial {
    Denial::new(ErrorCode::Forbidden, rule, message)
}

fn not_oneself(principal: &Principal) -> Denial {
    let message = format!("{principal} can not take its own rights away");
    forbidden("D-AUDIT-2", message)
        .hint("ask another admin; so someone who manages principals always remains")
}
