//! The garbage collector: what becomes of objects when their owners go.
//!
//! It runs on the leader. It keeps the graph of owners and dependants in memory, built from the store and
//! kept current by a watch, and acts through the same verbs as everybody else, so every action is checked
//! against the present state and a collector that is late does nothing wrong:
//!
//! - an object none of whose owners exist any more is deleted; one that has others left loses the
//!   references that lead nowhere;
//! - an owner that is deleted in the *foreground* waits until every dependant that blocks it is gone;
//! - an owner that *orphans* is let go once its dependants have forgotten it.

mod collector;
mod graph;

pub use collector::run;
