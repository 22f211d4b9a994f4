//! The control plane over HTTP: what the command line is against a server.
