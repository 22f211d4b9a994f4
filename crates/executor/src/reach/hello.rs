//! A TLS greeting: enough of one that every server answers it.

/// Cipher suites of TLS 1.3, then widespread ones of TLS 1.2.
const SUITES: [u16; 8] = [
    0x1301, 0x1302, 0x1303, 0xc02b, 0xc02f, 0xc02c, 0xc030, 0x009c,
];

/// A `ClientHello` (RFC 8446, section 4.1.2) for a host, in one record. An address gets no server name
/// (RFC 6066, section 3). It has no key share, so a server of TLS 1.3 answers with the wish for one.
pub(super) fn client_hello(host: &str) -> Vec<u8> {
    let mut extensions = Vec::new();
    if host.parse::<std::net::IpAddr>().is_err() {
        let mut name = vec![0];
        name.extend(sized16(host.as_bytes()));
        extension(&mut extensions, 0, &sized16(&name));
    }
    // x25519, secp256r1, secp384r1
    extension(&mut extensions, 10, &sized16(&[0, 29, 0, 23, 0, 24]));
    extension(&mut extensions, 11, &[1, 0]);
    // ECDSA and RSA with SHA-256 and SHA-384
    let signatures = [4, 3, 8, 4, 4, 1, 5, 3, 8, 5, 5, 1];
    extension(&mut extensions, 13, &sized16(&signatures));
    extension(&mut extensions, 43, &[4, 3, 4, 3, 3]);
    extension(&mut extensions, 51, &[0, 0]);

    let mut body = vec![3, 3];
    // Nothing is kept secret with it, and no connection comes of it.
    body.extend([0x6d; 32]);
    body.push(0);
    let suites: Vec<u8> = SUITES
        .iter()
        .flat_map(|suite| suite.to_be_bytes())
        .collect();
    body.extend(sized16(&suites));
    body.extend([1, 0]);
    body.extend(sized16(&extensions));

    // Handshake of type 1, whose length has 24 bits.
    let mut handshake = vec![1, 0];
    handshake.extend(sized16(&body));
    let mut record = vec![22, 3, 1];
    record.extend(sized16(&handshake));
    record
}

fn extension(to: &mut Vec<u8>, kind: u16, body: &[u8]) {
    to.extend(kind.to_be_bytes());
    to.extend(sized16(body));
}

/// Its length in 16 bits, then the bytes. A host name has at most 253.
fn sized16(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
    let mut sized = length.to_be_bytes().to_vec();
    sized.extend(bytes);
    sized
}
