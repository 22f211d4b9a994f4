//! `tx_v1` files: which lines are records, what is said of those that are not, and that the fast reader and
//! the published schema agree.

use moorline_core::schema::{Validator, tx_v1_schema};
use moorline_core::tx::{KEPT_VIOLATIONS, TxReport, TxValidator};
use proptest::prelude::*;
use serde_json::{Value, json};

const RUN: &str = "0190a000-0000-7000-8000-000000000001";

fn record() -> Value {
    json!({
        "source_id": "chase", "account_id": "0042", "transaction_id": "t1",
        "posted_at": "2026-01-05T00:00:00Z", "ingested_at": "2026-01-06T06:15:00.123+01:00",
        "amount": -12.5, "currency": "USD", "description": "coffee", "raw": {"NAME": "COFFEE"},
        "category": null, "pending": true, "extraction_run_id": RUN,
    })
}

/// A line with one member replaced by a literal of JSON; without it for the empty literal.
fn line(member: &str, literal: &str) -> String {
    let mut record = record();
    let members = record.as_object_mut().unwrap();
    members.remove(member);
    let rest = serde_json::to_string(members).unwrap();
    if literal.is_empty() {
        return rest;
    }
    format!("{{\"{member}\":{literal},{}", rest.trim_start_matches('{'))
}

fn report(run_id: Option<&str>, text: &[u8]) -> TxReport {
    let mut file = TxValidator::new(run_id);
    file.push(text);
    file.finish()
}

