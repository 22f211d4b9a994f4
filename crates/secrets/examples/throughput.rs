//! How fast the redactor is on a log: prints one line of names and numbers, each the median of
//! several rounds in this one run.
//!
//! `cargo run --release -p moorline-secrets --example throughput`
//!
//! | name | meaning |
//! |---|---|
//! | `redactor_mb_s` | MB/s through `StreamRedactor::push` with 50 secrets, 64 KiB at a time |
//! | `copy_mb_s` | MB/s of copying the same chunks into the same buffer |
//! | `ratio` | the first over the second |
//! | `lines_mb_s` | as the first, one line at a time, as a live log comes |
//! | `build_5_us`, `build_50_us` | microseconds to build a redactor with 5 and with 50 secrets |

#![expect(clippy::disallowed_methods, reason = "a measurement reads the clock")]
#![expect(clippy::print_stdout, reason = "a program, not the library")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::time::Instant;

use moorline_secrets::Redactor;

const LOG_BYTES: usize = 32 << 20;
const CHUNK: usize = 64 << 10;
const ROUNDS: usize = 9;

fn main() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    let secrets: Vec<(String, String)> = (0..50)
        .map(|index| {
            let length = 20 + random.below(45);
            (format!("SECRET_{index}"), random.letters(length))
        })
        .collect();
    let log = log_like(&mut random, &secrets);
    let redactor = build(&secrets);
    let chunks: Vec<&[u8]> = log.chunks(CHUNK).collect();
    let lines: Vec<&[u8]> = log.split_inclusive(|&byte| byte == b'\n').collect();

    let copied = through(&chunks, |chunk, out| out.extend_from_slice(chunk));
    let redacted = |parts: &[&[u8]]| {
        let mut stream = redactor.stream();
        through(parts, |part, out| stream.push(part, out))
    };
    let (by_chunk, by_line) = (redacted(&chunks), redacted(&lines));
    println!(
        "redactor_mb_s {by_chunk:.0} copy_mb_s {copied:.0} ratio {:.3} lines_mb_s {by_line:.0} \
         build_5_us {:.1} build_50_us {:.1}",
        by_chunk / copied,
        median(|| drop(black_box(build(&secrets[..5])))) * 1e6,
        median(|| drop(black_box(build(&secrets)))) * 1e6,
    );
}

fn build(secrets: &[(String, String)]) -> Redactor {
    secrets
        .iter()
        .fold(Redactor::builder(), |all, (name, value)| {
            all.value(name, value)
        })
        .build()
}

/// MB/s of handing all parts to `push`, which appends to a buffer that is emptied when it is full.
#[expect(
    clippy::cast_precision_loss,
    reason = "far fewer bytes than an f64 counts exactly"
)]
fn through(parts: &[&[u8]], mut push: impl FnMut(&[u8], &mut Vec<u8>)) -> f64 {
    let mut out = Vec::with_capacity(3 * CHUNK);
    let bytes: usize = parts.iter().map(|part| part.len()).sum();
    let seconds = median(|| {
        for part in parts {
            push(part, &mut out);
            if out.len() >= CHUNK {
                black_box(out.as_slice());
                out.clear();
            }
        }
    });
    bytes as f64 / 1e6 / seconds
}

/// Seconds that the middle one of several rounds takes.
fn median(mut round: impl FnMut()) -> f64 {
    let mut times: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            round();
            start.elapsed().as_secs_f64()
        })
        .collect();
    times.sort_unstable_by(f64::total_cmp);
    times[ROUNDS / 2]
}

/// Lines as jobs write them: times, levels, ids, hashes, numbers, paths, prose; one in a thousand
/// has a secret.
fn log_like(random: &mut Random, secrets: &[(String, String)]) -> Vec<u8> {
    let mut log = String::with_capacity(LOG_BYTES + 512);
    let mut line = 0_u64;
    while log.len() < LOG_BYTES {
        line += 1;
        let (a, b) = (random.next(), random.next());
        let _ = write!(
            log,
            "2026-11-21T06:{:02}:{:02}.{:06}Z ",
            a % 60,
            b % 60,
            a % 1_000_000
        );
        let _ = match a >> 32 & 7 {
            0 => write!(
                log,
                "INFO extractor: page {} of 900 read, {} transactions",
                a % 900,
                b % 90
            ),
            1 => write!(
                log,
                "DEBUG http: GET https://api.example.com/v1/accounts/{b}/items?page={}&size=100 200 {}ms",
                a % 77,
                b % 999
            ),
            2 => write!(
                log,
                "INFO blob sha256:{a:016x}{b:016x}{a:016x}{b:016x} written"
            ),
            3 => write!(
                log,
                "WARN task-management: retry {} of 5 after timeout, backing off",
                b % 5
            ),
            4 => write!(
                log,
                "{{\"level\":\"info\",\"run_id\":\"0190{:04x}-7000-7000-8000-{:012x}\",\"msg\":\"row ok\",\"n\":{}}}",
                a % 65536,
                b >> 16,
                b % 1000
            ),
            5 => write!(
                log,
                "TRACE /usr/lib/python3/dist-packages/requests/sessions.py:{} send() -> Response",
                a % 700
            ),
            6 => write!(
                log,
                "INFO reconciler: nothing to do; the password store was not asked"
            ),
            _ => write!(log, "INFO {} {}", random.letters(24), random.letters(9)),
        };
        if line.is_multiple_of(1000) {
            let index = usize::try_from(b % 50).unwrap_or(0);
            let _ = write!(log, " key={}", secrets[index].1);
        }
        log.push('\n');
    }
    log.into_bytes()
}

/// Splitmix64: the same log in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> usize {
        usize::try_from(self.next() % end).unwrap_or(0)
    }

    fn letters(&mut self, length: usize) -> String {
        const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
        (0..length)
            .map(|_| char::from(LETTERS[self.below(62)]))
            .collect()
    }
}
