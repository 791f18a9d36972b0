//! Packets that came from somewhere else in time.

use super::world::wish;
use crate::locks::{Effect, Host, Item, Mode, Outcome, Packet, Question, Session, Wish, Word};

const GENERATION: u64 = 4;
const ARBITER: u32 = 1;
const SECOND: u32 = 2;
const THIRD: u32 = 3;

fn arbiter(members: &[u32]) -> Host {
    let mut host = Host::new(ARBITER, []);
    host.resume(false);
    host.start(GENERATION, members);
    host.effects();
    host
}

fn lock() -> Wish {
    wish(5, 1, 0, 9, Mode::Exclusive)
}

/// The session of a host's daemon with the first life of the arbiter.
fn session(life: u64) -> Session {
    Session {
        arbiter: 1,
        life,
        count: 1,
    }
}

/// A host says something, and this is what the arbiter says thereafter, to everybody.
fn hears(host: &mut Host, from: u32, session: Session, first: u64, items: &[Item]) -> Vec<Word> {
    let items = items.to_vec();
    let word = Word::Items {
        session,
        first,
        items,
    };
    let generation = GENERATION;
    host.receive(from, &Packet { generation, word });
    said(host)
}

fn said(host: &mut Host) -> Vec<Word> {
    let effects = host.effects().into_iter();
    effects
        .filter_map(|effect| match effect {
            Effect::Send(_, packet) => Some(packet.word),
            _ => None,
        })
        .collect()
}

fn offers(words: &[Word]) -> usize {
    let outcomes = words.iter().filter_map(|word| match word {
        Word::Outcomes { outcomes, .. } => Some(outcomes),
        _ => None,
    });
    let all = outcomes.flatten();
    all.filter(|(_, outcome)| *outcome == Outcome::Offered)
        .count()
}

fn asks(number: u64) -> Item {
    let (wish, wait) = (lock(), true);
    Item::Lock { number, wish, wait }
}

#[test]
fn what_was_said_in_another_generation_is_not_heard() {
    let mut host = arbiter(&[ARBITER, SECOND]);
    for (generation, heard) in [
        (GENERATION - 1, false),
        (GENERATION + 1, false),
        (GENERATION, true),
    ] {
        let word = Word::Hello;
        host.receive(SECOND, &Packet { generation, word });
        assert_eq!(
            !said(&mut host).is_empty(),
            heard,
            "generation {generation}"
        );
    }
}

#[test]
fn what_was_said_to_a_former_life_of_the_arbiter_is_not_heard() {
    let mut host = arbiter(&[ARBITER, SECOND]);
    let former = Session {
        arbiter: 0,
        ..session(1)
    };
    let answer = hears(&mut host, SECOND, former, 0, &[Item::Whole, asks(7)]);
    assert_eq!(answer, [Word::Welcome { arbiter: 1 }]);
    let answer = hears(&mut host, SECOND, session(1), 0, &[Item::Whole, asks(7)]);
    assert_eq!(offers(&answer), 1);
}

#[test]
fn nothing_is_offered_to_a_former_session_while_the_next_one_begins() {
    let mut host = arbiter(&[ARBITER, SECOND]);
    hears(&mut host, SECOND, session(1), 0, &[Item::Whole]);
    host.ask(Question::Lock {
        wish: lock(),
        wait: false,
    });
    host.effects();
    let answer = hears(&mut host, SECOND, session(1), 1, &[asks(7)]);
    assert_eq!(offers(&answer), 0, "it waits");
    let elsewhere = Wish { file: 6, ..lock() };
    hears(&mut host, SECOND, session(2), 0, &[Item::Has(elsewhere)]);
    let Wish { file, token, part } = lock();
    host.ask(Question::Unlock {
        file,
        token,
        range: part.range,
        pid: part.pid,
    });
    host.tick();
    assert_eq!(
        offers(&said(&mut host)),
        0,
        "it is not asked for in this session yet"
    );
    let answer = hears(&mut host, SECOND, session(2), 1, &[Item::Whole, asks(7)]);
    assert_eq!(offers(&answer), 1);
}

#[test]
fn what_was_offered_counts_until_its_host_has_said_everything_again() {
    let mut host = arbiter(&[ARBITER, SECOND]);
    let answer = hears(&mut host, SECOND, session(1), 0, &[Item::Whole, asks(7)]);
    assert_eq!(offers(&answer), 1);
    let elsewhere = Wish { file: 6, ..lock() };
    hears(&mut host, SECOND, session(2), 0, &[Item::Has(elsewhere)]);
    let tried = host.ask(Question::Lock {
        wish: lock(),
        wait: false,
    });
    let refused = host.effects().into_iter().any(|effect| {
        matches!(effect, Effect::Answer(number, _, crate::locks::Answer::Busy) if number == tried)
    });
    assert!(refused, "it may have taken it");
    hears(&mut host, SECOND, session(2), 1, &[Item::Whole]);
    host.ask(Question::Lock {
        wish: lock(),
        wait: false,
    });
    host.effects();
    assert_eq!(host.held().collect::<Vec<_>>(), [lock()], "it has not");
}

#[test]
fn what_was_asked_in_a_former_session_is_not_answered_when_all_are_there() {
    let mut host = arbiter(&[ARBITER, SECOND, THIRD]);
    hears(&mut host, SECOND, session(1), 0, &[Item::Whole, asks(7)]);
    hears(&mut host, SECOND, session(2), 0, &[Item::Whole]);
    let answer = hears(&mut host, THIRD, session(1), 0, &[Item::Whole]);
    assert_eq!(offers(&answer), 0, "nobody asks for it any more");
    let answer = hears(&mut host, THIRD, session(1), 1, &[asks(9)]);
    assert_eq!(offers(&answer), 1);
}

#[test]
fn a_packet_of_a_former_session_changes_nothing() {
    let mut host = arbiter(&[ARBITER, SECOND]);
    hears(
        &mut host,
        SECOND,
        session(2),
        0,
        &[Item::Has(lock()), Item::Whole],
    );
    hears(&mut host, SECOND, session(1), 0, &[Item::Whole]);
    host.ask(Question::Lock {
        wish: lock(),
        wait: false,
    });
    host.effects();
    assert_eq!(host.held().count(), 0, "somebody else has it");
}
