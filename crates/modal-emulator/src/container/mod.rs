//! What runs user code.
