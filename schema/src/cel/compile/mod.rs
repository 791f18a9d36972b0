//! From CEL's syntax tree to an expression that can be evaluated, refusing what is outside the subset.

mod macros;
mod operations;

use super::RuleError;
use super::escape;
use super::expr::{Arithmetic, Expr, Literal, OLD_SELF, Order, SELF, TextTest};
use super::types::Type;
use crate::describe;
use crate::node::Node;
use cel::common::ast::{self, CallExpr, LiteralValue, operators};
use std::rc::Rc;

/// Characters of a rule. The parser works recursively, so its stack grows with them.
const MAX_LENGTH: usize = 1024;
/// Levels of an expression.
const MAX_DEPTH: usize = 64;
/// The parser's stack in bytes, twice what a debug build takes for `MAX_DEPTH` brackets.
const PARSER_STACK: usize = 32 << 20;

/// What a rule is compiled for.
#[derive(Clone, Copy)]
pub(super) struct Scope<'n> {
    /// The level of the schema that the rule stands at.
    pub(super) node: &'n Node,
    /// Whether a former value of that level can be told: not below lists without keys.
    pub(super) has_old: bool,
    /// Whether `oldSelf` is optional, so that the rule also runs when there is no former value.
    pub(super) optional_old: bool,
}

/// A compiled expression with what is known about it.
pub(super) struct Compiled<'n> {
    pub(super) expr: Expr,
    pub(super) kind: Type<'n>,
    pub(super) uses_old: bool,
}

/// Compiles `text`.
pub(super) fn compile<'n>(text: &str, scope: Scope<'n>) -> Result<Compiled<'n>, RuleError> {
    if text.len() > MAX_LENGTH {
        return Err(RuleError::new(format!(
            "found {} characters, allowed: {MAX_LENGTH}; divide the rule into several",
            text.len()
        )));
    }
    let tree = parse(text)?;
    let mut compiler = Compiler {
        scope,
        variables: Vec::new(),
        uses_old: false,
        depth: 0,
    };
    let (expr, kind) = compiler.expr(&tree.expr)?;
    Ok(Compiled {
        expr,
        kind,
        uses_old: compiler.uses_old,
    })
}

/// Parses on a stack of its own: each bracket takes the parser through some ten levels of calls,
/// which in a debug build is more than the stack of a worker thread has for twenty brackets.
fn parse(text: &str) -> Result<ast::IdedExpr, RuleError> {
    let text = text.to_owned();
    let parser = std::thread::Builder::new()
        .name("cel-parser".to_owned())
        .stack_size(PARSER_STACK)
        .spawn(move || {
            cel::parser::Parser::new()
                .max_recursion_depth(MAX_DEPTH as u16)
                .parse(&text)
                .map_err(|errors| RuleError::new(syntax(&errors)))
        })
        .map_err(|error| RuleError::new(format!("no thread for parsing it: {error}")))?;
    parser.join().unwrap_or_else(|_| {
        Err(RuleError::new(
            "the parser failed; write the rule differently",
        ))
    })
}

fn syntax(errors: &cel::ParseErrors) -> String {
    match errors.errors.first() {
        Some(error) => format!("column {}: {}", error.pos.1, error.msg),
        None => "not an expression".to_owned(),
    }
}

type Typed<'n> = Result<(Expr, Type<'n>), RuleError>;

struct Compiler<'n> {
    scope: Scope<'n>,
    /// The variables of the macros around, from the outside in.
    variables: Vec<(String, Type<'n>)>,
    uses_old: bool,
    depth: usize,
}

