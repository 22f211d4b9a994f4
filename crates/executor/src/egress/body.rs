//! The framing of one HTTP/1.1 message body, as a state machine over bytes (RFC 9112, sections 6 and 7).
//!
//! What goes on is exactly one body: bytes behind its end are never forwarded, and a chunked body is
//! taken apart and framed anew, so that the next hop can not see another end of it than this one.

use super::relay::{Fault, Flow};

/// Bytes of chunk extensions and trailers, which are dropped, in one body.
const DROPPED_BYTES_LIMIT: usize = 16 << 10;

/// How the end of a body is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is no body.
    Empty,
    /// So many bytes.
    Length(u64),
    /// By a last chunk of size zero.
    Chunked,
    /// By the end of the connection; responses only.
    UntilClose,
}

/// Copies one body.
#[derive(Debug)]
pub(super) struct Body {
    state: State,
    dropped: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Complete,
    Length(u64),
    UntilClose,
    /// In the size of a chunk, with how many digits so far.
    Size(u64, u8),
    /// Behind the size, up to the end of line.
    Extension(u64),
    SizeLf(u64),
    Data(u64),
    DataCr,
    DataLf,
    /// In the trailer section: whether the line has anything in it yet.
    Trailer(bool),
    TrailerLf(bool),
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        let state = match framing {
            Framing::Empty | Framing::Length(0) => State::Complete,
            Framing::Length(bytes) => State::Length(bytes),
            Framing::Chunked => State::Size(0, 0),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, dropped: 0 }
    }

    /// Takes bytes of the body and appends what goes on.
    ///
    /// # Errors
    /// When a chunked body is not well formed; what was appended before must not be completed.
    pub(super) fn push(&mut self, mut input: &[u8], out: &mut Vec<u8>) -> Result<Flow, Fault> {
        while self.state != State::Complete {
            match self.state {
                State::Length(left) => {
                    let data = take(&mut input, left);
                    out.extend_from_slice(data);
                    self.state = match left - data.len() as u64 {
                        0 => State::Complete,
                        left => State::Length(left),
                    };
                }
                State::UntilClose => out.extend_from_slice(take(&mut input, u64::MAX)),
                State::Data(left) => {
                    let data = take(&mut input, left);
                    if !data.is_empty() {
                        out.extend_from_slice(format!("{:x}\r\n", data.len()).as_bytes());
                        out.extend_from_slice(data);
                        out.extend_from_slice(b"\r\n");
                    }
                    self.state = match left - data.len() as u64 {
                        0 => State::DataCr,
                        left => State::Data(left),
                    };
                }
                _ => {
                    let Some((&byte, rest)) = input.split_first() else {
                        break;
                    };
                    input = rest;
                    self.state = self.step(byte)?;
                    if self.state == State::Complete {
                        out.extend_from_slice(b"0\r\n\r\n");
                    }
                }
            }
            if input.is_empty() {
                break;
            }
        }
        Ok(if self.state == State::Complete {
            Flow::Complete
        } else {
            Flow::Open
        })
    }

    /// The sender closed: whether that is a proper end.
    pub(super) fn end(&self) -> Result<(), Fault> {
        match self.state {
            State::Complete | State::UntilClose => Ok(()),
            _ => Err(Fault::Malformed("the body ended too early")),
        }
    }

    /// One byte of the framing between chunks.
    fn step(&mut self, byte: u8) -> Result<State, Fault> {
        let malformed = Err(Fault::Malformed("a chunked body is not well formed"));
        Ok(match (self.state, byte) {
            (State::Size(size, digits @ 0..16), _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).unwrap_or_default();
                State::Size(size << 4 | u64::from(digit), digits + 1)
            }
            (State::Size(size, 1..), b';') => State::Extension(size),
            (State::Size(size, 1..) | State::Extension(size), b'\r') => State::SizeLf(size),
            (State::Extension(_), b'\n') => return malformed,
            (State::Extension(_), _) => self.drop_byte()?,
            (State::SizeLf(0), b'\n') => State::Trailer(false),
            (State::SizeLf(size), b'\n') => State::Data(size),
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size(0, 0),
            (State::Trailer(text), b'\r') => State::TrailerLf(text),
            (State::Trailer(_), b'\n') => return malformed,
            (State::Trailer(_), _) => {
                self.drop_byte()?;
                State::Trailer(true)
            }
            (State::TrailerLf(true), b'\n') => State::Trailer(false),
            (State::TrailerLf(false), b'\n') => State::Complete,
            _ => return malformed,
        })
    }

    fn drop_byte(&mut self) -> Result<State, Fault> {
        self.dropped += 1;
        if self.dropped > DROPPED_BYTES_LIMIT {
            return Err(Fault::Malformed(
                "chunk extensions or trailers are too long",
            ));
        }
        Ok(self.state)
    }
}

