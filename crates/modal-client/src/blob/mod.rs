//! Blobs: large payloads over HTTP.