impl<'n> Compiler<'n> {
    fn expr(&mut self, tree: &ast::Expr) -> Typed<'n> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(RuleError::new(format!(
                "found more than {MAX_DEPTH} nested operations, allowed: {MAX_DEPTH}; divide the rule into several"
            )));
        }
        let typed = match tree {
            ast::Expr::Ident(name) => self.variable(name),
            ast::Expr::Literal(literal) => self::literal(literal),
            ast::Expr::List(list) => self.list(list),
            ast::Expr::Select(select) => self.select(select),
            ast::Expr::Call(call) => self.call(call),
            ast::Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            ast::Expr::Map(_) | ast::Expr::Struct(_) => {
                Err(refuse("a map or message literal", "lists and scalars"))
            }
            ast::Expr::Unspecified => Err(refuse("an empty expression", "an expression")),
        };
        self.depth -= 1;
        typed
    }

    fn boxed(&mut self, tree: &ast::Expr) -> Result<(Box<Expr>, Type<'n>), RuleError> {
        let (expr, kind) = self.expr(tree)?;
        Ok((Box::new(expr), kind))
    }

    /// An operand that must be of type `wanted`.
    fn wanted(&mut self, tree: &ast::Expr, wanted: &Type<'n>) -> Result<Box<Expr>, RuleError> {
        let (expr, kind) = self.boxed(tree)?;
        if kind.may_be(wanted) {
            Ok(expr)
        } else {
            Err(refuse(&kind.to_string(), &wanted.to_string()))
        }
    }

    fn variable(&mut self, name: &str) -> Typed<'n> {
        if let Some(position) = self.variables.iter().rposition(|(known, _)| known == name) {
            let kind = self.variables[position].1.clone();
            return Ok((Expr::Variable(OLD_SELF + 1 + position), kind));
        }
        let own = Type::of(self.scope.node);
        match name {
            "self" => Ok((Expr::Variable(SELF), own)),
            "oldSelf" if !self.scope.has_old => Err(RuleError::new(
                "found oldSelf below a list whose items have no keys, allowed: only where the former value can be told",
            )),
            "oldSelf" => {
                self.uses_old = true;
                let kind = if self.scope.optional_old {
                    Type::Optional(Rc::new(own))
                } else {
                    own
                };
                Ok((Expr::Variable(OLD_SELF), kind))
            }
            other => Err(refuse(
                &format!("variable {}", describe::text(other)),
                "self, oldSelf and the variables of macros",
            )),
        }
    }

    fn list(&mut self, list: &ast::ListExpr) -> Typed<'n> {
        let mut items = Vec::with_capacity(list.elements.len());
        let mut kind: Option<Type<'n>> = None;
        for element in &list.elements {
            let (item, found) = self.expr(&element.expr)?;
            items.push(item);
            kind = match kind {
                None => Some(found),
                Some(kind) if kind.comparable(&found) => Some(kind.either(&found)),
                Some(kind) => {
                    return Err(refuse(
                        &format!("{kind} beside {found} in a list"),
                        "items of one type",
                    ));
                }
            };
        }
        let kind = kind.unwrap_or(Type::Dyn);
        Ok((Expr::List(items), Type::List(Rc::new(kind))))
    }

    fn select(&mut self, select: &ast::SelectExpr) -> Typed<'n> {
        let (of, kind) = self.boxed(&select.operand.expr)?;
        let (name, kind) = field(&kind, &select.field)?;
        if select.test {
            return Ok((Expr::Has { of, name }, Type::Bool));
        }
        Ok((Expr::Field { of, name }, kind))
    }

    fn call(&mut self, call: &CallExpr) -> Typed<'n> {
        let arguments: Vec<&ast::Expr> = call
            .target
            .as_deref()
            .into_iter()
            .chain(&call.args)
            .map(|argument| &argument.expr)
            .collect();
        match (
            call.func_name.as_str(),
            call.target.is_some(),
            &arguments[..],
        ) {
            (operators::LOGICAL_NOT, false, [of]) => {
                Ok((Expr::Not(self.wanted(of, &Type::Bool)?), Type::Bool))
            }
            (operators::NEGATE, false, [of]) => self.negate(of),
            (operators::LOGICAL_AND, false, [left, right]) => Ok((
                Expr::And(
                    self.wanted(left, &Type::Bool)?,
                    self.wanted(right, &Type::Bool)?,
                ),
                Type::Bool,
            )),
            (operators::LOGICAL_OR, false, [left, right]) => Ok((
                Expr::Or(
                    self.wanted(left, &Type::Bool)?,
                    self.wanted(right, &Type::Bool)?,
                ),
                Type::Bool,
            )),
            (operators::CONDITIONAL, false, [condition, then, otherwise]) => {
                let condition = self.wanted(condition, &Type::Bool)?;
                let (then, kind) = self.boxed(then)?;
                let (otherwise, other) = self.boxed(otherwise)?;
                if !kind.comparable(&other) {
                    return Err(refuse(
                        &format!("{kind} or {other} of ?:"),
                        "both of one type",
                    ));
                }
                Ok((
                    Expr::Conditional {
                        condition,
                        then,
                        otherwise,
                    },
                    kind.either(&other),
                ))
            }
            (operators::EQUALS, false, [left, right]) => self.equal(left, right, false),
            (operators::NOT_EQUALS, false, [left, right]) => self.equal(left, right, true),
            (operators::IN, false, [item, of]) => self.contains(item, of),
            (operators::INDEX, false, [of, at]) => self.index(of, at),
            ("size", _, [of]) => self.size(of),
            ("matches", _, [text, pattern]) => self.matches(text, pattern),
            ("hasValue", true, [of]) => Ok((Expr::HasValue(self.optional(of)?.0), Type::Bool)),
            ("value", true, [of]) => {
                let (of, kind) = self.optional(of)?;
                Ok((Expr::Value(of), kind))
            }
            ("orValue", true, [of, otherwise]) => {
                let (of, kind) = self.optional(of)?;
                let (otherwise, other) = self.boxed(otherwise)?;
                if !kind.comparable(&other) {
                    return Err(refuse(&other.to_string(), &kind.to_string()));
                }
                Ok((Expr::OrValue(of, otherwise), kind.either(&other)))
            }
            (name, on_target, [left, right]) => self.binary(name, on_target, left, right),
            (name, false, [of]) => self.conversion(name, of),
            (name, ..) => Err(unknown_function(name)),
        }
    }

    fn binary(
        &mut self,
        name: &str,
        on_target: bool,
        left: &ast::Expr,
        right: &ast::Expr,
    ) -> Typed<'n> {
        if on_target {
            return match name {
                "startsWith" => self.text(TextTest::StartsWith, left, right),
                "endsWith" => self.text(TextTest::EndsWith, left, right),
                "contains" => self.text(TextTest::Contains, left, right),
                "compareTo" => {
                    let (left, right) = self.quantities(left, right)?;
                    Ok((Expr::CompareTo { left, right }, Type::Int))
                }
                "isLessThan" => self.quantity_order(Order::Less, left, right),
                "isGreaterThan" => self.quantity_order(Order::Greater, left, right),
                _ => Err(unknown_function(name)),
            };
        }
        match name {
            operators::ADD => self.arithmetic(Arithmetic::Add, left, right),
            operators::SUBSTRACT => self.arithmetic(Arithmetic::Subtract, left, right),
            operators::MULTIPLY => self.arithmetic(Arithmetic::Multiply, left, right),
            operators::DIVIDE => self.arithmetic(Arithmetic::Divide, left, right),
            operators::MODULO => self.arithmetic(Arithmetic::Remainder, left, right),
            operators::LESS => self.order(Order::Less, left, right),
            operators::LESS_EQUALS => self.order(Order::LessOrEqual, left, right),
            operators::GREATER => self.order(Order::Greater, left, right),
            operators::GREATER_EQUALS => self.order(Order::GreaterOrEqual, left, right),
            _ => Err(unknown_function(name)),
        }
    }
}

