//! The switch between light and dark, kept in a cookie.

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};

use crate::dashboard::fields::Fields;
use crate::dashboard::login::local;
use crate::dashboard::viewer::{THEME_COOKIE, Theme};

/// Keeps a theme, and goes back to where the viewer was.
pub(super) async fn switch(fields: Fields) -> Response {
    let theme = Theme::named(fields.get("theme").unwrap_or_default());
    let next = local(fields.get("next").unwrap_or("/")).to_owned();
    let cookie = format!(
        "{THEME_COOKIE}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly",
        theme.as_str()
    );
    let headers = [(header::LOCATION, next), (header::SET_COOKIE, cookie)];
    (StatusCode::SEE_OTHER, headers).into_response()
}
