//! Job specs as documents: which load, exactly what is wrong with those that do not, and what they mean.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that can not go on may panic"
)]

mod documents;
mod job_rules;
mod lanes;
mod properties;
mod samples;
mod step_rules;
mod tables;
