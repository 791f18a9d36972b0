//! The locks of one filesystem, of all its hosts: what is held, what was offered and is not known to be taken yet, and who
//! waits.
//!
//! Policy: whatever nothing *held or offered* by others is in the way of is given at once, as on a local filesystem; nobody
//! waits for somebody who only waits himself. That is what POSIX asks of locks that do not wait, and with locks that do,
//! an order of waiting makes deadlocks where programs made none (a reader that asks for one more piece behind a writer who
//! waits for that very reader). Those who wait are looked at in the order in which they came whenever something is let
//! go. So a writer may be overtaken by readers, as on a local filesystem; it is given its lock the first time that
//! nothing is in its way.
//!
//! A circle of waiting holders is not looked for: the kernel does not say which locks belong to an open file (OFD),
//! and for those the answer EDEADLK does not exist. Whoever waits can be ended by a signal.

use super::{Held, Mode, Part, Range};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Who holds locks: what the kernel of one host takes for one owner, a process or an open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Holder {
    /// The number of the host in the lockspace.
    pub node: u32,
    /// The kernel's name for it. It means something on that host alone.
    pub token: u64,
}

/// A lock that is asked for, or held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// The number of the file.
    pub file: u64,
    /// For whom.
    pub token: u64,
    /// What.
    pub part: Part,
}

/// A request for a lock: the host, and the host's number of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The host.
    pub node: u32,
    /// Its number of it.
    pub number: u64,
}

/// A lock that is in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InTheWay {
    /// Whose.
    pub holder: Holder,
    /// Which.
    pub part: Part,
}

/// What becomes of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It may be taken, and nobody else is given what would be in its way.
    Offered,
    /// Something is in the way, and it was not to wait.
    Busy,
    /// It will be offered.
    Waits,
}

#[derive(Debug, Default)]
struct File {
    held: BTreeMap<Holder, Held>,
    offered: BTreeMap<Ticket, Wish>,
    /// By the order in which they came.
    waiting: BTreeMap<u64, (Ticket, Wish)>,
}

/// The locks of one filesystem.
#[derive(Debug, Default)]
pub struct Table {
    files: BTreeMap<u64, File>,
    /// Files of requests.
    tickets: BTreeMap<Ticket, u64>,
    /// Files in which something was let go since the last look at those who wait.
    loosened: BTreeSet<u64>,
    came: u64,
}

fn conflicts(one: Part, other: Part) -> bool {
    let exclusive = one.mode == Mode::Exclusive || other.mode == Mode::Exclusive;
    exclusive && one.range.meets(other.range)
}

impl File {
    fn in_the_way(&self, holder: Holder, wish: &Wish) -> Option<InTheWay> {
        let held = self.held.iter().flat_map(|(holder, held)| {
            let parts = held.parts().iter();
            parts.map(|part| (*holder, *part))
        });
        let offered = self
            .offered
            .iter()
            .map(|(ticket, wish)| (wish.holder(ticket.node), wish.part));
        let all = held.chain(offered);
        all.filter(|(other, part)| *other != holder && conflicts(wish.part, *part))
            .min_by_key(|(holder, part)| (part.range, *holder))
            .map(|(holder, part)| InTheWay { holder, part })
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.offered.is_empty() && self.waiting.is_empty()
    }
}

impl Wish {
    /// For whom, when it comes from this host.
    #[must_use]
    pub fn holder(&self, node: u32) -> Holder {
        Holder {
            node,
            token: self.token,
        }
    }
}

impl Table {
    /// A holder has it, whatever it had of it before. Nobody is asked: that was done before it took it.
    pub fn hold(&mut self, node: u32, wish: Wish) {
        let file = self.files.entry(wish.file).or_default();
        let held = file.held.entry(wish.holder(node)).or_default();
        held.lock(wish.part);
        // It may be less than before.
        self.loosened.insert(wish.file);
    }

    /// A holder has none of it any more.
    pub fn release(&mut self, number: u64, holder: Holder, range: Range) {
        let Some(file) = self.files.get_mut(&number) else {
            return;
        };
        if let Some(held) = file.held.get_mut(&holder) {
            held.unlock(range);
            if held.is_empty() {
                file.held.remove(&holder);
            }
            self.loosened.insert(number);
        }
    }

    /// What is in the way of a lock, the first piece of it.
    #[must_use]
    pub fn in_the_way(&self, node: u32, wish: &Wish) -> Option<InTheWay> {
        let file = self.files.get(&wish.file)?;
        file.in_the_way(wish.holder(node), wish)
    }

