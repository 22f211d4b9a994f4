//! Asking a person, without echo.

use std::fmt;
use std::fs::File;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::sync::{Mutex, PoisonError};

use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
};
use zeroize::{Zeroize as _, Zeroizing};

use super::directory::without_line_end;
use super::{Origin, SecretSource};
use crate::error::{SourceError, SourceProblem};
use crate::name::EnvKey;
use crate::value::SecretValue;

/// The most bytes of one value.
const LIMIT: usize = 64 << 10;

/// The person at the terminal; or, where the input is no terminal, the one value that is piped in.
///
/// At a terminal the echo is off while the person types, and the terminal is set back afterwards,
/// also when reading fails or panics. The keys that would send a signal are read instead, so that
/// Ctrl-C ends the prompt with an error and never the process with the echo off. (A signal from
/// elsewhere that kills the process does leave the echo off.) Backspace, Ctrl-U and Ctrl-D work;
/// there is no limit of 4,096 bytes, as a terminal's line has.
///
/// From a pipe or file everything up to its end is one value, without the line end after it. It
/// goes to the first key that asks; a second one is an error.
pub struct PromptSource {
    input: File,
    output: File,
    terminal: bool,
    /// Held while a person is asked, so that two threads do not ask at once. Whether the pipe was
    /// read.
    spent: Mutex<bool>,
}

impl PromptSource {
    /// Reads from `input`, and if that is a terminal writes what is asked for to `output`.
    pub fn new(input: OwnedFd, output: OwnedFd) -> Self {
        let input = File::from(input);
        let terminal = input.is_terminal();
        Self {
            input,
            output: File::from(output),
            terminal,
            spent: Mutex::new(false),
        }
    }

    /// Reads from standard input, and writes what is asked for to the terminal itself, so that it
    /// shows also where standard output is a pipe.
    ///
    /// # Errors
    /// Standard input is closed.
    pub fn stdin() -> io::Result<Self> {
        let input = io::stdin().as_fd().try_clone_to_owned()?;
        let output = match File::options().write(true).open("/dev/tty") {
            Ok(terminal) => terminal.into(),
            Err(_) => io::stderr().as_fd().try_clone_to_owned()?,
        };
        Ok(Self::new(input, output))
    }

    /// Asks for a value that `label` names, such as one to be uploaded.
    ///
    /// # Errors
    /// The person gave up, the input can not be read, or the value is not UTF-8 or longer than 64
    /// KiB.
    pub fn ask(&self, label: &str) -> Result<SecretValue, SourceError> {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = if self.terminal {
            self.ask_terminal(label)?
        } else {
            *spent = true;
            self.read_all()?
        };
        let value = std::str::from_utf8(&bytes).map_err(|_| self.error(SourceProblem::NotText))?;
        Ok(if self.terminal {
            value
        } else {
            without_line_end(value)
        }
        .into())
    }

    fn read_all(&self) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
        (&self.input)
            .take(LIMIT as u64 + 1)
            .read_to_end(&mut bytes)
            .map_err(|cause| SourceError::io(self.origin(), cause))?;
        self.within_limit(bytes)
    }

    fn ask_terminal(&self, label: &str) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        let io = |cause| SourceError::io(self.origin(), cause);
        let quiet = Quiet::new(&self.input).map_err(io)?;
        write!(&self.output, "{label}: ").map_err(io)?;
        let line = self.read_line();
        drop(quiet);
        // The person's own line end was not echoed.
        writeln!(&self.output).map_err(io)?;
        match line.map_err(io)? {
            Some(line) => self.within_limit(line),
            None => Err(self.error(SourceProblem::Interrupted {
                label: label.to_owned(),
            })),
        }
    }

    /// What is typed up to the end of the line; none if the person gives up.
    fn read_line(&self) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        const CTRL_C: u8 = 0x03;
        const CTRL_D: u8 = 0x04;
        const BACKSPACE: u8 = 0x08;
        const CTRL_U: u8 = 0x15;
        const CTRL_BACKSLASH: u8 = 0x1c;
        const DELETE: u8 = 0x7f;

        let mut line = Zeroizing::new(Vec::with_capacity(LIMIT + 1));
        let mut byte = Zeroizing::new([0]);
        loop {
            match (&self.input).read(&mut *byte) {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            match byte[0] {
                b'\n' | b'\r' => return Ok(Some(line)),
                CTRL_D if !line.is_empty() => return Ok(Some(line)),
                CTRL_C | CTRL_D | CTRL_BACKSLASH => return Ok(None),
                CTRL_U => line.zeroize(),
                BACKSPACE | DELETE => {
                    // A character of UTF-8 goes as a whole: continuation bytes, then the one that
                    // leads.
                    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                }
                other if line.len() <= LIMIT && (other >= b' ' || other == b'\t') => {
                    line.push(other);
                }
                _ => {}
            }
        }
    }

    fn within_limit(&self, bytes: Zeroizing<Vec<u8>>) -> Result<Zeroizing<Vec<u8>>, SourceError> {
        if bytes.len() > LIMIT {
            return Err(self.error(SourceProblem::TooLong { limit: LIMIT }));
        }
        Ok(bytes)
    }

    fn error(&self, problem: SourceProblem) -> SourceError {
        SourceError::new(self.origin(), problem)
    }
}

impl SecretSource for PromptSource {
    fn origin(&self) -> Origin {
        Origin::new(if self.terminal {
            "prompt"
        } else {
            "standard input"
        })
    }

    fn get(&self, key: &EnvKey) -> Result<Option<SecretValue>, SourceError> {
        if *self.spent.lock().unwrap_or_else(PoisonError::into_inner) {
            return Err(self.error(SourceProblem::StdinSpent { key: key.clone() }));
        }
        self.ask(key.as_str()).map(Some)
    }

    fn is_interactive(&self) -> bool {
        true
    }
}

impl fmt::Debug for PromptSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PromptSource")
            .field("terminal", &self.terminal)
            .finish_non_exhaustive()
    }
}

/// A terminal without echo, line editing and keys that send signals, until this is dropped.
struct Quiet<'f> {
    terminal: &'f File,
    before: Termios,
}

impl<'f> Quiet<'f> {
    fn new(terminal: &'f File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut quiet = before.clone();
        quiet.local_modes -= LocalModes::ECHO
            | LocalModes::ECHONL
            | LocalModes::ICANON
            | LocalModes::ISIG
            | LocalModes::IEXTEN;
        quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
        quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
        // What was typed before the question is no answer to it.
        tcsetattr(terminal, OptionalActions::Flush, &quiet)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no setting back.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}
