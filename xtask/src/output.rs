//! What goes to the terminal.
//!
//! Everything is written through here, so that a reader who closes the pipe (`| head`) ends the
//! output and not, by a panic, the command.

use std::error::Error as _;
use std::fmt;
use std::io::{self, Write as _};

use crate::error::Error;

/// Writes a formatted line to standard output.
macro_rules! say {
    ($($part:tt)*) => { $crate::output::line(format_args!($($part)*)) };
}
pub(crate) use say;

pub(crate) fn line(text: fmt::Arguments<'_>) {
    let mut stdout = io::stdout().lock();
    // Nobody reads: nobody misses it.
    drop(writeln!(stdout, "{text}").and_then(|()| stdout.flush()));
}

/// A heading above the output of a step.
pub(crate) fn step(name: &str) {
    say!("\n== {name}");
}

/// Prints an error with its causes, once, to standard error.
pub(crate) fn error(error: &Error) {
    if matches!(error, Error::Told) {
        return;
    }
    let mut text = format!("error: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    drop(writeln!(io::stderr(), "{text}"));
}
