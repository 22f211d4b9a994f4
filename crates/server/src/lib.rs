//! `moorlined`: the control plane of Moorline over HTTP, with live updates and a dashboard.
//!
//! Handlers are thin: they read a request, ask the one [`ControlPlane`](moorline_api::ControlPlane) of the
//! caller's project, and write the answer. The routes of the operations come from one list
//! ([`moorline_api::routes`]), of which the OpenAPI document and the client are made too.
//!
//! | module | what |
//! |---|---|
//! | [`app`] | what every handler has: projects, settings |
//! | [`access`] | who calls: tokens, sessions, and what they permit |
//! | [`problem`] | errors as `application/problem+json` (RFC 9457) |

pub mod access;
pub mod app;
pub mod problem;
