//! The server as its users meet it: the real `moorlined`, real sockets, real clients.

mod killed;
mod live;
mod parked;
mod support;
mod validation;
mod walks;
