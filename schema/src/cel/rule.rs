//! One entry of `x-kubernetes-validations`.

use super::RuleError;
use super::budget::{Budget, Failure};
use super::compile::{Scope, compile};
use super::eval::Eval;
use super::expr::Expr;
use super::types::Type;
use super::value::Val;
use crate::describe;
use crate::node::Node;
use crate::path::Path;
use crate::violation::{Violation, ViolationReason};
use serde_json::Value;

/// The longest message that a `messageExpression` may give, in bytes, as in kube-apiserver.
const MAX_MESSAGE: usize = 5 * 1024;

const FIELDS: [&str; 6] = [
    "rule",
    "message",
    "messageExpression",
    "reason",
    "fieldPath",
    "optionalOldSelf",
];

/// A compiled rule.
#[derive(Debug, Clone)]
pub struct Rule {
    text: String,
    test: Expr,
    message: Option<String>,
    message_expression: Option<Expr>,
    reason: ViolationReason,
    field_path: String,
    needs_old: bool,
    message_needs_old: bool,
}

impl Rule {
    /// The rule as written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The message for people, when the rule has a fixed one.
    #[must_use]
    pub fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Compiles a rule that stands at `node`; `has_old` tells whether the former value of that
    /// level can be known.
    pub(crate) fn compile(source: &Value, node: &Node, has_old: bool) -> Result<Self, RuleError> {
        let Some(fields) = source.as_object() else {
            return Err(RuleError::new(format!(
                "found {}, allowed: an object with a rule",
                describe::value(source)
            )));
        };
        if let Some(unknown) = fields.keys().find(|name| !FIELDS.contains(&name.as_str())) {
            return Err(RuleError::new(format!(
                "found field {unknown:?}, allowed: {}",
                describe::list(FIELDS)
            )));
        }
        let text = text(source, "rule")?
            .filter(|text| !text.trim().is_empty())
            .ok_or_else(|| RuleError::new("found no rule, allowed: a CEL expression"))?;
        let optional_old = match source.get("optionalOldSelf") {
            None => false,
            Some(Value::Bool(optional)) => *optional,
            Some(other) => return Err(wrong("optionalOldSelf", other, "true or false")),
        };
        let scope = Scope {
            node,
            has_old,
            optional_old,
        };
        let test = compile(text, scope)?;
        if !test.kind.may_be(&Type::Bool) {
            return Err(RuleError::new(format!(
                "found {} as the result, allowed: a boolean",
                test.kind
            )));
        }
        if optional_old && !test.uses_old {
            return Err(RuleError::new(
                "found optionalOldSelf in a rule without oldSelf, allowed: only with it",
            ));
        }
        let message = self::message(source, text)?;
        let (message_expression, message_needs_old) = match self::text(source, "messageExpression")?
        {
            None => (None, false),
            Some(text) => {
                let compiled = compile(text, scope)?;
                if !compiled.kind.may_be(&Type::Text) {
                    return Err(RuleError::new(format!(
                        "messageExpression: found {} as the result, allowed: a string",
                        compiled.kind
                    )));
                }
                (Some(compiled.expr), compiled.uses_old)
            }
        };
        Ok(Self {
            text: text.to_owned(),
            test: test.expr,
            message,
            message_expression,
            reason: reason(source)?,
            field_path: field_path(source, node)?,
            needs_old: test.uses_old && !optional_old,
            message_needs_old: message_needs_old && !optional_old,
        })
    }

    /// Checks `value`, which stands at `path`; `old` is what stood there before.
    pub(crate) fn check(
        &self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        path: &Path<'_>,
        budget: &mut Budget,
        out: &mut Vec<Violation>,
    ) {
        if self.needs_old && old.is_none() {
            return;
        }
        let outcome = self.holds(node, value, old, budget);
        let message = match outcome {
            Ok(true) => return,
            Ok(false) => self.failed(node, value, old, budget),
            Err(Failure::Error(message)) => {
                format!("rule {:?} has no result: {message}", self.text)
            }
            Err(Failure::Budget) => {
                out.push(Violation::new(
                    path.to_string(),
                    ViolationReason::Forbidden,
                    "checking the rules takes too long, allowed: shorter lists and texts",
                ));
                return;
            }
        };
        let mut path = path.to_string();
        path += if path.is_empty() {
            self.field_path.trim_start_matches('.')
        } else {
            &self.field_path
        };
        out.push(Violation::new(path, self.reason, message));
    }

