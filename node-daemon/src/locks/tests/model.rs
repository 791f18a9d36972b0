//! The table beside one that knows bytes only, and takes its time.

use crate::locks::{Held, Holder, Mode, Part, Range, Reply, Table, Ticket, Wish};
use proptest::prelude::*;
use std::collections::BTreeMap;

const BYTES: u64 = 12;

#[derive(Clone, Debug)]
enum Act {
    Lock { node: u32, wish: Wish, wait: bool },
    Unlock { node: u32, wish: Wish },
    Get { node: u32, wish: Wish },
    Cancel { which: usize },
    Close { node: u32, wish: Wish },
    Purge { node: u32 },
}

/// Who has which byte of which file.
#[derive(Default)]
struct Bytes {
    held: BTreeMap<(u64, u64, Holder), Mode>,
    waiting: Vec<(Ticket, Wish)>,
}

fn bytes(range: Range) -> impl Iterator<Item = u64> {
    range.first()..=range.last().min(BYTES)
}

impl Bytes {
    fn in_the_way(&self, node: u32, wish: &Wish) -> Option<(u64, Mode)> {
        let holder = wish.holder(node);
        bytes(wish.part.range).find_map(|byte| {
            let all = self.held.iter();
            let others = all
                .filter(|((file, at, who), _)| *file == wish.file && *at == byte && *who != holder);
            others
                .map(|(_, mode)| (byte, *mode))
                .find(|(_, mode)| Mode::Exclusive == (*mode).max(wish.part.mode))
        })
    }

    fn hold(&mut self, node: u32, wish: &Wish) {
        for byte in bytes(wish.part.range) {
            let key = (wish.file, byte, wish.holder(node));
            self.held.insert(key, wish.part.mode);
        }
    }

    fn release(&mut self, file: u64, holder: Holder, range: Range) {
        for byte in bytes(range) {
            self.held.remove(&(file, byte, holder));
        }
    }

    /// Looks at those who wait, the first ones first. What one of them is given weakens what it had only when all were
    /// looked at; then they are looked at again.
    fn settle(&mut self) -> Vec<Ticket> {
        let mut given = Vec::new();
        loop {
            let (mut seen, mut taken) = (self.strongest(&[]), Vec::new());
            for (ticket, wish) in std::mem::take(&mut self.waiting) {
                if seen.in_the_way(ticket.node, &wish).is_some() {
                    self.waiting.push((ticket, wish));
                } else {
                    taken.push((ticket, wish));
                    seen = self.strongest(&taken);
                }
            }
            if taken.is_empty() {
                given.sort();
                return given;
            }
            for (ticket, wish) in taken {
                self.hold(ticket.node, &wish);
                given.push(ticket);
            }
        }
    }

    fn strongest(&self, more: &[(Ticket, Wish)]) -> Self {
        let mut held = self.held.clone();
        for (ticket, wish) in more {
            for byte in bytes(wish.part.range) {
                let key = (wish.file, byte, wish.holder(ticket.node));
                let mode = held.entry(key).or_insert(wish.part.mode);
                *mode = (*mode).max(wish.part.mode);
            }
        }
        let waiting = Vec::new();
        Self { held, waiting }
    }
}

/// The table with offers that are taken at once.
#[derive(Default)]
struct Quick {
    table: Table,
}

impl Quick {
    /// One after the other: what a waiting holder takes may also leave something free.
    fn settle(&mut self) -> Vec<Ticket> {
        let mut given = Vec::new();
        loop {
            let offered = self.table.settle();
            if offered.is_empty() {
                given.sort();
                return given;
            }
            for ticket in offered {
                self.table.take(ticket);
                given.push(ticket);
            }
        }
    }

    fn bytes(&self) -> BTreeMap<(u64, u64, Holder), Mode> {
        let parts = self.table.held();
        parts
            .flat_map(|(file, holder, part)| {
                bytes(part.range).map(move |byte| ((file, byte, holder), part.mode))
            })
            .collect()
    }
}

fn wishes() -> impl Strategy<Value = Wish> {
    let modes = prop_oneof![Just(Mode::Shared), Just(Mode::Exclusive)];
    (1..3_u64, 1..3_u64, 0..BYTES, 0..BYTES, modes, any::<bool>()).prop_map(
        |(file, token, one, other, mode, to_the_end)| {
            let last = if to_the_end { u64::MAX } else { one.max(other) };
            let range = Range::new(one.min(other), last).expect("bytes");
            let pid = u32::try_from(token).expect("small");
            Wish {
                file,
                token,
                part: Part { range, mode, pid },
            }
        },
    )
}

