use super::LinkName;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use thiserror::Error;

/// An address with the length of its subnet's prefix: `10.20.0.1/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address {
    /// The address.
    pub ip: IpAddr,
    /// The length of the prefix.
    pub prefix: u8,
}

impl Address {
    /// Whether that address lies in its subnet.
    #[must_use]
    pub fn reaches(&self, other: IpAddr) -> bool {
        match (self.ip, other) {
            (IpAddr::V4(own), IpAddr::V4(other)) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                shift == 32 || u32::from(own) >> shift == u32::from(other) >> shift
            }
            (IpAddr::V6(own), IpAddr::V6(other)) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                shift == 128 || u128::from(own) >> shift == u128::from(other) >> shift
            }
            _ => false,
        }
    }

    /// The first address of its subnet.
    #[must_use]
    pub fn base(&self) -> IpAddr {
        match self.ip {
            IpAddr::V4(own) => {
                let shift = 32_u32.saturating_sub(u32::from(self.prefix));
                let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
                IpAddr::from((u32::from(own) & mask).to_be_bytes())
            }
            IpAddr::V6(own) => {
                let shift = 128_u32.saturating_sub(u32::from(self.prefix));
                let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
                IpAddr::from((u128::from(own) & mask).to_be_bytes())
            }
        }
    }

    /// Whether both are of exactly the same subnet: the kernel removes one with the other then.
    #[must_use]
    pub fn same_subnet(&self, other: &Self) -> bool {
        self.prefix == other.prefix && self.reaches(other.ip)
    }
}

/// Not an address.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{0} is no address with a prefix, like 10.20.0.1/16")]
pub struct NoAddress(String);

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let wrong = || NoAddress(text.to_owned());
        let (ip, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let ip: IpAddr = ip.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        let longest = if ip.is_ipv4() { 32 } else { 128 };
        if prefix > longest {
            return Err(wrong());
        }
        Ok(Self { ip, prefix })
    }
}

impl TryFrom<String> for Address {
    type Error = NoAddress;

    fn try_from(text: String) -> Result<Self, NoAddress> {
        text.parse()
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.to_string()
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.ip, self.prefix)
    }
}

/// A way through a gateway.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Route {
    /// Where to; all zero with the prefix 0 is everywhere.
    pub to: Address,
    /// The gateway.
    pub via: IpAddr,
    /// The interface.
    pub link: LinkName,
    /// Of several the least is used.
    pub metric: u32,
    /// Whether we made it. The kernel keeps this as the route's protocol, 81.
    pub ours: bool,
}

impl Route {
    /// Whether one takes the place of the other.
    #[must_use]
    pub fn same_place(&self, other: &Self) -> bool {
        self.to == other.to && self.metric == other.metric
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_reaches_its_subnet() {
        let address: Address = "10.20.0.1/16".parse().expect("an address");
        assert!(address.reaches("10.20.255.7".parse().expect("an address")));
        assert!(!address.reaches("10.21.0.1".parse().expect("an address")));
        assert!(!address.reaches("fd00::1".parse().expect("an address")));
        let everywhere: Address = "0.0.0.0/0".parse().expect("an address");
        assert!(everywhere.reaches("1.2.3.4".parse().expect("an address")));
        for wrong in ["10.20.0.1", "10.20.0.1/33", "x/16", "fd00::/129"] {
            assert!(wrong.parse::<Address>().is_err(), "{wrong}");
        }
    }
}
