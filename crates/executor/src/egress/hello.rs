//! The server name in the first bytes of a TLS connection (RFC 8446, section 4.1.2; RFC 6066, section 3).

use super::relay::{Fault, Filter, Flow};
use super::target::{Host, Target};

/// Bytes looked at before a greeting counts as malformed. Real ones, with post-quantum keys, have 2 KiB.
const HELLO_LIMIT: usize = 16 << 10;
/// Records that one greeting may be cut into.
const RECORD_LIMIT: usize = 16;

const RECORD_HANDSHAKE: u8 = 22;
const HANDSHAKE_CLIENT_HELLO: u8 = 1;
const EXTENSION_SERVER_NAME: u16 = 0;
const NAME_TYPE_HOST: u8 = 0;

/// A fatal `access_denied` alert (RFC 8446, section 6), so that the client reports a refusal and not a
/// broken line.
pub(super) const ACCESS_DENIED_ALERT: [u8; 7] = [21, 3, 3, 0, 2, 2, 49];

/// Holds the first bytes of a tunnel back until it is known whom they greet.
#[derive(Debug)]
pub(super) struct Inspector<'a> {
    target: &'a Target,
    /// Whether something other than TLS may pass.
    other_protocols: bool,
    held: Option<Vec<u8>>,
}

impl<'a> Inspector<'a> {
    pub(super) fn new(target: &'a Target, other_protocols: bool) -> Self {
        Self {
            target,
            other_protocols,
            held: Some(Vec::new()),
        }
    }
}

