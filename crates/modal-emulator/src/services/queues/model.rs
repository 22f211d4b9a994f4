//! The items of one queue, and its limits. They are Modal's documented ones.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use moorline_modal_proto::client::QueueItem;
use serde::{Deserialize, Serialize};
use tonic::Status;

use crate::services::named::now;
use crate::services::packed;

/// Partitions of one queue.
const PARTITIONS: usize = 100_000;
/// Items of one partition.
const ITEMS: usize = 5_000;
/// Bytes of one item.
const ITEM_BYTES: usize = 1 << 20;
/// Bytes of all items of one partition.
const PARTITION_BYTES: usize = 64 << 20;
/// Items in one answer of an iteration.
const NEXT_ITEMS: usize = 100;

/// One queue; partitions by hexadecimal key.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Queue {
    pub(super) partitions: BTreeMap<String, Partition>,
}

/// A list of items.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Partition {
    pub(super) items: VecDeque<Item>,
    /// Number of the newest item there was.
    last: u64,
    /// In seconds since 1970.
    expires_at: f64,
}

/// A value, numbered in its partition from 1.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Item {
    number: u64,
    #[serde(with = "packed")]
    value: Bytes,
}

impl Partition {
    fn bytes(&self) -> usize {
        self.items.iter().map(|item| item.value.len()).sum()
    }
}

impl Queue {
    /// Forgets what has expired.
    pub(super) fn expire(&mut self) {
        let now = now();
        self.partitions
            .retain(|_, partition| partition.expires_at > now);
    }

    pub(super) fn len(&self) -> usize {
        self.partitions
            .values()
            .map(|partition| partition.items.len())
            .sum()
    }

    /// Adds all values, or none.
    pub(super) fn put(&mut self, key: &str, values: Vec<Bytes>, ttl: f64) -> Result<(), Status> {
        if let Some(value) = values.iter().find(|value| value.len() > ITEM_BYTES) {
            let text = format!(
                "an item of a Queue is at most 1 MiB, not {} bytes",
                value.len()
            );
            return Err(Status::invalid_argument(text));
        }
        let adds: usize = values.iter().map(Bytes::len).sum();
        let (items, bytes) = self
            .partitions
            .get(key)
            .map_or((0, 0), |p| (p.items.len(), p.bytes()));
        if items + values.len() > ITEMS {
            return Err(Status::resource_exhausted(
                "the Queue's partition is full: 5000 items",
            ));
        }
        if bytes + adds > PARTITION_BYTES {
            return Err(Status::resource_exhausted(
                "the Queue's partition is full: 64 MiB",
            ));
        }
        if items == 0 && !self.partitions.contains_key(key) && self.partitions.len() >= PARTITIONS {
            return Err(Status::resource_exhausted(
                "the Queue is full: 100000 partitions",
            ));
        }
        let partition = self.partitions.entry(key.to_owned()).or_default();
        partition.expires_at = now() + ttl;
        for value in values {
            partition.last += 1;
            partition.items.push_back(Item {
                number: partition.last,
                value,
            });
        }
        Ok(())
    }

    pub(super) fn take(&mut self, key: &str, max: usize) -> Vec<Bytes> {
        let Some(partition) = self.partitions.get_mut(key) else {
            return Vec::new();
        };
        let count = partition.items.len().min(max);
        partition
            .items
            .drain(..count)
            .map(|item| item.value)
            .collect()
    }

    /// Items after the one that `after` names; nothing is taken.
    pub(super) fn next(&self, key: &str, after: u64) -> Vec<QueueItem> {
        let items = self
            .partitions
            .get(key)
            .into_iter()
            .flat_map(|partition| &partition.items);
        let item = |item: &Item| QueueItem {
            value: item.value.clone(),
            entry_id: format!("{}-0", item.number),
        };
        items
            .filter(|item| item.number > after)
            .take(NEXT_ITEMS)
            .map(item)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tonic::Code;

    use super::*;

    fn bytes(text: &'static str) -> Bytes {
        Bytes::from_static(text.as_bytes())
    }

    #[test]
    fn a_full_partition_takes_all_or_nothing_and_others_go_on() {
        let mut queue = Queue::default();
        queue.put("a", vec![bytes("x"); ITEMS - 1], 60.0).unwrap();
        let full = queue.put("a", vec![bytes("y"); 2], 60.0).unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted);
        queue.put("b", vec![bytes("y"); 2], 60.0).unwrap();
        queue.put("a", vec![bytes("z")], 60.0).unwrap();
        assert_eq!(queue.len(), ITEMS + 2);
        let mega = Bytes::from(vec![0; ITEM_BYTES]);
        queue.put("c", vec![mega; 64], 60.0).unwrap();
        let full = queue.put("c", vec![bytes("x")], 60.0).unwrap_err();
        assert_eq!(full.code(), Code::ResourceExhausted);
        let large = Bytes::from(vec![0; ITEM_BYTES + 1]);
        assert_eq!(
            queue.put("d", vec![large], 60.0).unwrap_err().code(),
            Code::InvalidArgument
        );
    }

    #[test]
    fn a_partition_lives_as_long_as_its_last_put_says() {
        let mut queue = Queue::default();
        queue.put("short", vec![bytes("x")], -1.0).unwrap();
        queue.put("long", vec![bytes("x")], 60.0).unwrap();
        queue.expire();
        assert_eq!(queue.partitions.keys().collect::<Vec<_>>(), ["long"]);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put(u8, u8),
        Take(u8, usize),
        Read(u8),
    }

    proptest! {
        #[test]
        fn each_partition_is_a_list_whatever_the_others_do(
            steps in prop::collection::vec(
                prop_oneof![
                    (0..3u8, any::<u8>()).prop_map(|(p, v)| Step::Put(p, v)),
                    (0..3u8, 0..4usize).prop_map(|(p, n)| Step::Take(p, n)),
                    (0..3u8).prop_map(Step::Read),
                ],
                0..60,
            )
        ) {
            let mut queue = Queue::default();
            let mut model: [VecDeque<u8>; 3] = Default::default();
            for step in steps {
                match step {
                    Step::Put(p, v) => {
                        queue.put(&p.to_string(), vec![Bytes::from(vec![v])], 60.0).unwrap();
                        model[usize::from(p)].push_back(v);
                    }
                    Step::Take(p, n) => {
                        let taken: Vec<u8> =
                            queue.take(&p.to_string(), n).iter().map(|value| value[0]).collect();
                        let model = &mut model[usize::from(p)];
                        let expected: Vec<u8> = model.drain(..n.min(model.len())).collect();
                        prop_assert_eq!(taken, expected);
                    }
                    Step::Read(p) => {
                        let (mut read, mut after) = (VecDeque::new(), 0);
                        while let items @ [_, ..] = &*queue.next(&p.to_string(), after) {
                            read.extend(items.iter().map(|item| item.value[0]));
                            after = items[items.len() - 1].entry_id.trim_end_matches("-0").parse().unwrap();
                        }
                        prop_assert_eq!(&read, &model[usize::from(p)]);
                    }
                }
            }
        }
    }
}
