//! A host's address as the kernel's lock manager wants it: a `struct sockaddr_storage`, without a port.

use std::net::IpAddr;

const LENGTH: usize = 128;
const INET: u16 = 2;
const INET6: u16 = 10;

pub(super) fn bytes(address: IpAddr) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    match address {
        IpAddr::V4(address) => {
            bytes[..2].copy_from_slice(&INET.to_ne_bytes());
            bytes[4..8].copy_from_slice(&address.octets());
        }
        IpAddr::V6(address) => {
            bytes[..2].copy_from_slice(&INET6.to_ne_bytes());
            bytes[8..24].copy_from_slice(&address.octets());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_lie_where_the_kernel_looks_for_them() {
        let four = bytes("10.10.0.2".parse().expect("an address"));
        assert_eq!(four[..2], INET.to_ne_bytes());
        assert_eq!(four[2..8], [0, 0, 10, 10, 0, 2]);
        assert!(four[8..].iter().all(|byte| *byte == 0));
        let six = bytes("fd00::7".parse().expect("an address"));
        assert_eq!(six[..2], INET6.to_ne_bytes());
        assert_eq!((six[8], six[23]), (0xfd, 7));
    }
}
