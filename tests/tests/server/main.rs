//! The server as its users meet it: the real `moorlined`, real sockets, real clients.
