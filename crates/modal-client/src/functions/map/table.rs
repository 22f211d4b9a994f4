//! The inputs of a map that have no final output yet, and the order in which outputs are given.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};

use moorline_modal_proto::client as pb;
use tokio::time::Instant;

use super::super::retry::{InputRetries, Verdict};
use super::{Payload, Sent};

struct Entry {
    input: pb::FunctionInput,
    jwt: String,
    retries: InputRetries,
    /// The server works on it; otherwise its retry is due at some time.
    waiting: bool,
}

/// Inputs by their number.
pub(super) struct Table {
    retries: InputRetries,
    entries: HashMap<i32, Entry>,
    waiting: usize,
    due: BinaryHeap<Reverse<(Instant, i32)>>,
    /// Outputs of inputs whose request has not come back yet.
    early: Vec<pb::FunctionGetOutputsItem>,
    /// Numbers of inputs that are done: what comes for them again is a repeat.
    done: Done,
}

impl Table {
    pub(super) fn new(retries: InputRetries) -> Self {
        Self {
            retries,
            entries: HashMap::new(),
            waiting: 0,
            due: BinaryHeap::new(),
            early: Vec::new(),
            done: Done::default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How many inputs the server works on.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    pub(super) fn jwts(&self) -> Vec<String> {
        let waiting = self.entries.values().filter(|entry| entry.waiting);
        waiting.map(|entry| entry.jwt.clone()).collect()
    }

    /// The server has these; gives back the outputs that were faster than its answer.
    pub(super) fn sent(&mut self, sent: Sent) -> Vec<pb::FunctionGetOutputsItem> {
        match sent {
            Sent::Put(inputs) => {
                for (idx, input, jwt) in inputs {
                    let retries = self.retries.clone();
                    self.entries.insert(
                        idx,
                        Entry {
                            input,
                            jwt,
                            retries,
                            waiting: true,
                        },
                    );
                    self.waiting += 1;
                }
            }
            Sent::Retried(jwts) => {
                for (idx, jwt) in jwts {
                    if let Some(entry) = self.entries.get_mut(&idx) {
                        entry.jwt = jwt;
                    }
                }
            }
        }
        std::mem::take(&mut self.early)
    }

    /// Takes an output; gives back the result if it is final.
    pub(super) fn take_output(
        &mut self,
        item: pb::FunctionGetOutputsItem,
        now: Instant,
    ) -> Option<pb::GenericResult> {
        if self.done.contains(item.idx) {
            return None;
        }
        let Some(entry) = self.entries.get_mut(&item.idx) else {
            self.early.push(item);
            return None;
        };
        if !entry.waiting || entry.retries.is_stale(item.retry_count) {
            return None;
        }
        let result = item.result.unwrap_or_default();
        self.waiting -= 1;
        match entry.retries.judge(result.status()) {
            Verdict::Final => {
                self.entries.remove(&item.idx);
                self.done.insert(item.idx);
                Some(result)
            }
            Verdict::Again(wait) => {
                entry.waiting = false;
                self.due.push(Reverse((now + wait, item.idx)));
                None
            }
        }
    }

    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.peek().map(|Reverse((time, _))| *time)
    }

    /// The inputs whose retry is due: from here on the server works on them again.
    pub(super) fn take_due(
        &mut self,
        now: Instant,
        most: usize,
    ) -> Vec<(i32, pb::FunctionRetryInputsItem)> {
        let mut items = Vec::new();
        while items.len() < most && self.next_due().is_some_and(|time| time <= now) {
            let Some(Reverse((_, idx))) = self.due.pop() else {
                break;
            };
            let Some(entry) = self.entries.get_mut(&idx) else {
                continue;
            };
            entry.waiting = true;
            self.waiting += 1;
            let item = pb::FunctionRetryInputsItem {
                input_jwt: entry.jwt.clone(),
                input: Some(entry.input.clone()),
                retry_count: entry.retries.count(),
            };
            items.push((idx, item));
        }
        items
    }
}

/// A set of numbers that fills up from 0: all below `below`, and some above.
#[derive(Default)]
struct Done {
    below: i32,
    above: std::collections::BTreeSet<i32>,
}

impl Done {
    fn contains(&self, idx: i32) -> bool {
        idx < self.below || self.above.contains(&idx)
    }

