//! Writing files of version 2: the server says which blocks it lacks, each of them is sent by HTTP, and the
//! same request with what the sends answered completes the files.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use moorline_modal_proto::client::VolumePutFiles2Request;
use moorline_modal_proto::client::volume_put_files2_request::{Block, File};
use moorline_modal_proto::client::volume_put_files2_response::MissingBlock;

use super::PUT_FILES_2;
use super::put::PutOptions;
use crate::mount::HASHES_AT_ONCE;
use crate::transfer::blocks::{BLOCK_SIZE, BlockDigest};
use crate::transfer::{Put as HttpPut, Source, Transfers, Upload};
use crate::{Client, Error, ErrorKind, Result};

/// How often the server may name missing blocks: the second request completes the upload, a third makes up
/// for blocks that were dropped in between.
const ROUNDS: usize = 3;

/// A file and the digests of its blocks.
#[derive(Debug)]
struct Cut {
    file: Upload,
    blocks: Vec<BlockDigest>,
}

/// What the send of a block answered, by the block's hash.
type Answers = HashMap<[u8; 32], Bytes>;

/// Returns how many bytes were sent.
pub(super) async fn put(
    client: &Client,
    volume_id: &str,
    uploads: Vec<Upload>,
    options: PutOptions,
) -> Result<u64> {
    let files: Vec<Cut> = futures::stream::iter(uploads)
        .map(|file| async move {
            let blocks = file.source.block_digests().await?;
            Ok::<_, Error>(Cut { file, blocks })
        })
        .buffered(HASHES_AT_ONCE)
        .try_collect()
        .await?;
    let mut answers = Answers::new();
    let mut sent = 0;
    for _ in 0..ROUNDS {
        let request = request(volume_id, &files, &answers, options);
        let missing = client.unary(PUT_FILES_2, request).await?.missing_blocks;
        if missing.is_empty() {
            return Ok(sent);
        }
        sent += send_missing(client, &files, missing, &mut answers).await?;
        for cut in &files {
            cut.file.source.check_unchanged().await?;
        }
    }
    let message = "the server goes on missing blocks that were sent";
    Err(Error::new(ErrorKind::Protocol, message).with_rpc("VolumePutFiles2"))
}

fn request(
    volume_id: &str,
    files: &[Cut],
    answers: &Answers,
    options: PutOptions,
) -> VolumePutFiles2Request {
    let block = |digest: &BlockDigest| Block {
        contents_sha256: Bytes::copy_from_slice(&digest.sha256),
        put_response: answers.get(&digest.sha256).cloned(),
    };
    let file = |cut: &Cut| File {
        path: cut.file.remote.clone(),
        size: cut.file.source.len(),
        blocks: cut.blocks.iter().map(block).collect(),
        mode: Some(cut.file.mode),
    };
    VolumePutFiles2Request {
        volume_id: volume_id.to_owned(),
        files: files.iter().map(file).collect(),
        disallow_overwrite_existing_files: !options.overwrite,
    }
}

/// One block that the server lacks, and where it goes.
struct Missing {
    source: Source,
    digest: BlockDigest,
    index: u64,
    url: String,
}

async fn send_missing(
    client: &Client,
    files: &[Cut],
    missing: Vec<MissingBlock>,
    answers: &mut Answers,
) -> Result<u64> {
    let transfers = client.transfers()?.clone();
    let missing = distinct(files, missing)?;
    let sent = missing.iter().map(|block| block.digest.len).sum();
    let mut puts = futures::stream::iter(missing)
        .map(|block| {
            let transfers = transfers.clone();
            async move { Ok::<_, Error>((block.digest.sha256, send(&transfers, &block).await?)) }
        })
        .buffer_unordered(transfers.options().in_flight.max(1));
    while let Some((sha256, answer)) = puts.try_next().await? {
        answers.insert(sha256, answer);
    }
    Ok(sent)
}

