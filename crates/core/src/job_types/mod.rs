//! What a job may produce and use by its type (seed 000) and by the tool permissions of its lane (D-JOB).
//!
//! | module | what |
//! |---|---|
//! | [`tools`] | that the spec's steps keep to what lane and spec permit together |
//! | [`products`] | what a run of a type may leave: documents only (step 1), or an artifact that keeps to the spec (step 2) |
//!
//! All of it is a pure function of documents and of the beginnings of files. What stands behind it is no
//! promise of a job: that a job can not approve, promote or enable follows from where it runs, in a sandbox
//! without the state directory and without a way to the control plane, and from the table of operations
//! (D-ART-4). Deliberately absent: reading files, which the engine does.

pub mod products;
pub mod tools;
