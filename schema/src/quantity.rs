//! Kubernetes resource quantities: `2Gi`, `500m`, `1.5`, `1e3`.
//!
//! Amounts are exact: memory and disk sizes are compared and added, and a rounding error would
//! admit what does not fit. They are held in billionths, the finest part that Kubernetes knows.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// Why a text is no quantity. A retry with the same text fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "found {text:?}, allowed: a quantity such as 2Gi, 500M, 1.5 or 250m, at most 9223372036854775807"
)]
pub struct QuantityError {
    /// The text as given.
    pub text: String,
}

const NANOS: i128 = 1_000_000_000;
const LARGEST: i128 = i64::MAX as i128 * NANOS;

const BINARY: [(&str, u32); 6] = [
    ("Ei", 60),
    ("Pi", 50),
    ("Ti", 40),
    ("Gi", 30),
    ("Mi", 20),
    ("Ki", 10),
];
const DECIMAL: [(&str, i32); 9] = [
    ("E", 18),
    ("P", 15),
    ("T", 12),
    ("G", 9),
    ("M", 6),
    ("k", 3),
    ("m", -3),
    ("u", -6),
    ("n", -9),
];

/// An exact amount. Two quantities are equal when their amounts are, however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Quantity {
    nanos: i128,
}

impl Quantity {
    /// The whole number `value`.
    #[must_use]
    pub fn from_integer(value: i64) -> Self {
        Self {
            nanos: i128::from(value) * NANOS,
        }
    }

    /// The amount as a whole number, rounded up in magnitude as Kubernetes' `Value()` does.
    #[must_use]
    pub fn value(self) -> i64 {
        let whole = self.nanos / NANOS;
        let rounded = whole + (self.nanos % NANOS).signum();
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    /// The amount as a whole number, when it is one and not negative: a size in bytes.
    #[must_use]
    pub fn as_u64(self) -> Option<u64> {
        (self.nanos % NANOS == 0)
            .then(|| u64::try_from(self.nanos / NANOS).ok())
            .flatten()
    }

    /// Less than, equal to or greater than nought.
    #[must_use]
    pub fn sign(self) -> Ordering {
        self.nanos.cmp(&0)
    }

    /// The sum, unless it is too large.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        let nanos = self.nanos.checked_add(other.nanos)?;
        (nanos.abs() <= LARGEST).then_some(Self { nanos })
    }

    /// The difference, unless it is too large.
    #[must_use]
    pub fn checked_sub(self, other: Self) -> Option<Self> {
        self.checked_add(Self {
            nanos: -other.nanos,
        })
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, QuantityError> {
        parse(text).ok_or_else(|| QuantityError {
            text: text.chars().take(64).collect(),
        })
    }
}

impl fmt::Display for Quantity {
    /// Writes a whole multiple of 1024 with a binary suffix and anything else with a decimal one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = self.nanos;
        if nanos == 0 {
            return f.write_str("0");
        }
        for (suffix, shift) in BINARY {
            let unit = (1_i128 << shift) * NANOS;
            if nanos % unit == 0 {
                return write!(f, "{}{suffix}", nanos / unit);
            }
        }
        if nanos % (1000 * NANOS) != 0 && nanos % NANOS == 0 {
            return write!(f, "{}", nanos / NANOS);
        }
        for (suffix, power) in DECIMAL {
            let unit = 10_i128.pow((power + 9).unsigned_abs());
            if nanos % unit == 0 {
                return write!(f, "{}{suffix}", nanos / unit);
            }
        }
        write!(f, "{nanos}n")
    }
}

fn parse(text: &str) -> Option<Quantity> {
    let (negative, unsigned) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let number_end = unsigned
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(unsigned.len());
    let (number, suffix) = unsigned.split_at(number_end);
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') {
        return None;
    }
    let scale = Scale::parse(suffix)?;
    let nanos = scale.apply(whole, fraction)?;
    Some(Quantity {
        nanos: if negative { -nanos } else { nanos },
    })
}

/// What a suffix multiplies by: 2^`shift` × 10^`power`.
struct Scale {
    shift: u32,
    power: i32,
}

