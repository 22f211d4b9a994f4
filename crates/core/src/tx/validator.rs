//! A file of transactions, line by line, in memory that grows only by one small key a record.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::TxRecord;
use crate::money::{Amount, Currency};
use crate::schema::{SchemaError, Validator, tx_v1_schema};

/// Longest line, in bytes, line end not counted.
pub const MAX_LINE: usize = 1 << 20;

/// How many violations a report keeps; the rest is counted.
pub const KEPT_VIOLATIONS: usize = 20;

/// The compiled `tx_v1` schema: a constant that takes a moment to compute. Only lines that are refused need
/// it, to say why.
static SCHEMA: LazyLock<Result<Validator, SchemaError>> =
    LazyLock::new(|| Validator::compile_published(tx_v1_schema()));

/// Why a line is not a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxViolation {
    /// The line, from 1.
    pub line: u64,
    /// The member, as a JSON pointer; empty for the whole line.
    pub pointer: String,
    /// What is wrong, without the value.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// `line N: pointer message; hint`, on one line.
impl fmt::Display for TxViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        if !self.pointer.is_empty() {
            write!(f, "{} ", self.pointer)?;
        }
        f.write_str(&self.message)?;
        self.hint
            .as_ref()
            .map_or(Ok(()), |hint| write!(f, "; {hint}"))
    }
}

impl std::error::Error for TxViolation {}

/// What a file of transactions came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TxReport {
    /// Records that are valid.
    pub count: u64,
    /// Accounts among them: distinct pairs of source and account.
    pub accounts: u64,
    /// Lines that are not.
    pub invalid: u64,
    /// Why, for the first [`KEPT_VIOLATIONS`] of them.
    pub violations: Vec<TxViolation>,
}

impl TxReport {
    /// Whether every line is a record.
    pub const fn is_valid(&self) -> bool {
        self.invalid == 0
    }
}

/// Checks a file of `tx_v1` records: give it the bytes with [`push`](Self::push), or single lines with
/// [`line`](Self::line), then [`finish`](Self::finish).
///
/// Beside the members of each record it checks that source, account and transaction are unique together
/// over the file, and that `extraction_run_id` is the run's own where a run is given.
///
/// ```
/// use moorline_core::tx::TxValidator;
///
/// let mut file = TxValidator::new(None);
/// file.push(br#"{"source_id":"chase","account_id":"1","transaction_id":"a","posted_at":"2026-01-05T00:00:00Z","#);
/// file.push(br#""ingested_at":"2026-01-06T06:15:00Z","amount":"-12.50","currency":"USD","description":"x","raw":{}}"#);
/// let report = file.finish();
/// assert_eq!(report.violations[0].to_string(),
///     "line 1: /amount must be a number, not a string; write it without quotes");
/// ```
#[derive(Debug)]
pub struct TxValidator {
    run_id: Option<String>,
    /// Digest of source, account and transaction, to the line that had it first.
    seen: HashMap<[u8; 16], u64>,
    accounts: HashSet<[u8; 16]>,
    report: TxReport,
    /// The start of a line whose end has not come yet.
    partial: Vec<u8>,
    /// Whether the rest of the present line is given up on.
    skipping: bool,
    lines: u64,
}

impl TxValidator {
    /// A file of no lines yet. Each record must name `run_id` as its run, when one is given.
    pub fn new(run_id: Option<&str>) -> Self {
        Self {
            run_id: run_id.map(str::to_owned),
            seen: HashMap::new(),
            accounts: HashSet::new(),
            report: TxReport::default(),
            partial: Vec::new(),
            skipping: false,
            lines: 0,
        }
    }

