//! The tests of the crate from outside, in one program: a program for each file would link the same libraries
//! again and again.
#![cfg(test)]

mod app_names;
mod fingerprints;
mod line_protocol;
mod published_schemas;
mod schedule;
mod spec;
mod text_schemas;
mod tx_v1;
