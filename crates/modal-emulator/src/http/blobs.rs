//! `/blobs/<id>`: the bytes of blobs, as an object store takes and gives them.
//!
//! * `PUT /blobs/<id>` stores a blob; `Content-MD5` and the announced SHA-256 and length are checked.
//! * `PUT /blobs/<id>/parts/<n>` and `POST /blobs/<id>/complete` store one in parts.
//! * `GET` and `HEAD /blobs/<id>` read it, whole or a `Range`.
//!
//! Deliberately absent: signatures of URLs. Ids can not be guessed.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RANGE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use md5::{Digest as _, Md5};

use super::refusal::Refusal;
use super::transfer::{receive, send};
use crate::services::blobs::Upload;
use crate::services::content::{hash_file, hex};
use crate::world::World;

/// The completion document of an upload in parts is shorter than this.
const COMPLETION_BYTES: usize = 4 << 20;

/// Serves a request whose path is `/blobs/` and `rest`.
pub(super) async fn serve(world: Arc<World>, rest: &str, request: Request<Body>) -> Response<Body> {
    let method = request.method().clone();
    let parts: Vec<&str> = rest.split('/').collect();
    let served = match (method, parts.as_slice()) {
        (Method::PUT, [id]) => put(&world, id, request).await,
        (Method::PUT, [id, "parts", number]) => put_part(&world, id, number, request).await,
        (Method::POST, [id, "complete"]) => complete(&world, id, request).await,
        (Method::GET | Method::HEAD, [id]) => get(&world, id, &request),
        _ => Err(Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "blobs are PUT, POSTed and GOT",
        )),
    };
    served.unwrap_or_else(Response::from)
}

type Served = Result<Response<Body>, Refusal>;

fn upload(world: &World, id: &str) -> Result<Upload, Refusal> {
    let unknown = || Refusal::not_found("no such upload");
    world.storage.blobs.upload(id).ok_or_else(unknown)
}

/// Compares `Content-MD5`, when there is one.
fn check_md5(headers: &HeaderMap, md5: [u8; 16]) -> Result<(), Refusal> {
    let Some(wanted) = headers.get("content-md5") else {
        return Ok(());
    };
    if wanted.as_bytes() == BASE64.encode(md5).as_bytes() {
        return Ok(());
    }
    // The words that object stores use, and that clients look for.
    let text = "The Content-MD5 you specified did not match what we received.";
    Err(Refusal::bad(text))
}

fn with_etag(md5: [u8; 16]) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    if let Ok(etag) = HeaderValue::try_from(format!("\"{}\"", hex(&md5))) {
        response.headers_mut().insert(ETAG, etag);
    }
    response
}

async fn put(world: &World, id: &str, request: Request<Body>) -> Served {
    let upload = match upload(world, id) {
        Ok(upload) => upload,
        // A repeated PUT, because the answer to the first was lost.
        Err(_) if world.storage.blobs.file(id).is_some() => return again(world, id, request).await,
        Err(refusal) => return Err(refusal),
    };
    if upload.part_length.is_some() {
        return Err(Refusal::bad("this blob is uploaded in parts"));
    }
    let (path, file) = world.storage.blobs.part_file(id, false)?;
    let path = tempfile::TempPath::try_from_path(path)?;
    let (head, body) = request.into_parts();
    let arrived = receive(body, Arc::new(file), 0, upload.length, true).await;
    let arrived = arrived?;
    let md5 = arrived.md5.unwrap_or_default();
    check_md5(&head.headers, md5)?;
    if arrived.length != upload.length {
        let text = format!("{} bytes arrived of {}", arrived.length, upload.length);
        return Err(Refusal::bad(text));
    }
    if upload.sha256.is_some_and(|sha256| sha256 != arrived.sha256) {
        return Err(Refusal::bad("the SHA-256 is not the announced one"));
    }
    world.storage.blobs.finish(id, &path)?;
    Ok(with_etag(md5))
}

/// Reads the body again and answers with its MD5; the blob stays as it is.
async fn again(world: &World, id: &str, request: Request<Body>) -> Served {
    let (path, file) = world.storage.blobs.part_file(id, false)?;
    let _path = tempfile::TempPath::try_from_path(path)?;
    let arrived = receive(request.into_body(), Arc::new(file), 0, u64::MAX, true).await;
    let arrived = arrived?;
    Ok(with_etag(arrived.md5.unwrap_or_default()))
}

async fn put_part(world: &World, id: &str, number: &str, request: Request<Body>) -> Served {
    let upload = upload(world, id)?;
    let number: u64 = number.parse().unwrap_or(0);
    let Some((start, length)) = upload.part(number) else {
        return Err(Refusal::bad("there is no such part"));
    };
    let (_, file) = world.storage.blobs.part_file(id, true)?;
    let (head, body) = request.into_parts();
    let arrived = receive(body, Arc::new(file), start, length, true).await;
    let arrived = arrived?;
    let md5 = arrived.md5.unwrap_or_default();
    check_md5(&head.headers, md5)?;
    if arrived.length != length {
        let text = format!(
            "{} bytes arrived of part {number}, not {length}",
            arrived.length
        );
        return Err(Refusal::bad(text));
    }
    world.storage.blobs.part_arrived(id, number, md5);
    Ok(with_etag(md5))
}

