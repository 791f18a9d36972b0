//! A rule after compilation: names resolved to places, macros recognised, expressions compiled.

use crate::pattern::Pattern;

/// Where a variable stands: `self`, `oldSelf`, then the variables of macros from the outside in.
pub(super) const SELF: usize = 0;
/// The place of `oldSelf`.
pub(super) const OLD_SELF: usize = 1;

#[derive(Debug, Clone)]
pub(super) enum Expr {
    Variable(usize),
    Literal(Literal),
    List(Vec<Expr>),
    Field {
        of: Box<Expr>,
        name: String,
    },
    Has {
        of: Box<Expr>,
        name: String,
    },
    Index {
        of: Box<Expr>,
        at: Box<Expr>,
    },
    Not(Box<Expr>),
    Negate(Box<Expr>),
    And(Box<Expr>, Box<Expr>),
    Or(Box<Expr>, Box<Expr>),
    Conditional {
        condition: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    Arithmetic {
        operation: Arithmetic,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Equal {
        left: Box<Expr>,
        right: Box<Expr>,
        negated: bool,
    },
    Order {
        order: Order,
        left: Box<Expr>,
        right: Box<Expr>,
    },
    In {
        item: Box<Expr>,
        of: Box<Expr>,
    },
    Size(Box<Expr>),
    Text {
        test: TextTest,
        text: Box<Expr>,
        part: Box<Expr>,
    },
    Matches {
        text: Box<Expr>,
        pattern: Pattern,
    },
    Convert {
        to: Conversion,
        of: Box<Expr>,
    },
    CompareTo {
        left: Box<Expr>,
        right: Box<Expr>,
    },
    Quantify {
        how: Quantifier,
        over: Box<Expr>,
        place: usize,
        test: Box<Expr>,
    },
    Filter {
        over: Box<Expr>,
        place: usize,
        test: Option<Box<Expr>>,
        item: Option<Box<Expr>>,
    },
    HasValue(Box<Expr>),
    Value(Box<Expr>),
    OrValue(Box<Expr>, Box<Expr>),
}

#[derive(Debug, Clone)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TextTest {
    StartsWith,
    EndsWith,
    Contains,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    Int,
    Double,
    Text,
    Duration,
    Quantity,
    IsQuantity,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantifier {
    All,
    Exists,
    ExistsOne,
}
