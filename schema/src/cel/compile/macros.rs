//! Macros. The parser has rewritten them to folds; the shape of the step tells which one it was.

use super::{Compiler, Typed, refuse};
use crate::cel::expr::{Expr, OLD_SELF, Quantifier};
use crate::cel::types::Type;
use cel::common::ast::{self, ComprehensionExpr, operators};
use std::rc::Rc;

const MACROS: &str = "has, all, exists, exists_one, map and filter";

impl<'n> Compiler<'n> {
    pub(super) fn comprehension(&mut self, fold: &ComprehensionExpr) -> Typed<'n> {
        let (over, kind) = self.boxed(&fold.iter_range.expr)?;
        let Some(element) = kind.element().filter(|_| fold.iter_var2.is_none()) else {
            return Err(refuse(
                &format!("a macro over {kind}"),
                "a list or a map, with one variable",
            ));
        };
        let place = OLD_SELF + 1 + self.variables.len();
        self.variables.push((fold.iter_var.clone(), element));
        let typed = self.fold(fold, over, place);
        self.variables.pop();
        typed
    }

    fn fold(&mut self, fold: &ComprehensionExpr, over: Box<Expr>, place: usize) -> Typed<'n> {
        let not_known = || refuse("a macro", MACROS);
        let ast::Expr::Call(step) = &fold.loop_step.expr else {
            return Err(not_known());
        };
        let arguments: Vec<&ast::Expr> = step.args.iter().map(|argument| &argument.expr).collect();
        match (step.func_name.as_str(), &arguments[..]) {
            (operators::LOGICAL_AND, [_, test]) => {
                self.quantify(Quantifier::All, over, place, test)
            }
            (operators::LOGICAL_OR, [_, test]) => {
                self.quantify(Quantifier::Exists, over, place, test)
            }
            (operators::ADD, [_, ast::Expr::List(item)]) => self.filter(over, place, None, item),
            (operators::CONDITIONAL, [test, ast::Expr::Call(then), _]) => {
                match then.args.get(1).map(|argument| &argument.expr) {
                    Some(ast::Expr::List(item)) => self.filter(over, place, Some(test), item),
                    Some(ast::Expr::Literal(_)) => {
                        self.quantify(Quantifier::ExistsOne, over, place, test)
                    }
                    _ => Err(not_known()),
                }
            }
            _ => Err(not_known()),
        }
    }

    fn quantify(
        &mut self,
        how: Quantifier,
        over: Box<Expr>,
        place: usize,
        test: &ast::Expr,
    ) -> Typed<'n> {
        let test = self.wanted(test, &Type::Bool)?;
        Ok((
            Expr::Quantify {
                how,
                over,
                place,
                test,
            },
            Type::Bool,
        ))
    }

    fn filter(
        &mut self,
        over: Box<Expr>,
        place: usize,
        test: Option<&ast::Expr>,
        item: &ast::ListExpr,
    ) -> Typed<'n> {
        let test = match test {
            Some(test) => Some(self.wanted(test, &Type::Bool)?),
            None => None,
        };
        let Some(item) = item.elements.first() else {
            return Err(refuse("a macro", MACROS));
        };
        let (item, kind) = self.boxed(&item.expr)?;
        let item = match *item {
            Expr::Variable(variable) if variable == place => None,
            _ => Some(item),
        };
        Ok((
            Expr::Filter {
                over,
                place,
                test,
                item,
            },
            Type::List(Rc::new(kind)),
        ))
    }
}
