//! As much of CBOR (RFC 8949) as an ASGI scope needs, written straight into a buffer.

/// A buffer of CBOR items.
#[derive(Debug, Default)]
pub(super) struct Cbor(pub(super) Vec<u8>);

impl Cbor {
    /// Major type and argument, in the shortest form.
    fn head(&mut self, major: u8, argument: u64) {
        let form = |low: u8| (major << 5) | low;
        let bytes = argument.to_be_bytes();
        let [.., e, f, g, h] = bytes;
        match argument {
            0..=23 => self.0.push(form(h)),
            24..=0xff => self.0.extend([form(24), h]),
            0x100..=0xffff => self.0.extend([form(25), g, h]),
            0x1_0000..=0xffff_ffff => self.0.extend([form(26), e, f, g, h]),
            _ => {
                self.0.push(form(27));
                self.0.extend(bytes);
            }
        }
    }

    /// An unsigned number.
    pub(super) fn number(&mut self, value: u64) -> &mut Self {
        self.head(0, value);
        self
    }

    /// A byte string.
    pub(super) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.head(2, value.len() as u64);
        self.0.extend(value);
        self
    }

    /// A text string.
    pub(super) fn text(&mut self, value: &str) -> &mut Self {
        self.head(3, value.len() as u64);
        self.0.extend(value.as_bytes());
        self
    }

    /// The head of an array; its items follow.
    pub(super) fn array(&mut self, items: usize) -> &mut Self {
        self.head(4, items as u64);
        self
    }

    /// The head of a map; its keys and values follow in turn.
    pub(super) fn map(&mut self, pairs: usize) -> &mut Self {
        self.head(5, pairs as u64);
        self
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn items_are_as_in_the_examples_of_the_rfc() {
        let hex = |cbor: &Cbor| {
            let mut text = String::new();
            for byte in &cbor.0 {
                write!(text, "{byte:02x}").unwrap();
            }
            text
        };
        let number = |value| hex(Cbor::default().number(value));
        assert_eq!(number(0), "00");
        assert_eq!(number(23), "17");
        assert_eq!(number(24), "1818");
        assert_eq!(number(1000), "1903e8");
        assert_eq!(number(1_000_000), "1a000f4240");
        assert_eq!(number(1_000_000_000_000), "1b000000e8d4a51000");
        assert_eq!(hex(Cbor::default().bytes(&[1, 2, 3, 4])), "4401020304");
        assert_eq!(hex(Cbor::default().text("IETF")), "6449455446");
        assert_eq!(
            hex(Cbor::default()
                .array(2)
                .number(1)
                .map(1)
                .text("a")
                .number(2)),
            "8201a1616102"
        );
    }
}
