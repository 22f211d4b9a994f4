//! The tests of the crate from outside, in one program: a program for each file would link the same libraries
//! again and again.
#![cfg(test)]

mod deliveries;
mod invariants;
mod schedules;
