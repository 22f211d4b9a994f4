//! `/volumes/…`: the bytes of files, over plain HTTP.
//!
//! * `PUT /volumes/blocks/<upload>/<number>` takes a missing block, without the zero bytes at its end, and
//!   answers the text that `VolumePutFiles2` wants to see.
//! * `GET /volumes/files/<volume>/<version>/<padded|plain>/<start>+<length>/<path>` gives bytes of a file
//!   in that very state, straight from the disk. `padded`: the zero bytes at the end of a known block are
//!   left out, since the reader puts them back; then `Repr-Digest` tells the hash of the body.

use std::sync::Arc;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use percent_encoding::percent_decode_str;

use super::blocks::{BLOCK, Place, token};
use super::tree::{Tree, normal_name};
use super::{directory, files};
use crate::http::refusal::Refusal;
use crate::http::transfer::{receive, send};
use crate::world::World;

type Served = Result<Response<Body>, Refusal>;

/// Serves a request whose path is `/volumes/` and `rest`.
pub(crate) async fn serve(world: Arc<World>, rest: &str, request: Request<Body>) -> Response<Body> {
    let mut parts = rest.splitn(2, '/');
    let (kind, rest) = (parts.next(), parts.next().unwrap_or_default().to_owned());
    let method = request.method().clone();
    let served = match (method, kind) {
        (Method::PUT, Some("blocks")) => put_block(&world, &rest, request).await,
        (Method::GET, Some("files")) => {
            let read = tokio::task::spawn_blocking(move || get_file(&world, &rest)).await;
            read.unwrap_or_else(|panicked| {
                Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, panicked))
            })
        }
        _ => Err(Refusal::not_found("no such file of a volume")),
    };
    served.unwrap_or_else(Response::from)
}

async fn put_block(world: &World, rest: &str, request: Request<Body>) -> Served {
    let unknown = || Refusal::not_found("no such upload, or it has ended");
    let (id, number) = rest.split_once('/').ok_or_else(unknown)?;
    let number: u64 = number.parse().map_err(|_| unknown())?;
    let upload = world.storage.volumes.upload(id).ok_or_else(unknown)?;
    let (sha256, start, limit) = upload.wanted(number).ok_or_else(unknown)?;
    let answer = || Response::new(Body::from(token(id, number)));
    if upload.has_landed(number) {
        // A repeated PUT: the content is known, and may be in use already.
        return Ok(answer());
    }
    let received = receive(request.into_body(), upload.file(), start, limit, false).await;
    let received = received?;
    if received.sha256 != sha256 {
        let text = "the block does not have the announced SHA-256";
        return Err(Refusal::bad(text));
    }
    upload.land(number, received.length);
    Ok(answer())
}

fn get_file(world: &World, rest: &str) -> Served {
    let unknown = || Refusal::not_found("no such file of a volume");
    let mut parts = rest.splitn(5, '/');
    let (Some(volume), Some(version), Some(pads), Some(range), Some(path)) = (
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
        parts.next(),
    ) else {
        return Err(unknown());
    };
    let number = |text: &str| text.parse::<u64>().map_err(|_| unknown());
    let (start, length) = range.split_once('+').ok_or_else(unknown)?;
    let (start, length) = (number(start)?, number(length)?);
    let dir = directory(world, volume).map_err(|_| unknown())?;
    let path = percent_decode_str(path)
        .decode_utf8()
        .map_err(|_| unknown())?;
    let path = normal_name(&path).map_err(|_| unknown())?;
    let tree = Tree::open(&dir).map_err(|error| Refusal::new(StatusCode::GONE, error))?;
    let (file, stamp) = tree.file(&path).map_err(Refusal::not_found)?;
    if files::version(&stamp) != version {
        return Err(Refusal::new(
            StatusCode::GONE,
            "the file has changed since: ask for it again",
        ));
    }
    let place = Place {
        volume: volume.to_owned(),
        path,
    };
    let known = (pads == "padded" && start % BLOCK == 0 && length == BLOCK.min(stamp.size - start))
        .then(|| world.storage.volumes.index().blocks(&place, &stamp))
        .flatten()
        .and_then(|blocks| blocks.get(usize::try_from(start / BLOCK).ok()?).copied());
    let length = known.map_or(length, |block| block.length);
    let mut response = Response::new(send(Arc::new(file), start, length));
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if let Some(block) = known {
        let digest = format!("sha-256=:{}:", BASE64.encode(block.sha256));
        if let Ok(digest) = HeaderValue::try_from(digest) {
            headers.insert("repr-digest", digest);
        }
    }
    Ok(response)
}
