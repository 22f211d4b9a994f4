//! The encrypted file of an installation: a [`SecretBackend`](crate::backend::SecretBackend) for one
//! machine, and the keyed hashes by which values are compared without being kept.
//!
//! | item | what it is |
//! |---|---|
//! | [`EncryptedFile`] | every secret of every lane in one `age` file |
//! | [`KeyLocation`] | where its key is: a file, or the system's keyring |
//! | `KeyringEntry` (feature `keyring`) | a text of a person in the system's keyring |
//! | [`Fingerprinter`] | keyed hashes of values (`D-SEC-6` compares by value, and never keeps one) |
//!
//! # Format
//! The file is plain [age](https://age-encryption.org/v1), encrypted to one X25519 recipient, so that it can
//! be opened without Moorline: `age -d -i secrets.key secrets.age`. Inside is a JSON document with the
//! values in base64, since such text can be read from the one buffer that is wiped afterwards without being
//! copied by a parser:
//!
//! ```json
//! {"version": 1, "lanes": {"dev": {"LONG_HORIZON_AGENT_CHASE_SESSION": {"CHASE_COOKIE": "aHVudGVyMg=="}}}}
//! ```
//!
//! # What holds when
//! * **A reader** takes no lock: the file is only ever replaced as a whole, by a rename.
//! * **A writer** holds an exclusive lock on `secrets.lock` from before it reads until after the rename is on
//!   the disk, so that no change of another process is lost.
//! * **After a crash** the file is the one before or the one after. A left-over `secrets.age.new` is
//!   ciphertext, and the next writer replaces it.
//!
//! Deliberately absent: passphrases (nobody could type them for a schedule), several recipients, and
//! locking memory against being swapped out.

mod document;
mod file;
mod fingerprint;
mod key;
#[cfg(feature = "keyring")]
mod keyring;

pub use file::EncryptedFile;
pub use fingerprint::Fingerprinter;
pub use key::KeyLocation;
#[cfg(feature = "keyring")]
pub use keyring::{KeyringEntry, NoKeyring};
