//! The page at which a browser shows a token, once, and is given a session for it.

use askama::Template;
use axum::response::{Html, IntoResponse as _, Response};
use http::StatusCode;

use super::assets::{PATHS, Paths};
use super::headers;

#[derive(Template)]
#[template(path = "login.html")]
struct Page<'a> {
    assets: &'a Paths,
    refused: Option<&'a str>,
    next: &'a str,
}

/// The page. It posts `token` and `next` as a form to `/login`.
///
/// `next` is the path to go on to; anything that is no path of this server becomes `/`. `refused` says why the
/// last try failed, never with what was typed.
pub(crate) async fn page(status: StatusCode, refused: Option<&str>, next: &str) -> Response {
    let page = Page {
        assets: &PATHS,
        refused,
        next: local(next),
    };
    let response = match page.render() {
        Ok(html) => (status, Html(html)).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    headers::of_page(response).await
}

/// A path of this server, or `/`: nobody is sent elsewhere by what stands in a link.
pub(crate) fn local(next: &str) -> &str {
    let elsewhere = !next.starts_with('/')
        || next.starts_with("//")
        || next.contains('\\')
        || next.chars().any(char::is_control);
    if elsewhere { "/" } else { next }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_another_server() {
        for next in [
            "https://evil.example/",
            "//evil.example",
            "/\\evil.example",
            "",
            "/a\nb",
        ] {
            assert_eq!(local(next), "/");
        }
        assert_eq!(local("/runs?status=failed"), "/runs?status=failed");
    }

    #[tokio::test]
    async fn the_page_says_why_a_try_failed_and_may_load_nothing_from_outside() {
        let response = page(StatusCode::UNAUTHORIZED, Some("not <valid>"), "/runs").await;
        assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
        let policy = response.headers()[http::header::CONTENT_SECURITY_POLICY].clone();
        assert_eq!(policy, headers::POLICY);
        let body = axum::body::to_bytes(response.into_body(), 1 << 20)
            .await
            .unwrap();
        let html = String::from_utf8(body.to_vec()).unwrap();
        assert!(
            html.contains("not &#60;valid&#62;") || html.contains("not &lt;valid&gt;"),
            "{html}"
        );
    }
}
