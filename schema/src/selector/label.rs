//! Selection by labels: `app=web,tier in (front,back),!canary`.

use super::SelectorError;
use crate::describe;
use crate::names;
use serde_json::{Map, Value};

/// Values in one requirement, and requirements in one selector, that are read.
const MOST: usize = 1000;

/// A label selector: requirements that labels must all meet. The default selects everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LabelSelector {
    requirements: Vec<Requirement>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Requirement {
    key: String,
    test: Test,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    Absent,
    Above(i64),
    Below(i64),
}

impl LabelSelector {
    /// Parses `app=web,tier in (a,b),!canary`. An empty text selects everything.
    ///
    /// # Errors
    /// When the text is no selector.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        let mut parser = Parser { rest: text.trim() };
        parser.selector().map_err(|message| SelectorError {
            selector: text.to_owned(),
            message,
        })
    }

    /// Reads `{matchLabels: …, matchExpressions: …}`.
    ///
    /// # Errors
    /// When the value is no such object.
    pub fn from_value(value: &Value) -> Result<Self, SelectorError> {
        from_value(value).map_err(|message| SelectorError {
            selector: describe::value(value),
            message,
        })
    }

    /// Whether everything is selected.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requirements.is_empty()
    }

    /// Whether `labels` (an object's `metadata.labels`) meet every requirement.
    #[must_use]
    pub fn matches(&self, labels: Option<&Map<String, Value>>) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = labels
                .and_then(|labels| labels.get(&requirement.key))
                .and_then(Value::as_str);
            requirement.test.accepts(value)
        })
    }

    /// Whether the labels of `object` meet every requirement.
    #[must_use]
    pub fn matches_object(&self, object: &Value) -> bool {
        self.matches(object["metadata"]["labels"].as_object())
    }
}

impl Test {
    fn accepts(&self, value: Option<&str>) -> bool {
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Self::In(allowed) => value.is_some_and(|value| allowed.iter().any(|a| a == value)),
            Self::NotIn(refused) => value.is_none_or(|value| refused.iter().all(|r| r != value)),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
            Self::Above(bound) => number().is_some_and(|number| number > *bound),
            Self::Below(bound) => number().is_some_and(|number| number < *bound),
        }
    }
}

fn from_value(value: &Value) -> Result<LabelSelector, String> {
    let allowed = "allowed: an object with matchLabels and matchExpressions";
    let fields = value
        .as_object()
        .ok_or_else(|| format!("found {}, {allowed}", describe::value(value)))?;
    let mut requirements = Vec::new();
    for (name, value) in fields {
        match (name.as_str(), value) {
            ("matchLabels", Value::Object(labels)) => {
                for (key, value) in labels {
                    let value = value.as_str().ok_or_else(|| {
                        format!(
                            "label {key}: found {}, allowed: a string",
                            describe::value(value)
                        )
                    })?;
                    requirements.push(requirement(key, Test::In(vec![value.to_owned()]))?);
                }
            }
            ("matchExpressions", Value::Array(expressions)) => {
                for expression in expressions {
                    requirements.push(from_expression(expression)?);
                }
            }
            (_, Value::Null) => {}
            _ => return Err(format!("found field {}, {allowed}", describe::text(name))),
        }
    }
    Ok(LabelSelector { requirements })
}

fn from_expression(expression: &Value) -> Result<Requirement, String> {
    let key = expression["key"].as_str().unwrap_or_default();
    let values: Vec<String> = expression["values"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|value| value.as_str().map(str::to_owned))
        .collect();
    let test = match (expression["operator"].as_str(), values.is_empty()) {
        (Some("In"), false) => Test::In(values),
        (Some("NotIn"), false) => Test::NotIn(values),
        (Some("Exists"), true) => Test::Exists,
        (Some("DoesNotExist"), true) => Test::Absent,
        _ => {
            return Err(format!(
                "found {expression}, allowed: operator In or NotIn with values, Exists or DoesNotExist without"
            ));
        }
    };
    requirement(key, test)
}

fn requirement(key: &str, test: Test) -> Result<Requirement, String> {
    names::check_qualified_name(key)?;
    if let Test::In(values) | Test::NotIn(values) = &test {
        for value in values {
            names::check_label_value(value)?;
        }
    }
    Ok(Requirement {
        key: key.to_owned(),
        test,
    })
}

