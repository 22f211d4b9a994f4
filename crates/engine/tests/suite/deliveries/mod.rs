//! Alerts on their way to people, over real sockets: an HTTP server and a mail server receive them, and the
//! clock stands still until a test moves it (D-FLOW-9).

mod failures;
mod mails;
mod webhooks;
mod workers;
mod world;
