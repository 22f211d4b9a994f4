//! Style sheet, script and icon. They are embedded in the binary, and their names hold a piece of their hash:
//! a browser keeps one for ever, and asks for another when its content is another.

use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::Path;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

use crate::app::App;

/// Characters of the hash that stand in a name.
const IN_NAME: usize = 12;

#[derive(RustEmbed)]
#[folder = "assets/"]
struct Files;

/// The paths under which the assets are to be had.
#[derive(Debug)]
pub(crate) struct Paths {
    /// The style sheet.
    pub(crate) style: String,
    /// The script.
    pub(crate) script: String,
    /// The icon.
    pub(crate) icon: String,
}

/// The paths, as pages name them.
pub(crate) static PATHS: LazyLock<Paths> = LazyLock::new(|| Paths {
    style: path("moorline.css"),
    script: path("moorline.js"),
    icon: path("icon.svg"),
});

/// The SHA-256 of a file, in hex; empty for one that is not there.
fn hash(name: &str) -> String {
    let Some(file) = Files::get(name) else {
        return String::new();
    };
    let mut hex = String::with_capacity(64);
    for byte in file.metadata.sha256_hash() {
        // Writing to a string does not fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn path(name: &str) -> String {
    let hash: String = hash(name).chars().take(IN_NAME).collect();
    match name.rsplit_once('.') {
        Some((stem, ending)) => format!("/assets/{stem}.{hash}.{ending}"),
        None => format!("/assets/{name}.{hash}"),
    }
}

/// `moorline.0123456789ab.css` is `moorline.css`; a name without a hash is what it is.
fn without_hash(asked: &str) -> String {
    let parts: Vec<&str> = asked.split('.').collect();
    match parts.as_slice() {
        [stem, hash, ending] if hash.len() == IN_NAME => format!("{stem}.{ending}"),
        _ => asked.to_owned(),
    }
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        _ => "text/plain; charset=utf-8",
    }
}

/// The assets.
pub(crate) fn router() -> Router<Arc<App>> {
    Router::new().route("/assets/{name}", get(asset))
}

async fn asset(Path(asked): Path<String>, headers: HeaderMap) -> Response {
    answer(&asked, headers.get(header::IF_NONE_MATCH))
}

fn answer(asked: &str, known: Option<&HeaderValue>) -> Response {
    let name = without_hash(asked);
    let Some(file) = Files::get(&name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = format!("\"{}\"", hash(&name));
    // What is asked for under another version's name is answered, and not kept.
    let keep = if path(&name).ends_with(asked) {
        "public, max-age=31536000, immutable"
    } else {
        "no-cache"
    };
    let headers = [
        (header::CONTENT_TYPE, content_type(&name).to_owned()),
        (header::CACHE_CONTROL, keep.to_owned()),
        (header::ETAG, tag.clone()),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
    ];
    if known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.data.into_owned()).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_asset_is_answered_under_its_name_and_kept() {
        for path in [&PATHS.style, &PATHS.script, &PATHS.icon] {
            let name = path.strip_prefix("/assets/").unwrap();
            let response = answer(name, None);
            assert_eq!(response.status(), StatusCode::OK, "{path}");
            let kept = response.headers()[header::CACHE_CONTROL].to_str().unwrap();
            assert!(kept.ends_with("immutable"), "{path}: {kept}");
            let again = answer(name, response.headers().get(header::ETAG));
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        }
        assert_eq!(answer("other.css", None).status(), StatusCode::NOT_FOUND);
        let old = answer("moorline.000000000000.css", None);
        assert_eq!(old.headers()[header::CACHE_CONTROL], "no-cache");
    }

    #[test]
    fn what_every_page_loads_is_small() {
        let size = |name: &str| Files::get(name).unwrap().data.len();
        assert!(size("moorline.css") < 30_000, "{}", size("moorline.css"));
        assert!(size("moorline.js") < 25_000, "{}", size("moorline.js"));
    }

    #[test]
    fn nothing_comes_from_outside() {
        for name in ["moorline.css", "moorline.js"] {
            let file = Files::get(name).unwrap();
            let text = String::from_utf8(file.data.into_owned()).unwrap();
            assert!(
                !text.contains("http://") && !text.contains("https://"),
                "{name}"
            );
        }
    }
}
