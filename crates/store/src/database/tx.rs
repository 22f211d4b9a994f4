//! The little that the intents ask of a database: run a statement, get rows.
//!
//! [`Tx`] is implemented for a connection of each engine, so that an intent is written once and its
//! SQL is one text for both ([`crate::database::sql`]). Values are of the two kinds that both engines store
//! alike, 64-bit integers and text; a NULL has a kind too, since PostgreSQL wants to know it.
//!
//! Deliberately absent: booleans, floats and blobs (nothing here needs them), dynamic SQL, and the
//! end of a transaction, which belongs to the [writer](crate::database::writer) alone.

use std::borrow::Cow;
use std::error::Error;
use std::str::FromStr;
use std::vec;

use jiff::Timestamp;
use serde::de::DeserializeOwned;

use crate::database::sql::Dialect;
use crate::error::StoreError;

/// A connection, inside or outside a transaction.
///
/// The futures of an engine whose calls block (SQLite) are ready at once.
pub(crate) trait Tx: Send {
    /// Where the engines' SQL differs.
    const DIALECT: Dialect;

    /// Whether a connection is used again after a transaction on it failed.
    const LASTS: bool;

    /// Runs a statement; returns how many rows it changed.
    fn execute(
        &mut self,
        sql: &'static str,
        args: &[Val<'_>],
    ) -> impl Future<Output = Result<u64, StoreError>> + Send;

    /// Runs a query; returns all of its rows.
    fn rows(
        &mut self,
        sql: &'static str,
        args: &[Val<'_>],
    ) -> impl Future<Output = Result<Vec<Row>, StoreError>> + Send;

    /// Runs statements without parameters, separated by `;`.
    fn script(&mut self, sql: &'static str) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Runs a query that gives one row or none.
    fn row(
        &mut self,
        sql: &'static str,
        args: &[Val<'_>],
    ) -> impl Future<Output = Result<Option<Row>, StoreError>> + Send {
        async move { Ok(self.rows(sql, args).await?.into_iter().next()) }
    }
}

/// A parameter. NULL is the `None` of its kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Val<'a> {
    Int(Option<i64>),
    Text(Option<Cow<'a, str>>),
}

/// Parameters of a statement, each from whatever [`Val`] is made of.
macro_rules! args {
    ($($arg:expr),* $(,)?) => { &[$($crate::database::tx::Val::from($arg)),*] };
}
pub(crate) use args;

impl From<i64> for Val<'_> {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<u32> for Val<'_> {
    fn from(value: u32) -> Self {
        Self::Int(Some(value.into()))
    }
}

impl From<u64> for Val<'_> {
    /// Ids count from 1; none comes near the bound, and a cursor beyond it means "behind all".
    fn from(value: u64) -> Self {
        Self::Int(Some(i64::try_from(value).unwrap_or(i64::MAX)))
    }
}

impl From<Timestamp> for Val<'_> {
    fn from(value: Timestamp) -> Self {
        Self::Int(Some(value.as_microsecond()))
    }
}

impl From<Option<Timestamp>> for Val<'_> {
    fn from(value: Option<Timestamp>) -> Self {
        Self::Int(value.map(Timestamp::as_microsecond))
    }
}

impl<'a> From<&'a str> for Val<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl<'a> From<&'a String> for Val<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(Some(Cow::Borrowed(value)))
    }
}

impl From<String> for Val<'_> {
    fn from(value: String) -> Self {
        Self::Text(Some(Cow::Owned(value)))
    }
}

impl<'a> From<Option<&'a str>> for Val<'a> {
    fn from(value: Option<&'a str>) -> Self {
        Self::Text(value.map(Cow::Borrowed))
    }
}

impl From<Option<String>> for Val<'_> {
    fn from(value: Option<String>) -> Self {
        Self::Text(value.map(Cow::Owned))
    }
}

/// The first microsecond that is not before `at`: what is due then is due.
pub(crate) fn ceil_microsecond(at: Timestamp) -> i64 {
    let micros = at.as_microsecond();
    if at.as_nanosecond() > i128::from(micros) * 1000 {
        micros + 1
    } else {
        micros
    }
}

/// The inverse of [`Timestamp::as_microsecond`], also in the last second that there is, which
/// jiff's own inverse refuses: `Timestamp::MAX` is how "never" is written.
fn from_microsecond(micros: i64) -> Result<Timestamp, jiff::Error> {
    let nanos = i32::try_from(micros.rem_euclid(1_000_000) * 1000).unwrap_or(0);
    Timestamp::new(micros.div_euclid(1_000_000), nanos)
}

/// One value of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    Null,
    Int(i64),
    Text(String),
}

/// A row, read cell by cell in the order of the statement's columns. `what` names the value for
/// [`StoreError::Corrupt`].
#[derive(Debug)]
pub(crate) struct Row {
    cells: vec::IntoIter<Cell>,
}

impl Row {
    pub(crate) fn new(cells: Vec<Cell>) -> Self {
        Self {
            cells: cells.into_iter(),
        }
    }

    pub(crate) fn int_opt(&mut self, what: &str) -> Result<Option<i64>, StoreError> {
        match self.cells.next() {
            Some(Cell::Int(value)) => Ok(Some(value)),
            Some(Cell::Null) => Ok(None),
            other => Err(mismatch(what, "an integer", other.as_ref())),
        }
    }