async fn complete(world: &World, id: &str, request: Request<Body>) -> Served {
    let upload = upload(world, id)?;
    let document = axum::body::to_bytes(request.into_body(), COMPLETION_BYTES).await;
    let document = document.map_err(Refusal::bad)?;
    let listed = etags(&String::from_utf8_lossy(&document));
    let arrived: Vec<String> = upload.parts.values().map(|md5| hex(md5)).collect();
    if upload.parts.len() as u64 != upload.part_count() || listed != arrived {
        return Err(Refusal::bad("the listed parts are not those that arrived"));
    }
    let (path, file) = world.storage.blobs.part_file(id, true)?;
    drop(file);
    if let Some(announced) = upload.sha256 {
        let hashing = path.clone();
        let hashed = tokio::task::spawn_blocking(move || hash_file(&hashing)).await;
        let hashed = hashed.unwrap_or_else(|panicked| Err(std::io::Error::other(panicked)));
        if hashed? != announced {
            return Err(Refusal::bad("the SHA-256 is not the announced one"));
        }
    }
    world.storage.blobs.finish(id, &path)?;
    let all: Vec<u8> = upload.parts.values().flatten().copied().collect();
    let etag = format!("{}-{}", hex(&Md5::digest(all)), upload.parts.len());
    let text = format!(
        "<CompleteMultipartUploadResult><Key>{id}</Key><ETag>\"{etag}\"</ETag></CompleteMultipartUploadResult>"
    );
    let mut response = Response::new(Body::from(text));
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    Ok(response)
}

/// The entity tags of a completion document, in its order, without their quotes.
fn etags(document: &str) -> Vec<String> {
    let tags = document.split("<ETag>").skip(1);
    let inner = tags.filter_map(|after| after.split_once("</ETag>"));
    inner
        .map(|(tag, _)| tag.trim().replace("&quot;", "").replace('"', ""))
        .collect()
}

fn get(world: &World, id: &str, request: &Request<Body>) -> Served {
    let unknown = || Refusal::not_found("no such blob");
    let path = world.storage.blobs.file(id).ok_or_else(unknown)?;
    Ok(file(&path, request)?)
}

/// A file, whole or the one range that is asked for.
pub(super) fn file(path: &Path, request: &Request<Body>) -> std::io::Result<Response<Body>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let range = request
        .headers()
        .get(RANGE)
        .and_then(|range| range.to_str().ok());
    let (code, start, length) = match range.map(|range| wanted(range, size)) {
        None | Some(Wanted::Whole) => (StatusCode::OK, 0, size),
        Some(Wanted::Part { start, length }) => (StatusCode::PARTIAL_CONTENT, start, length),
        Some(Wanted::Outside) => {
            let refusal = Refusal::new(StatusCode::RANGE_NOT_SATISFIABLE, "the range is outside");
            let mut response = Response::from(refusal);
            if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            return Ok(response);
        }
    };
    let mut response = match *request.method() {
        Method::HEAD => Response::new(Body::empty()),
        _ => Response::new(send(Arc::new(file), start, length)),
    };
    *response.status_mut() = code;
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    if code == StatusCode::PARTIAL_CONTENT {
        let text = format!("bytes {start}-{}/{size}", start + length - 1);
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(CONTENT_RANGE, value);
        }
    }
    Ok(response)
}

#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    /// No range, or one that is not understood: it is ignored, as RFC 9110 says.
    Whole,
    Part {
        start: u64,
        length: u64,
    },
    Outside,
}

/// The single byte range of a `Range` header over `size` bytes (RFC 9110, section 14).
fn wanted(header: &str, size: u64) -> Wanted {
    let Some(range) = header.trim().strip_prefix("bytes=") else {
        return Wanted::Whole;
    };
    let Some((first, last)) = range.split_once('-') else {
        return Wanted::Whole;
    };
    let number = |text: &str| text.trim().parse::<u64>();
    let (start, end) = match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Ok(0) => return Wanted::Outside,
            Ok(suffix) => (size.saturating_sub(suffix), size),
            Err(_) => return Wanted::Whole,
        },
        (first, "") => match number(first) {
            Ok(first) => (first, size),
            Err(_) => return Wanted::Whole,
        },
        (first, last) => match (number(first), number(last)) {
            (Ok(first), Ok(last)) if first <= last => (first, size.min(last.saturating_add(1))),
            _ => return Wanted::Whole,
        },
    };
    if start >= end {
        return Wanted::Outside;
    }
    Wanted::Part {
        start,
        length: end - start,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_http_says() {
        let part = |start, length| Wanted::Part { start, length };
        let cases = [
            ("bytes=0-9", part(0, 10)),
            ("bytes=90-", part(90, 10)),
            ("bytes=90-900", part(90, 10)),
            ("bytes=-30", part(70, 30)),
            ("bytes=-300", part(0, 100)),
            ("bytes=100-", Wanted::Outside),
            ("bytes=-0", Wanted::Outside),
            ("bytes=9-3", Wanted::Whole),
            ("bytes=0-1,5-6", Wanted::Whole),
            ("lines=1-2", Wanted::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(wanted(header, 100), expected, "{header}");
        }
    }

    #[test]
    fn the_tags_of_a_completion_document_are_read_in_order() {
        let document = "<CompleteMultipartUpload>\n<Part>\n<PartNumber>1</PartNumber>\n<ETag>\"aa\"</ETag>\n\
            </Part><Part><ETag>&quot;bb&quot;</ETag></Part></CompleteMultipartUpload>";
        assert_eq!(etags(document), ["aa", "bb"]);
    }
}
