//! A large file into a volume and out of it, beside a plain HTTP transfer of the same bytes.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::time::Instant;

use futures::StreamExt as _;
use moorline_modal_client::Client;
use moorline_modal_client::transfer::Files;
use moorline_modal_client::volume::{PutOptions, Version};
use tokio::io::AsyncWriteExt as _;

use crate::{Result, line, now, per_second};

/// Megabytes in a second for `megabytes` (of 10^6 bytes) there and back, and the peak of memory.
pub(crate) async fn measure(
    client: &Client,
    plain: &str,
    directory: &Path,
    megabytes: usize,
) -> Result {
    let source = directory.join("source");
    let back = directory.join("back");
    fill(&source, megabytes)?;
    let volume = client.volumes().ephemeral(None, Some(Version::V2)).await?;
    let rate = |start: Instant| per_second(megabytes, start.elapsed());

    let start = now();
    let files = Files::new().file(&source, "/large");
    volume.put(&files, PutOptions::new()).await?;
    line("put", &[rate(start)]);

    let start = now();
    volume.get("/large", &back).await?;
    line("get", &[rate(start)]);
    line("peak_mib", &[peak()?]);

    // The same bytes by plain HTTP: as one body up, and one down.
    let http = client.http()?;
    let body = reqwest::Body::from(tokio::fs::File::open(&source).await?);
    let start = now();
    http.put(plain)
        .body(body)
        .send()
        .await?
        .error_for_status()?;
    line("plain_put", &[rate(start)]);

    let start = now();
    let file = tokio::fs::File::create(&back).await?;
    let mut file = tokio::io::BufWriter::with_capacity(1 << 20, file);
    let mut bytes = http
        .get(plain)
        .send()
        .await?
        .error_for_status()?
        .bytes_stream();
    while let Some(chunk) = bytes.next().await {
        file.write_all(&chunk?).await?;
    }
    file.flush().await?;
    line("plain_get", &[rate(start)]);
    fs::remove_file(source)?;
    fs::remove_file(back)?;
    Ok(())
}

/// Bytes that nothing can compress or leave out.
fn fill(path: &Path, megabytes: usize) -> Result {
    let mut file = BufWriter::new(File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..megabytes * 1_000_000 / 8 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        file.write_all(&state.to_le_bytes())?;
    }
    file.flush()?;
    Ok(())
}

/// The largest resident memory of this process so far, in MiB.
fn peak() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_ascii_whitespace().next())
        .ok_or("this kernel does not tell the peak of memory")?
        .parse()?;
    Ok(kib / 1024.0)
}