    /// Takes the next bytes of the file, in chunks of any size.
    pub fn push(&mut self, mut chunk: &[u8]) {
        while let Some(end) = memchr::memchr(b'\n', chunk) {
            let line = chunk.get(..end).unwrap_or_default();
            chunk = chunk.get(end + 1..).unwrap_or_default();
            self.lines += 1;
            let number = self.lines;
            if self.skipping {
                self.skipping = false;
            } else if self.partial.is_empty() {
                drop(self.line(number, line));
            } else {
                let mut whole = std::mem::take(&mut self.partial);
                whole.extend_from_slice(line);
                drop(self.line(number, &whole));
                whole.clear();
                self.partial = whole;
            }
        }
        if self.skipping {
            return;
        }
        if self.partial.len() + chunk.len() > MAX_LINE {
            drop(self.refuse(too_long(self.lines + 1)));
            self.partial = Vec::new();
            self.skipping = true;
        } else {
            self.partial.extend_from_slice(chunk);
        }
    }

    /// Checks one line, without its line feed, and counts it. `number` is from 1, for messages.
    ///
    /// # Errors
    /// The first thing that is wrong with it. It is in the report as well.
    pub fn line(&mut self, number: u64, line: &[u8]) -> Result<(), TxViolation> {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.len() > MAX_LINE {
            return self.refuse(too_long(number));
        }
        let Ok(record) = serde_json::from_slice::<TxRecord<'_>>(line) else {
            return self.refuse(unreadable(number, line));
        };
        match self.check(number, &record) {
            Ok(()) => {
                self.report.count += 1;
                Ok(())
            }
            Err(violation) => self.refuse(violation),
        }
    }

    /// What the file came to. A last line without line feed counts.
    pub fn finish(mut self) -> TxReport {
        if !self.partial.is_empty() {
            let last = std::mem::take(&mut self.partial);
            drop(self.line(self.lines + 1, &last));
        }
        self.report.accounts = self.accounts.len() as u64;
        self.report
    }

    fn refuse(&mut self, violation: TxViolation) -> Result<(), TxViolation> {
        self.report.invalid += 1;
        if self.report.violations.len() < KEPT_VIOLATIONS {
            self.report.violations.push(violation.clone());
        }
        Err(violation)
    }

    /// What the schema says and more: as strictly, and faster, than by the schema itself.
    fn check(&mut self, number: u64, record: &TxRecord<'_>) -> Result<(), TxViolation> {
        let wrong = |pointer: &str, message: &str| Err(violation(number, pointer, message));
        let texts = [
            ("/source_id", &record.source_id),
            ("/account_id", &record.account_id),
            ("/transaction_id", &record.transaction_id),
            ("/description", &record.description),
        ];
        for (pointer, text) in texts {
            if text.is_empty() {
                return wrong(pointer, "must not be empty");
            }
        }
        for (pointer, text) in [
            ("/posted_at", &record.posted_at),
            ("/ingested_at", &record.ingested_at),
        ] {
            if !is_date_time(text) {
                let violation = violation(number, pointer, "is not a date-time (RFC 3339)");
                return Err(violation.with_hint("as in 2026-01-05T06:15:00Z"));
            }
        }
        amount(number, record.amount.get())?;
        if record.currency.parse::<Currency>().is_err() {
            let violation = violation(number, "/currency", "is not a currency (ISO 4217)");
            return Err(violation.with_hint("three capital letters, as in USD"));
        }
        if !record.raw.get().starts_with('{') {
            return wrong("/raw", "must be an object");
        }
        if let Some(run_id) = &self.run_id {
            let pointer = "/extraction_run_id";
            match record.extraction_run_id.as_deref() {
                Some(named) if named == run_id => {}
                Some(_) => return wrong(pointer, "is not the id of the run that wrote it"),
                None => {
                    let violation = violation(number, pointer, "is required");
                    return Err(
                        violation.with_hint("write the run's id, as its input file gives it")
                    );
                }
            }
        }
        self.count_keys(number, record)
    }

    fn count_keys(&mut self, number: u64, record: &TxRecord<'_>) -> Result<(), TxViolation> {
        let account = [&*record.source_id, &*record.account_id];
        let transaction = [account[0], account[1], &*record.transaction_id];
        match self.seen.entry(digest(&transaction)) {
            Entry::Occupied(first) => {
                let line = first.get();
                let message =
                    format!("is a transaction of its account that line {line} has already");
                return Err(violation(number, "/transaction_id", &message));
            }
            Entry::Vacant(place) => place.insert(number),
        };
        self.accounts.insert(digest(&account));
        Ok(())
    }
}