/// Reads a selector from front to back.
struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn selector(&mut self) -> Result<LabelSelector, String> {
        let mut requirements = Vec::new();
        if self.rest.is_empty() {
            return Ok(LabelSelector { requirements });
        }
        loop {
            if requirements.len() == MOST {
                return Err(format!(
                    "found more than {MOST} requirements, allowed: {MOST}"
                ));
            }
            requirements.push(self.requirement()?);
            if self.rest.is_empty() {
                return Ok(LabelSelector { requirements });
            }
            if !self.take(",") {
                return Err(self.unexpected("a comma or the end"));
            }
        }
    }

    fn requirement(&mut self) -> Result<Requirement, String> {
        if self.take("!") {
            let key = self.word();
            return requirement(key, Test::Absent);
        }
        let key = self.word();
        if key.is_empty() {
            return Err(self.unexpected("a label's key, such as app=web or !canary"));
        }
        let test = if self.take("!=") {
            Test::NotIn(vec![self.word().to_owned()])
        } else if self.take("==") || self.take("=") {
            Test::In(vec![self.word().to_owned()])
        } else if self.take(">") {
            Test::Above(self.number()?)
        } else if self.take("<") {
            Test::Below(self.number()?)
        } else if self.rest.is_empty() || self.rest.starts_with(',') {
            Test::Exists
        } else {
            match self.word() {
                "in" => Test::In(self.values()?),
                "notin" => Test::NotIn(self.values()?),
                _ => return Err(self.unexpected("=, !=, <, >, in or notin after the key")),
            }
        };
        requirement(key, test)
    }

    fn values(&mut self) -> Result<Vec<String>, String> {
        if !self.take("(") {
            return Err(self.unexpected("values in brackets, such as (a,b)"));
        }
        if self.rest.starts_with(')') {
            return Err(self.unexpected("at least one value"));
        }
        let mut values = Vec::new();
        loop {
            if values.len() == MOST {
                return Err(format!("found more than {MOST} values, allowed: {MOST}"));
            }
            values.push(self.word().to_owned());
            if self.take(")") {
                return Ok(values);
            }
            if !self.take(",") {
                return Err(self.unexpected("a comma or a closing bracket"));
            }
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let word = self.word();
        word.parse()
            .map_err(|_| format!("found {}, allowed: a whole number", describe::text(word)))
    }

    /// Everything up to the next separator.
    fn word(&mut self) -> &'a str {
        let end = self
            .rest
            .find(|c: char| {
                c.is_whitespace() || matches!(c, ',' | '=' | '!' | '(' | ')' | '<' | '>')
            })
            .unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn take(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn unexpected(&self, allowed: &str) -> String {
        let found = if self.rest.is_empty() {
            "the end".to_owned()
        } else {
            describe::text(self.rest)
        };
        format!("found {found}, allowed: {allowed}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn selects(selector: &str, labels: Value) -> bool {
        LabelSelector::parse(selector)
            .expect(selector)
            .matches_object(&json!({"metadata": {"labels": labels}}))
    }

    /// "Labels and Selectors" of the Kubernetes documentation: equality-based requirements.
    #[test]
    fn equality_compares_and_inequality_also_selects_what_has_no_such_label() {
        assert!(selects("env=prod", json!({"env": "prod"})));
        assert!(selects("env == prod", json!({"env": "prod"})));
        assert!(!selects("env=prod", json!({"env": "qa"})));
        assert!(!selects("env=prod", json!({})));
        assert!(selects("tier!=front", json!({"tier": "back"})));
        assert!(selects("tier!=front", json!({})));
        assert!(selects("tier=", json!({"tier": ""})));
        assert!(selects("", json!({})));
    }

    /// The same page: set-based requirements.
    #[test]
    fn sets_are_tested_for_membership_and_keys_for_presence() {
        assert!(selects("env in (prod, qa)", json!({"env": "qa"})));
        assert!(!selects("env in (prod,qa)", json!({})));
        assert!(selects("env notin (prod,qa)", json!({"env": "dev"})));
        assert!(selects("env notin (prod,qa)", json!({})));
        assert!(selects("env", json!({"env": ""})));
        assert!(!selects("env", json!({})));
        assert!(selects("!env", json!({})));
        assert!(!selects("! env", json!({"env": "x"})));
        assert!(selects(
            "a,b!=c,d in (e)",
            json!({"a": "", "b": "x", "d": "e"})
        ));
        assert!(selects("in in (in)", json!({"in": "in"})));
    }

    /// `labels.Requirement` of apimachinery: `Gt` and `Lt` compare whole numbers.
    #[test]
    fn numbers_are_compared_as_numbers() {
        assert!(selects("cpus>9", json!({"cpus": "10"})));
        assert!(!selects("cpus<9", json!({"cpus": "10"})));
        assert!(!selects("cpus>9", json!({"cpus": "many"})));
        assert!(!selects("cpus>9", json!({})));
    }

    #[test]
    fn the_object_form_selects_likewise() {
        let selector = LabelSelector::from_value(&json!({
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["front"]},
                {"key": "canary", "operator": "DoesNotExist"},
            ],
        }))
        .expect("a selector");
        assert!(selector.matches_object(&json!({"metadata": {"labels": {"app": "web"}}})));
        assert!(
            !selector
                .matches_object(&json!({"metadata": {"labels": {"app": "web", "canary": ""}}}))
        );
        for wrong in [
            json!([]),
            json!({"matchLabel": {}}),
            json!({"matchLabels": {"a": 1}}),
            json!({"matchExpressions": [{"key": "a", "operator": "In"}]}),
            json!({"matchExpressions": [{"key": "a", "operator": "Is", "values": ["b"]}]}),
        ] {
            assert!(LabelSelector::from_value(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_no_selector_is_refused_with_what_is_allowed() {
        for text in [
            ",", "a,", "a=b,,c", "=b", "a in", "a in ()", "a in (b", "a in b", "a b", "a>x", "!",
            "-a=b", "a=b c", "a=-", "a(b)", "a==b==c", "ä=b",
        ] {
            let error = LabelSelector::parse(text).expect_err(text);
            assert!(error.to_string().contains("allowed"), "{error}");
        }
    }
}
