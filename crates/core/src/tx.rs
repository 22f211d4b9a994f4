//! Normalised transactions: seed 000's `tx_v1`, one JSON object a line, checked as they stream by (D-RUN-6).
//!
//! | member | type | required |
//! |---|---|---|
//! | `source_id`, `account_id`, `transaction_id` | text, not empty; unique together | yes |
//! | `posted_at`, `ingested_at` | date-time (RFC 3339) | yes |
//! | `amount` | number, debits negative; kept as decimal, never as binary floating point | yes |
//! | `currency` | three capital letters (ISO 4217) | yes |
//! | `description` | text, not empty | yes |
//! | `raw` | object: the source's own fields | yes |
//! | `category` | text or null | no |
//! | `pending` | boolean, false when absent | no |
//! | `extraction_run_id` | text: the id of the run that wrote it | in every run of Moorline |
//!
//! There are no other members. [`TxRecord`] is one line, [`TxValidator`] a file of them.
//!
//! Deliberately absent: reading files, and any judgement of what the transactions mean.

mod validator;

use std::borrow::Cow;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use validator::{KEPT_VIOLATIONS, MAX_LINE, TxReport, TxValidator, TxViolation};

/// One normalised transaction, as `tx_v1` has it. Borrows from its line.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "Normalised transaction (tx_v1)")]
pub struct TxRecord<'a> {
    /// The source that it was read from, e.g. `chase`.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub source_id: Cow<'a, str>,
    /// The account at that source.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub account_id: Cow<'a, str>,
    /// The source's id of it; unique within source and account.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub transaction_id: Cow<'a, str>,
    /// When the source posted it (RFC 3339 date-time).
    #[serde(borrow)]
    #[schemars(extend("format" = "date-time"))]
    pub posted_at: Cow<'a, str>,
    /// When it was read (RFC 3339 date-time).
    #[serde(borrow)]
    #[schemars(extend("format" = "date-time"))]
    pub ingested_at: Cow<'a, str>,
    /// The amount, debits negative. A JSON number with as many digits as are meant.
    #[serde(borrow)]
    #[schemars(with = "f64")]
    pub amount: &'a RawValue,
    /// The currency (ISO 4217), three capital letters.
    #[serde(borrow)]
    #[schemars(regex(pattern = "^[A-Z]{3}$"))]
    pub currency: Cow<'a, str>,
    /// What it is for, not empty.
    #[serde(borrow)]
    #[schemars(length(min = 1))]
    pub description: Cow<'a, str>,
    /// The source's own fields.
    #[serde(borrow)]
    #[schemars(with = "Map<String, Value>")]
    pub raw: &'a RawValue,
    /// A category, where one is known.
    #[serde(default)]
    pub category: Option<String>,
    /// Whether it is not yet final.
    #[serde(default)]
    pub pending: bool,
    /// The id of the run that wrote it.
    #[serde(default, borrow, deserialize_with = "text")]
    #[schemars(with = "String")]
    pub extraction_run_id: Option<Cow<'a, str>>,
}

/// A text, where null is none.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Cow<'de, str>>, D::Error> {
    #[derive(Deserialize)]
    #[serde(transparent)]
    struct Text<'a>(#[serde(borrow)] Cow<'a, str>);
    Text::deserialize(deserializer).map(|text| Some(text.0))
}