impl Filter for Inspector<'_> {
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<Flow, Fault> {
        let Some(held) = &mut self.held else {
            out.extend_from_slice(input);
            return Ok(Flow::Open);
        };
        held.extend_from_slice(input);
        match read_greeting(held) {
            Greeting::Incomplete if held.len() <= HELLO_LIMIT => return Ok(Flow::Open),
            Greeting::Incomplete | Greeting::Malformed => {
                return Err(Fault::Malformed("the TLS greeting is not well formed"));
            }
            Greeting::NotTls if !self.other_protocols => return Err(Fault::NotTls),
            Greeting::NotTls => {}
            Greeting::Names(names) => {
                for name in names {
                    if Host::parse(&name).as_ref() != Ok(&self.target.host) {
                        return Err(Fault::OtherHost(name));
                    }
                }
            }
        }
        out.append(held);
        self.held = None;
        Ok(Flow::Open)
    }

    fn end(&mut self) -> Result<Flow, Fault> {
        match &self.held {
            Some(held) if !held.is_empty() => Err(Fault::Malformed("the TLS greeting is cut off")),
            _ => Ok(Flow::Open),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Greeting {
    /// Too few bytes to tell.
    Incomplete,
    NotTls,
    /// TLS, as far as the first byte says, that can not be read.
    Malformed,
    /// The server names that the client gave: usually one, none for an address.
    Names(Vec<String>),
}

fn read_greeting(bytes: &[u8]) -> Greeting {
    match bytes {
        [] | [RECORD_HANDSHAKE] => return Greeting::Incomplete,
        [RECORD_HANDSHAKE, 3, ..] => {}
        _ => return Greeting::NotTls,
    }
    let mut wire = Reader(bytes);
    let mut handshake = Vec::new();
    for _ in 0..RECORD_LIMIT {
        let mut record = wire.0;
        match record.split_off_first() {
            None => return Greeting::Incomplete,
            Some(&RECORD_HANDSHAKE) => {}
            Some(_) => return Greeting::Malformed,
        }
        wire.0 = record;
        let Some(fragment) = wire.bytes(2).and_then(|_version| wire.prefixed::<2>()) else {
            return Greeting::Incomplete;
        };
        handshake.extend_from_slice(fragment);
        let mut message = Reader(&handshake);
        match message.bytes(1) {
            // RFC 8446 forbids empty handshake fragments.
            None => return Greeting::Malformed,
            Some([HANDSHAKE_CLIENT_HELLO]) => {}
            Some(_) => return Greeting::Malformed,
        }
        if let Some(hello) = message.prefixed::<3>() {
            return server_names(hello).map_or(Greeting::Malformed, Greeting::Names);
        }
    }
    Greeting::Malformed
}

/// The host names in a `ClientHello`, or `None` when it is not well formed.
fn server_names(hello: &[u8]) -> Option<Vec<String>> {
    let mut hello = Reader(hello);
    hello.bytes(2 + 32)?; // version, random
    hello.prefixed::<1>()?; // session id
    hello.prefixed::<2>()?; // cipher suites
    hello.prefixed::<1>()?; // compression methods
    let mut names = Vec::new();
    if hello.0.is_empty() {
        return Some(names);
    }
    let mut extensions = Reader(hello.prefixed::<2>()?);
    while !extensions.0.is_empty() {
        let kind = extensions.number(2)?;
        let mut data = Reader(extensions.prefixed::<2>()?);
        if kind != usize::from(EXTENSION_SERVER_NAME) {
            continue;
        }
        let mut list = Reader(data.prefixed::<2>()?);
        while !list.0.is_empty() {
            let kind = list.number(1)?;
            let name = list.prefixed::<2>()?;
            if kind == usize::from(NAME_TYPE_HOST) {
                names.push(std::str::from_utf8(name).ok()?.to_owned());
            }
        }
    }
    Some(names)
}

/// Takes a TLS structure apart; `None` where it is too short.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        self.0.split_off(..count)
    }

    fn number(&mut self, width: usize) -> Option<usize> {
        Some(
            self.bytes(width)?
                .iter()
                .fold(0, |number, &byte| number << 8 | usize::from(byte)),
        )
    }

    /// A vector with a length of `WIDTH` bytes before it.
    fn prefixed<const WIDTH: usize>(&mut self) -> Option<&'a [u8]> {
        let length = self.number(WIDTH)?;
        self.bytes(length)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    fn prefixed(width: usize, bytes: &[u8]) -> Vec<u8> {
        let length = bytes.len().to_be_bytes();
        [&length[length.len() - width..], bytes].concat()
    }

    /// A greeting for `names`, cut into handshake records of at most `record` bytes.
    pub(in super::super) fn client_hello(names: &[&str], record: usize) -> Vec<u8> {
        let list: Vec<u8> = names
            .iter()
            .flat_map(|name| [vec![0], prefixed(2, name.as_bytes())].concat())
            .collect();
        let server_name = [vec![0, 0], prefixed(2, &prefixed(2, &list))].concat();
        let versions = [vec![0, 43], prefixed(2, &[2, 3, 4])].concat();
        let extensions = if names.is_empty() {
            versions
        } else {
            [versions, server_name].concat()
        };
        let hello = [
            vec![3, 3],
            vec![7; 32],
            prefixed(1, &[9; 32]),
            prefixed(2, &[0x13, 1]),
            prefixed(1, &[0]),
            prefixed(2, &extensions),
        ];
        let handshake = [vec![1], prefixed(3, &hello.concat())].concat();
        handshake
            .chunks(record)
            .flat_map(|part| [vec![22, 3, 1], prefixed(2, part)].concat())
            .collect()
    }

    fn inspect(target: &str, other_protocols: bool, pieces: &[&[u8]]) -> Result<Vec<u8>, Fault> {
        let target = Target::parse(target, None).unwrap();
        let mut inspector = Inspector::new(&target, other_protocols);
        let mut out = Vec::new();
        for piece in pieces {
            inspector.push(piece, &mut out)?;
        }
        inspector.end().map(|_| out)
    }

    #[test]
    fn a_greeting_passes_when_it_names_the_target_or_nobody() {
        for (target, names) in [
            ("a.example:443", &["a.example"][..]),
            ("a.example:443", &["A.Example."]),
            ("a.example:443", &[]),
            ("192.0.2.7:443", &[]),
        ] {
            for record in [10_000, 40] {
                let hello = client_hello(names, record);
                assert_eq!(
                    inspect(target, false, &[&hello, b"more"]),
                    Ok([&hello[..], b"more"].concat())
                );
            }
        }
    }

    #[test]
    fn a_greeting_for_another_host_is_refused() {
        for (target, names, other) in [
            ("a.example:443", &["b.example"][..], "b.example"),
            ("a.example:443", &["a.example", "b.example"], "b.example"),
            (
                "a.example:443",
                &["a.example.b.example"],
                "a.example.b.example",
            ),
            ("192.0.2.7:443", &["b.example"], "b.example"),
            ("a.example:443", &["a.example\0"], "a.example\0"),
        ] {
            let refused = Err(Fault::OtherHost(other.to_owned()));
            for other_protocols in [false, true] {
                let hello = client_hello(names, 40);
                assert_eq!(
                    inspect(target, other_protocols, &[&hello]),
                    refused,
                    "{names:?}"
                );
            }
        }
    }

    #[test]
    fn other_protocols_pass_only_where_they_are_expected() {
        let ssh = b"SSH-2.0-client\r\n";
        assert_eq!(inspect("a.example:443", true, &[ssh]), Ok(ssh.to_vec()));
        assert_eq!(inspect("a.example:443", false, &[ssh]), Err(Fault::NotTls));
        assert_eq!(inspect("a.example:443", false, &[]), Ok(vec![]));
    }

    #[test]
    fn what_begins_like_tls_must_be_tls() {
        let hello = client_hello(&["a.example"], 10_000);
        let cut_off = &hello[..hello.len() - 1];
        let tiny_records = client_hello(&["a.example"], 2);
        let other_record = [
            &client_hello(&["a.example"], 40)[..45],
            &[23, 3, 3, 0, 1, 0],
        ]
        .concat();
        for bytes in [
            &b"\x16"[..],
            &[22, 3, 1, 0, 0],
            &[22, 3, 1, 0, 1, 2],
            cut_off,
        ] {
            assert!(matches!(
                inspect("a.example:443", true, &[bytes]),
                Err(Fault::Malformed(_))
            ));
        }
        for bytes in [tiny_records, other_record] {
            assert!(matches!(
                inspect("a.example:443", true, &[&bytes]),
                Err(Fault::Malformed(_))
            ));
        }
    }

    proptest! {
        #[test]
        fn cuts_do_not_change_the_verdict(
            name in "[a-c.]{1,12}",
            record in 20_usize..200,
            cut in 1_usize..50,
            flip in any::<prop::sample::Index>(),
            bit in prop::option::of(0_u8..8),
        ) {
            let mut hello = client_hello(&[&name], record);
            if let Some(bit) = bit {
                let at = flip.index(hello.len());
                hello[at] ^= 1 << bit;
            }
            let pieces: Vec<&[u8]> = hello.chunks(cut).collect();
            let whole = inspect("a.b:443", false, &[&hello]);
            prop_assert_eq!(inspect("a.b:443", false, &pieces), whole);
        }

        #[test]
        fn garbage_does_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let wire = [&[22, 3, 1, 0, u8::try_from(bytes.len()).unwrap(), 1, 0][..], &bytes].concat();
            drop(inspect("a.b:443", true, &[&wire]));
        }
    }
}
