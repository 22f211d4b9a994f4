//! Modal's file-system API for sandboxes.

/// Runs one operation.
pub(crate) fn main() -> i32 {
    2
}
