//! Selection by the values of fields: `metadata.name=web,status.phase!=Running`.

use super::SelectorError;
use crate::describe;
use serde_json::Value;
use std::borrow::Cow;

/// A field selector: requirements that an object must all meet. The default selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FieldSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    path: String,
    equal: bool,
    value: String,
}

impl FieldSelector {
    /// Parses `path=value,path!=value`; `==` is `=`, and `\` escapes a comma, an equals sign or
    /// itself in a value. An empty text selects everything.
    ///
    /// # Errors
    /// When the text is no selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let requirements = split(text)
            .filter(|term| !term.trim().is_empty())
            .map(|term| Requirement::parse(term.trim()))
            .collect::<Result<_, _>>()
            .map_err(|message| SelectorError {
                selector: text.to_owned(),
                message,
            })?;
        Ok(Self { requirements })
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// The value that `path` must have, when the selector names one: a list by `metadata.name` is a
    /// look-up.
    #[must_use]
    pub fn required_value(&self, path: &str) -> Option<&str> {
        self.requirements
            .iter()
            .find(|requirement| requirement.equal && requirement.path == path)
            .map(|requirement| requirement.value.as_str())
    }

    /// The paths that the selector looks at.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.requirements
            .iter()
            .map(|requirement| requirement.path.as_str())
    }

    /// Whether `object` meets every requirement; an absent field has the empty value.
    #[must_use]
    pub fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            (value_at(object, &requirement.path) == requirement.value) == requirement.equal
        })
    }
}

impl Requirement {
    fn parse(term: &str) -> Result<Self, String> {
        let malformed = || {
            format!(
                "found {}, allowed: path=value or path!=value, such as status.phase=Running",
                describe::text(term)
            )
        };
        let (path, rest) = term.split_once('=').ok_or_else(malformed)?;
        let (path, equal) = match path.strip_suffix('!') {
            Some(path) => (path, false),
            None => (path, true),
        };
        let value = if equal {
            rest.strip_prefix('=').unwrap_or(rest)
        } else {
            rest
        };
        let path = path.trim();
        if path.is_empty() || path.split('.').any(str::is_empty) {
            return Err(malformed());
        }
        Ok(Self {
            path: path.to_owned(),
            equal,
            value: unescape(value.trim()).ok_or_else(malformed)?,
        })
    }
}

/// Splits at commas that no `\` precedes.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut escaped = false;
    text.split(move |c| {
        let separates = c == ',' && !escaped;
        escaped = c == '\\' && !escaped;
        separates
    })
}

fn unescape(value: &str) -> Option<String> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.push(
                characters
                    .next()
                    .filter(|c| matches!(c, '\\' | ',' | '='))?,
            ),
            '=' => return None,
            other => plain.push(other),
        }
    }
    Some(plain)
}

fn value_at<'a>(object: &'a Value, path: &str) -> Cow<'a, str> {
    let value = path
        .split('.')
        .try_fold(object, |value, name| value.get(name));
    match value {
        None | Some(Value::Null) => Cow::Borrowed(""),
        Some(Value::String(text)) => Cow::Borrowed(text),
        Some(other) => Cow::Owned(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(selector: &str) -> bool {
        let object = json!({
            "metadata": {"name": "web"},
            "spec": {"cpus": 2, "note": "a,b=c\\d", "on": true},
        });
        FieldSelector::parse(selector)
            .expect(selector)
            .matches(&object)
    }

    /// "Field Selectors" of the Kubernetes documentation: operators and chaining.
    #[test]
    fn all_requirements_must_be_met() {
        assert!(selects(""));
        assert!(selects("metadata.name=web"));
        assert!(selects("metadata.name==web,spec.cpus=2,spec.on=true"));
        assert!(selects("metadata.name!=db, spec.cpus != 3"));
        assert!(!selects("metadata.name=web,spec.cpus!=2"));
    }

    #[test]
    fn an_absent_field_has_the_empty_value() {
        assert!(selects("status.phase="));
        assert!(selects("status.phase!=Running"));
        assert!(!selects("status.phase=Running"));
    }

    #[test]
    fn separators_in_values_are_escaped() {
        assert!(selects(r"spec.note=a\,b\=c\\d"));
        for wrong in [r"spec.note=a\b", "spec.note=a=b", r"spec.note=a\"] {
            assert!(FieldSelector::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_value_a_path_must_have_is_known_without_looking_at_objects() {
        let selector = FieldSelector::parse("metadata.name=web,spec.x!=1").expect("a selector");
        assert_eq!(selector.required_value("metadata.name"), Some("web"));
        assert_eq!(selector.required_value("spec.x"), None);
        assert_eq!(
            selector.paths().collect::<Vec<_>>(),
            ["metadata.name", "spec.x"]
        );
    }

    #[test]
    fn what_is_no_selector_is_refused() {
        for text in ["metadata.name", "=web", "a..b=c", "!=x", "a in (b)"] {
            let error = FieldSelector::parse(text).expect_err(text);
            assert!(error.to_string().contains("allowed: path=value"), "{error}");
        }
    }
}