fn acts() -> impl Strategy<Value = Act> {
    let of = |how: fn(u32, Wish) -> Act| {
        (1..4_u32, wishes()).prop_map(move |(node, wish)| how(node, wish))
    };
    prop_oneof![
        4 => (1..4_u32, wishes(), any::<bool>())
            .prop_map(|(node, wish, wait)| Act::Lock { node, wish, wait }),
        4 => of(|node, wish| Act::Unlock { node, wish }),
        2 => of(|node, wish| Act::Get { node, wish }),
        1 => any::<usize>().prop_map(|which| Act::Cancel { which }),
        1 => of(|node, wish| Act::Close { node, wish }),
        1 => (1..4_u32).prop_map(|node| Act::Purge { node }),
    ]
}

/// Whether the pieces of each holder are in order, apart, and as few as can be.
fn is_neat(held: &[Part]) -> bool {
    held.windows(2).all(|pair| {
        let apart = pair[0].range.last() < pair[1].range.first();
        let touch = pair[0].range.last() + 1 == pair[1].range.first();
        apart && !(touch && pair[0].mode == pair[1].mode)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_table_knows_what_one_of_bytes_knows(acts in prop::collection::vec(acts(), 1..60)) {
        let mut quick = Quick::default();
        let mut slow = Bytes::default();
        for (number, act) in (1..).zip(acts) {
            match act {
                Act::Lock { node, wish, wait } => {
                    let ticket = Ticket { node, number };
                    let free = slow.in_the_way(node, &wish).is_none();
                    let expected = match (free, wait) {
                        (true, _) => Reply::Offered,
                        (false, false) => Reply::Busy,
                        (false, true) => Reply::Waits,
                    };
                    prop_assert_eq!(quick.table.ask(ticket, wish, wait), expected);
                    match expected {
                        Reply::Offered => {
                            quick.table.take(ticket);
                            slow.hold(node, &wish);
                        }
                        Reply::Waits => slow.waiting.push((ticket, wish)),
                        Reply::Busy => {}
                    }
                }
                Act::Unlock { node, wish } => {
                    quick.table.release(wish.file, wish.holder(node), wish.part.range);
                    slow.release(wish.file, wish.holder(node), wish.part.range);
                }
                Act::Get { node, wish } => {
                    let found = quick.table.in_the_way(node, &wish);
                    let expected = slow.in_the_way(node, &wish);
                    prop_assert_eq!(found.is_some(), expected.is_some());
                    if let (Some(found), Some((byte, _))) = (found, expected) {
                        let first = found.part.range.first().max(wish.part.range.first());
                        prop_assert_eq!(first, byte, "not the first lock that is in the way");
                        let key = (wish.file, byte, found.holder);
                        prop_assert_eq!(slow.held.get(&key), Some(&found.part.mode));
                    }
                }
                Act::Cancel { which } => {
                    if !slow.waiting.is_empty() {
                        let (ticket, _) = slow.waiting.remove(which % slow.waiting.len());
                        quick.table.withdraw(ticket);
                    }
                }
                Act::Close { node, wish } => {
                    let holder = wish.holder(node);
                    slow.release(wish.file, holder, Range::ALL);
                    slow.waiting.retain(|(ticket, waiting)| {
                        let his = waiting.file == wish.file && waiting.holder(ticket.node) == holder;
                        if his {
                            quick.table.withdraw(*ticket);
                        }
                        !his
                    });
                    quick.table.release(wish.file, holder, Range::ALL);
                }
                Act::Purge { node } => {
                    quick.table.forget(node);
                    slow.held.retain(|(_, _, holder), _| holder.node != node);
                    slow.waiting.retain(|(ticket, _)| ticket.node != node);
                }
            }
            prop_assert_eq!(quick.settle(), slow.settle());
            prop_assert_eq!(quick.bytes(), slow.held.clone());
            prop_assert!(quick.table.breach().is_none());
        }
        for node in 1..4 {
            quick.table.forget(node);
        }
        prop_assert!(quick.table.is_empty(), "{:?} is left over", quick.table);
    }

    #[test]
    fn the_pieces_of_a_holder_stay_few(wishes in prop::collection::vec((wishes(), any::<bool>()), 1..40)) {
        let mut held = Held::default();
        for (wish, lock) in wishes {
            let part = Part { pid: 1, ..wish.part };
            match lock {
                true => held.lock(part),
                false => held.unlock(part.range),
            }
            prop_assert!(is_neat(held.parts()), "{held:?}");
        }
    }
}
