//! The formats of strings and numbers.
//!
//! kube-apiserver checks the formats it knows and ignores the rest; so do we, and we know two more,
//! `quantity` and `duration` in Go's notation, with the kinds adding a pattern for its sake.

use crate::{duration, names, quantity::Quantity};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A `format` that is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Date and time of RFC 3339.
    DateTime,
    /// Date of RFC 3339.
    Date,
    /// A span of time as Go writes it.
    Duration,
    /// A resource quantity.
    Quantity,
    /// An IPv4 address.
    Ipv4,
    /// An IPv6 address.
    Ipv6,
    /// An IP address of either family.
    Ip,
    /// An IP network with its prefix length.
    Cidr,
    /// A MAC address.
    Mac,
    /// A UUID.
    Uuid,
    /// Base64 of RFC 4648 with padding.
    Byte,
    /// A host name of RFC 1123.
    Hostname,
    /// A URI with a scheme.
    Uri,
    /// A mail address.
    Email,
    /// A 32-bit integer.
    Int32,
    /// A 64-bit integer.
    Int64,
}

impl Format {
    /// The format called `name`, when it is one that is checked.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "date-time" | "datetime" => Self::DateTime,
            "date" => Self::Date,
            "duration" => Self::Duration,
            "quantity" => Self::Quantity,
            "ipv4" => Self::Ipv4,
            "ipv6" => Self::Ipv6,
            "ip" => Self::Ip,
            "cidr" => Self::Cidr,
            "mac" => Self::Mac,
            "uuid" => Self::Uuid,
            "byte" => Self::Byte,
            "hostname" => Self::Hostname,
            "uri" => Self::Uri,
            "email" => Self::Email,
            "int32" => Self::Int32,
            "int64" => Self::Int64,
            _ => return None,
        })
    }

    /// What is allowed, for messages and for `explain`.
    #[must_use]
    pub fn allowed(self) -> &'static str {
        match self {
            Self::DateTime => "a time such as 2030-01-31T12:00:00Z",
            Self::Date => "a date such as 2030-01-31",
            Self::Duration => "a duration such as 250ms, 10s, 1m30s or 2h",
            Self::Quantity => "a quantity such as 2Gi, 500M, 1.5 or 250m",
            Self::Ipv4 => "an IPv4 address such as 10.20.0.1",
            Self::Ipv6 => "an IPv6 address such as fd00::1",
            Self::Ip => "an IP address such as 10.20.0.1 or fd00::1",
            Self::Cidr => "a network such as 10.20.0.0/16 or fd00::/64",
            Self::Mac => "a MAC address such as 52:54:00:12:34:56",
            Self::Uuid => "a UUID such as 123e4567-e89b-42d3-a456-426614174000",
            Self::Byte => "base64 with padding",
            Self::Hostname => "a host name such as node1.example.org",
            Self::Uri => "a URI such as https://example.org/",
            Self::Email => "a mail address such as admin@example.org",
            Self::Int32 => "a whole number from -2147483648 to 2147483647",
            Self::Int64 => "a whole number from -9223372036854775808 to 9223372036854775807",
        }
    }

    /// Whether `text` has this format. Number formats say nothing about texts.
    #[must_use]
    pub fn accepts_text(self, text: &str) -> bool {
        match self {
            Self::DateTime => is_date_time(text),
            Self::Date => text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok(),
            Self::Duration => duration::parse(text).is_ok(),
            Self::Quantity => text.parse::<Quantity>().is_ok(),
            Self::Ipv4 => text.parse::<Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<Ipv6Addr>().is_ok(),
            Self::Ip => text.parse::<IpAddr>().is_ok(),
            Self::Cidr => is_cidr(text),
            Self::Mac => is_mac(text),
            Self::Uuid => is_uuid(text),
            Self::Byte => is_base64(text),
            Self::Hostname => names::is_subdomain(&text.to_ascii_lowercase()),
            Self::Uri => is_uri(text),
            Self::Email => is_email(text),
            Self::Int32 | Self::Int64 => true,
        }
    }

    /// Whether the whole number `number` has this format. Text formats say nothing about numbers.
    #[must_use]
    pub fn accepts_integer(self, number: i64) -> bool {
        self != Self::Int32 || i32::try_from(number).is_ok()
    }
}

