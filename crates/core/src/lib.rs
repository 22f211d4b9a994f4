//! core
pub mod error_code;