    fn holds(
        &self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        budget: &mut Budget,
    ) -> Result<bool, Failure> {
        let variables = variables(node, value, old)?;
        Eval { variables, budget }.bool(&self.test)
    }

    /// What a failed rule says: its expression's text, or its message, or itself.
    fn failed(
        &self,
        node: &Node,
        value: &Value,
        old: Option<&Value>,
        budget: &mut Budget,
    ) -> String {
        if let Some(expression) = &self.message_expression
            && (old.is_some() || !self.message_needs_old)
            && let Ok(variables) = variables(node, value, old)
            && let Ok(text) = (Eval { variables, budget }).text(expression)
        {
            let text = text.trim();
            if !text.is_empty() && text.len() <= MAX_MESSAGE && !text.contains('\n') {
                return text.to_owned();
            }
        }
        match &self.message {
            Some(message) => message.clone(),
            None => format!("failed rule: {}", self.text),
        }
    }
}

/// The places of `self` and `oldSelf`.
fn variables<'a>(
    node: &'a Node,
    value: &'a Value,
    old: Option<&'a Value>,
) -> Result<Vec<Val<'a>>, Failure> {
    let old = match old {
        Some(old) => Val::of(old, Some(node))?,
        None => Val::Absent,
    };
    Ok(vec![Val::of(value, Some(node))?, old])
}

fn wrong(field: &str, found: &Value, allowed: &str) -> RuleError {
    RuleError::new(format!(
        "{field}: found {}, allowed: {allowed}",
        describe::value(found)
    ))
}

fn text<'a>(source: &'a Value, field: &str) -> Result<Option<&'a str>, RuleError> {
    match source.get(field) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(wrong(field, other, "a string")),
    }
}

fn message(source: &Value, rule: &str) -> Result<Option<String>, RuleError> {
    let message = text(source, "message")?.map(str::trim);
    match message {
        Some("") => Err(RuleError::new(
            "message: found nothing, allowed: a text of one line",
        )),
        Some(message) if message.contains('\n') => Err(RuleError::new(
            "message: found a line break, allowed: a text of one line",
        )),
        None if rule.trim().contains('\n') => Err(RuleError::new(
            "found a rule of several lines without a message, allowed: with one",
        )),
        message => Ok(message.map(str::to_owned)),
    }
}

fn reason(source: &Value) -> Result<ViolationReason, RuleError> {
    Ok(match text(source, "reason")? {
        None | Some("FieldValueInvalid") => ViolationReason::Invalid,
        Some("FieldValueForbidden") => ViolationReason::Forbidden,
        Some("FieldValueRequired") => ViolationReason::Required,
        Some("FieldValueDuplicate") => ViolationReason::Duplicate,
        Some(other) => {
            return Err(RuleError::new(format!(
                "reason: found {other:?}, allowed: FieldValueInvalid, FieldValueForbidden, FieldValueRequired, FieldValueDuplicate"
            )));
        }
    })
}

/// The field below the rule's level that a failure is reported at: `.a.b` or `.a['key']`.
fn field_path(source: &Value, node: &Node) -> Result<String, RuleError> {
    let Some(text) = text(source, "fieldPath")? else {
        return Ok(String::new());
    };
    let refuse = || {
        RuleError::new(format!(
            "fieldPath: found {text:?}, allowed: the path of a field below this level, such as .a.b or .a['key']"
        ))
    };
    let mut rest = text;
    let mut node = node;
    let mut rendered = String::new();
    while !rest.is_empty() {
        let (name, tail) = if let Some(tail) = rest.strip_prefix('.') {
            tail.split_at(tail.find(['.', '[']).unwrap_or(tail.len()))
        } else {
            rest.strip_prefix("['")
                .and_then(|tail| tail.split_once("']"))
                .ok_or_else(refuse)?
        };
        rendered += &match node.properties.contains_key(name) {
            true => format!(".{name}"),
            false => format!("[{name}]"),
        };
        node = node.child(name).ok_or_else(refuse)?;
        rest = tail;
    }
    if rendered.is_empty() {
        return Err(refuse());
    }
    Ok(rendered)
}
