//! Secrets of jobs: what they are called, where their values come from, and how they stay out of
//! everything that is written.
//!
//! The crate is meant to be embedded. It keeps no global state, reads no environment, starts no
//! thread and does not print; what it needs of the world is handed to it. Rule ids such as
//! `D-SEC-4` are those of Moorline's domain rules, and error messages cite them.
//!
//! # Map
//!
//! | to | use |
//! |---|---|
//! | name a secret without holding it | [`SecretRef`], [`EnvKey`], [`SecretRequirement`] |
//! | name the object that keeps it, per lane | [`NamingPolicy`], [`ObjectName`], [`LaneSecrets`], [`check_lanes`] |
//! | hold a value | [`SecretValue`], [`SecretEnv`]: wiped when dropped, never printed, never serialised |
//! | get values | [`SecretSource`]: [`EnvironmentSource`], [`FileSource`], [`DirectorySource`], [`PromptSource`]; in order: [`SourceChain`] |
//! | give a step what it declares and no more | [`SourceChain::resolve`], by mode: [`SecretAccess`] |
//! | say what is missing before anything is spent | [`SourceChain::check`], [`MissingSecrets`] |
//! | keep the secrets of lanes, and change them | [`backend::SecretBackend`]; on one machine `vault::EncryptedFile` (feature `vault`) |
//! | keep values out of logs, events and errors | [`Redactor`], [`StreamRedactor`] |
//!
//! # Example
//!
//! A step declares what it needs; the sources give it, or say at once all that is missing; what the
//! step then writes goes through a redactor that knows what it was given.
//!
//! ```
//! use moorline_secrets::{EnvironmentSource, Redactor, SecretRequirement, SourceChain};
//!
//! // As a job spec declares it.
//! let declared: Vec<SecretRequirement> = serde_json::from_str(r#"[
//!     {"name": "OPENAI_API_KEY"},
//!     {"name": "chase", "type": "session", "keys": ["CHASE_COOKIE"]}
//! ]"#)?;
//!
//! // `main` reads the environment, and nothing else does.
//! let chain = SourceChain::new().with(EnvironmentSource::new([
//!     ("OPENAI_API_KEY", "correct horse"),
//!     ("CHASE_COOKIE", "battery staple"),
//!     ("HOME", "/root"),
//! ]));
//! let env = chain.resolve(&declared)?;
//! assert_eq!(env.len(), 2);
//! for (key, value) in env.iter() {
//!     // The only place where a value is handed on: the environment of the child.
//!     let _: (&str, &str) = (key.as_str(), value.expose());
//! }
//!
//! // The log of the child, as it comes out of the pipe.
//! let mut log = Redactor::from(&env).stream();
//! let mut written = Vec::new();
//! log.push(b"cookie=battery%20st", &mut written);
//! log.push(b"aple\n", &mut written);
//! log.finish(&mut written);
//! assert_eq!(written, b"cookie=[redacted:CHASE_COOKIE]\n");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Limits
//!
//! Values are UTF-8, as environment variables on every executor are. Memory is wiped when a value
//! is dropped; it is not locked, so it may be swapped out, and the process that is given a value
//! holds copies of its own. What the redactor finds and what it can not is listed at [`Redactor`].
//! Keeping values at Modal and revoking them there is `moorline_executor::modal`'s, behind the same
//! [`backend::SecretBackend`].

mod access;
pub mod backend;
mod error;
mod lane;
mod name;
mod policy;
mod redact;
mod reference;
mod source;
mod value;
#[cfg(feature = "vault")]
pub mod vault;

pub use access::SecretAccess;
pub use error::{
    ERR_CONFIG, ERR_MISSING_SECRET, MissingKey, MissingSecrets, Refusal, ResolveError, SourceError,
    SourceProblem,
};
pub use lane::{LaneError, LaneSecrets, ObjectsError, SecretObject, check_lanes};
pub use name::{EnvKey, NameError, SecretKind, SecretName};
pub use policy::{NamingPolicy, ObjectName, Prefix};
pub use redact::{Redactor, RedactorBuilder, StreamRedactor};
pub use reference::{SecretRef, SecretRequirement};
pub use source::{
    DirectorySource, EnvironmentSource, FileSource, KeptSource, KeyCheck, KeyStatus, Origin,
    PromptSource, SecretSource, SourceChain, read_private,
};
pub use value::{SecretEnv, SecretValue};