    pub(crate) fn int(&mut self, what: &str) -> Result<i64, StoreError> {
        self.int_opt(what)?
            .ok_or_else(|| mismatch(what, "an integer", Some(&Cell::Null)))
    }

    /// An id or a count.
    pub(crate) fn unsigned<N: TryFrom<i64>>(&mut self, what: &str) -> Result<N, StoreError>
    where
        N::Error: Error + Send + Sync + 'static,
    {
        N::try_from(self.int(what)?).map_err(|error| StoreError::corrupt(what, error))
    }

    pub(crate) fn text_opt(&mut self, what: &str) -> Result<Option<String>, StoreError> {
        match self.cells.next() {
            Some(Cell::Text(value)) => Ok(Some(value)),
            Some(Cell::Null) => Ok(None),
            other => Err(mismatch(what, "text", other.as_ref())),
        }
    }

    pub(crate) fn text(&mut self, what: &str) -> Result<String, StoreError> {
        self.text_opt(what)?
            .ok_or_else(|| mismatch(what, "text", Some(&Cell::Null)))
    }

    pub(crate) fn time_opt(&mut self, what: &str) -> Result<Option<Timestamp>, StoreError> {
        self.int_opt(what)?
            .map(|micros| {
                from_microsecond(micros).map_err(|error| StoreError::corrupt(what, error))
            })
            .transpose()
    }

    pub(crate) fn time(&mut self, what: &str) -> Result<Timestamp, StoreError> {
        self.time_opt(what)?
            .ok_or_else(|| mismatch(what, "a time", Some(&Cell::Null)))
    }

    pub(crate) fn parsed_opt<V: FromStr>(&mut self, what: &str) -> Result<Option<V>, StoreError>
    where
        V::Err: Error + Send + Sync + 'static,
    {
        self.text_opt(what)?
            .map(|text| {
                text.parse()
                    .map_err(|error| StoreError::corrupt(what, error))
            })
            .transpose()
    }

    pub(crate) fn parsed<V: FromStr>(&mut self, what: &str) -> Result<V, StoreError>
    where
        V::Err: Error + Send + Sync + 'static,
    {
        self.parsed_opt(what)?
            .ok_or_else(|| mismatch(what, "text", Some(&Cell::Null)))
    }

    pub(crate) fn json_opt<V: DeserializeOwned>(
        &mut self,
        what: &str,
    ) -> Result<Option<V>, StoreError> {
        self.text_opt(what)?
            .map(|text| {
                serde_json::from_str(&text).map_err(|error| StoreError::corrupt(what, error))
            })
            .transpose()
    }

    pub(crate) fn json<V: DeserializeOwned>(&mut self, what: &str) -> Result<V, StoreError> {
        self.json_opt(what)?
            .ok_or_else(|| mismatch(what, "text", Some(&Cell::Null)))
    }
}

#[derive(Debug, thiserror::Error)]
#[error("expected {expected}, found {found}")]
struct Mismatch {
    expected: &'static str,
    found: &'static str,
}

fn mismatch(what: &str, expected: &'static str, found: Option<&Cell>) -> StoreError {
    let found = match found {
        Some(Cell::Int(_)) => "an integer",
        Some(Cell::Text(_)) => "text",
        Some(Cell::Null) => "null",
        None => "no column",
    };
    StoreError::corrupt(what, Mismatch { expected, found })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[Cell]) -> Row {
        Row::new(cells.to_vec())
    }

    #[test]
    fn cells_are_read_in_order() {
        let mut row = row(&[
            Cell::Int(7),
            Cell::Text("[1]".to_owned()),
            Cell::Null,
            Cell::Null,
        ]);
        assert_eq!(row.unsigned::<u64>("id").unwrap(), 7);
        assert_eq!(row.json::<Vec<u8>>("data").unwrap(), [1]);
        assert_eq!(row.text_opt("reason").unwrap(), None);
        assert_eq!(row.time_opt("ended").unwrap(), None);
    }

    #[test]
    fn a_cell_of_another_kind_names_the_value_and_both_kinds() {
        let error = row(&[Cell::Null]).int("event id").unwrap_err();
        assert_eq!(error.to_string(), "stored event id can not be read");
        assert_eq!(
            error.source().unwrap().to_string(),
            "expected an integer, found null"
        );
        let error = row(&[]).text("actor").unwrap_err();
        assert_eq!(
            error.source().unwrap().to_string(),
            "expected text, found no column"
        );
        assert!(row(&[Cell::Int(-1)]).unsigned::<u64>("id").is_err());
    }

    #[test]
    fn every_time_is_read_back_to_the_microsecond() {
        for text in ["2026-11-21T11:04:00.123456Z", "1969-12-31T23:59:59.999999Z"] {
            let at: Timestamp = text.parse().unwrap();
            assert_eq!(from_microsecond(at.as_microsecond()).unwrap(), at);
        }
        let last = from_microsecond(Timestamp::MAX.as_microsecond()).unwrap();
        assert_eq!(last.as_microsecond(), Timestamp::MAX.as_microsecond());
        let first = from_microsecond(Timestamp::MIN.as_microsecond()).unwrap();
        assert_eq!(first, Timestamp::MIN);
    }

    #[test]
    fn due_times_are_rounded_up() {
        for (nanos, micros) in [(0, 0), (1, 1), (1000, 1), (1001, 2), (-1000, -1), (-999, 0)] {
            let at = Timestamp::from_nanosecond(nanos).unwrap();
            assert_eq!(ceil_microsecond(at), micros, "{nanos}");
        }
    }
}
