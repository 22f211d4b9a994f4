//! Workflows: the steps of a job as a graph, with gates between them at which a run waits for a person
//! (`D-FLOW`, seed 003).
//!
//! A job without a [`Workflow`] runs its steps in order. With one, each step and each gate says what comes
//! next: always the same, or by evidence in the run's *state*, a JSON object that every step adds its result
//! to. At a gate the run has no process, no lease and no cost; it goes on when somebody chooses one of the
//! gate's options.
//!
//! | item | what |
//! |---|---|
//! | [`Workflow`], [`StepFlow`], [`Gate`], [`GateOption`] | the graph, as data of the job spec |
//! | [`Then`], [`Route`], [`Condition`] | where to go next, by evidence |
//! | [`check`] | what is wrong with a graph: everything is found when it is loaded |
//! | [`Flow`] | where a run stands in it |
//! | [`render`] | a command line of a step, with what the state says |
//!
//! Everything is a pure function of what it is given. Deliberately absent: opening and deciding requests
//! (see [`approval`](crate::approval)) and the transitions of the run (see [`run`](crate::run)).

mod check;
mod condition;
mod decimal;
mod document;
mod flow;
mod question;
pub(crate) mod route;
mod template;

pub(crate) use check::Subject;
pub use check::check;
pub use condition::{Condition, Operator, Reading, Weighed};
pub use document::{
    Automatic, AutomaticRule, ExpiryPolicy, FeedbackRule, Gate, GateOption, Phase, Recommend,
    Route, Routes, SetValue, StepFlow, Then, Workflow,
};
pub use flow::{Flow, Grant, Passage};
pub use template::{RenderError, keys, render};

/// The node at which a run has succeeded.
pub const END: &str = "end";

/// The node at which a run was rejected.
pub const REJECT: &str = "reject";
