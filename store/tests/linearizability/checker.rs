//! Is there an order of the operations, each within the time from its call to its answer, in which a
//! plain register would have given the same answers? (The search of Wing and Gong with Lowe's memory of
//! configurations that were tried already.)
//!
//! Keys are independent, so each has a history of its own.

use std::collections::HashSet;

/// A value; every write of a history writes another.
pub(crate) type Value = u64;

/// What was asked and answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Read(Option<Value>),
    Write(Value),
    /// Write if the present value is the expected one; whether it was.
    Swap {
        expected: Option<Value>,
        new: Value,
        done: bool,
    },
    /// A write, or a swap, whose answer was lost: it may have happened at any time after its call, or
    /// not at all.
    MaybeWrite(Value),
    MaybeSwap {
        expected: Option<Value>,
        new: Value,
    },
}

/// An operation with its place in real time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    pub(crate) called: u64,
    /// `u64::MAX` when no answer came.
    pub(crate) answered: u64,
    pub(crate) action: Action,
}

/// The register's answer: the value afterwards, if the action can happen now as it was seen.
fn happens(value: Option<Value>, action: Action) -> Option<Option<Value>> {
    match action {
        Action::Read(seen) => (seen == value).then_some(value),
        Action::Write(new) | Action::MaybeWrite(new) => Some(Some(new)),
        Action::Swap {
            expected,
            new,
            done,
        } => match (expected == value, done) {
            (true, true) => Some(Some(new)),
            (false, false) => Some(value),
            _ => None,
        },
        Action::MaybeSwap { expected, new } => {
            Some(if expected == value { Some(new) } else { value })
        }
    }
}

/// Which operations have happened, as bits.
type Done = Vec<u64>;

fn has(done: &Done, n: usize) -> bool {
    done[n / 64] & (1 << (n % 64)) != 0
}

/// Whether the history of one key is linearizable.
pub(crate) fn linearizable(history: &[Operation]) -> bool {
    let mut history = history.to_vec();
    history.sort_by_key(|op| op.called);
    let answered = history.iter().filter(|op| op.answered != u64::MAX).count();
    let mut tried: HashSet<(Done, Option<Value>)> = HashSet::new();
    let start = (vec![0; history.len().div_ceil(64)], None, 0, 0);
    let mut stack: Vec<(Done, Option<Value>, usize, usize)> = vec![start];
    while let Some((done, value, happened, first)) = stack.pop() {
        if happened == answered {
            return true;
        }
        let first = (first..history.len())
            .find(|n| !has(&done, *n))
            .unwrap_or(history.len());
        // What is called after something else was answered cannot come before it.
        let mut earliest = u64::MAX;
        let mut candidates = Vec::new();
        for (n, op) in history.iter().enumerate().skip(first) {
            if op.called > earliest {
                break;
            }
            if !has(&done, n) {
                earliest = earliest.min(op.answered);
                candidates.push(n);
            }
        }
        for n in candidates {
            let op = &history[n];
            if op.called > earliest {
                continue;
            }
            let Some(after) = happens(value, op.action) else {
                continue;
            };
            let mut next = done.clone();
            next[n / 64] |= 1 << (n % 64);
            if tried.insert((next.clone(), after)) {
                let counts = usize::from(op.answered != u64::MAX);
                stack.push((next, after, happened + counts, first));
            }
        }
    }
    false
}
