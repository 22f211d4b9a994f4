//! Stopping and cancelling (D-STOP), on real process trees and through the binary.
//!
//! | module | shows |
//! |---|---|
//! | `gate` | nothing starts under a stop, whoever asks and whoever was killed meanwhile |
//! | `trees` | nothing that was started goes on living, whatever it did to get away |
//! | `fleet` | two hundred such trees at once, two workers, both stores |
//! | `unreached` | an executor that does not take the order, or whose stop was killed: somebody keeps trying |
//! | `cancel` | one run is ended: by command, by interrupt, with and without grace |

mod cancel;
mod fleet;
mod gate;
mod scene;
mod trees;
mod unreached;
