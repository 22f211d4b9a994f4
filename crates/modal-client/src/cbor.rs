//! Cbor.
