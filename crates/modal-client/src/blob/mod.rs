//! Blobs: byte strings that are too large for a message, sent and fetched over HTTP.
//!
//! [`Blobs::upload`] announces hashes and size, then sends the bytes whole or, when the server asks for it, in
//! parts, a few at once. Every answer's entity tag must be the MD5 of what was sent. [`Blobs::download`] streams,
//! goes on where it broke off, and checks the MD5 where the store names one.
//!
//! Deliberately absent: keeping blobs. A blob belongs to the call or file that names it.

use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::client::blob_create_response::{UploadTypeOneof, UploadTypesOneof};
use moorline_modal_proto::client::{
    BlobCreateRequest, BlobCreateResponse, BlobGetRequest, MultiPartUpload,
};

use crate::rpc::control_plane;
use crate::transfer::{Digests, Put, Source, Transfers, etag_of_parts};
use crate::{Client, Error, ErrorKind, Result};

control_plane! {
    BLOB_CREATE = BlobCreate(BlobCreateRequest) -> BlobCreateResponse, Keyed;
    BLOB_GET = BlobGet(BlobGetRequest) -> BlobGetResponse, Read;
}

/// Calls about blobs.
#[derive(Clone, Debug)]
pub struct Blobs {
    client: Client,
}

impl Client {
    /// Blobs.
    pub fn blobs(&self) -> Blobs {
        Blobs {
            client: self.clone(),
        }
    }
}

impl Blobs {
    /// Stores `source` and returns the id of the blob (`bl-…`).
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if it can not be read or changes meanwhile; [`ErrorKind::Protocol`] if the server
    /// stored something else; what the transfer failed of.
    pub async fn upload(&self, source: &Source) -> Result<String> {
        let digests = source.digests().await?;
        upload_known(&self.client, source, &digests).await
    }

    /// The content of a blob as a stream; nothing is sent before it is polled.
    pub fn download(&self, blob_id: &str) -> impl Stream<Item = Result<Bytes>> + Send + use<> {
        let client = self.client.clone();
        let blob_id = blob_id.to_owned();
        async_stream::try_stream! {
            let request = BlobGetRequest { blob_id: blob_id.clone(), ..BlobGetRequest::default() };
            let response = client.unary(BLOB_GET, request).await?;
            let pieces = client.transfers()?.stream(format!("blob {blob_id}"), response.download_url);
            let mut pieces = std::pin::pin!(pieces);
            while let Some(piece) = pieces.next().await {
                yield piece?;
            }
        }
    }

    /// The content of a blob in memory, of at most `limit` bytes.
    ///
    /// # Errors
    /// [`ErrorKind::ResourceExhausted`] if it is longer; [`ErrorKind::NotFound`] if there is none.
    pub async fn read(&self, blob_id: &str, limit: usize) -> Result<Bytes> {
        let mut pieces = std::pin::pin!(self.download(blob_id));
        let mut content = BytesMut::new();
        while let Some(piece) = pieces.try_next().await? {
            if content.len() + piece.len() > limit {
                let message = format!("blob {blob_id} has more than {limit} bytes");
                return Err(Error::new(ErrorKind::ResourceExhausted, message));
            }
            content.extend_from_slice(&piece);
        }
        Ok(content.freeze())
    }
}

