//! Operators and functions, with the types of their operands.

use super::{Compiler, Typed, refuse, unknown_function};
use crate::cel::RuleError;
use crate::cel::expr::{Arithmetic, Conversion, Expr, Order, TextTest};
use crate::cel::types::Type;
use crate::node::ListType;
use crate::pattern::Pattern;
use cel::common::ast::{self, LiteralValue};
use std::rc::Rc;

impl<'n> Compiler<'n> {
    pub(super) fn negate(&mut self, of: &ast::Expr) -> Typed<'n> {
        let (of, kind) = self.boxed(of)?;
        match kind {
            Type::Int | Type::Double | Type::Dyn => Ok((Expr::Negate(of), kind)),
            _ => Err(refuse(&kind.to_string(), "a number after -")),
        }
    }

    pub(super) fn arithmetic(
        &mut self,
        operation: Arithmetic,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Typed<'n> {
        let (left, kind) = self.boxed(left)?;
        let (right, other) = self.boxed(right)?;
        let result = match (&kind, &other) {
            (Type::Int, Type::Int | Type::Dyn) | (Type::Dyn, Type::Int) => Type::Int,
            (Type::Double, Type::Double) if operation != Arithmetic::Remainder => Type::Double,
            (Type::Text, Type::Text | Type::Dyn) | (Type::Dyn, Type::Text)
                if operation == Arithmetic::Add =>
            {
                Type::Text
            }
            (Type::Dyn, Type::Dyn) => Type::Dyn,
            (Type::Duration, Type::Duration)
                if matches!(operation, Arithmetic::Add | Arithmetic::Subtract) =>
            {
                Type::Duration
            }
            (a, b)
                if operation == Arithmetic::Add
                    && is_plain_list(a)
                    && is_plain_list(b)
                    && a.comparable(b) =>
            {
                let item = match (a.element(), b.element()) {
                    (Some(a), Some(b)) => a.either(&b),
                    _ => Type::Dyn,
                };
                Type::List(Rc::new(item))
            }
            _ => {
                return Err(refuse(
                    &format!("{kind} and {other} as operands"),
                    "two integers, two doubles, for + also two strings, durations or lists that are atomic",
                ));
            }
        };
        Ok((
            Expr::Arithmetic {
                operation,
                left,
                right,
            },
            result,
        ))
    }

    pub(super) fn equal(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
        negated: bool,
    ) -> Typed<'n> {
        let (left, kind) = self.boxed(left)?;
        let (right, other) = self.boxed(right)?;
        if !kind.comparable(&other) {
            return Err(refuse(
                &format!("{kind} and {other} compared"),
                "two values of one type",
            ));
        }
        Ok((
            Expr::Equal {
                left,
                right,
                negated,
            },
            Type::Bool,
        ))
    }

    pub(super) fn order(&mut self, order: Order, left: &ast::Expr, right: &ast::Expr) -> Typed<'n> {
        let (left, kind) = self.boxed(left)?;
        let (right, other) = self.boxed(right)?;
        if !kind.ordered(&other) {
            let hint = if matches!((&kind, &other), (Type::Quantity, Type::Quantity)) {
                "isLessThan, isGreaterThan and compareTo for quantities"
            } else {
                "two numbers, strings or durations"
            };
            return Err(refuse(
                &format!("{kind} and {other} compared by size"),
                hint,
            ));
        }
        Ok((Expr::Order { order, left, right }, Type::Bool))
    }

    pub(super) fn quantities(
        &mut self,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Result<(Box<Expr>, Box<Expr>), RuleError> {
        Ok((
            self.wanted(left, &Type::Quantity)?,
            self.wanted(right, &Type::Quantity)?,
        ))
    }

    pub(super) fn quantity_order(
        &mut self,
        order: Order,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Typed<'n> {
        let (left, right) = self.quantities(left, right)?;
        Ok((Expr::Order { order, left, right }, Type::Bool))
    }

    pub(super) fn contains(&mut self, item: &ast::Expr, of: &ast::Expr) -> Typed<'n> {
        let (item, kind) = self.boxed(item)?;
        let (of, list) = self.boxed(of)?;
        match list.element() {
            Some(element) if element.comparable(&kind) => Ok((Expr::In { item, of }, Type::Bool)),
            _ => Err(refuse(
                &format!("{kind} in {list}"),
                "an item in a list of its type, or a key in a map",
            )),
        }
    }

    pub(super) fn index(&mut self, of: &ast::Expr, at: &ast::Expr) -> Typed<'n> {
        let (of, kind) = self.boxed(of)?;
        let (at, key) = self.boxed(at)?;
        let found = match (&kind, &key) {
            (Type::Map(values), Type::Text) => Type::of(values),
            (list, Type::Int) if list.is_list() => list.element().unwrap_or(Type::Dyn),
            _ => {
                return Err(refuse(
                    &format!("{kind} indexed by {key}"),
                    "a list by an integer, or a map by a string",
                ));
            }
        };
        Ok((Expr::Index { of, at }, found))
    }

    pub(super) fn size(&mut self, of: &ast::Expr) -> Typed<'n> {
        let (of, kind) = self.boxed(of)?;
        match kind {
            Type::Text | Type::Map(_) | Type::List(_) | Type::Items(_) => {
                Ok((Expr::Size(of), Type::Int))
            }
            _ => Err(refuse(
                &format!("size of {kind}"),
                "that of a string, list or map",
            )),
        }
    }

    pub(super) fn text(&mut self, test: TextTest, text: &ast::Expr, part: &ast::Expr) -> Typed<'n> {
        let text = self.wanted(text, &Type::Text)?;
        let part = self.wanted(part, &Type::Text)?;
        Ok((Expr::Text { test, text, part }, Type::Bool))
    }

    pub(super) fn matches(&mut self, text: &ast::Expr, pattern: &ast::Expr) -> Typed<'n> {
        let text = self.wanted(text, &Type::Text)?;
        let ast::Expr::Literal(LiteralValue::String(pattern)) = pattern else {
            return Err(refuse(
                "a pattern that is computed",
                "a string literal in matches()",
            ));
        };
        let pattern =
            Pattern::compile(pattern.inner()).map_err(|error| RuleError::new(error.to_string()))?;
        Ok((Expr::Matches { text, pattern }, Type::Bool))
    }

    pub(super) fn conversion(&mut self, name: &str, of: &ast::Expr) -> Typed<'n> {
        let (of, kind) = self.boxed(of)?;
        let (to, result) = match (name, &kind) {
            ("int", Type::Int | Type::Double | Type::Text | Type::Dyn) => {
                (Conversion::Int, Type::Int)
            }
            ("double", Type::Int | Type::Double | Type::Text | Type::Dyn) => {
                (Conversion::Double, Type::Double)
            }
            ("string", Type::Int | Type::Bool | Type::Text | Type::Dyn) => {
                (Conversion::Text, Type::Text)
            }
            ("duration", Type::Text) => (Conversion::Duration, Type::Duration),
            ("quantity", Type::Text | Type::Dyn) => (Conversion::Quantity, Type::Quantity),
            ("isQuantity", Type::Text | Type::Dyn) => (Conversion::IsQuantity, Type::Bool),
            ("int" | "double" | "string" | "duration" | "quantity" | "isQuantity", _) => {
                return Err(refuse(
                    &format!("{name}() of {kind}"),
                    "a value that it converts",
                ));
            }
            _ => return Err(unknown_function(name)),
        };
        Ok((Expr::Convert { to, of }, result))
    }

    pub(super) fn optional(&mut self, of: &ast::Expr) -> Result<(Box<Expr>, Type<'n>), RuleError> {
        match self.boxed(of)? {
            (of, Type::Optional(kind)) => Ok((of, (*kind).clone())),
            (_, kind) => Err(refuse(
                &kind.to_string(),
                "oldSelf of a rule with optionalOldSelf",
            )),
        }
    }
}

/// Whether `+` appends: kube-apiserver merges sets and list maps instead, which is not offered here.
fn is_plain_list(kind: &Type<'_>) -> bool {
    match kind {
        Type::List(_) => true,
        Type::Items(node) => node.list_type == ListType::Atomic,
        _ => false,
    }
}