    /// Asks for a lock. A ticket is used once, until it is taken or withdrawn.
    pub fn ask(&mut self, ticket: Ticket, wish: Wish, wait: bool) -> Reply {
        let free = self.in_the_way(ticket.node, &wish).is_none();
        if !free && !wait {
            return Reply::Busy;
        }
        self.tickets.insert(ticket, wish.file);
        let file = self.files.entry(wish.file).or_default();
        if free {
            file.offered.insert(ticket, wish);
            return Reply::Offered;
        }
        self.came += 1;
        file.waiting.insert(self.came, (ticket, wish));
        Reply::Waits
    }

    /// What was offered is held from now on.
    pub fn take(&mut self, ticket: Ticket) {
        let Some(number) = self.tickets.remove(&ticket) else {
            return;
        };
        let file = self.files.get_mut(&number);
        if let Some(wish) = file.and_then(|file| file.offered.remove(&ticket)) {
            self.hold(ticket.node, wish);
        }
    }

    /// Nobody wants it any more: neither an offer nor a place among those who wait.
    pub fn withdraw(&mut self, ticket: Ticket) {
        let Some(number) = self.tickets.remove(&ticket) else {
            return;
        };
        if let Some(file) = self.files.get_mut(&number) {
            file.waiting.retain(|_, (waiting, _)| *waiting != ticket);
            file.offered.remove(&ticket);
            self.loosened.insert(number);
        }
    }

    /// Nobody of a host waits any more. What its holders have, and what they were offered, stays.
    pub fn forget_waiting(&mut self, node: u32) {
        for file in self.files.values_mut() {
            file.waiting.retain(|_, (ticket, _)| ticket.node != node);
        }
        let files = &self.files;
        self.tickets.retain(|ticket, number| {
            let file = files.get(number);
            ticket.node != node || file.is_some_and(|file| file.offered.contains_key(ticket))
        });
    }

    /// A host has nothing, was offered nothing and waits for nothing.
    pub fn forget(&mut self, node: u32) {
        self.tickets.retain(|ticket, _| ticket.node != node);
        for (number, file) in &mut self.files {
            let before = file.held.len() + file.offered.len();
            file.held.retain(|holder, _| holder.node != node);
            file.offered.retain(|ticket, _| ticket.node != node);
            file.waiting.retain(|_, (ticket, _)| ticket.node != node);
            if file.held.len() + file.offered.len() < before {
                self.loosened.insert(*number);
            }
        }
        self.files.retain(|_, file| !file.is_empty());
    }

    /// Offers what has become free to those who wait, in the order in which they came.
    pub fn settle(&mut self) -> Vec<Ticket> {
        let mut offered = Vec::new();
        for number in std::mem::take(&mut self.loosened) {
            let Some(file) = self.files.get_mut(&number) else {
                continue;
            };
            for (came, (ticket, wish)) in std::mem::take(&mut file.waiting) {
                if file.in_the_way(wish.holder(ticket.node), &wish).is_some() {
                    file.waiting.insert(came, (ticket, wish));
                } else {
                    file.offered.insert(ticket, wish);
                    offered.push(ticket);
                }
            }
            if file.is_empty() {
                self.files.remove(&number);
            }
        }
        offered
    }

    /// Everything that is held.
    pub fn held(&self) -> impl Iterator<Item = (u64, Holder, Part)> {
        self.files.iter().flat_map(|(number, file)| {
            file.held.iter().flat_map(|(holder, held)| {
                let parts = held.parts().iter();
                parts.map(|part| (*number, *holder, *part))
            })
        })
    }

    /// Everything that is offered, and to which host.
    #[cfg(test)]
    pub(super) fn offered(&self) -> impl Iterator<Item = (u32, Wish)> {
        let files = self.files.values();
        files.flat_map(|file| {
            file.offered
                .iter()
                .map(|(ticket, wish)| (ticket.node, *wish))
        })
    }

    /// Two holders with a lock each that the other one's is in the way of; none, if the rule was kept.
    #[must_use]
    pub fn breach(&self) -> Option<(u64, InTheWay, InTheWay)> {
        self.held().find_map(|(file, holder, part)| {
            let token = holder.token;
            let wish = Wish { file, token, part };
            let other = self.in_the_way(holder.node, &wish)?;
            Some((file, InTheWay { holder, part }, other))
        })
    }

    /// Whether it knows of nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.files.values().all(File::is_empty)
    }
}
