//! Stopping and cancelling (D-STOP), on real process trees and through the binary.
//!
//! | module | shows |
//! |---|---|
//! | `gate` | nothing starts under a stop, whoever asks and whoever was killed meanwhile |
//! | `trees` | nothing that was started goes on living, whatever it did to get away |
//! | `cancel` | one run is ended: by command, by interrupt, with and without grace |

mod cancel;
mod gate;
mod scene;
mod trees;
