//! The local executor, tried as an attacker would.
//!
//! The attack programs are in `tests/attacks`. Each attack runs twice: without a sandbox, where it has to
//! succeed (so that a program that is simply wrong proves nothing), and inside, where it has to fail. What is
//! asserted is told by the attacker, and where there is a witness on the host, by that too.

mod bombs;
mod descriptors;
mod egress;
mod families;
mod lanes;
mod outputs;
mod page;
mod range;
mod secrets;
mod stubborn;
mod trial;
