//! What Moorline's tests stand on. Unpublished; never a dependency of shipped code.
//!
//! | module | gives |
//! |---|---|
//! | [`postgres`] | a PostgreSQL cluster of the tests' own, and one empty database per test |
//! | [`moorline`] | the built `moorline` binary, run in a clean environment with its own state directory |
//! | [`moorlined`] | the built server over such a state directory, on a port of its own |
//! | [`process`] | what `/proc` says: who is alive, whose child it is, who carries a marker |
//! | [`wait`] | waiting for a condition with a deadline, in place of a fixed sleep |
//! | [`canary`] | a random secret, and the search for it in every encoding it could leak by |
//! | [`calendar`] | when cron is due, seen by looking at the clock every minute; when the clocks of which zones jump |
//! | [`receivers`] | servers that receive what the product sends: HTTP and mail, over real sockets |
//! | [`chaos`] | a network that breaks: a TCP proxy that cuts, delays and swallows |
//! | [`coverage`] | the record of which back ends the suite really ran on |
//! | [`mod@env`] | the environment variables by which `cargo xtask test` talks to the tests |
//!
//! Two rules hold throughout. A service that a test needs and does not get is an **error**, which
//! the test turns into a failure: nothing here can be used to skip. And nothing here waits for a
//! fixed time.
//!
//! ```
//! use std::time::Duration;
//!
//! use moorline_testkit::{process, wait};
//!
//! let me = process::find(std::process::id()).expect("this process is in /proc");
//! assert!(process::alive(me.pid, me.start_time));
//! wait::until(Duration::from_secs(1), "the sky to be up", || true).expect("it is");
//! ```
//!
//! Deliberately absent: mocks of our own code. A test of the whole uses the binary, a real child
//! process and a real database.

pub mod calendar;
pub mod canary;
pub mod chaos;
pub mod coverage;
pub mod env;
pub mod moorline;
pub mod moorlined;
pub mod postgres;
pub mod process;
pub mod receivers;
pub mod wait;
