//! The audit trail as a file: JSON Lines that anyone can verify without the store (D-AUDIT-1).
//!
//! The first line is an [`ExportHeader`], each further line one [`AuditRecord`], oldest first. The text is a
//! function of the trail alone, so two exports of the same trail are the same bytes.
//!
//! ```
//! use moorline_core::audit::export::{ExportHeader, ExportVerifier};
//! use moorline_core::audit::{AuditRecord, GENESIS, NewAudit};
//!
//! let entry = NewAudit {
//!     actor: "human:ada".to_owned(),
//!     operation: "stop.engage".to_owned(),
//!     subject: "stop/all".to_owned(),
//!     reason: Some("unsafe output".to_owned()),
//!     data: serde_json::json!({}),
//!     at: "2026-03-01T06:15:00Z".parse().unwrap(),
//! };
//! let record = AuditRecord::chain(entry, 1, GENESIS);
//! let header = serde_json::to_string(&ExportHeader::new(1, &record.hash)).unwrap();
//! let line = serde_json::to_string(&record).unwrap();
//!
//! let mut verifier = ExportVerifier::default();
//! verifier.push(&header).unwrap();
//! verifier.push(&line).unwrap();
//! assert_eq!(verifier.finish().unwrap(), (1, record.hash));
//!
//! let mut verifier = ExportVerifier::default();
//! verifier.push(&header).unwrap();
//! assert!(verifier.push(&line.replace("unsafe", "unsave")).is_err());
//! ```

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AuditRecord, ChainBreak, ChainVerifier};

/// What the first line of an export says it is.
pub const FORMAT: &str = "moorline-audit-v1";

/// The first line of an export.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExportHeader {
    /// [`FORMAT`].
    pub format: String,
    /// How many records follow.
    pub records: u64,
    /// Hash of the newest one: the head of the chain. Kept elsewhere, it shows a chain that was rewritten.
    pub head: String,
}

impl ExportHeader {
    /// The header of a trail with this many records and this head.
    pub fn new(records: u64, head: &str) -> Self {
        Self {
            format: FORMAT.to_owned(),
            records,
            head: head.to_owned(),
        }
    }
}

/// Why an export is not a whole trail.
#[derive(Debug, thiserror::Error)]
pub enum ExportBreak {
    /// It does not begin as an export does.
    #[error("line 1 is not the header of an export of the audit trail (D-AUDIT-1)")]
    Header,
    /// A line is no record.
    #[error("line {line} is not an audit record (D-AUDIT-1)")]
    Line {
        /// Counted from 1.
        line: u64,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A line has the content of a record and another text: something was added or moved about.
    #[error(
        "line {line} was changed: it is not written as an export writes record {id} (D-AUDIT-1)"
    )]
    Text {
        /// Counted from 1.
        line: u64,
        /// The record.
        id: u64,
    },
    /// The chain is broken.
    #[error(transparent)]
    Chain(#[from] ChainBreak),
}

/// Verifies an export line by line, in constant memory.
#[derive(Debug, Default)]
pub struct ExportVerifier {
    header: Option<ExportHeader>,
    chain: ChainVerifier,
    lines: u64,
}

impl ExportVerifier {
    /// Also demands that the chain has a record with this hash: a head that was noted earlier.
    #[must_use]
    pub fn knowing(mut self, hash: impl Into<String>) -> Self {
        self.chain = self.chain.knowing(hash);
        self
    }

    /// Takes the next line, without its end.
    ///
    /// # Errors
    /// [`ExportBreak`] at the first line that does not fit.
    pub fn push(&mut self, text: &str) -> Result<(), ExportBreak> {
        self.lines += 1;
        let line = self.lines;
        if self.header.is_none() {
            let header: ExportHeader =
                serde_json::from_str(text).map_err(|_| ExportBreak::Header)?;
            let same = serde_json::to_string(&header).is_ok_and(|again| again == text);
            if header.format != FORMAT || !same {
                return Err(ExportBreak::Header);
            }
            self.header = Some(header);
            return Ok(());
        }
        let record: AuditRecord =
            serde_json::from_str(text).map_err(|source| ExportBreak::Line { line, source })?;
        self.chain.push(&record)?;
        // The hash covers what a record says; what a line says beside it must not pass for part of it.
        if serde_json::to_string(&record).is_ok_and(|again| again == text) {
            Ok(())
        } else {
            let id = record.id;
            Err(ExportBreak::Text { line, id })
        }
    }

