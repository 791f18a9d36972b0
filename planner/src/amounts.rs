//! Bytes and times as numbers, and back into words.
//!
//! Manifests were validated before they were stored. Should a value still not be readable, it is
//! taken as zero: no room that does not exist is ever promised on its account.

use jiff::{SignedDuration, Timestamp};
use quorate_crds::{Duration, Size, Time};

const UNITS: [(u64, &str); 4] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
];

pub(crate) fn bytes(size: &Size) -> u64 {
    size.parse()
        .ok()
        .and_then(|quantity| quantity.as_u64())
        .unwrap_or(0)
}

pub(crate) fn maybe_bytes(size: Option<&Size>) -> u64 {
    size.map_or(0, bytes)
}

/// `12 GiB`, `1.5 GiB`, `512 MiB`.
pub(crate) fn words(bytes: u64) -> String {
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = bytes.saturating_mul(10) / unit;
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                rest => format!("{}.{rest} {name}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

/// Thousandths as `12%` or `12.5%`.
pub(crate) fn percent(permille: u64) -> String {
    match permille % 10 {
        0 => format!("{}%", permille / 10),
        rest => format!("{}.{rest}%", permille / 10),
    }
}

pub(crate) fn span(duration: &Duration) -> SignedDuration {
    duration
        .parse()
        .ok()
        .and_then(|span| SignedDuration::try_from(span).ok())
        .unwrap_or(SignedDuration::ZERO)
}

pub(crate) fn moment(time: Option<&Time>) -> Option<Timestamp> {
    time.and_then(|time| time.parse().ok())
}

/// `moment` + `span`, or the end of time.
pub(crate) fn later(moment: Timestamp, span: SignedDuration) -> Timestamp {
    moment.checked_add(span).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_the_largest_unit_that_fits() {
        assert_eq!(words(0), "0 B");
        assert_eq!(words(512 << 20), "512 MiB");
        assert_eq!(words(3 << 29), "1.5 GiB");
        assert_eq!(words(bytes(&Size::from("12Gi"))), "12 GiB");
    }

    #[test]
    fn what_cannot_be_read_promises_nothing() {
        assert_eq!(bytes(&Size::from("plenty")), 0);
        assert_eq!(span(&Duration::from("soon")), SignedDuration::ZERO);
    }
}