fn violation(line: u64, pointer: &str, message: &str) -> TxViolation {
    TxViolation {
        line,
        pointer: pointer.to_owned(),
        message: message.to_owned(),
        hint: None,
    }
}

impl TxViolation {
    fn with_hint(self, hint: &str) -> Self {
        Self {
            hint: Some(hint.to_owned()),
            ..self
        }
    }
}

fn too_long(line: u64) -> TxViolation {
    violation(line, "", "is longer than 1 MiB")
}

/// Why a line is not a record at all.
fn unreadable(number: u64, line: &[u8]) -> TxViolation {
    if line.trim_ascii().is_empty() {
        return violation(number, "", "is blank").with_hint("one record a line, and nothing else");
    }
    let document: Value = match serde_json::from_slice(line) {
        Ok(document) => document,
        Err(error) => {
            let reason = error.to_string();
            let reason = reason
                .split_once(" at line ")
                .map_or(&*reason, |(reason, _)| reason);
            let message = format!("is not JSON: column {}: {reason}", error.column());
            return violation(number, "", &message);
        }
    };
    let refused = SCHEMA
        .as_ref()
        .map(|schema| schema.check(&document))
        .unwrap_or_default();
    let Some(first) = refused.into_iter().next() else {
        // What the schema lets pass and the reader does not: a repeated member.
        return violation(
            number,
            "",
            "repeats a member, or holds a number that is out of range",
        );
    };
    TxViolation {
        line: number,
        pointer: first.pointer,
        message: first.message,
        hint: first.hint,
    }
}

/// An amount must be a JSON number whose digits can all be kept.
fn amount(line: u64, literal: &str) -> Result<(), TxViolation> {
    if literal.parse::<Amount>().is_ok() {
        return Ok(());
    }
    if let Some(text) = literal
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    {
        let refused = violation(line, "/amount", "must be a number, not a string");
        return Err(refused.with_hint(match text.parse::<Amount>() {
            Ok(_) => "write it without quotes",
            Err(_) => {
                "write digits and a point, without quotes, currency or separators, as in -12.50"
            }
        }));
    }
    if literal.starts_with(|first: char| first == '-' || first.is_ascii_digit()) {
        return Err(violation(
            line,
            "/amount",
            "has more digits than can be kept exactly",
        ));
    }
    Err(violation(line, "/amount", "must be a number"))
}

/// RFC 3339, section 5.6: its form first, since calendars are read more freely elsewhere.
fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    let Some((head, rest)) = bytes.split_first_chunk::<19>() else {
        return false;
    };
    let formed = head.iter().enumerate().all(|(index, byte)| match index {
        4 | 7 => *byte == b'-',
        10 => matches!(byte, b'T' | b't'),
        13 | 16 => *byte == b':',
        _ => byte.is_ascii_digit(),
    });
    let zone = match rest.split_first() {
        Some((b'.', rest)) => {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            // More than nanoseconds are valid by the RFC, and nothing that a bank has.
            if !(1..=9).contains(&digits) {
                return false;
            }
            rest.get(digits..).unwrap_or_default()
        }
        _ => rest,
    };
    let zoned = match zone {
        [b'Z' | b'z'] => true,
        [b'+' | b'-', h1, h2, b':', m1, m2] => [h1, h2, m1, m2].iter().all(|b| b.is_ascii_digit()),
        _ => false,
    };
    formed && zoned && text.parse::<jiff::Timestamp>().is_ok()
}

/// A digest of texts that no two different lists of texts share.
fn digest(texts: &[&str]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new();
    for text in texts {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    let mut key = [0; 16];
    hasher.finalize_xof().fill(&mut key);
    key
}