    /// How many records were taken.
    pub const fn records(&self) -> u64 {
        self.lines.saturating_sub(1)
    }

    /// The end of the file: the number of records, and the head.
    ///
    /// # Errors
    /// [`ExportBreak`] when records are missing at the end, or there is nothing at all.
    pub fn finish(self) -> Result<(u64, String), ExportBreak> {
        let header = self.header.ok_or(ExportBreak::Header)?;
        let records = self.chain.finish(header.records, &header.head)?;
        Ok((records, header.head))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{GENESIS, NewAudit};
    use super::*;

    fn export(length: u64) -> Vec<String> {
        let mut prev = GENESIS.to_owned();
        let mut lines = Vec::new();
        for id in 1..=length {
            let new = NewAudit {
                actor: "human:ada".to_owned(),
                operation: "run.submit".to_owned(),
                subject: format!("run/{id}"),
                reason: (id % 2 == 0).then(|| "why \u{fc}".to_owned()),
                data: json!({"n": id, "share": 0.1, "nested": {"b": 1, "a": [null]}}),
                at: "2026-03-01T06:15:00.000001Z".parse().unwrap(),
            };
            let record = AuditRecord::chain(new, id, &prev);
            prev.clone_from(&record.hash);
            lines.push(serde_json::to_string(&record).unwrap());
        }
        lines.insert(
            0,
            serde_json::to_string(&ExportHeader::new(length, &prev)).unwrap(),
        );
        lines
    }

    fn verify(lines: &[String]) -> Result<u64, String> {
        let mut verifier = ExportVerifier::default();
        for line in lines {
            verifier.push(line).map_err(|error| error.to_string())?;
        }
        let (records, _) = verifier.finish().map_err(|error| error.to_string())?;
        Ok(records)
    }

    #[test]
    fn a_whole_export_is_verified() {
        assert_eq!(verify(&export(0)), Ok(0));
        assert_eq!(verify(&export(4)), Ok(4));
    }

    /// L55, without the store: each byte counts, and so does each line.
    #[test]
    fn any_tampering_with_an_export_is_found() {
        let whole = export(4);
        for (line, text) in whole.iter().enumerate() {
            for at in 0..text.len() {
                let mut bytes = text.clone().into_bytes();
                bytes[at] = if bytes[at] == b'x' { b'y' } else { b'x' };
                let Ok(changed) = String::from_utf8(bytes) else {
                    continue;
                };
                let mut lines = whole.clone();
                lines[line] = changed;
                assert!(verify(&lines).is_err(), "line {line}, byte {at}");
            }
            let mut lines = whole.clone();
            lines.remove(line);
            assert!(verify(&lines).is_err(), "without line {line}");
            let mut lines = whole.clone();
            lines.insert(line, text.clone());
            assert!(verify(&lines).is_err(), "line {line} twice");
        }
        let mut spaced = whole;
        spaced[2] = spaced[2].replacen('{', "{\"added\":1,", 1);
        assert_eq!(
            verify(&spaced),
            Err(
                "line 3 was changed: it is not written as an export writes record 2 (D-AUDIT-1)"
                    .to_owned()
            )
        );
        assert!(verify(&[]).is_err());
    }

    #[test]
    fn a_chain_that_was_rewritten_lacks_the_head_that_was_noted() {
        let lines = export(3);
        let noted: AuditRecord = serde_json::from_str(&lines[2]).unwrap();
        let check = |hash: &str| {
            let mut verifier = ExportVerifier::default().knowing(hash);
            for line in &lines {
                verifier.push(line).unwrap();
            }
            verifier.finish().map(|(records, _)| records)
        };
        assert_eq!(check(&noted.hash).unwrap(), 3);
        assert_eq!(check(GENESIS).unwrap(), 3);
        let error = check("b3:ffff").unwrap_err().to_string();
        assert!(error.contains("noted"), "{error}");
    }
}
