//! The audit trail: one hash-chained record for every mutating operation (D-AUDIT-1).
//!
//! `hash = BLAKE3(canonical JSON of the record without its hash)`, and the record holds the hash of the
//! one before it. Changing, removing or swapping records breaks the chain where it happened; the head is
//! kept apart, so that removing the newest ones is found too.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content_id::ContentId;

pub mod export;

/// Hash before the first record.
pub const GENESIS: &str = "b3:0000000000000000000000000000000000000000000000000000000000000000";

/// A record before it has its place in the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NewAudit {
    /// Who acted.
    pub actor: String,
    /// The operation, e.g. `run.submit`.
    pub operation: String,
    /// What it was done to, e.g. `run/0190…`.
    pub subject: String,
    /// Why, where a person decides.
    pub reason: Option<String>,
    /// Details; no secrets.
    pub data: Value,
    /// When.
    pub at: Timestamp,
}

/// A record of the chain.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditRecord {
    /// 1 for the first, then one more each.
    pub id: u64,
    /// When.
    pub at: Timestamp,
    /// Who acted.
    pub actor: String,
    /// The operation.
    pub operation: String,
    /// What it was done to.
    pub subject: String,
    /// Why, where a person decides.
    pub reason: Option<String>,
    /// Details; no secrets.
    pub data: Value,
    /// Hash of the record before, or [`GENESIS`].
    pub prev_hash: String,
    /// Hash of this record.
    pub hash: String,
}

impl AuditRecord {
    /// Gives a new record its place behind `prev_hash`.
    pub fn chain(new: NewAudit, id: u64, prev_hash: &str) -> Self {
        let mut record = Self {
            id,
            at: new.at,
            actor: new.actor,
            operation: new.operation,
            subject: new.subject,
            reason: new.reason,
            data: new.data,
            prev_hash: prev_hash.to_owned(),
            hash: String::new(),
        };
        record.hash = record.compute_hash();
        record
    }

    /// The hash that this record's content asks for.
    pub fn compute_hash(&self) -> String {
        // Serde writes struct fields in their order and `data` with sorted keys, so the text is fixed.
        let content = (
            self.id,
            self.at.as_microsecond(),
            &self.actor,
            &self.operation,
            &self.subject,
            &self.reason,
            &self.data,
            &self.prev_hash,
        );
        let text = serde_json::to_vec(&content).unwrap_or_default();
        ContentId::of_bytes(&text).to_string()
    }
}

/// The first place where a chain is broken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainBreak {
    /// A record's content does not give its hash.
    #[error("audit record {id} was changed: its content does not match its hash (D-AUDIT-1)")]
    Changed {
        /// Its id.
        id: u64,
    },
    /// A record does not follow from the one before it.
    #[error(
        "audit record {id} does not follow the one before it: records were removed or swapped (D-AUDIT-1)"
    )]
    Gap {
        /// Its id.
        id: u64,
    },
    /// The newest record is not the one that the head names.
    #[error(
        "the newest audit record is {found}, the head says {head}: records were removed or added (D-AUDIT-1)"
    )]
    Head {
        /// Id of the newest record found.
        found: u64,
        /// Id that the head names.
        head: u64,
    },
    /// A head that was noted earlier is not in the chain.
    #[error(
        "no audit record has the hash {hash} that was noted earlier: the trail was rewritten (D-AUDIT-1)"
    )]
    Rewritten {
        /// The hash.
        hash: String,
    },
}

/// Checks a chain record by record, in constant memory.
#[derive(Debug)]
pub struct ChainVerifier {
    last_id: u64,
    last_hash: String,
    /// A hash that the chain must have, until it is found.
    wanted: Option<String>,
}

impl Default for ChainVerifier {
    fn default() -> Self {
        Self {
            last_id: 0,
            last_hash: GENESIS.to_owned(),
            wanted: None,
        }
    }
}

impl ChainVerifier {
    /// Also demands that the chain has a record with this hash: a head that was noted earlier. Whoever can
    /// write to the store can rewrite the whole chain with its head, but not what was noted elsewhere.
    #[must_use]
    pub fn knowing(mut self, hash: impl Into<String>) -> Self {
        self.wanted = Some(hash.into()).filter(|hash| *hash != self.last_hash);
        self
    }

    /// Takes the next record.
    ///
    /// # Errors
    /// [`ChainBreak`] at the first record that does not fit.
    pub fn push(&mut self, record: &AuditRecord) -> Result<(), ChainBreak> {
        if record.id != self.last_id + 1 || record.prev_hash != self.last_hash {
            return Err(ChainBreak::Gap { id: record.id });
        }
        if record.compute_hash() != record.hash {
            return Err(ChainBreak::Changed { id: record.id });
        }
        self.last_id = record.id;
        self.last_hash.clone_from(&record.hash);
        self.wanted.take_if(|wanted| *wanted == record.hash);
        Ok(())
    }

    /// Compares the end with the head. Returns the number of records.
    ///
    /// # Errors
    /// [`ChainBreak::Head`] when they differ, [`ChainBreak::Rewritten`] when a hash that it must have is
    /// not there.
    pub fn finish(self, head_id: u64, head_hash: &str) -> Result<u64, ChainBreak> {
        if let Some(hash) = self.wanted {
            return Err(ChainBreak::Rewritten { hash });
        }
        if self.last_id == head_id && self.last_hash == head_hash {
            Ok(self.last_id)
        } else {
            Err(ChainBreak::Head {
                found: self.last_id,
                head: head_id,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn chain(length: u64) -> Vec<AuditRecord> {
        let mut records: Vec<AuditRecord> = Vec::new();
        for id in 1..=length {
            let new = NewAudit {
                actor: "human:ada".to_owned(),
                operation: "run.submit".to_owned(),
                subject: format!("run/{id}"),
                reason: None,
                data: json!({"n": id}),
                at: Timestamp::from_second(1_800_000_000).unwrap(),
            };
            let prev = records
                .last()
                .map_or(GENESIS, |record| record.hash.as_str())
                .to_owned();
            records.push(AuditRecord::chain(new, id, &prev));
        }
        records
    }

    fn verify(records: &[AuditRecord], head: &AuditRecord) -> Result<u64, ChainBreak> {
        let mut verifier = ChainVerifier::default();
        for record in records {
            verifier.push(record)?;
        }
        verifier.finish(head.id, &head.hash)
    }

    /// L55: changing, removing and swapping are found, and where.
    #[test]
    fn any_tampering_with_the_chain_is_found() {
        let records = chain(5);
        let head = records[4].clone();
        assert_eq!(verify(&records, &head), Ok(5));

        let mut changed = records.clone();
        changed[2].actor = "human:mallory".to_owned();
        assert_eq!(verify(&changed, &head), Err(ChainBreak::Changed { id: 3 }));

        let mut rehashed = changed.clone();
        rehashed[2].hash = rehashed[2].compute_hash();
        assert_eq!(verify(&rehashed, &head), Err(ChainBreak::Gap { id: 4 }));

        let mut removed = records.clone();
        removed.remove(1);
        assert_eq!(verify(&removed, &head), Err(ChainBreak::Gap { id: 3 }));

        let mut swapped = records.clone();
        swapped.swap(1, 2);
        assert_eq!(verify(&swapped, &head), Err(ChainBreak::Gap { id: 3 }));

        assert_eq!(
            verify(&records[..4], &head),
            Err(ChainBreak::Head { found: 4, head: 5 })
        );
    }
}
