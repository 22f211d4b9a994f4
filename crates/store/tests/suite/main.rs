//! The tests of the crate from outside, in one program: a program for each file would link the same libraries
//! again and again.
#![cfg(test)]

#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod histories;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "postgres")]
mod postgres_gone;
#[cfg(feature = "postgres")]
mod postgres_projects;
#[cfg(feature = "postgres")]
mod postgres_server;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod processes;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "sqlite")]
mod sqlite_file;
#[cfg(feature = "sqlite")]
mod stop_gate;
#[cfg(feature = "sqlite")]
mod tampering;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod upgrade;
