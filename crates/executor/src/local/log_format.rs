//! The log file of an attempt: one line of the file for each line of the job.
//!
//! ```text
//! 2026-11-21T11:30:00.123456Z o hello
//! 2026-11-21T11:30:00.123460Z e+the first 64 KiB of a long line
//! 2026-11-21T11:30:00.123460Z e and its end
//! 2026-11-21T11:30:01.000000Z s killed: ran past its timeout of 1 s
//! ```
//!
//! A frame is the time in UTC with microseconds (27 bytes), a space, the stream (`o` stdout, `e` stderr,
//! `s` the supervisor), `+` when the line goes on in the stream's next frame or else a space, and the text
//! up to the newline. The text is what the job wrote, redacted; it may be any bytes but a newline. So the
//! file reads well as it is, and an offset behind a newline is a cursor.

use jiff::Timestamp;

use crate::executor::LogStream;

/// Bytes before the text.
const HEAD: usize = 30;
/// Bytes of the time.
const TIME: usize = 27;

/// The longest text of one frame; longer lines are split.
pub(crate) const LONGEST_TEXT: usize = 64 * 1024;

/// Bytes of a frame with a text of this length.
pub(crate) const fn frame_len(text: usize) -> usize {
    HEAD + text + 1
}

/// The time as frames have it.
pub(crate) fn stamp(at: Timestamp) -> String {
    format!("{at:.6}")
}

/// Appends one frame.
pub(crate) fn encode(
    out: &mut Vec<u8>,
    stamp: &str,
    stream: LogStream,
    ends_line: bool,
    text: &[u8],
) {
    out.extend_from_slice(stamp.as_bytes());
    out.push(b' ');
    out.push(match stream {
        LogStream::Stdout => b'o',
        LogStream::Stderr => b'e',
        LogStream::System => b's',
    });
    out.push(if ends_line { b' ' } else { b'+' });
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// One frame, read back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    pub(crate) at: Timestamp,
    pub(crate) stream: LogStream,
    pub(crate) ends_line: bool,
    pub(crate) text: &'a [u8],
}

/// Reads one line of the file, without its newline. `None` when it is not a frame.
pub(crate) fn decode(line: &[u8]) -> Option<Frame<'_>> {
    let (head, text) = line.split_at_checked(HEAD)?;
    let at = std::str::from_utf8(&head[..TIME]).ok()?.parse().ok()?;
    let stream = match head[TIME + 1] {
        b'o' => LogStream::Stdout,
        b'e' => LogStream::Stderr,
        b's' => LogStream::System,
        _ => return None,
    };
    let ends_line = match head[TIME + 2] {
        b' ' => true,
        b'+' => false,
        _ => return None,
    };
    (head[TIME] == b' ').then_some(Frame {
        at,
        stream,
        ends_line,
        text,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_read_back_as_they_were_written() {
        let at: Timestamp = "2026-11-21T11:30:00.000001Z".parse().unwrap();
        for (stream, ends_line, text) in [
            (LogStream::Stdout, true, &b""[..]),
            (LogStream::Stderr, false, b"\xff\x00\r tail "),
            (LogStream::System, true, "\u{1f600} o+".as_bytes()),
        ] {
            let mut bytes = Vec::new();
            encode(&mut bytes, &stamp(at), stream, ends_line, text);
            assert_eq!(bytes.len(), frame_len(text.len()));
            let line = bytes.strip_suffix(b"\n").unwrap();
            assert_eq!(
                decode(line),
                Some(Frame {
                    at,
                    stream,
                    ends_line,
                    text
                })
            );
        }
    }

    #[test]
    fn other_lines_are_no_frames() {
        for line in [
            &b""[..],
            b"2026-11-21T11:30:00.123456Z",
            b"2026-11-21T11:30:00.123456Z x text",
            b"2026-11-21T11:30:00.123456Z o-text",
            b"2026-13-21T11:30:00.123456Z o text",
        ] {
            assert_eq!(decode(line), None, "{}", line.escape_ascii());
        }
    }
}