/// Takes up to `most` bytes off the front.
fn take<'a>(input: &mut &'a [u8], most: u64) -> &'a [u8] {
    let count = usize::try_from(most).unwrap_or(usize::MAX).min(input.len());
    let (taken, rest) = input.split_at(count);
    *input = rest;
    taken
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn copy(framing: Framing, pieces: &[&[u8]]) -> Result<(Vec<u8>, Flow), Fault> {
        let mut body = Body::new(framing);
        let mut out = Vec::new();
        let mut flow = body.push(&[], &mut out)?;
        for piece in pieces {
            flow = body.push(piece, &mut out)?;
        }
        body.end().map(|()| (out, flow))
    }

    #[test]
    fn nothing_behind_the_end_goes_on() {
        assert_eq!(
            copy(Framing::Empty, &[b"GET"]),
            Ok((vec![], Flow::Complete))
        );
        assert_eq!(
            copy(Framing::Length(3), &[b"ab", b"cGET"]),
            Ok((b"abc".to_vec(), Flow::Complete))
        );
        assert_eq!(
            copy(Framing::UntilClose, &[b"ab", b"c"]),
            Ok((b"abc".to_vec(), Flow::Open))
        );
    }

    #[test]
    fn chunks_are_framed_anew_without_extensions_and_trailers() {
        let body = b"003;a=\"b\"\r\nabc\r\nA\r\n0123456789\r\n00\r\nX-Trailer: 1\r\n\r\nGET / ";
        let framed = b"3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n".to_vec();
        assert_eq!(
            copy(Framing::Chunked, &[body]),
            Ok((framed, Flow::Complete))
        );
    }

    #[test]
    fn broken_framing_is_an_error() {
        for body in [
            &b"\r\n"[..],
            b"g\r\n",
            b"-1\r\n",
            b" 1\r\n",
            b"1 \r\na",
            b"0x1\r\na",
            b"1\na",
            b"1;a\nb",
            b"1\r\nab\r\n",
            b"1\r\na\n",
            b"0\r\n\n",
            b"10000000000000000\r\n",
        ] {
            assert!(
                copy(Framing::Chunked, &[body]).is_err(),
                "{}",
                body.escape_ascii()
            );
        }
        for early in [
            &b""[..],
            b"1\r\n",
            b"1\r\na\r\n",
            b"0\r\n",
            b"0\r\nA: b\r\n",
        ] {
            let error = Fault::Malformed("the body ended too early");
            assert_eq!(
                copy(Framing::Chunked, &[early]),
                Err(error),
                "{}",
                early.escape_ascii()
            );
        }
        let long = [&b"1;"[..], &vec![b'x'; DROPPED_BYTES_LIMIT + 1]].concat();
        assert!(copy(Framing::Chunked, &[&long]).is_err());
    }

    proptest! {
        /// However the bytes are cut, the same content arrives; and garbage never panics.
        #[test]
        fn cuts_do_not_change_the_content(
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6),
            cut in 1_usize..20,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\n\r\n");
            let pieces: Vec<&[u8]> = wire.chunks(cut).collect();
            let (once, _) = copy(Framing::Chunked, &pieces).unwrap();
            let (twice, flow) = copy(Framing::Chunked, &[&once]).unwrap();
            prop_assert_eq!(flow, Flow::Complete);
            prop_assert_eq!(&once, &twice);
            let (whole, _) = copy(Framing::Chunked, &[&wire]).unwrap();
            prop_assert_eq!(whole, wire);
        }

        #[test]
        fn garbage_does_not_panic(wire in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(copy(Framing::Chunked, &[&wire]));
        }
    }
}
