//! A release build with a clock that tests drive does not compile.
//!
//! It stands alone, so that a test can compile just this file, with and without debug assertions.

#[cfg(all(feature = "test-clock", not(debug_assertions)))]
compile_error!("the feature `test-clock` is for tests: build a release without it");
