//! Durations as Go writes them: `10s`, `1m30s`, `250ms`.
//!
//! Kubernetes fields hold durations in this form; `1m30s` is easier to read and to check than a
//! bare number whose unit stands elsewhere.

use std::time::Duration;

/// Why a text is no duration. A retry with the same text fails again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("found {text:?}, allowed: a duration such as 250ms, 10s, 1m30s or 2h")]
pub struct DurationError {
    /// The text as given.
    pub text: String,
}

/// The units from long to short, with their nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("h", 3_600_000_000_000),
    ("ms", 1_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("us", 1_000),
    ("µs", 1_000),
    ("ns", 1),
];

/// The longest duration, which is Go's: 2⁶³−1 nanoseconds, 292 years.
const LONGEST: u128 = i64::MAX as u128;

/// Parses a duration that is not negative.
///
/// # Errors
/// When the text is not a sequence of numbers with units, or is longer than 292 years.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    nanoseconds(text)
        .and_then(|total| u64::try_from(total).ok())
        .map(Duration::from_nanos)
        .ok_or_else(|| DurationError {
            text: text.to_owned(),
        })
}

fn nanoseconds(text: &str) -> Option<u128> {
    if text == "0" {
        return Some(0);
    }
    let mut rest = text;
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let whole_end = digits(rest);
        let (whole, tail) = rest.split_at(whole_end);
        let (fraction, tail) = match tail.strip_prefix('.') {
            Some(tail) => tail.split_at(digits(tail)),
            None => ("", tail),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let (unit, size) = UNITS.iter().find(|(unit, _)| tail.starts_with(unit))?;
        rest = &tail[unit.len()..];
        let whole: u128 = if whole.is_empty() {
            0
        } else {
            whole.parse().ok()?
        };
        total = total
            .checked_add(whole.checked_mul(*size)?)?
            .checked_add(part_of(*size, fraction))?;
        if total > LONGEST {
            return None;
        }
    }
    (!text.is_empty()).then_some(total)
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// `0.fraction` of `size` nanoseconds, rounded down. No unit has more than 18 digits' worth of them.
fn part_of(size: u128, fraction: &str) -> u128 {
    let mut numerator = 0;
    let mut denominator = 1;
    for digit in fraction.bytes().take(18) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    size * numerator / denominator
}

/// Writes a duration as [`parse`] reads it: `1m30s`, `1.5s`, `250ms`, `0s`.
#[must_use]
pub fn format(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds == 0 {
        return match duration.subsec_nanos() {
            0 => "0s".to_owned(),
            nanos if nanos % 1_000_000 == 0 => format!("{}ms", nanos / 1_000_000),
            nanos if nanos % 1_000 == 0 => format!("{}us", nanos / 1_000),
            nanos => format!("{nanos}ns"),
        };
    }
    let mut text = String::new();
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    if hours > 0 {
        text += &format!("{hours}h");
    }
    if minutes > 0 {
        text += &format!("{minutes}m");
    }
    match (seconds % 60, duration.subsec_nanos()) {
        (0, 0) => {}
        (rest, 0) => text += &format!("{rest}s"),
        (rest, nanos) => {
            let fraction = format!("{nanos:09}");
            text += &format!("{rest}.{}s", fraction.trim_end_matches('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, nanos) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000_000_000),
            ("1m30s", 90_000_000_000),
            ("1h", 3_600_000_000_000),
            ("250ms", 250_000_000),
            ("1.5s", 1_500_000_000),
            (".5m", 30_000_000_000),
            ("1us2ns", 1_002),
            ("3µs", 3_000),
            ("1.0000000001s", 1_000_000_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
    }

    #[test]
    fn what_has_no_unit_no_number_or_no_end_is_refused() {
        for text in [
            "",
            "10",
            "s",
            "1x",
            "-1s",
            "1 s",
            "1.s.",
            ".s",
            "1s ",
            "9999999999h",
            "10S",
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.to_string().contains("allowed: a duration"));
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        for text in [
            "0s",
            "1m30s",
            "1.5s",
            "250ms",
            "1h",
            "25h1m1.000000001s",
            "7us",
            "9ns",
        ] {
            assert_eq!(format(parse(text).expect(text)), text);
        }
    }
}