fn said(line: &str) -> Vec<String> {
    report(Some(RUN), line.as_bytes())
        .violations
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn records_are_counted_with_their_accounts() {
    let lines = [("1", "a"), ("1", "b"), ("2", "a")].map(|(account, transaction)| {
        let mut record = record();
        record["account_id"] = account.into();
        record["transaction_id"] = transaction.into();
        format!("{record}\r\n")
    });
    let text = lines.concat();
    let expected = TxReport {
        count: 3,
        accounts: 2,
        ..TxReport::default()
    };
    assert_eq!(report(Some(RUN), text.as_bytes()), expected);
    assert_eq!(report(Some(RUN), text.trim_end().as_bytes()), expected);
    assert!(expected.is_valid());
    assert_eq!(report(Some(RUN), b""), TxReport::default());
}

/// Each literal in its member, and what is said of it; nothing for a record that is valid.
#[test]
fn every_member_is_held_to_its_type() {
    let long = "9".repeat(29);
    let cases = [
        ("amount", "0", ""),
        ("amount", "-0.00", ""),
        ("amount", "1e3", ""),
        ("amount", "12345678901234567890.12345678", ""),
        (
            "amount",
            "\"12.50\"",
            "/amount must be a number, not a string; write it without quotes",
        ),
        (
            "amount",
            "\"$120\"",
            "/amount must be a number, not a string; write digits and a point, without quotes, \
             currency or separators, as in -12.50",
        ),
        (
            "amount",
            &long,
            "/amount has more digits than can be kept exactly",
        ),
        ("amount", "null", "/amount must be a number"),
        ("amount", "[1]", "/amount must be a number"),
        (
            "amount",
            "",
            "/amount is required; the amount, debits negative",
        ),
        ("currency", "\"EUR\"", ""),
        (
            "currency",
            "\"usd\"",
            "/currency is not a currency (ISO 4217); three capital letters, as in USD",
        ),
        (
            "currency",
            "\"USDT\"",
            "/currency is not a currency (ISO 4217); three capital letters, as in USD",
        ),
        ("posted_at", "\"2026-02-28t23:59:60z\"", ""),
        ("posted_at", "\"2024-02-29T00:00:00.123456789-05:30\"", ""),
        (
            "posted_at",
            "\"2026-02-29T00:00:00Z\"",
            "/posted_at is not a date-time (RFC 3339); as in 2026-01-05T06:15:00Z",
        ),
        (
            "posted_at",
            "\"2026-01-05\"",
            "/posted_at is not a date-time (RFC 3339); as in 2026-01-05T06:15:00Z",
        ),
        (
            "posted_at",
            "\"2026-01-05 00:00:00Z\"",
            "/posted_at is not a date-time (RFC 3339); as in 2026-01-05T06:15:00Z",
        ),
        (
            "posted_at",
            "\"2026-01-05T00:00:00\"",
            "/posted_at is not a date-time (RFC 3339); as in 2026-01-05T06:15:00Z",
        ),
        (
            "posted_at",
            "\"2026-01-05T00:00:00+0100\"",
            "/posted_at is not a date-time (RFC 3339); as in 2026-01-05T06:15:00Z",
        ),
        (
            "posted_at",
            "\"2026-01-05T00:00:00.Z\"",
            "/posted_at is not a date-time (RFC 3339); as in 2026-01-05T06:15:00Z",
        ),
        (
            "ingested_at",
            "1767571200",
            "/ingested_at must be a string, not a number",
        ),
        ("description", "\"\"", "/description must not be empty"),
        ("description", "\"caf\\u00e9 \\\"x\\\"\"", ""),
        ("source_id", "\"\"", "/source_id must not be empty"),
        (
            "account_id",
            "42",
            "/account_id must be a string, not a number",
        ),
        (
            "transaction_id",
            "",
            "/transaction_id is required; the source's id of it; unique within source and account",
        ),
        ("raw", "{}", ""),
        ("raw", "[]", "/raw must be an object"),
        ("raw", "\"x\"", "/raw must be an object"),
        ("raw", "null", "/raw must be an object"),
        ("category", "\"food\"", ""),
        ("category", "", ""),
        (
            "category",
            "7",
            "/category must be null or a string, not a number",
        ),
        ("pending", "", ""),
        ("pending", "null", "/pending must be a boolean, not null"),
        (
            "pending",
            "\"yes\"",
            "/pending must be a boolean, not a string",
        ),
        (
            "extraction_run_id",
            "null",
            "/extraction_run_id must be a string, not null",
        ),
        (
            "extraction_run_id",
            "",
            "/extraction_run_id is required; write the run's id, as its input file gives it",
        ),
        (
            "extraction_run_id",
            "\"other\"",
            "/extraction_run_id is not the id of the run that wrote it",
        ),
        (
            "memo",
            "\"x\"",
            "/memo is not a field of this object; its fields are account_id, amount, category, currency, \
             description, extraction_run_id, ingested_at, pending, posted_at, raw, source_id, transaction_id",
        ),
        (
            "ammount",
            "1",
            "/ammount is not a field of this object; did you mean `amount`?",
        ),
    ];
    for (member, literal, expected) in cases {
        let expected: Vec<String> = (!expected.is_empty())
            .then(|| format!("line 1: {expected}"))
            .into_iter()
            .collect();
        assert_eq!(
            said(&line(member, literal)),
            expected,
            "{member}: {literal}"
        );
    }
}

/// The two ways to check a record never differ, but where the schema can not say it: repeated records, the
/// run's own id, digits that can not be kept, and finer points of dates.
#[test]
fn the_fast_reader_and_the_published_schema_agree() {
    let schema = Validator::compile(tx_v1_schema()).unwrap();
    let literals = [
        "",
        "null",
        "true",
        "0",
        "-1.5",
        "1e400",
        "\"\"",
        "\"x\"",
        "\"USD\"",
        "\"usd\"",
        "\"USDT\"",
        "\"2026-01-05T00:00:00Z\"",
        "\"2026-13-05T00:00:00Z\"",
        "\"2026-01-05\"",
        "[]",
        "[1]",
        "{}",
        "{\"a\":{\"b\":[1]}}",
    ];
    let members: Vec<String> = record().as_object().unwrap().keys().cloned().collect();
    for member in members.iter().map(String::as_str).chain(["unknown"]) {
        for literal in literals {
            let line = line(member, literal);
            let by_schema = serde_json::from_str(&line).is_ok_and(|value| schema.accepts(&value));
            let report = report(None, line.as_bytes());
            assert_eq!(
                report.is_valid(),
                by_schema,
                "{line} {:?}",
                report.violations
            );
        }
    }
}

#[test]
fn lines_that_are_no_json_are_named_with_their_place() {
    let bad = |text: &str| said(text);
    assert_eq!(
        bad("\n"),
        ["line 1: is blank; one record a line, and nothing else"]
    );
    assert_eq!(
        bad("{\"a\":1"),
        ["line 1: is not JSON: column 6: EOF while parsing an object"]
    );
    assert_eq!(bad("[]"), ["line 1: must be an object, not an array"]);
    let twice = line("amount", "1").replace("\"amount\"", "\"amount\":2,\"amount\"");
    assert_eq!(
        bad(&twice),
        ["line 1: repeats a member, or holds a number that is out of range"]
    );
    let invalid_utf_8 = [b"{\"a\":\"\xff\"}", b"\n".as_slice()].concat();
    assert_eq!(report(None, &invalid_utf_8).invalid, 1);
}

#[test]
fn a_transaction_stands_once_in_an_account() {
    let other = |member: &str| line(member, "\"other\"");
    let text = [
        record().to_string(),
        other("account_id"),
        other("source_id"),
        other("transaction_id"),
        record().to_string(),
    ]
    .join("\n");
    let report = report(Some(RUN), text.as_bytes());
    assert_eq!((report.count, report.accounts, report.invalid), (4, 3, 1));
    assert_eq!(
        report.violations[0].to_string(),
        "line 5: /transaction_id is a transaction of its account that line 1 has already"
    );
}

/// Joined texts must not be taken for each other.
#[test]
fn keys_are_told_apart_by_their_parts() {
    let with = |source: &str, account: &str| {
        let mut record = record();
        record["source_id"] = source.into();
        record["account_id"] = account.into();
        record.to_string()
    };
    let text = [with("ab", "c"), with("a", "bc")].join("\n");
    let report = report(Some(RUN), text.as_bytes());
    assert_eq!((report.count, report.accounts), (2, 2));
}

#[test]
fn the_first_violations_are_kept_and_all_counted() {
    let text = "{}\n".repeat(KEPT_VIOLATIONS + 80);
    let report = report(None, text.as_bytes());
    assert_eq!(report.invalid, KEPT_VIOLATIONS as u64 + 80);
    let lines: Vec<u64> = report
        .violations
        .iter()
        .map(|violation| violation.line)
        .collect();
    assert_eq!(lines, (1..=KEPT_VIOLATIONS as u64).collect::<Vec<_>>());
}

#[test]
fn a_line_without_end_is_refused_and_not_held() {
    let mut file = TxValidator::new(None);
    for _ in 0..40 {
        file.push(&vec![b'x'; 64 << 10]);
    }
    file.push(b"\n");
    file.push(record().to_string().as_bytes());
    let report = file.finish();
    assert_eq!((report.count, report.invalid), (1, 1));
    assert_eq!(
        report.violations[0].to_string(),
        "line 1: is longer than 1 MiB"
    );
}

/// Money of seed 000: what is read is what was written, digit for digit.
#[test]
fn amounts_are_kept_to_the_digit() {
    let text = line("amount", "-1234567890123456.10");
    let record: moorline_core::tx::TxRecord<'_> = serde_json::from_str(&text).unwrap();
    assert_eq!(record.amount.get(), "-1234567890123456.10");
}

proptest! {
    /// However the bytes are cut, the report is the same.
    #[test]
    fn chunks_do_not_matter(cuts in prop::collection::vec(1_usize..400, 0..40)) {
        let lines = [
            record().to_string(), line("amount", "\"1\""), String::new(), line("account_id", "\"9\""),
            record().to_string(), "{".to_owned(),
        ];
        let text = lines.join("\n");
        let whole = report(Some(RUN), text.as_bytes());
        let mut file = TxValidator::new(Some(RUN));
        let mut rest = text.as_bytes();
        for cut in cuts {
            let (chunk, more) = rest.split_at(cut.min(rest.len()));
            file.push(chunk);
            rest = more;
        }
        file.push(rest);
        prop_assert_eq!(file.finish(), whole);
    }
}