async fn send(transfers: &Transfers, block: &Missing) -> Result<Bytes> {
    let start = block.index * BLOCK_SIZE;
    let put = HttpPut {
        what: format!("block {} of {}", block.index, block.source.name()),
        url: &block.url,
        source: &block.source,
        range: start..start + block.digest.len,
        content_md5: None,
        content_type: None,
        expect_etag: false,
    };
    Ok(transfers.put(&put).await?.body)
}

/// Finds the blocks that the server means; equal ones are sent once.
fn distinct(files: &[Cut], missing: Vec<MissingBlock>) -> Result<Vec<Missing>> {
    let mut found = HashSet::new();
    let mut distinct = Vec::new();
    for MissingBlock {
        file_index,
        block_index: index,
        put_url: url,
    } in missing
    {
        let at = |index: u64| usize::try_from(index).ok();
        let block = at(file_index).and_then(|at| files.get(at)).and_then(|cut| {
            let digest = at(index).and_then(|at| cut.blocks.get(at))?;
            Some((cut, *digest))
        });
        let Some((cut, digest)) = block else {
            let message = format!(
                "the server misses block {index} of file {file_index}, which was not named"
            );
            return Err(Error::new(ErrorKind::Protocol, message).with_rpc("VolumePutFiles2"));
        };
        if found.insert(digest.sha256) {
            distinct.push(Missing {
                source: cut.file.source.clone(),
                digest,
                index,
                url,
            });
        }
    }
    Ok(distinct)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sha2::{Digest as _, Sha256};

    async fn cut(content: Vec<u8>, remote: &str) -> Cut {
        let source = Source::bytes(content);
        let blocks = source.block_digests().await.unwrap();
        Cut {
            file: Upload {
                source,
                remote: remote.into(),
                mode: 0o644,
            },
            blocks,
        }
    }

    fn missing(file_index: u64, block_index: u64) -> MissingBlock {
        MissingBlock {
            file_index,
            block_index,
            put_url: format!("{file_index}/{block_index}"),
        }
    }

    #[tokio::test]
    async fn blocks_are_named_without_their_zeros_and_answers_are_repeated() {
        let mut content = vec![0; usize::try_from(BLOCK_SIZE).unwrap() + 10];
        content[0] = 1;
        content[usize::try_from(BLOCK_SIZE).unwrap()] = 2;
        let files = [cut(content, "a").await, cut(Vec::new(), "empty").await];
        let hash = |content: &[u8]| Bytes::copy_from_slice(&Sha256::digest(content));
        let answers = Answers::from([(Sha256::digest([2]).into(), Bytes::from_static(b"ok"))]);
        let file = |path: &str, size, blocks| File {
            path: path.into(),
            size,
            blocks,
            mode: Some(0o644),
        };
        let blocks = vec![
            Block {
                contents_sha256: hash(&[1]),
                put_response: None,
            },
            Block {
                contents_sha256: hash(&[2]),
                put_response: Some(Bytes::from_static(b"ok")),
            },
        ];
        let expected = VolumePutFiles2Request {
            volume_id: "vo-1".into(),
            files: vec![file("a", BLOCK_SIZE + 10, blocks), file("empty", 0, vec![])],
            disallow_overwrite_existing_files: true,
        };
        assert_eq!(
            request("vo-1", &files, &answers, PutOptions::new()),
            expected
        );
    }

    #[tokio::test]
    async fn equal_blocks_are_sent_once_and_unknown_ones_are_an_error() {
        let files = [cut(vec![7; 10], "a").await, cut(vec![7; 10], "b").await];
        let found = distinct(&files, vec![missing(0, 0), missing(1, 0)]).unwrap();
        let urls: Vec<_> = found.iter().map(|block| block.url.as_str()).collect();
        assert_eq!(urls, ["0/0"]);
        for (file, block) in [(2, 0), (0, 1), (u64::MAX, 0)] {
            let error = distinct(&files, vec![missing(file, block)]).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Protocol);
        }
    }
}
