//! Times as people read them: `5m30s`, `2d4h`.

use jiff::Timestamp;

/// What stands in a cell whose value is absent.
pub(crate) const NONE: &str = "<none>";

/// The time since an RFC 3339 timestamp, or the text itself when it is none.
pub(crate) fn since(timestamp: &str, now: Timestamp) -> String {
    match timestamp.parse::<Timestamp>() {
        Ok(then) => short(now.as_second() - then.as_second()),
        Err(_) => timestamp.to_owned(),
    }
}

/// A span in at most two units, coarser the longer it is, as kubectl shows ages.
pub(crate) fn short(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let seconds = seconds.max(0);
    let two = |big: i64, big_unit: &str, small: i64, small_unit: &str| {
        let rest = seconds % big / small;
        if rest == 0 {
            format!("{}{big_unit}", seconds / big)
        } else {
            format!("{}{big_unit}{rest}{small_unit}", seconds / big)
        }
    };
    match seconds {
        _ if seconds < 2 * MINUTE => format!("{seconds}s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        _ if seconds < 3 * HOUR => format!("{}m", seconds / MINUTE),
        _ if seconds < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        _ if seconds < 2 * DAY => format!("{}h", seconds / HOUR),
        _ if seconds < 8 * DAY => two(DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => format!("{}d", seconds / DAY),
        _ if seconds < 8 * YEAR => two(YEAR, "y", DAY, "d"),
        _ => format!("{}y", seconds / YEAR),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_get_coarser_the_longer_they_are() {
        let shown = [
            0,
            119,
            120,
            605,
            3 * 3600 + 60,
            26 * 3600,
            50 * 3600,
            48 * 3600,
            30 * 86400,
            3 * 365 * 86400,
        ]
        .map(short);
        assert_eq!(
            shown,
            [
                "0s", "119s", "2m", "10m", "3h1m", "26h", "2d2h", "2d", "30d", "3y"
            ]
        );
    }

    #[test]
    fn a_clock_behind_the_cluster_shows_zero_and_nonsense_shows_itself() {
        let now = "2026-01-01T00:00:00Z".parse().expect("a timestamp");
        assert_eq!(since("2026-01-01T00:00:09Z", now), "0s");
        assert_eq!(since("2025-12-31T23:59:00Z", now), "60s");
        assert_eq!(since("yesterday", now), "yesterday");
    }
}
