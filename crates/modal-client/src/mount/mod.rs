//! Mounts: local files for images and functions.