fn literal<'n>(literal: &LiteralValue) -> Typed<'n> {
    Ok(match literal {
        LiteralValue::Null => (Expr::Literal(Literal::Null), Type::Null),
        LiteralValue::Boolean(value) => (Expr::Literal(Literal::Bool(*value.inner())), Type::Bool),
        LiteralValue::Int(value) => (Expr::Literal(Literal::Int(*value.inner())), Type::Int),
        LiteralValue::Double(value) => {
            (Expr::Literal(Literal::Double(*value.inner())), Type::Double)
        }
        LiteralValue::String(value) => (
            Expr::Literal(Literal::Text(value.inner().to_owned())),
            Type::Text,
        ),
        LiteralValue::UInt(_) => return Err(refuse("an unsigned literal", "5 in place of 5u")),
        LiteralValue::Bytes(_) => return Err(refuse("a bytes literal", "strings")),
    })
}

fn field<'n>(kind: &Type<'n>, identifier: &str) -> Result<(String, Type<'n>), RuleError> {
    let name = escape::field(identifier).ok_or_else(|| {
        RuleError::new(format!(
            "found field {identifier}, allowed: {} for a field of that name",
            escape::identifier(identifier)
        ))
    })?;
    let found = match kind {
        Type::Object(node) if node.resource && name == "metadata" => Some(Type::Metadata),
        Type::Object(node) => node.properties.get(&name).map(Type::of),
        Type::Map(values) => Some(Type::of(values)),
        Type::Metadata if name == "name" || name == "generateName" => Some(Type::Text),
        Type::Metadata => {
            return Err(refuse(
                &format!("metadata.{name}"),
                "metadata.name and metadata.generateName",
            ));
        }
        Type::Optional(_) => {
            return Err(refuse(
                "a field of an optional value",
                "value() or orValue() before it",
            ));
        }
        _ => None,
    };
    match (found, kind) {
        (Some(found), _) => Ok((name, found)),
        (None, Type::Object(node)) => Err(refuse(
            &format!("undeclared field {name:?}"),
            &describe::list(node.properties.keys().map(|name| escape::identifier(name))),
        )),
        (None, kind) => Err(refuse(
            &format!("field {name:?} of {kind}"),
            "fields of objects",
        )),
    }
}

fn refuse(found: &str, allowed: &str) -> RuleError {
    RuleError::new(format!("found {found}, allowed: {allowed}"))
}

fn unknown_function(name: &str) -> RuleError {
    refuse(
        &format!("function {}", describe::text(name)),
        "size, startsWith, endsWith, contains, matches, int, double, string, duration, quantity, isQuantity, compareTo, isLessThan, isGreaterThan, hasValue, value, orValue",
    )
}