fn is_date_time(text: &str) -> bool {
    let bytes = text.as_bytes();
    // jiff reads more than RFC 3339 allows: a space for the T, hours without minutes in the offset.
    bytes.len() >= 20
        && matches!(bytes[10], b'T' | b't')
        && bytes[16] == b':'
        && (text.ends_with(['Z', 'z'])
            || (bytes[bytes.len() - 3] == b':' && matches!(bytes[bytes.len() - 6], b'+' | b'-')))
        && text.parse::<jiff::Timestamp>().is_ok()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else {
        return false;
    };
    let longest = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    let canonical = length == "0" || !length.starts_with(['0', '+']);
    canonical && length.parse::<u8>().is_ok_and(|length| length <= longest)
}

fn is_mac(text: &str) -> bool {
    let separator = if text.contains('-') { '-' } else { ':' };
    let mut groups = 0;
    let well_formed = text.split(separator).all(|group| {
        groups += 1;
        group.len() == 2 && group.bytes().all(|b| b.is_ascii_hexdigit())
    });
    well_formed && groups == 6
}

fn is_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn is_base64(text: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .is_ok()
}

fn is_uri(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'))
        && !rest.is_empty()
        && !text
            .contains(|c: char| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>' | '"'))
}

fn is_email(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| {
        !local.is_empty()
            && !local.contains(|c: char| c.is_whitespace() || c.is_control() || c == '@')
            && names::is_subdomain(&domain.to_ascii_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_format_accepts_its_own_example_and_refuses_its_neighbours() {
        for (format, good, bad) in [
            (
                Format::DateTime,
                vec!["2030-01-31T12:00:00Z", "2030-01-31T12:00:00.5+02:00"],
                vec![
                    "2030-01-31",
                    "2030-01-31 12:00:00Z",
                    "2030-02-31T12:00:00Z",
                    "2030-01-31T12:00:00",
                ],
            ),
            (
                Format::Date,
                vec!["2030-01-31"],
                vec!["2030-02-31", "20300131", "31.1.2030"],
            ),
            (Format::Duration, vec!["1m30s"], vec!["90", "-1s"]),
            (Format::Quantity, vec!["2Gi"], vec!["2 GB"]),
            (
                Format::Ipv4,
                vec!["10.20.0.1"],
                vec!["10.20.0.256", "10.020.0.1", "fd00::1"],
            ),
            (Format::Ipv6, vec!["fd00::1"], vec!["10.20.0.1", "fd00:::1"]),
            (Format::Ip, vec!["fd00::1", "10.0.0.1"], vec!["localhost"]),
            (
                Format::Cidr,
                vec!["10.20.0.0/16", "fd00::/64", "0.0.0.0/0"],
                vec!["10.20.0.0", "10.20.0.0/33", "10.0.0.0/08", "10.0.0.0/+8"],
            ),
            (
                Format::Mac,
                vec!["52:54:00:12:34:56", "52-54-00-AB-34-56"],
                vec!["52:54:00:12:34", "5254.0012.3456", "52:54-00:12:34:56"],
            ),
            (
                Format::Uuid,
                vec!["123e4567-e89b-42d3-a456-426614174000"],
                vec!["123e4567e89b42d3a456426614174000", ""],
            ),
            (Format::Byte, vec!["", "aGk="], vec!["aGk", "a b="]),
            (
                Format::Hostname,
                vec!["node1.example.org", "N1"],
                vec!["node_1", "-a", "a..b", ""],
            ),
            (
                Format::Uri,
                vec!["https://example.org/", "urn:x"],
                vec!["example.org", "1:x", "http://a b"],
            ),
            (
                Format::Email,
                vec!["admin@example.org"],
                vec!["admin", "a b@example.org", "@example.org"],
            ),
        ] {
            for text in good {
                assert!(format.accepts_text(text), "{format:?} {text}");
            }
            for text in bad {
                assert!(!format.accepts_text(text), "{format:?} {text}");
            }
        }
    }

    #[test]
    fn int32_is_narrower_than_int64() {
        assert!(!Format::Int32.accepts_integer(1 << 31));
        assert!(Format::Int64.accepts_integer(1 << 31));
    }
}
