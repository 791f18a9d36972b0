//! Reading option values that several commands share.

use std::time::Duration;

const LONGEST: Duration = Duration::from_secs(36_500 * 86_400);

/// `30`, `30s`, `5m`, `1h30m`, `2d`: a time. A bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is not a time; write it like 30s, 5m or 1h30m");
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|next: char| !next.is_ascii_digit())
            .unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = rest
            .find(|next: char| next.is_ascii_digit())
            .unwrap_or(rest.len());
        let part = match &rest[..unit] {
            "ms" => Some(Duration::from_millis(number)),
            "" | "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            "d" => number.checked_mul(86_400).map(Duration::from_secs),
            _ => None,
        };
        rest = &rest[unit..];
        total = part
            .and_then(|part| total.checked_add(part))
            .ok_or_else(wrong)?;
    }
    // A clock cannot be set to the end of a much longer time.
    if total > LONGEST {
        return Err(format!(
            "{text:?} is too long a time; at most 36500d are allowed"
        ));
    }
    Ok(total)
}

/// What `key=value` or `key-` asks of a label or an annotation.
pub(crate) fn change(text: &str) -> Result<(String, Option<String>), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), Some(value.to_owned()))),
        None if text.len() > 1 && text.ends_with('-') => {
            Ok((text[..text.len() - 1].to_owned(), None))
        }
        _ => Err(format!(
            "{text:?} is neither KEY=VALUE, which sets, nor KEY-, which removes"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_units() {
        assert_eq!(duration("90"), Ok(Duration::from_secs(90)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5400)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        duration("18446744073709551615").expect_err("longer than clocks go");
        for wrong in [
            "",
            "soon",
            "5 m",
            "-1s",
            "99999999999999999999s",
            "999999999999999999h",
        ] {
            assert!(
                duration(wrong)
                    .expect_err("not a time")
                    .contains("like 30s"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_change_sets_or_removes() {
        assert_eq!(change("app=web"), Ok(("app".into(), Some("web".into()))));
        assert_eq!(change("app="), Ok(("app".into(), Some(String::new()))));
        assert_eq!(change("app-"), Ok(("app".into(), None)));
        assert!(change("app").is_err() && change("=web").is_err() && change("-").is_err());
    }
}
