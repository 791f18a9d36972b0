//! Regular expressions with the meaning that kube-apiserver's Go gives them.
//!
//! The syntax is the same, and both match in linear time. But `\d`, `\w`, `\s` and `\b` know ASCII
//! alone there and all of Unicode here, and a pattern must not accept more here than there.

use regex::{Regex, RegexBuilder};

/// The size of a compiled expression in bytes: `[a-z]{1,253}` takes a few thousand.
const MAX_SIZE: usize = 1 << 20;

/// A compiled `pattern`.
#[derive(Debug, Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    pub(crate) fn compile(text: &str) -> Result<Self, regex::Error> {
        let regex = RegexBuilder::new(&ascii(text))
            .size_limit(MAX_SIZE)
            .build()?;
        Ok(Self {
            text: text.to_owned(),
            regex,
        })
    }

    /// The expression as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether the expression matches somewhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }
}

/// The expression with its classes written out; the new brackets may stand inside others.
fn ascii(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        if character != '\\' {
            written.push(character);
            continue;
        }
        match characters.next() {
            Some('d') => written += "[0-9]",
            Some('D') => written += "[^0-9]",
            Some('w') => written += "[0-9A-Za-z_]",
            Some('W') => written += "[^0-9A-Za-z_]",
            Some('s') => written += r"[\t\n\x0C\r ]",
            Some('S') => written += r"[^\t\n\x0C\r ]",
            Some('b') => written += r"(?-u:\b)",
            Some(other) => written.extend(['\\', other]),
            None => written.push('\\'),
        }
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::compile(pattern).expect(pattern).is_match(text)
    }

    /// "Perl character classes (all ASCII-only)" of Go's regexp/syntax.
    #[test]
    fn classes_know_ascii_alone() {
        assert!(matches(r"^\d+$", "12") && !matches(r"^\d+$", "١٢"));
        assert!(matches(r"^[\d-]+$", "1-2") && !matches(r"^[\d-]+$", "١"));
        assert!(matches(r"^[^\d]$", "١") && !matches(r"^[^\d]$", "1"));
        assert!(matches(r"^\w\s\S$", "a b") && !matches(r"^\w$", "ä"));
        assert!(matches(r"\bab\b", "x ab y") && matches(r"^\\d$", r"\d"));
        assert!(matches(r"^.\D\W$", "ää-"));
    }

    #[test]
    fn what_is_no_expression_or_grows_too_large_is_refused() {
        for pattern in ["(", r"a\", "[", r"(?P<a>\d{1000}){1000}"] {
            assert!(Pattern::compile(pattern).is_err(), "{pattern}");
        }
        assert_eq!(Pattern::compile(r"\d").expect("a pattern").as_str(), r"\d");
    }
}
