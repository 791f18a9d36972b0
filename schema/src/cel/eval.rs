//! Evaluates a rule on an object, within a budget.

use super::budget::{Budget, Failure};
use super::expr::{Arithmetic, Conversion, Expr, Literal, Order, Quantifier, TextTest};
use super::value::{self, Val};
use crate::quantity::Quantity;
use serde_json::Value;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::rc::Rc;

type Evaluated<'a> = Result<Val<'a>, Failure>;

/// One evaluation: the variables, and what may still be spent.
pub(super) struct Eval<'a, 'b> {
    pub(super) variables: Vec<Val<'a>>,
    pub(super) budget: &'b mut Budget,
}

impl<'a> Eval<'a, '_> {
    pub(super) fn eval(&mut self, expr: &'a Expr) -> Evaluated<'a> {
        self.budget.spend(1)?;
        match expr {
            Expr::Variable(place) => self
                .variables
                .get(*place)
                .cloned()
                .ok_or_else(|| Failure::error("a variable without a value")),
            Expr::Literal(literal) => Ok(match literal {
                Literal::Null => Val::Null,
                Literal::Bool(value) => Val::Bool(*value),
                Literal::Int(value) => Val::Int(*value),
                Literal::Double(value) => Val::Double(*value),
                Literal::Text(text) => Val::Text(Cow::Borrowed(text)),
            }),
            Expr::List(items) => {
                let items: Result<Rc<[Val<'a>]>, Failure> =
                    items.iter().map(|item| self.eval(item)).collect();
                Ok(Val::List(items?))
            }
            Expr::Field { of, name } => self
                .eval(of)?
                .field(name)?
                .ok_or_else(|| Failure::error(format!("no such key: {name}"))),
            Expr::Has { of, name } => Ok(Val::Bool(self.eval(of)?.field(name)?.is_some())),
            Expr::Index { of, at } => self.index(of, at),
            Expr::Not(of) => Ok(Val::Bool(!self.bool(of)?)),
            Expr::Negate(of) => match self.eval(of)? {
                Val::Int(value) => value.checked_neg().map(Val::Int).ok_or_else(overflow),
                Val::Double(value) => Ok(Val::Double(-value)),
                other => Err(no_overload("-", &other)),
            },
            Expr::And(left, right) => self.logic(left, right, false),
            Expr::Or(left, right) => self.logic(left, right, true),
            Expr::Conditional {
                condition,
                then,
                otherwise,
            } => {
                let branch = if self.bool(condition)? {
                    then
                } else {
                    otherwise
                };
                self.eval(branch)
            }
            Expr::Arithmetic {
                operation,
                left,
                right,
            } => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                self.arithmetic(*operation, left, right)
            }
            Expr::Equal {
                left,
                right,
                negated,
            } => {
                let (left, right) = (self.eval(left)?, self.eval(right)?);
                Ok(Val::Bool(
                    value::equal(&left, &right, self.budget)? != *negated,
                ))
            }
            Expr::Order { order, left, right } => self.order(*order, left, right),
            Expr::In { item, of } => self.is_in(item, of),
            Expr::Size(of) => self.size(of),
            Expr::Text { test, text, part } => {
                let (text, part) = (self.text(text)?, self.text(part)?);
                self.budget.spend_text(text.len())?;
                Ok(Val::Bool(match test {
                    TextTest::StartsWith => text.starts_with(&*part),
                    TextTest::EndsWith => text.ends_with(&*part),
                    TextTest::Contains => text.contains(&*part),
                }))
            }
            Expr::Matches { text, pattern } => {
                let text = self.text(text)?;
                self.budget.spend(text.len())?;
                Ok(Val::Bool(pattern.is_match(&text)))
            }
            Expr::Convert { to, of } => {
                let value = self.eval(of)?;
                self.convert(*to, value)
            }
            Expr::CompareTo { left, right } => {
                match value::order(&self.eval(left)?, &self.eval(right)?) {
                    Some(order) => Ok(Val::Int(order as i64)),
                    None => Err(Failure::error("compareTo() of what is no quantity")),
                }
            }
            Expr::Quantify {
                how,
                over,
                place,
                test,
            } => self.quantify(*how, over, *place, test),
            Expr::Filter {
                over,
                place,
                test,
                item,
            } => self.filter(over, *place, test.as_deref(), item.as_deref()),
            Expr::HasValue(of) => Ok(Val::Bool(!matches!(self.eval(of)?, Val::Absent))),
            Expr::Value(of) => match self.eval(of)? {
                Val::Absent => Err(Failure::error(
                    "value() of an optional value that is not there",
                )),
                value => Ok(value),
            },
            Expr::OrValue(of, otherwise) => match self.eval(of)? {
                Val::Absent => self.eval(otherwise),
                value => Ok(value),
            },
        }
    }

    pub(super) fn bool(&mut self, expr: &'a Expr) -> Result<bool, Failure> {
        match self.eval(expr)? {
            Val::Bool(value) => Ok(value),
            other => Err(Failure::error(format!(
                "found {}, allowed: a boolean",
                other.kind()
            ))),
        }
    }

    pub(super) fn text(&mut self, expr: &'a Expr) -> Result<Cow<'a, str>, Failure> {
        match self.eval(expr)? {
            Val::Text(text) => Ok(text),
            other => Err(Failure::error(format!(
                "found {}, allowed: a string",
                other.kind()
            ))),
        }
    }

    /// `&&` and `||`: either side alone may decide, whatever error the other one has.
    fn logic(&mut self, left: &'a Expr, right: &'a Expr, decisive: bool) -> Evaluated<'a> {
        let left = self.bool(left);
        match left {
            Ok(value) if value == decisive => return Ok(Val::Bool(decisive)),
            Err(Failure::Budget) => return Err(Failure::Budget),
            _ => {}
        }
        match (left, self.bool(right)?) {
            (_, right) if right == decisive => Ok(Val::Bool(decisive)),
            (Err(failure), _) => Err(failure),
            (Ok(_), right) => Ok(Val::Bool(right)),
        }
    }

    fn index(&mut self, of: &'a Expr, at: &'a Expr) -> Evaluated<'a> {
        let of = self.eval(of)?;
        match self.eval(at)? {
            Val::Int(index) => {
                let item = match usize::try_from(index) {
                    Ok(index) => of.item(index)?,
                    Err(_) => None,
                };
                item.ok_or_else(|| Failure::error(format!("index out of bounds: {index}")))
            }
            Val::Text(key) => of
                .field(&key)?
                .ok_or_else(|| Failure::error(format!("no such key: {key}"))),
            other => Err(no_overload("[]", &other)),
        }
    }

    fn arithmetic(
        &mut self,
        operation: Arithmetic,
        left: Val<'a>,
        right: Val<'a>,
    ) -> Evaluated<'a> {
        match (left, right) {
            (Val::Int(a), Val::Int(b)) => {
                let divides = matches!(operation, Arithmetic::Divide | Arithmetic::Remainder);
                if divides && b == 0 {
                    return Err(Failure::error("division by zero"));
                }
                let result = match operation {
                    Arithmetic::Add => a.checked_add(b),
                    Arithmetic::Subtract => a.checked_sub(b),
                    Arithmetic::Multiply => a.checked_mul(b),
                    Arithmetic::Divide => a.checked_div(b),
                    Arithmetic::Remainder => a.checked_rem(b),
                };
                result.map(Val::Int).ok_or_else(overflow)
            }
            (Val::Double(a), Val::Double(b)) => match operation {
                Arithmetic::Add => Ok(Val::Double(a + b)),
                Arithmetic::Subtract => Ok(Val::Double(a - b)),
                Arithmetic::Multiply => Ok(Val::Double(a * b)),
                Arithmetic::Divide => Ok(Val::Double(a / b)),
                Arithmetic::Remainder => Err(Failure::error("% of doubles")),
            },
            (Val::Duration(a), Val::Duration(b)) => match operation {
                Arithmetic::Add => a.checked_add(b),
                Arithmetic::Subtract => a.checked_sub(b),
                _ => return Err(Failure::error("durations can only be added and subtracted")),
            }
            .map(Val::Duration)
            .ok_or_else(overflow),
            (Val::Text(a), Val::Text(b)) if operation == Arithmetic::Add => {
                self.budget.spend_text(a.len() + b.len())?;
                Ok(Val::Text(Cow::Owned(format!("{a}{b}"))))
            }
            (a, b)
                if operation == Arithmetic::Add && a.length().is_some() && b.length().is_some() =>
            {
                let mut items = Vec::new();
                for list in [a, b] {
                    for index in 0..list.length().unwrap_or(0) {
                        self.budget.spend(1)?;
                        items.extend(list.item(index)?);
                    }
                }
                Ok(Val::List(items.into()))
            }
            (_, other) => Err(no_overload("arithmetic", &other)),
        }
    }

    fn order(&mut self, order: Order, left: &'a Expr, right: &'a Expr) -> Evaluated<'a> {
        let (left, right) = (self.eval(left)?, self.eval(right)?);
        let found = match value::order(&left, &right) {
            Some(found) => found,
            // NaN is neither below nor above anything.
            None if matches!(
                (&left, &right),
                (Val::Double(_) | Val::Int(_), Val::Double(_) | Val::Int(_))
            ) =>
            {
                return Ok(Val::Bool(false));
            }
            None => return Err(no_overload("comparison", &right)),
        };
        Ok(Val::Bool(match order {
            Order::Less => found == Ordering::Less,
            Order::LessOrEqual => found != Ordering::Greater,
            Order::Greater => found == Ordering::Greater,
            Order::GreaterOrEqual => found != Ordering::Less,
        }))
    }

    fn is_in(&mut self, item: &'a Expr, of: &'a Expr) -> Evaluated<'a> {
        let (item, of) = (self.eval(item)?, self.eval(of)?);
        match (&of, &item) {
            (Val::Part(Value::Object(_), _), Val::Text(key)) => {
                Ok(Val::Bool(of.field(key)?.is_some()))
            }
            _ => Ok(Val::Bool(value::contains(&of, &item, self.budget)?)),
        }
    }

    fn size(&mut self, of: &'a Expr) -> Evaluated<'a> {
        let of = self.eval(of)?;
        let size = match &of {
            Val::Text(text) => {
                self.budget.spend_text(text.len())?;
                text.chars().count()
            }
            Val::Part(Value::Object(fields), _) => fields.len(),
            list => list.length().ok_or_else(|| no_overload("size", list))?,
        };
        Ok(Val::Int(i64::try_from(size).unwrap_or(i64::MAX)))
    }

    fn convert(&mut self, to: Conversion, value: Val<'a>) -> Evaluated<'a> {
        let failed = |value: &Val<'_>| {
            Failure::error(format!(
                "cannot convert {} to what is asked for",
                value.kind()
            ))
        };
        match (to, value) {
            (Conversion::Int, Val::Double(value)) => {
                let fits = value.is_finite() && value.abs() < 9_223_372_036_854_775_808.0;
                if fits {
                    Ok(Val::Int(value as i64))
                } else {
                    Err(overflow())
                }
            }
            (Conversion::Int, Val::Text(text)) => text
                .parse()
                .map(Val::Int)
                .map_err(|_| failed(&Val::Text(text.clone()))),
            (Conversion::Double, Val::Int(value)) => Ok(Val::Double(value as f64)),
            (Conversion::Double, Val::Text(text)) => text
                .parse()
                .map(Val::Double)
                .map_err(|_| failed(&Val::Text(text.clone()))),
            (Conversion::Int, value @ Val::Int(_))
            | (Conversion::Double, value @ Val::Double(_))
            | (Conversion::Text, value @ Val::Text(_)) => Ok(value),
            (Conversion::Text, Val::Int(value)) => Ok(Val::Text(Cow::Owned(value.to_string()))),
            (Conversion::Text, Val::Bool(value)) => Ok(Val::Text(Cow::Owned(value.to_string()))),
            (Conversion::Duration, Val::Text(text)) => value::nanoseconds(&text).map(Val::Duration),
            (Conversion::Quantity, Val::Text(text)) => text
                .parse()
                .map(Val::Quantity)
                .map_err(|_| failed(&Val::Text(text.clone()))),
            (Conversion::IsQuantity, Val::Text(text)) => {
                Ok(Val::Bool(text.parse::<Quantity>().is_ok()))
            }
            (_, value) => Err(failed(&value)),
        }
    }

    /// The values that a macro goes through: the items of a list, the keys of a map.
    fn range(&mut self, over: &'a Expr) -> Result<Vec<Val<'a>>, Failure> {
        let over = self.eval(over)?;
        if let Val::Part(Value::Object(fields), _) = over {
            self.budget.spend(fields.len())?;
            return Ok(fields
                .keys()
                .map(|key| Val::Text(Cow::Borrowed(key.as_str())))
                .collect());
        }
        let length = over.length().ok_or_else(|| no_overload("a macro", &over))?;
        self.budget.spend(length)?;
        let mut items = Vec::with_capacity(length);
        for index in 0..length {
            items.extend(over.item(index)?);
        }
        Ok(items)
    }

    fn with<T>(
        &mut self,
        place: usize,
        value: Val<'a>,
        act: impl FnOnce(&mut Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.variables.truncate(place);
        self.variables.push(value);
        let result = act(self);
        self.variables.truncate(place);
        result
    }

    fn quantify(
        &mut self,
        how: Quantifier,
        over: &'a Expr,
        place: usize,
        test: &'a Expr,
    ) -> Evaluated<'a> {
        let mut holding = 0;
        let mut failure = None;
        for item in self.range(over)? {
            match (self.with(place, item, |eval| eval.bool(test)), how) {
                (Ok(true), Quantifier::Exists) => return Ok(Val::Bool(true)),
                (Ok(false), Quantifier::All) => return Ok(Val::Bool(false)),
                (Ok(holds), _) => holding += usize::from(holds),
                (Err(Failure::Error(message)), Quantifier::All | Quantifier::Exists) => {
                    failure = Some(message);
                }
                (Err(failure), _) => return Err(failure),
            }
        }
        match (failure, how) {
            (Some(message), _) => Err(Failure::Error(message)),
            (None, Quantifier::All) => Ok(Val::Bool(true)),
            (None, Quantifier::Exists) => Ok(Val::Bool(false)),
            (None, Quantifier::ExistsOne) => Ok(Val::Bool(holding == 1)),
        }
    }

    fn filter(
        &mut self,
        over: &'a Expr,
        place: usize,
        test: Option<&'a Expr>,
        item: Option<&'a Expr>,
    ) -> Evaluated<'a> {
        let mut results = Vec::new();
        for value in self.range(over)? {
            let result = self.with(place, value.clone(), |eval| {
                if let Some(test) = test
                    && !eval.bool(test)?
                {
                    return Ok(None);
                }
                match item {
                    Some(item) => eval.eval(item).map(Some),
                    None => Ok(Some(value)),
                }
            })?;
            results.extend(result);
        }
        Ok(Val::List(results.into()))
    }
}

fn overflow() -> Failure {
    Failure::error("integer overflow")
}

fn no_overload(operation: &str, value: &Val<'_>) -> Failure {
    Failure::error(format!("{operation} is not defined for {}", value.kind()))
}
