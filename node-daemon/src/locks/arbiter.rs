//! The host that decides: it offers locks to the members of one generation.
//!
//! It offers nothing before every member of the generation has said what it holds. For each member it keeps what the member
//! held at some moment of its past, and everything that it was offered since. As long as a member says what it does in order, all
//! that it holds is among these.

use super::packet::{self, Item, Outcome, Session, Word};
use super::{Reply, Table, Ticket, Wish};
use std::collections::BTreeMap;

/// Decides over the locks of one filesystem, in one generation and one life of the daemon.
#[derive(Debug)]
pub(super) struct Arbiter {
    life: u64,
    seats: BTreeMap<u32, Seat>,
    table: Table,
    /// Requests that came before all members had said what they hold.
    early: Vec<(Ticket, Request)>,
    ready: bool,
}

#[derive(Debug, Default)]
struct Seat {
    session: Option<Session>,
    heard: u64,
    /// It has said everything that it has, in some session.
    known: bool,
    /// What it has, as far as it has said so in this session.
    says: Vec<Wish>,
    outcomes: BTreeMap<u64, Outcome>,
    /// There is something new for it.
    stale: bool,
}

#[derive(Clone, Copy, Debug)]
enum Request {
    Lock { wish: Wish, wait: bool },
    Get { wish: Wish },
}

impl Arbiter {
    pub(super) fn new(life: u64, members: &[u32]) -> Self {
        let seats = members.iter().map(|node| (*node, Seat::default()));
        Self {
            life,
            seats: seats.collect(),
            table: Table::default(),
            early: Vec::new(),
            ready: false,
        }
    }

    #[cfg(test)]
    pub(super) fn table(&self) -> Option<&Table> {
        self.ready.then_some(&self.table)
    }

    /// Hears a word of a member, and returns what is to be said to whom.
    pub(super) fn hear(&mut self, from: u32, word: &Word) -> Vec<(u32, Word)> {
        let arbiter = self.life;
        let welcome = || vec![(from, Word::Welcome { arbiter })];
        let Some(seat) = self.seats.get_mut(&from) else {
            return Vec::new();
        };
        match word {
            Word::Hello => welcome(),
            Word::Items { session, .. } if session.arbiter != arbiter => welcome(),
            Word::Items {
                session,
                first,
                items,
            } => {
                if seat.session.is_none_or(|known| known < *session) {
                    if *first > 0 {
                        return Vec::new();
                    }
                    // What was held and offered counts until it has said everything again.
                    let known = seat.known;
                    *seat = Seat {
                        session: Some(*session),
                        known,
                        ..Seat::default()
                    };
                    self.table.forget_waiting(from);
                    self.early.retain(|(ticket, _)| ticket.node != from);
                } else if seat.session != Some(*session) {
                    return Vec::new();
                }
                self.hear_items(from, *first, items);
                self.speak()
            }
            Word::Welcome { .. } | Word::Outcomes { .. } => Vec::new(),
        }
    }

    fn hear_items(&mut self, from: u32, first: u64, items: &[Item]) {
        for (at, item) in (0..).zip(items) {
            let Some(place) = first.checked_add(at) else {
                return;
            };
            let Some(seat) = self.seats.get_mut(&from) else {
                return;
            };
            // What lies behind a gap comes again.
            if place > seat.heard {
                break;
            }
            if place == seat.heard {
                seat.heard += 1;
                self.hear_item(from, *item);
            }
        }
        for ticket in self.table.settle() {
            self.outcome(ticket, Outcome::Offered);
        }
        if let Some(seat) = self.seats.get_mut(&from) {
            seat.stale = true;
        }
    }

    fn hear_item(&mut self, from: u32, item: Item) {
        let Some(seat) = self.seats.get_mut(&from) else {
            return;
        };
        let ticket = |number| Ticket { node: from, number };
        match item {
            Item::Has(wish) => seat.says.push(wish),
            Item::Whole => {
                seat.known = true;
                let says = std::mem::take(&mut seat.says);
                self.table.forget(from);
                for wish in says {
                    self.table.hold(from, wish);
                }
                self.begin();
            }
            Item::Lock { number, wish, wait } => {
                self.request(ticket(number), Request::Lock { wish, wait });
            }
            Item::Get { number, wish } => self.request(ticket(number), Request::Get { wish }),
            Item::Taken(number) => {
                seat.outcomes.remove(&number);
                self.table.take(ticket(number));
            }
            Item::Over(number) => {
                seat.outcomes.remove(&number);
                self.table.withdraw(ticket(number));
                self.early.retain(|(early, _)| *early != ticket(number));
            }
            Item::Released { file, token, range } => {
                let holder = super::Holder { node: from, token };
                self.table.release(file, holder, range);
            }
        }
    }

    fn begin(&mut self) {
        if self.ready || self.seats.values().any(|seat| !seat.known) {
            return;
        }
        self.ready = true;
        if let Some((file, one, other)) = self.table.breach() {
            tracing::error!(
                file,
                ?one,
                ?other,
                "two hosts hold locks that are in each other's way"
            );
        }
        for (ticket, request) in std::mem::take(&mut self.early) {
            self.request(ticket, request);
        }
    }

    fn request(&mut self, ticket: Ticket, request: Request) {
        if !self.ready {
            self.early.push((ticket, request));
            return;
        }
        match request {
            Request::Get { wish } => {
                let found = self.table.in_the_way(ticket.node, &wish);
                self.outcome(ticket, Outcome::Found(found));
            }
            Request::Lock { wish, wait } => match self.table.ask(ticket, wish, wait) {
                Reply::Offered => self.outcome(ticket, Outcome::Offered),
                Reply::Busy => self.outcome(ticket, Outcome::Busy),
                Reply::Waits => {}
            },
        }
    }

    fn outcome(&mut self, ticket: Ticket, outcome: Outcome) {
        if let Some(seat) = self.seats.get_mut(&ticket.node) {
            seat.outcomes.insert(ticket.number, outcome);
            seat.stale = true;
        }
    }

    /// Says again what may not have been heard.
    pub(super) fn tick(&mut self) -> Vec<(u32, Word)> {
        for seat in self.seats.values_mut() {
            seat.stale |= !seat.outcomes.is_empty();
        }
        let mut words = self.speak();
        let arbiter = self.life;
        let strangers = self.seats.iter().filter(|(_, seat)| seat.session.is_none());
        words.extend(strangers.map(|(node, _)| (*node, Word::Welcome { arbiter })));
        words
    }

    fn speak(&mut self) -> Vec<(u32, Word)> {
        let mut words = Vec::new();
        for (node, seat) in &mut self.seats {
            let Some(session) = seat.session.filter(|_| std::mem::take(&mut seat.stale)) else {
                continue;
            };
            let outcomes: Vec<(u64, Outcome)> = seat
                .outcomes
                .iter()
                .map(|(number, outcome)| (*number, *outcome))
                .collect();
            let heard = seat.heard;
            let mut parts: Vec<Vec<_>> = outcomes.chunks(packet::MOST).map(<[_]>::to_vec).collect();
            if parts.is_empty() {
                parts.push(Vec::new());
            }
            words.extend(parts.into_iter().map(|outcomes| {
                let word = Word::Outcomes {
                    session,
                    heard,
                    outcomes,
                };
                (*node, word)
            }));
        }
        words
    }
}
