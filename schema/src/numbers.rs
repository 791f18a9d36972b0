//! The limits of numbers, exact for whole ones.

use crate::node::{Bound, Node};
use serde_json::Number;
use std::cmp::Ordering;

/// Whether `number` lies within the bounds of `node`.
pub(crate) fn within(node: &Node, number: &Number) -> bool {
    let below = |bound: &Bound| outside(bound, number, Ordering::Less);
    let above = |bound: &Bound| outside(bound, number, Ordering::Greater);
    !node.minimum.as_ref().is_some_and(below) && !node.maximum.as_ref().is_some_and(above)
}

fn outside(bound: &Bound, number: &Number, side: Ordering) -> bool {
    let order = compare(number, &bound.value);
    order == side || (bound.exclusive && order == Ordering::Equal)
}

/// Compares numbers, whole ones exactly.
fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => {
            let (a, b) = (
                a.as_f64().unwrap_or(f64::NAN),
                b.as_f64().unwrap_or(f64::NAN),
            );
            a.total_cmp(&b)
        }
    }
}

/// Whether `number` is a multiple of `step`.
pub(crate) fn is_multiple(number: &Number, step: &Number) -> bool {
    match (number.as_i128(), step.as_i128()) {
        (Some(number), Some(step)) if step != 0 => number % step == 0,
        _ => match (number.as_f64(), step.as_f64()) {
            (Some(number), Some(step)) => {
                let ratio = number / step;
                (ratio - ratio.round()).abs() < 1e-9
            }
            _ => false,
        },
    }
}

/// The bounds of `node`, in words.
pub(crate) fn range(node: &Node) -> String {
    let low = node.minimum.as_ref().map(|bound| {
        (
            if bound.exclusive {
                "more than"
            } else {
                "at least"
            },
            bound,
        )
    });
    let high = node.maximum.as_ref().map(|bound| {
        (
            if bound.exclusive {
                "less than"
            } else {
                "at most"
            },
            bound,
        )
    });
    match (low, high) {
        (Some(("at least", low)), Some(("at most", high))) => {
            format!("{} to {}", low.value, high.value)
        }
        (low, high) => {
            let parts: Vec<String> = low
                .into_iter()
                .chain(high)
                .map(|(word, bound)| format!("{word} {}", bound.value))
                .collect();
            parts.join(" and ")
        }
    }
}
