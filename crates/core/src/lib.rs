//! core
pub mod error_code;
pub mod app_name;
pub mod lane;
pub mod processor_ref;
mod text;
pub mod clock;
pub mod canonical;
pub mod content_id;
pub mod paths;
pub mod image;
pub mod money;
