//! How a file of a volume is cut into blocks. Pure.

use std::ops::Range;

use sha2::{Digest as _, Sha256};

/// The size of every block of a volume of version 2 but a file's last one: 8 MiB.
pub const BLOCK_SIZE: u64 = 8 * 1024 * 1024;

/// Zero bytes that are fed to a hash when zeros turn out not to be at the end after all.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// How many blocks a file of `size` bytes has; none if it is empty.
pub fn block_count(size: u64) -> u64 {
    size.div_ceil(BLOCK_SIZE)
}

/// The bytes of block `index` of a file of `size` bytes; empty past its end.
pub fn block_range(size: u64, index: u64) -> Range<u64> {
    let start = index.saturating_mul(BLOCK_SIZE).min(size);
    start..start.saturating_add(BLOCK_SIZE).min(size)
}

/// How many of the bytes `[start, start + len)` each of `blocks` blocks holds, the first of which is the
/// one that `start` lies in. A body that is shorter lacks the zeros at its end.
pub fn block_lengths(start: u64, len: u64, blocks: usize) -> Vec<u64> {
    let end = start.saturating_add(len);
    let mut position = start;
    (0..blocks)
        .map(|_| {
            let block_end = (position / BLOCK_SIZE + 1)
                .saturating_mul(BLOCK_SIZE)
                .min(end);
            let length = block_end.saturating_sub(position);
            position = block_end;
            length
        })
        .collect()
}

/// What the server knows a block by: its content without the zero bytes at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockDigest {
    /// SHA-256 of the first `len` bytes.
    pub sha256: [u8; 32],
    /// How many bytes are sent; those after them are zero.
    pub len: u64,
}

/// Hashes one block that arrives in pieces; zeros are held back until something follows them.
#[derive(Debug, Default)]
pub struct BlockHasher {
    sha256: Sha256,
    len: u64,
    zeros: u64,
}

impl BlockHasher {
    /// The hasher of an empty block.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        let end = piece
            .iter()
            .rposition(|byte| *byte != 0)
            .map_or(0, |last| last + 1);
        let (data, zeros) = piece.split_at(end);
        if !data.is_empty() {
            self.take_zeros();
            self.sha256.update(data);
            self.len += data.len() as u64;
        }
        self.zeros += zeros.len() as u64;
    }

    /// The digest of all pieces.
    pub fn finish(self) -> BlockDigest {
        BlockDigest {
            sha256: self.sha256.finalize().into(),
            len: self.len,
        }
    }

    fn take_zeros(&mut self) {
        self.len += self.zeros;
        while self.zeros > 0 {
            let count = usize::try_from(self.zeros)
                .unwrap_or(usize::MAX)
                .min(ZEROS.len());
            if let Some(zeros) = ZEROS.get(..count) {
                self.sha256.update(zeros);
            }
            self.zeros -= count as u64;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(block: &[u8], piece: usize) -> BlockDigest {
        let mut hasher = BlockHasher::new();
        for part in block.chunks(piece.max(1)) {
            hasher.update(part);
        }
        hasher.finish()
    }

    #[test]
    fn a_file_is_cut_every_8_mib() {
        let size = 2 * BLOCK_SIZE + 1;
        let ranges: Vec<_> = (0..block_count(size))
            .map(|index| block_range(size, index))
            .collect();
        assert_eq!(
            ranges,
            [
                0..BLOCK_SIZE,
                BLOCK_SIZE..2 * BLOCK_SIZE,
                2 * BLOCK_SIZE..size
            ]
        );
        assert_eq!(block_count(0), 0);
        assert_eq!(block_range(size, 3), size..size);
    }

    #[test]
    fn a_range_begins_and_ends_within_blocks() {
        assert_eq!(block_lengths(0, 5, 1), [5]);
        assert_eq!(
            block_lengths(BLOCK_SIZE - 1, BLOCK_SIZE + 2, 3),
            [1, BLOCK_SIZE, 1]
        );
        assert_eq!(block_lengths(3, BLOCK_SIZE, 2), [BLOCK_SIZE - 3, 3]);
        assert_eq!(block_lengths(0, 0, 0), Vec::<u64>::new());
    }

    #[test]
    fn a_block_of_zeros_is_an_empty_one() {
        let empty = digest(b"", 1);
        assert_eq!(empty.len, 0);
        assert_eq!(digest(&vec![0; 200_000], 1000), empty);
    }

    proptest! {
        #[test]
        fn zeros_count_only_where_something_follows(
            parts in prop::collection::vec((any::<u8>(), 0_usize..70_000), 0..4),
            piece in 1_usize..5000,
        ) {
            let block: Vec<u8> =
                parts.iter().flat_map(|(byte, zeros)| std::iter::once(*byte).chain(vec![0; *zeros])).collect();
            let end = block.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
            let expected = BlockDigest { sha256: Sha256::digest(&block[..end]).into(), len: end as u64 };
            prop_assert_eq!(digest(&block, piece), expected);
        }

        #[test]
        fn the_blocks_of_a_range_are_the_range(start in 0..3 * BLOCK_SIZE, len in 0..3 * BLOCK_SIZE) {
            let last = start + len;
            let blocks = if len == 0 { 0 } else { (last - 1) / BLOCK_SIZE - start / BLOCK_SIZE + 1 };
            let lengths = block_lengths(start, len, usize::try_from(blocks).unwrap());
            prop_assert_eq!(lengths.iter().sum::<u64>(), len);
            prop_assert!(lengths.iter().all(|length| *length > 0 && *length <= BLOCK_SIZE));
        }
    }
}
