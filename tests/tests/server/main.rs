//! The server as its users meet it: the real `moorlined`, real sockets, real clients.

mod auth;
mod browser;
mod conformance;
mod coverage;
mod killed;
mod live;
mod openapi;
mod parked;
mod remote;
mod replicas;
mod serving;
mod support;
mod upgrade;
mod validation;
mod walks;
