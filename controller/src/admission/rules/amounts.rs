//! Amounts, read and written as people do in manifests and messages.

use quorate_crds::Size;

const UNITS: [(u64, &str); 4] = [
    (1 << 40, "TiB"),
    (1 << 30, "GiB"),
    (1 << 20, "MiB"),
    (1 << 10, "KiB"),
];

/// How many bytes; none for what cannot be read.
pub(super) fn bytes(size: &Size) -> u64 {
    let quantity = size.parse().ok();
    quantity.and_then(|quantity| quantity.as_u64()).unwrap_or(0)
}

/// `12 GiB`, `1.5 GiB`, `512 MiB`; never more than there is.
pub(super) fn words(bytes: u64) -> String {
    for (unit, name) in UNITS {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return match tenths % 10 {
                0 => format!("{} {name}", tenths / 10),
                rest => format!("{}.{rest} {name}", tenths / 10),
            };
        }
    }
    format!("{bytes} B")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_written_in_the_largest_unit_that_fits() {
        assert_eq!(words(bytes(&Size::from("1536Mi"))), "1.5 GiB");
        assert_eq!(words(u64::MAX), "16777215.9 TiB");
        assert_eq!(words(0), "0 B");
    }
}
