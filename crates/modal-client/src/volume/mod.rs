//! Volumes, v1 and v2.