    fn insert(&mut self, idx: i32) {
        self.above.insert(idx);
        while self.above.remove(&self.below) {
            self.below += 1;
        }
    }
}

/// Outputs that are there and not given yet.
pub(super) struct Order {
    ordered: bool,
    next: i32,
    ready: BTreeMap<i32, Payload>,
}

impl Order {
    pub(super) fn new(ordered: bool) -> Self {
        Self {
            ordered,
            next: 0,
            ready: BTreeMap::new(),
        }
    }

    pub(super) fn push(&mut self, idx: i32, payload: Payload) {
        self.ready.insert(idx, payload);
    }

    /// How many are held back because one before them is missing.
    pub(super) fn held(&self) -> usize {
        self.ready.len()
    }

    /// The next one to give.
    pub(super) fn next(&mut self) -> Option<(i32, Payload)> {
        if self.ordered {
            let payload = self.ready.remove(&self.next)?;
            self.next += 1;
            Some((self.next - 1, payload))
        } else {
            self.ready.pop_first()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::instant;
    use bytes::Bytes;
    use pb::generic_result::GenericStatus;
    use proptest::prelude::*;
    use std::time::Duration;

    fn table(retries: u32) -> Table {
        let policy = pb::FunctionRetryPolicy {
            backoff_coefficient: 1.0,
            initial_delay_ms: 1000,
            max_delay_ms: 0,
            retries,
        };
        Table::new(InputRetries::new(Some(policy), true))
    }

    fn put(table: &mut Table, idx: i32) -> Vec<pb::FunctionGetOutputsItem> {
        table.sent(Sent::Put(vec![(
            idx,
            pb::FunctionInput::default(),
            format!("jwt-{idx}"),
        )]))
    }

    fn output(idx: i32, status: GenericStatus, retry_count: u32) -> pb::FunctionGetOutputsItem {
        let result = pb::GenericResult {
            status: status.into(),
            ..Default::default()
        };
        pb::FunctionGetOutputsItem {
            idx,
            result: Some(result),
            retry_count,
            ..Default::default()
        }
    }

    #[test]
    fn an_output_that_is_faster_than_the_answer_to_its_input_is_kept() {
        let mut table = table(0);
        let item = output(0, GenericStatus::Success, 0);
        assert!(table.take_output(item.clone(), instant()).is_none());
        assert_eq!(put(&mut table, 0), std::slice::from_ref(&item));
        assert!(table.take_output(item.clone(), instant()).is_some());
        assert!(table.take_output(item, instant()).is_none());
        assert!(table.is_empty() && table.waiting() == 0);
    }

    #[test]
    fn a_failed_input_is_sent_again_when_due_and_old_outputs_of_it_are_dropped() {
        let mut table = table(1);
        let now = instant();
        put(&mut table, 0);
        assert!(
            table
                .take_output(output(0, GenericStatus::Failure, 0), now)
                .is_none()
        );
        assert!(table.take_due(now, 9).is_empty());
        let due = table.take_due(now + Duration::from_secs(1), 9);
        assert_eq!(
            (due.len(), due[0].1.retry_count, due[0].1.input_jwt.as_str()),
            (1, 1, "jwt-0")
        );
        table.sent(Sent::Retried(vec![(0, "jwt-new".into())]));
        assert_eq!(table.jwts(), ["jwt-new"]);
        assert!(
            table
                .take_output(output(0, GenericStatus::Failure, 0), now)
                .is_none()
        );
        assert_eq!(table.waiting(), 1);
        assert!(
            table
                .take_output(output(0, GenericStatus::Failure, 1), now)
                .is_some()
        );
    }

    proptest! {
        #[test]
        fn every_input_gives_one_output_in_order_whatever_order_they_come_in(
            order in Just((0..30i32).collect::<Vec<_>>()).prop_shuffle(),
            repeats in prop::collection::vec(0..30i32, 0..30),
        ) {
            let mut table = table(0);
            let mut out = Order::new(true);
            for idx in 0..30 {
                put(&mut table, idx);
            }
            let mut given = Vec::new();
            for idx in order.iter().chain(&repeats) {
                let item = output(*idx, GenericStatus::Success, 0);
                if table.take_output(item, instant()).is_some() {
                    out.push(*idx, Ok((0, Bytes::new())));
                }
                while let Some((idx, _)) = out.next() {
                    given.push(idx);
                }
            }
            prop_assert_eq!(given, (0..30).collect::<Vec<_>>());
            prop_assert!(table.is_empty());
        }
    }
}
