//! What happened, told to people.
//!
//! Whoever notices something records it and goes on: recording never waits and never fails its caller.
//! Equal events become one object with a count, the events of one object and all events together are
//! bounded, and every event expires, so that a loop gone wild costs a line, not the store.

mod recorder;

pub(crate) use recorder::name_of;
pub use recorder::{Happening, Recorder, Severity};

/// How long an event is kept after it last happened.
pub(crate) const TTL_MS: u64 = 60 * 60 * 1000;
/// How many events there may be.
pub(crate) const MAX_EVENTS: usize = 5_000;
