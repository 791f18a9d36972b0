//! How a field is called in a rule when its name is no CEL identifier.
//!
//! kube-apiserver's escapes: `__dot__`, `__dash__`, `__slash__`, `__underscores__` (for `__`), and
//! `__namespace__` and the like for the words that CEL reserves.

const ESCAPES: [(&str, &str); 4] = [
    ("__underscores__", "__"),
    ("__dot__", "."),
    ("__dash__", "-"),
    ("__slash__", "/"),
];

const RESERVED: [&str; 19] = [
    "true",
    "false",
    "null",
    "in",
    "as",
    "break",
    "const",
    "continue",
    "else",
    "for",
    "function",
    "if",
    "import",
    "let",
    "loop",
    "package",
    "namespace",
    "return",
    "var",
];

/// The field that a rule means by `identifier`, or nothing when no field has that name in rules.
pub(super) fn field(identifier: &str) -> Option<String> {
    if RESERVED.contains(&identifier) {
        return None;
    }
    if let Some(word) = identifier
        .strip_prefix("__")
        .and_then(|rest| rest.strip_suffix("__"))
        && RESERVED.contains(&word)
    {
        return Some(word.to_owned());
    }
    let mut name = String::with_capacity(identifier.len());
    let mut rest = identifier;
    while let Some(character) = rest.chars().next() {
        if let Some((escape, plain)) = ESCAPES.iter().find(|(escape, _)| rest.starts_with(escape)) {
            name += plain;
            rest = &rest[escape.len()..];
        } else if rest.starts_with("__") {
            return None;
        } else {
            name.push(character);
            rest = &rest[character.len_utf8()..];
        }
    }
    Some(name)
}

/// How a rule names the field `name`, for messages.
pub(super) fn identifier(name: &str) -> String {
    if RESERVED.contains(&name) {
        return format!("__{name}__");
    }
    let mut identifier = name.replace("__", "__underscores__");
    for (escape, plain) in &ESCAPES[1..] {
        identifier = identifier.replace(plain, escape);
    }
    identifier
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table in "Validation rules" of the Kubernetes documentation.
    #[test]
    fn escaped_identifiers_name_the_fields_that_kubernetes_means() {
        for (identifier, name) in [
            ("foo", "foo"),
            ("__namespace__", "namespace"),
            ("x__dash__prop", "x-prop"),
            ("redact__underscores__d", "redact__d"),
            ("string", "string"),
            ("a__dot__b__slash__c", "a.b/c"),
            ("_a_", "_a_"),
        ] {
            assert_eq!(field(identifier).as_deref(), Some(name));
            assert_eq!(super::identifier(name), identifier);
        }
        for identifier in ["namespace", "a__b", "__x__"] {
            assert_eq!(field(identifier), None, "{identifier}");
        }
    }
}