impl Scale {
    fn parse(suffix: &str) -> Option<Self> {
        if suffix.is_empty() {
            return Some(Self { shift: 0, power: 0 });
        }
        if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
            return Some(Self {
                shift: *shift,
                power: 0,
            });
        }
        if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
            return Some(Self {
                shift: 0,
                power: *power,
            });
        }
        let exponent = suffix.strip_prefix(['e', 'E'])?;
        let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if digits.is_empty() || digits.len() > 4 || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        Some(Self {
            shift: 0,
            power: exponent.parse().ok()?,
        })
    }

    /// `whole.fraction` times the scale, in billionths. Parts finer than a billionth round up, as
    /// Kubernetes rounds them: something asked for never becomes nothing.
    fn apply(&self, whole: &str, fraction: &str) -> Option<i128> {
        let whole = whole.trim_start_matches('0');
        let fraction = fraction.trim_end_matches('0');
        // The largest quantity has 28 digits in billionths, and an i128 holds 37: what has more
        // before the point is too large, what follows the 37th in all, or the 18th after the
        // point, only rounds.
        if whole.len() > 28 {
            return None;
        }
        let exact = 18.min(37 - whole.len()).min(fraction.len());
        let (fraction, rest) = fraction.split_at(exact);
        let mut rounded = !rest.is_empty();
        let mut mantissa: i128 = 0;
        for digit in whole.bytes().chain(fraction.bytes()) {
            mantissa = mantissa
                .checked_mul(10)?
                .checked_add(i128::from(digit - b'0'))?;
        }
        if mantissa == 0 && !rounded {
            return Some(0);
        }
        let power = self.power + 9 - i32::try_from(fraction.len()).ok()?;
        let mut nanos = mantissa;
        if power >= 0 {
            nanos = nanos.checked_mul(10_i128.checked_pow(power.unsigned_abs())?)?;
            nanos = nanos.checked_mul(1 << self.shift)?;
        } else {
            // Take the powers of two first and the remainder last, so that nothing is lost.
            nanos = nanos.checked_mul(1 << self.shift)?;
            let divisor = 10_i128.checked_pow(power.unsigned_abs());
            let (quotient, remainder) = match divisor {
                Some(divisor) => (nanos / divisor, nanos % divisor),
                None => (0, nanos),
            };
            rounded |= remainder != 0;
            nanos = quotient;
        }
        if rounded {
            nanos = nanos.checked_add(1)?;
        }
        (nanos <= LARGEST).then_some(nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> i128 {
        text.parse::<Quantity>().expect(text).nanos
    }

    #[test]
    fn quantities_of_kubernetes_are_read_exactly() {
        for (text, expected) in [
            ("0", 0),
            ("1", NANOS),
            ("-1", -NANOS),
            ("+2", 2 * NANOS),
            ("2Ki", 2048 * NANOS),
            ("2Gi", (2 << 30) * NANOS),
            ("1.5Gi", (3 << 29) * NANOS),
            ("1Ei", (1 << 60) * NANOS),
            ("500m", NANOS / 2),
            ("1n", 1),
            ("1u", 1_000),
            ("5k", 5_000 * NANOS),
            ("5M", 5_000_000 * NANOS),
            ("1E", 10_i128.pow(18) * NANOS),
            ("1E3", 1_000 * NANOS),
            ("1e-3", NANOS / 1_000),
            ("1.", NANOS),
            (".5", NANOS / 2),
            ("0.3", 300_000_000),
            ("9223372036854775807", LARGEST),
        ] {
            assert_eq!(nanos(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_finer_than_a_billionth_rounds_up() {
        assert_eq!(nanos("0.1n"), 1);
        assert_eq!(nanos("1.0000000001"), NANOS + 1);
        assert_eq!(nanos("1e-30"), 1);
    }

    #[test]
    fn what_is_no_quantity_is_refused_with_examples() {
        for text in [
            "",
            "Gi",
            "2 GB",
            "2GB",
            "1.2.3",
            "0x10",
            "1e",
            "1e+",
            "--1",
            "١",
            "1KI",
            "1Kib",
            ".",
            "9223372036854775808",
            "8Ei",
            "1e99999",
            "1e30",
        ] {
            let error = text.parse::<Quantity>().expect_err(text);
            assert!(error.to_string().contains("such as 2Gi"), "{error}");
        }
    }

    #[test]
    fn amounts_compare_however_they_are_written() {
        let one: Quantity = "1Gi".parse().expect("a quantity");
        let same: Quantity = "1024Mi".parse().expect("a quantity");
        let less: Quantity = "1G".parse().expect("a quantity");
        assert_eq!(one, same);
        assert!(less < one);
        assert_eq!(one.as_u64(), Some(1 << 30));
        assert_eq!("500m".parse::<Quantity>().expect("a quantity").value(), 1);
        assert_eq!(
            "500m".parse::<Quantity>().expect("a quantity").as_u64(),
            None
        );
    }

    #[test]
    fn what_is_written_reads_back_as_the_same_amount() {
        for (text, written) in [
            ("0", "0"),
            ("2048Mi", "2Gi"),
            ("1000", "1k"),
            ("1500", "1500"),
            ("1.5", "1500m"),
            ("-2Ki", "-2Ki"),
            ("3n", "3n"),
            ("7", "7"),
        ] {
            let quantity: Quantity = text.parse().expect(text);
            assert_eq!(quantity.to_string(), written);
            assert_eq!(written.parse(), Ok(quantity));
        }
    }
}
