//! The syntax of names, labels and annotations, which is Kubernetes' own.

/// The longest name of an object.
pub const MAX_SUBDOMAIN: usize = 253;
/// The longest part of a name between dots, and the longest name and value of a label.
pub const MAX_LABEL: usize = 63;

/// Whether `text` is an RFC 1123 label: lower case letters, digits and `-` inside, 63 at most.
#[must_use]
pub fn is_label(text: &str) -> bool {
    (1..=MAX_LABEL).contains(&text.len())
        && text.bytes().all(|b| is_lower_alphanumeric(b) || b == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Whether `text` is an RFC 1123 subdomain: labels joined with dots, 253 characters at most.
#[must_use]
pub fn is_subdomain(text: &str) -> bool {
    text.len() <= MAX_SUBDOMAIN
        && text.split('.').all(|part| {
            // Only the whole name is limited in Kubernetes, its parts are not.
            !part.is_empty()
                && part.bytes().all(|b| is_lower_alphanumeric(b) || b == b'-')
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
}

/// Checks the name of an object.
///
/// # Errors
/// What was found and what is allowed.
pub fn check_name(text: &str) -> Result<(), String> {
    if is_subdomain(text) {
        return Ok(());
    }
    Err(format!(
        "found {}, allowed: lower case letters, digits, '-' and '.', starting and ending with a letter or digit, at most {MAX_SUBDOMAIN} characters, such as node1 or web.example.org",
        crate::describe::text(text)
    ))
}

/// Checks the key of a label or annotation, or the name of a finalizer: `name` or `prefix/name`.
///
/// # Errors
/// What was found and what is allowed.
pub fn check_qualified_name(text: &str) -> Result<(), String> {
    let (prefix, name) = match text.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, text),
    };
    if prefix.is_none_or(is_subdomain) && is_label_text(name) {
        return Ok(());
    }
    Err(format!(
        "found key {}, allowed: letters, digits, '-', '_' and '.', starting and ending with a letter or digit, at most {MAX_LABEL} characters, optionally after a DNS name and '/', such as tier or example.org/tier",
        crate::describe::text(text)
    ))
}

/// Checks the value of a label.
///
/// # Errors
/// What was found and what is allowed.
pub fn check_label_value(text: &str) -> Result<(), String> {
    if text.is_empty() || is_label_text(text) {
        return Ok(());
    }
    Err(format!(
        "found {}, allowed: nothing, or letters, digits, '-', '_' and '.', starting and ending with a letter or digit, at most {MAX_LABEL} characters",
        crate::describe::text(text)
    ))
}

fn is_label_text(text: &str) -> bool {
    let bytes = text.as_bytes();
    (1..=MAX_LABEL).contains(&bytes.len())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
}

fn is_lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn object_names_are_those_of_kubernetes() {
        for name in ["a", "node1", "web-1.example.org", "1a", &"a".repeat(253)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in [
            "",
            "A",
            "-a",
            "a-",
            "a..b",
            ".a",
            "a_b",
            "a/b",
            "ä",
            "a b",
            &"a".repeat(254),
        ] {
            let message = check_name(name).expect_err(name);
            assert!(message.contains("allowed: lower case"), "{message}");
        }
    }

    #[test]
    fn label_keys_and_values_are_those_of_kubernetes() {
        for key in ["app", "App_1.x", "example.org/tier", &"a".repeat(63)] {
            assert_eq!(check_qualified_name(key), Ok(()), "{key}");
        }
        for key in [
            "",
            "/app",
            "example.org/",
            "a/b/c",
            "-a",
            "EX.org/a",
            "a b",
            &"a".repeat(64),
        ] {
            assert!(check_qualified_name(key).is_err(), "{key}");
        }
        for value in ["", "web", "1.2_x-Y"] {
            assert_eq!(check_label_value(value), Ok(()), "{value}");
        }
        for value in ["-", "a b", "ä", "a/b", &"a".repeat(64)] {
            assert!(check_label_value(value).is_err(), "{value}");
        }
    }
}
