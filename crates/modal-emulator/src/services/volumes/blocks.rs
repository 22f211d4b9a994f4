//! Blocks of volumes of version 2: which are known, and which are on their way.
//!
//! Files are stored whole; blocks are only how they travel. A missing block is sent into the staged file
//! that will become its file, at its place, so that a finished upload is a rename. Blocks that a file
//! already has are found again by their hash, as long as that file was not changed since.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tempfile::TempPath;

use super::tree::Stamp;

/// Bytes of every block but a file's last.
pub(crate) const BLOCK: u64 = 8 << 20;

/// The SHA-256 of nothing: a block of zero bytes only, whose hash leaves them out.
pub(super) const EMPTY_SHA256: [u8; 32] = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24,
    0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

/// A block's hash and length, both without the zero bytes at its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) sha256: [u8; 32],
    /// In bytes.
    pub(crate) length: u64,
}

/// A file of a volume.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) volume: String,
    pub(super) path: PathBuf,
}

/// The blocks of files whose content came in blocks.
#[derive(Debug, Default)]
pub(super) struct Index {
    files: HashMap<Place, (Stamp, Arc<[Block]>)>,
    /// For each hash the file that had it last, and which of its blocks.
    found: HashMap<[u8; 32], (Place, usize)>,
}

impl Index {
    /// The blocks of a file, unless its state is no longer the known one.
    pub(super) fn blocks(&self, place: &Place, stamp: &Stamp) -> Option<Arc<[Block]>> {
        let (known, blocks) = self.files.get(place)?;
        (known == stamp).then(|| Arc::clone(blocks))
    }

    /// Where a block was last: the file, its state then, the number and length of the block.
    pub(super) fn find(&self, sha256: &[u8; 32]) -> Option<(Place, Stamp, usize, u64)> {
        let (place, number) = self.found.get(sha256)?;
        let (stamp, blocks) = self.files.get(place)?;
        let block = blocks
            .get(*number)
            .filter(|block| block.sha256 == *sha256)?;
        Some((place.clone(), *stamp, *number, block.length))
    }

    pub(super) fn insert(&mut self, place: Place, stamp: Stamp, blocks: Vec<Block>) {
        for (number, block) in blocks.iter().enumerate() {
            self.found.insert(block.sha256, (place.clone(), number));
        }
        self.files.insert(place, (stamp, blocks.into()));
    }

    /// Forgets the files that `gone` names.
    pub(super) fn forget(&mut self, gone: impl Fn(&Place) -> bool) {
        self.files.retain(|place, _| !gone(place));
        self.found.retain(|_, (place, _)| !gone(place));
    }
}

/// A staged file: the blocks that are to come, and those that did.
#[derive(Debug)]
pub(crate) struct Upload {
    /// Removed with the upload, unless it was moved into the volume.
    pub(super) path: TempPath,
    file: Arc<File>,
    /// Length of the whole file.
    pub(super) size: u64,
    wanted: BTreeMap<u64, [u8; 32]>,
    landed: Mutex<BTreeMap<u64, u64>>,
    /// Seconds since 1970.
    pub(super) begun_at: f64,
}

impl Upload {
    /// A new file of `size` zero bytes, for the blocks `wanted` by number.
    pub(super) fn new(
        path: PathBuf,
        size: u64,
        wanted: BTreeMap<u64, [u8; 32]>,
        begun_at: f64,
    ) -> io::Result<Self> {
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&path)?;
        let path = TempPath::try_from_path(path)?;
        file.set_len(size)?;
        Ok(Self {
            path,
            file: Arc::new(file),
            size,
            wanted,
            landed: Mutex::default(),
            begun_at,
        })
    }

    pub(crate) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// What block `number` has to be, where it goes, and how long it may be.
    pub(crate) fn wanted(&self, number: u64) -> Option<([u8; 32], u64, u64)> {
        let sha256 = *self.wanted.get(&number)?;
        let start = number * BLOCK;
        Some((sha256, start, BLOCK.min(self.size.checked_sub(start)?)))
    }

    fn landed(&self) -> MutexGuard<'_, BTreeMap<u64, u64>> {
        self.landed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether block `number` is complete. Then nothing may be written over it.
    pub(crate) fn has_landed(&self, number: u64) -> bool {
        self.landed().contains_key(&number)
    }

    /// Notes that block `number` is complete, with its length.
    pub(crate) fn land(&self, number: u64, length: u64) {
        self.landed().insert(number, length);
    }

    /// Block `number`, if it is complete.
    pub(super) fn block(&self, number: u64) -> Option<Block> {
        let sha256 = *self.wanted.get(&number)?;
        let length = *self.landed().get(&number)?;
        Some(Block { sha256, length })
    }
}

/// What the PUT of a block answers, and the client repeats: which block of which upload.
pub(crate) fn token(upload: &str, number: u64) -> String {
    format!("{upload}/{number}")
}

/// Reads a [`token`].
pub(super) fn read_token(token: &[u8]) -> Option<(&str, u64)> {
    let (upload, number) = std::str::from_utf8(token).ok()?.split_once('/')?;
    Some((upload, number.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn stamp(inode: u64) -> Stamp {
        Stamp {
            inode,
            size: 1,
            modified: (1, 2),
            changed: (3, 4),
        }
    }

    #[test]
    fn a_block_is_found_as_long_as_its_file_is_the_known_one() {
        let place = |path: &str| Place {
            volume: "vo-1".into(),
            path: path.into(),
        };
        let block = |byte| Block {
            sha256: [byte; 32],
            length: u64::from(byte),
        };
        let mut index = Index::default();
        index.insert(place("a"), stamp(1), vec![block(1), block(2)]);
        assert_eq!(index.find(&[2; 32]), Some((place("a"), stamp(1), 1, 2)));
        assert!(index.blocks(&place("a"), &stamp(1)).is_some());
        assert!(index.blocks(&place("a"), &stamp(2)).is_none());
        index.insert(place("a"), stamp(2), vec![block(3)]);
        assert_eq!(index.find(&[2; 32]), None);
        index.forget(|place| place.path.starts_with("a"));
        assert_eq!(index.find(&[3; 32]), None);
    }

    #[test]
    fn the_hash_of_nothing_is_that() {
        assert_eq!(EMPTY_SHA256, <[u8; 32]>::from(Sha256::digest(b"")));
    }

    #[test]
    fn a_token_is_read_back() {
        assert_eq!(read_token(token("up-1", 7).as_bytes()), Some(("up-1", 7)));
        assert_eq!(read_token(b"up-1"), None);
    }

    #[test]
    fn the_last_block_is_as_long_as_the_file_lets_it_be() {
        let dir = tempfile::tempdir().unwrap();
        let wanted = BTreeMap::from([(0, [1; 32]), (1, [2; 32]), (9, [3; 32])]);
        let upload = Upload::new(dir.path().join("u"), BLOCK + 3, wanted, 0.0).unwrap();
        assert_eq!(upload.wanted(0), Some(([1; 32], 0, BLOCK)));
        assert_eq!(upload.wanted(1), Some(([2; 32], BLOCK, 3)));
        assert_eq!((upload.wanted(2), upload.wanted(9)), (None, None));
        drop(upload);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
