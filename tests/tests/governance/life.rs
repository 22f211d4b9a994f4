//! The whole life of a source, as people live it.
