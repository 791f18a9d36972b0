//! How one half of an even number of voters may go on when the other half is silent.
//!
//! A majority of `n` voters, `n` even, is `n/2 + 1`: every majority has a member in each half. A half `S` whose members all
//! act together therefore knows every committed entry, and lacks one vote. A *round* earns that vote:
//!
//! 1. Every member of `S` *promises* to hear and answer nobody outside `S`. Only a member that has been part of a quorum
//!    since its machine booted may promise, and only when the newest membership in its log, committed or not, is the
//!    coordinator's and no entry of its log is newer than the coordinator's. In the middle of a change of the voters `S` is
//!    half, or a majority, of the former and of the new ones, and lacks the same one vote wherever it is half.
//! 2. Only then are the fence devices asked. Evidence names its round; evidence of another round is void.
//! 3. When every voter outside `S` is confirmed off, one of them is *stood in for*: the coordinator's network
//!    answers votes and replication in its place. Ordinary election, replication and membership change do the rest.
//!
//! The round ends when a promise is broken (its holder was restarted, or gave up), when the coordinator is restarted, or
//! when the membership without the other half is committed. `docs/takeover.md` has the argument why no committed entry is
//! lost and why the halves can never both go on; `model` explores it.
//!
//! Nothing here reads a clock, sends or waits: [`Takeover`] takes inputs and returns actions.

mod machine;
mod message;
#[cfg(test)]
mod model;
mod record;
#[cfg(test)]
mod tests;

pub use machine::{Action, Attempt, Ending, Facts, Obstacle, Phase, Takeover};
pub use message::{Configuration, Message, Position, Refusal, Round};
pub use record::{Evidence, Record, Shot};
