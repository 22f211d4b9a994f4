//! The domain of Moorline: types, grammar, validation and state machines, without any I/O.
//!
//! Everything here is a value or a pure function of its arguments: no environment, no clock, no runtime.
//! Rule ids such as `D-REF-3` are those of the domain; error messages cite them.
//!
//! # Map
//!
//! | to | use |
//! |---|---|
//! | name things | [`processor_ref`], [`app_name`], [`lane`], [`ids`], [`image`], [`image_definition`], [`paths`] |
//! | describe a job | [`spec`], its published [`schema`]s, the records it writes: [`tx`], [`money`] |
//! | bound what a job may produce and use | [`job_types`] |
//! | say what runs and how it ended | [`attempt`], [`protocol`] |
//! | move a run from queued to its end | [`run`]: one function, [`run::apply`] |
//! | classify what went wrong | [`error_code`]: one table of codes, one failure matrix |
//! | refuse | [`denial`]: the rule, what is missing, what to do; [`rules`]: what each rule demands; [`refusal`]: one on record |
//! | tell of it | [`summary`], [`event`], [`audit`], [`alert`] |
//! | say whether a source may be read | [`source`] |
//! | decide what may run | [`config`] (lanes), [`principal`], [`artifact`], [`gate`] |
//! | run it by itself | [`schedule`] |
//! | stop it | [`stop`], [`emergency`] |
//! | identify content | [`canonical`] (RFC 8785), [`content_id`] (BLAKE3) |
//! | inject time and ids | [`clock`] |
//!
//! # Example
//!
//! A job is loaded with every rule checked, an outcome is judged, and the failure matrix says what follows:
//!
//! ```
//! use moorline_core::error_code::{FailureClass, RunStatus, SourceState};
//! use moorline_core::spec;
//!
//! let job = spec::load(br#"{"job_id": "hello", "steps": [{"name": "greet", "argv": ["/bin/true"]}]}"#)?;
//! assert!(job.is_self_contained());
//!
//! // A process that exits with 77 says that access was refused (sysexits).
//! let class = FailureClass::from_exit_code(77).unwrap_or(FailureClass::Runtime);
//! assert_eq!(class, FailureClass::Auth);
//! assert_eq!(class.rule().run, RunStatus::NeedsReauth);
//! assert_eq!(SourceState::Active.apply(class.rule().source), SourceState::NeedsReauth);
//!
//! // What is wrong with a document is said all at once, each with its place and rule.
//! let wrong = spec::load(br#"{"job_id": "", "stepz": [], "steps": []}"#).unwrap_err();
//! assert!(wrong.len() >= 3);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod alert;
pub mod app_name;
pub mod approval;
pub mod artifact;
pub mod attempt;
pub mod audit;
pub mod canonical;
pub mod clock;
pub mod config;
pub mod content_id;
pub mod denial;
pub mod emergency;
pub mod error_code;
pub mod event;
pub mod gate;
pub mod ids;
pub mod image;
pub mod image_definition;
pub mod job_types;
pub mod lane;
pub mod money;
pub mod paths;
pub mod principal;
pub mod processor_ref;
pub mod protocol;
pub mod refusal;
pub mod rules;
pub mod run;
pub mod schedule;
pub mod schema;
pub mod secret;
pub mod source;
pub mod spec;
pub mod stop;
pub mod summary;
mod text;
pub mod token;
pub mod tx;
pub mod workflow;
