//! Job specs as documents: which load, exactly what is wrong with those that do not, and what they mean.

mod documents;
mod job_rules;
mod lanes;
mod properties;
mod samples;
mod step_rules;
mod tables;
