//! Locks of programs (POSIX and OFD) on a filesystem that several hosts have mounted.
//!
//! The kernel asks a program for each of them, and whoever asked waits for the answer. Here is what decides it: [`Host`], of
//! each filesystem and host, which knows neither clock nor connection nor file; and around it the [`Desk`] of a host, with
//! the kernel's words ([`record`]) and the notes on disk ([`Notebook`]). `drivers::dlm` has the device and the way to other
//! hosts. Why it is so is in docs/adr/0016-posix-locks.md.
//!
//! The processes of a host, and nobody else, make its locks true: what they hold is kept where they run ([`Note`]), whatever
//! becomes of anybody else. Who may have what is decided by one *arbiter*: among the members with which the lockspace was started,
//! the one with the lowest number. It needs no vote and no log, for all members were started with the same ones, and only
//! after all of the former generation had stopped or were surely off. The arbiter keeps nothing either: it begins with what
//! the members say that they hold.
//!
//! What must never be otherwise:
//!
//! 1. Two locks that are in each other's way are never held at once by processes of hosts that live, nor by one of a lost host that is
//!    not fenced. Whatever a host holds is at every moment among what the arbiter keeps for it: what the host held at some
//!    moment, and what it was offered since. For a host says what it lets go and takes in the order in which it
//!    does, the arbiter hears it in this order, and an offer is kept until the host has said what became of it. An arbiter that begins offers
//!    nothing before every member has said what it holds.
//! 2. A lock that was granted is held until its holder lets it go, closes the file, or its host is fenced: whichever daemon ends, in
//!    whatever order, it is in the notes before the kernel is told. The locks of a lost host are gone with the generation that leaves it out,
//!    which does not exist before its fence.
//! 3. Whoever waits is offered the lock once nothing is in the way, as long as members hear each other; across changes of
//!    members, of the arbiter, and of daemons.
//! 4. The kernel gets one answer to each question, and those that it takes in order, in order.
//! 5. A signal ends a wait without anybody else's help. The kernel hears of it behind the answers to what it asked before, without
//!    waiting, of the same filesystem; those are given up in the end.
//!
//! There is one exception to the fourth: when a daemon is killed between a write to the kernel and the note of it,
//! the next one cannot know from its notes whether the kernel has the answer ([`Host::doubtful`]); and when it is killed between
//! a read and its note, nobody knows what was asked ([`Host::lost`]). So a daemon that starts looks at who waits in the kernel.

mod arbiter;
mod desk;
mod held;
mod host;
mod member;
mod note;
mod notebook;
mod packet;
mod question;
mod range;
pub mod record;
mod table;
#[cfg(test)]
mod tests;

pub use desk::{Desk, Outside, Waiting};
pub use held::{Held, Part};
pub use host::{Effect, Host};
pub use note::Note;
pub use notebook::Notebook;
pub use packet::{Envelope, Item, Outcome, Packet, Session, Word};
pub use question::{Answer, Question};
pub use range::Range;
pub use table::{Holder, InTheWay, Reply, Table, Ticket, Wish};

use serde::{Deserialize, Serialize};

/// The form of what hosts say to each other. A generation of a lockspace has the oldest form that its members speak, and a
/// release goes on speaking those of the releases before it.
pub const FORM: u32 = 1;

/// How bytes are locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Together with others who read.
    Shared,
    /// Alone.
    Exclusive,
}