/// [`Blobs::upload`] of what is hashed already.
pub(crate) async fn upload_known(
    client: &Client,
    source: &Source,
    digests: &Digests,
) -> Result<String> {
    let response = client.unary(BLOB_CREATE, create_request(digests)?).await?;
    let targets = targets(response)?;
    let transfers = client.transfers()?;
    let last = targets.len().saturating_sub(1);
    for (number, (blob_id, target)) in targets.into_iter().enumerate() {
        let sent = match &target {
            Target::Whole(url) => send_whole(transfers, source, digests, url).await,
            Target::Parts(parts) => send_parts(transfers, source, digests, parts).await,
        };
        match sent {
            Ok(()) => return Ok(blob_id),
            // The targets are alternatives: the next store may be well when this one is not.
            Err(error) if number < last && error.kind() != ErrorKind::Io => {
                tracing::warn!(%error, "a blob could not be stored and is sent to another store");
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::new(ErrorKind::Protocol, "no place to send the blob to").with_rpc("BlobCreate"))
}

fn create_request(digests: &Digests) -> Result<BlobCreateRequest> {
    let length = i64::try_from(digests.len)
        .map_err(|_| Error::new(ErrorKind::InvalidArgument, "no blob can be that long"))?;
    Ok(BlobCreateRequest {
        content_md5: digests.md5_base64(),
        content_sha256_base64: digests.sha256_base64(),
        content_length: length,
    })
}

/// Where one blob can be sent.
#[derive(Debug, PartialEq)]
enum Target {
    Whole(String),
    Parts(MultiPartUpload),
}

/// The targets in order of preference; an older server fills the single fields only.
fn targets(response: BlobCreateResponse) -> Result<Vec<(String, Target)>> {
    let BlobCreateResponse {
        blob_id,
        blob_ids,
        upload_type_oneof,
        upload_types_oneof,
    } = response;
    let single = |target| Ok(vec![(blob_id, target)]);
    let several: Vec<Target> = match (upload_types_oneof, upload_type_oneof) {
        (Some(UploadTypesOneof::UploadUrls(urls)), _) => {
            urls.items.into_iter().map(Target::Whole).collect()
        }
        (Some(UploadTypesOneof::Multiparts(parts)), _) => {
            parts.items.into_iter().map(Target::Parts).collect()
        }
        (None, Some(UploadTypeOneof::UploadUrl(url))) => return single(Target::Whole(url)),
        (None, Some(UploadTypeOneof::Multipart(parts))) => return single(Target::Parts(parts)),
        (None, None) => Vec::new(),
    };
    if several.len() != blob_ids.len() || several.is_empty() {
        let message = format!(
            "{} blob ids came with {} targets",
            blob_ids.len(),
            several.len()
        );
        return Err(Error::new(ErrorKind::Protocol, message).with_rpc("BlobCreate"));
    }
    Ok(blob_ids.into_iter().zip(several).collect())
}

async fn send_whole(
    transfers: &Transfers,
    source: &Source,
    digests: &Digests,
    url: &str,
) -> Result<()> {
    let md5 = digests.md5_base64();
    let put = Put {
        what: format!("blob of {}", source.name()),
        url,
        source,
        range: 0..source.len(),
        content_md5: Some(&md5),
        content_type: Some("application/octet-stream"),
        expect_etag: true,
    };
    transfers.put(&put).await?;
    source.check_unchanged().await
}

async fn send_parts(
    transfers: &Transfers,
    source: &Source,
    digests: &Digests,
    parts: &MultiPartUpload,
) -> Result<()> {
    let length = u64::try_from(parts.part_length).unwrap_or_default();
    let count = parts.upload_urls.len();
    if length == 0 || digests.len.div_ceil(length) != count as u64 {
        let message = format!(
            "{count} parts of {length} bytes do not make {} bytes",
            digests.len
        );
        return Err(Error::new(ErrorKind::Protocol, message).with_rpc("BlobCreate"));
    }
    let hashes: Vec<[u8; 16]> =
        futures::stream::iter(parts.upload_urls.clone().into_iter().enumerate())
            .map(|(index, url)| async move {
                let start = index as u64 * length;
                let put = Put {
                    what: format!("part {index} of a blob of {}", source.name()),
                    url: &url,
                    source,
                    range: start..start.saturating_add(length).min(digests.len),
                    content_md5: None,
                    // The URLs of parts are signed for a request without a type.
                    content_type: None,
                    expect_etag: true,
                };
                Ok::<_, Error>(transfers.put(&put).await?.md5.unwrap_or_default())
            })
            .buffered(transfers.options().in_flight.max(1))
            .try_collect()
            .await?;
    source.check_unchanged().await?;
    let what = format!("joining the parts of {}", source.name());
    let answer = transfers
        .post(&what, &parts.completion_url, completion(&hashes))
        .await?;
    let expected = etag_of_parts(&hashes);
    if String::from_utf8_lossy(&answer).contains(&expected) {
        return Ok(());
    }
    let message = format!("{what}: the joined blob's entity tag is not {expected}");
    Err(Error::new(ErrorKind::Protocol, message))
}

/// The document that joins parts, as object stores define it.
fn completion(hashes: &[[u8; 16]]) -> String {
    let parts = hashes.iter().zip(1_u32..).map(|(hash, number)| {
        let tag = crate::transfer::hex(hash);
        format!("<Part><PartNumber>{number}</PartNumber><ETag>\"{tag}\"</ETag></Part>")
    });
    format!(
        "<CompleteMultipartUpload>{}</CompleteMultipartUpload>",
        parts.collect::<String>()
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use moorline_modal_proto::client::{MultiPartUploadList, UploadUrlList};

    #[test]
    fn the_request_carries_hashes_in_base64() {
        let request = create_request(&Digests::of(b"abc")).unwrap();
        let expected = BlobCreateRequest {
            content_md5: "kAFQmDzST7DWlj99KOF/cg==".into(),
            content_sha256_base64: "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=".into(),
            content_length: 3,
        };
        assert_eq!(request, expected);
    }

    #[test]
    fn lists_are_preferred_over_single_targets() {
        let lists = BlobCreateResponse {
            blob_id: "bl-1".into(),
            blob_ids: vec!["bl-1".into(), "bl-2".into()],
            upload_type_oneof: Some(UploadTypeOneof::UploadUrl("a".into())),
            upload_types_oneof: Some(UploadTypesOneof::UploadUrls(UploadUrlList {
                items: vec!["a".into(), "b".into()],
            })),
        };
        let expected = vec![
            ("bl-1".to_owned(), Target::Whole("a".into())),
            ("bl-2".to_owned(), Target::Whole("b".into())),
        ];
        assert_eq!(targets(lists.clone()).unwrap(), expected);
        let single = BlobCreateResponse {
            upload_types_oneof: None,
            ..lists.clone()
        };
        assert_eq!(targets(single).unwrap(), expected[..1]);
        let part = MultiPartUpload {
            part_length: 5,
            ..MultiPartUpload::default()
        };
        let parts = BlobCreateResponse {
            blob_ids: vec!["bl-1".into()],
            upload_types_oneof: Some(UploadTypesOneof::Multiparts(MultiPartUploadList {
                items: vec![part.clone()],
            })),
            ..lists.clone()
        };
        assert_eq!(
            targets(parts).unwrap(),
            [("bl-1".to_owned(), Target::Parts(part))]
        );
        let unequal = BlobCreateResponse {
            blob_ids: vec![],
            ..lists
        };
        assert_eq!(targets(unequal).unwrap_err().kind(), ErrorKind::Protocol);
    }

    #[test]
    fn parts_are_joined_by_number_and_tag() {
        let hashes = [Digests::of(b"a").md5, Digests::of(b"b").md5];
        assert_eq!(
            completion(&hashes),
            "<CompleteMultipartUpload>\
             <Part><PartNumber>1</PartNumber><ETag>\"0cc175b9c0f1b6a831c399e269772661\"</ETag></Part>\
             <Part><PartNumber>2</PartNumber><ETag>\"92eb5ffee6ae2fec3ad71c777531578f\"</ETag></Part>\
             </CompleteMultipartUpload>"
        );
    }
}
