//! Blocks of addresses (CIDR, RFC 4632 and RFC 4291).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// Addresses with a common prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Block {
    network: IpAddr,
    length: u8,
}

/// Why a text is not a block of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BlockError {
    /// No address, or no prefix length that it can have.
    #[error(
        "write an address and the length of its prefix, as in `203.0.113.0/24` or `2001:db8::/32`"
    )]
    Form,
    /// Bits are set behind the prefix, so it is not clear which block is meant.
    #[error("its address has bits behind the prefix; the block that holds it is `{0}/{1}`")]
    HostBits(IpAddr, u8),
}

impl Block {
    pub(super) const fn parts(self) -> (IpAddr, u8) {
        (self.network, self.length)
    }

    pub(super) fn contains(self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.network.is_ipv4() && masked(address, self.length) == self.network
    }
}

impl FromStr for Block {
    type Err = BlockError;

    fn from_str(text: &str) -> Result<Self, BlockError> {
        let (address, length) = text.split_once('/').ok_or(BlockError::Form)?;
        let address: IpAddr = address.parse().map_err(|_| BlockError::Form)?;
        let is_plain = !length.is_empty() && length.bytes().all(|byte| byte.is_ascii_digit());
        let length: u8 = length.parse().map_err(|_| BlockError::Form)?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        if !is_plain || length > most || address.to_canonical() != address {
            return Err(BlockError::Form);
        }
        let network = masked(address, length);
        if network != address {
            return Err(BlockError::HostBits(network, length));
        }
        Ok(Self { network, length })
    }
}

/// The address with all bits behind a prefix cleared.
fn masked(address: IpAddr, length: u8) -> IpAddr {
    let length = u32::from(length);
    match address {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - length.min(32)).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - length.min(128)).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_the_addresses_with_its_prefix() {
        for (block, address, expected) in [
            ("10.0.0.0/8", "10.255.0.1", true),
            ("10.0.0.0/8", "11.0.0.0", false),
            ("10.0.0.0/8", "::ffff:10.0.0.1", true),
            ("192.0.2.7/32", "192.0.2.7", true),
            ("192.0.2.7/32", "192.0.2.6", false),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("0.0.0.0/0", "2001:db8::1", false),
            ("2001:db8::/32", "2001:db8:1::1", true),
            ("::/0", "2001:db8::1", true),
        ] {
            let parsed: Block = block.parse().unwrap();
            assert_eq!(
                parsed.contains(address.parse().unwrap()),
                expected,
                "{block} {address}"
            );
        }
    }

    #[test]
    fn what_is_not_a_block_says_what_to_write() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "x/8",
            "::ffff:10.0.0.0/8",
            "::/129",
        ] {
            assert_eq!(text.parse::<Block>(), Err(BlockError::Form), "{text}");
        }
        let error = "10.0.0.1/8".parse::<Block>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "its address has bits behind the prefix; the block that holds it is `10.0.0.0/8`"
        );
    }
}
