//! Job specs: the versioned, schema-checked description of a job (D-SPEC).
//!
//! | item | what |
//! |---|---|
//! | [`load`], [`from_value`] | a document, checked; or everything that is wrong with it, at once |
//! | [`JobSpec`] | the document as types; its published schema is [`schema::job_spec_schema`](crate::schema::job_spec_schema) |
//! | [`JobSpec::effective_steps`] | what the engine runs: steps with the job's defaults applied |
//! | [`resolve_mode`] | mock or real, and the CI guard (D-RUN-8) |
//! | [`validate_for_lane`] | what a lane demands on top (D-SPEC-3) |
//! | [`RULES`] | the semantic rules, by the ids that violations carry |
//!
//! A document of seed 000's JobSpec v1 loads as it is. A general job needs two fields:
//!
//! ```
//! use moorline_core::spec;
//!
//! let spec = spec::load(br#"{
//!     "job_id": "hello",
//!     "steps": [{"name": "main", "argv": ["python3", "hello.py"]}]
//! }"#)?;
//! let step = spec.effective_steps().next().unwrap();
//! assert_eq!(step.timeout.as_secs(), 3600);
//!
//! let refused = spec::load(br#"{"job_id": "hello", "steps": [{"name": "Main", "argv": []}]}"#);
//! assert_eq!(
//!     refused.unwrap_err().to_string(),
//!     "/steps/0/argv: must have at least one entry (schema)\n\
//!      /steps/0/name: must match `^[a-z][a-z0-9_-]{0,63}$` (schema); a lower-case letter, then at most \
//!      63 letters, digits, `_`, `-`"
//! );
//! # Ok::<(), moorline_core::spec::Violations>(())
//! ```
//!
//! A loaded spec keeps every rule, so what reads one need not check again. Its fields are public and can be
//! changed; what was changed must be written and loaded to be checked.
//!
//! Deliberately absent: reading files, whether paths exist, values of secrets, and what an executor can do.

mod arg;
mod defaults;
mod document;
mod effective;
mod egress;
mod json;
mod load;
mod mode;
mod parts;
mod policy;
mod rules;
mod secret_shape;
mod source;
mod step;
pub(crate) mod violation;

pub(crate) use defaults::is_default;
pub(crate) use step::NAME_PATTERN;

pub use arg::Arg;
pub use document::{InputDecl, JobSpec, JobType, SecretDecl};
pub use effective::{DEFAULT_TIMEOUT, EffectiveStep};
pub use egress::{Egress, HostRule, HostRuleError};
pub use load::{from_value, load, warm_up};
pub use mode::{CiSafety, Mode, UnknownMode, is_ci, resolve_mode};
pub use policy::{
    Alert, AlertChannel, Approval, Dedupe, DedupeStrategy, FailurePolicy, Incremental,
    IncrementalStrategy, Permission, Retention, Retries, ToolPermissions, Validation,
};
pub use rules::{RULES, Rule, validate_for_lane};
pub use source::{
    Cadence, CadenceKind, Constraints, Entity, Method, Output, Portfolio, Reauth, RecordFormat,
    Review, SchemaVersion, SessionArtifact, StepUp, Storage,
};
pub use step::{
    GpuChoice, OutputDecl, OutputFormat, RecordSchema, ReplyRule, Resources, Step, VolumeMount,
};
pub use violation::{Violation, Violations};
