//! The dashboard: pages where people see what runs, decide, and stop it.
//!
//! Pages are rendered here (askama), from what the caller's engine answers to the same operations that the
//! other surfaces have. Each page and each action works as a plain page and a plain form; the script only
//! keeps what is shown up to date ([`assets`]). Nothing comes from outside, and a strict
//! `Content-Security-Policy` holds browsers to that ([`headers`]).
//!
//! | module | what |
//! |---|---|
//! | [`assets`] | style sheet, script and icon, embedded, under names that change with their content |
//! | [`chrome`] | what stands around every page: navigation, the stop switch, stops in force |
//! | [`fault`] | a refusal, as a page |
//! | [`fields`] | what a form or a query says |
//! | [`figures`] | workflow, timeline and charts as SVG |
//! | [`headers`] | the headers of every answer |
//! | [`login`] | the page at which a browser shows a token |
//! | [`pages`] | one module for each page |
//! | [`parts`] | small pieces of HTML |
//! | [`viewer`] | whoever looks |
//!
//! Who may do what is the one table ([`moorline_api::authorization`]): a page shows no control that its viewer
//! may not use, and a handler asks before it does anything. Deliberately absent: sessions and protection
//! against forged requests, which hold for the whole server, and every value of a secret.

pub(crate) mod assets;
mod chrome;
mod fault;
mod fields;
mod figures;
pub(crate) mod headers;
pub(crate) mod login;
mod pages;
mod parts;
mod viewer;

use std::sync::Arc;

use axum::Router;
use axum::middleware::map_response;

use crate::app::App;

/// Every page and its assets. Sessions are made by `/login` and ended by `/logout`, which are not here.
pub(crate) fn routes() -> Router<Arc<App>> {
    Router::new()
        .merge(pages::router())
        .layer(map_response(headers::of_page))
        .merge(assets::router())
}
