//! What programs see, one after the other.

use super::world::{World, wish};
use crate::locks::{Answer, Host, InTheWay, Mode, Note, Question, Range, Wish};
use Mode::{Exclusive, Shared};

const FIRST: u32 = 1;
const SECOND: u32 = 2;
const THIRD: u32 = 3;

fn three() -> World {
    let mut world = World::new(0, 3, None);
    world.all_arrives();
    world
}

fn lock(mode: Mode) -> Wish {
    wish(5, 1, 0, 9, mode)
}

fn tries(wish: Wish) -> Question {
    Question::Lock { wish, wait: false }
}

fn waits(wish: Wish) -> Question {
    Question::Lock { wish, wait: true }
}

fn unlocks(wish: Wish) -> Question {
    let Wish { file, token, part } = wish;
    Question::Unlock {
        file,
        token,
        range: part.range,
        pid: part.pid,
    }
}

fn closes(wish: Wish) -> Question {
    let Wish { file, token, .. } = wish;
    Question::Close { file, token }
}

impl World {
    /// Asks, lets everything arrive, and says what it was answered.
    fn asked(&mut self, node: u32, question: Question) -> Option<Answer> {
        let before = self.answers(node).len();
        self.ask(node, question);
        self.all_arrives();
        self.answers(node).get(before).copied()
    }

    fn ends_right(mut self) {
        self.calm_down();
        self.judge_calm();
        assert_eq!(self.breach, None);
    }
}

#[test]
fn what_one_host_has_another_does_not_get() {
    let mut world = three();
    let wish = lock(Exclusive);
    assert_eq!(world.asked(SECOND, tries(wish)), Some(Answer::Done));
    assert_eq!(world.asked(THIRD, tries(wish)), Some(Answer::Busy));
    assert_eq!(world.asked(FIRST, tries(wish)), Some(Answer::Busy));
    assert_eq!(world.asked(SECOND, unlocks(wish)), Some(Answer::Done));
    assert_eq!(world.asked(THIRD, tries(wish)), Some(Answer::Done));
    world.ends_right();
}

#[test]
fn an_unlock_is_answered_when_others_can_have_the_lock() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.ask(SECOND, unlocks(wish));
    assert_eq!(
        world.answers(SECOND).len(),
        1,
        "the arbiter does not know yet"
    );
    world.all_is_lost();
    world.tick(SECOND);
    world.all_arrives();
    assert_eq!(world.answers(SECOND).len(), 2);
    assert_eq!(world.asked(THIRD, tries(wish)), Some(Answer::Done));
}

#[test]
fn readers_share_and_a_writer_waits_for_the_last_of_them() {
    let mut world = three();
    assert_eq!(world.asked(FIRST, waits(lock(Shared))), Some(Answer::Done));
    assert_eq!(world.asked(SECOND, waits(lock(Shared))), Some(Answer::Done));
    assert_eq!(world.asked(THIRD, waits(lock(Exclusive))), None);
    world.asked(FIRST, unlocks(lock(Shared)));
    assert_eq!(world.open(THIRD).len(), 1);
    world.asked(SECOND, closes(lock(Shared)));
    assert_eq!(world.answers(THIRD), [Answer::Done]);
    world.ends_right();
}

#[test]
fn a_reader_becomes_a_writer_alone_and_a_writer_lets_readers_in() {
    let mut world = three();
    world.asked(SECOND, tries(lock(Shared)));
    world.asked(THIRD, tries(lock(Shared)));
    assert_eq!(
        world.asked(SECOND, tries(lock(Exclusive))),
        Some(Answer::Busy)
    );
    assert_eq!(
        world.asked(FIRST, tries(lock(Exclusive))),
        Some(Answer::Busy),
        "what was refused has taken nothing away"
    );
    world.asked(THIRD, unlocks(lock(Shared)));
    assert_eq!(
        world.asked(SECOND, tries(lock(Exclusive))),
        Some(Answer::Done)
    );
    assert_eq!(world.asked(THIRD, waits(lock(Shared))), None);
    assert_eq!(world.asked(SECOND, tries(lock(Shared))), Some(Answer::Done));
    assert_eq!(world.answers(THIRD).last(), Some(&Answer::Done));
    world.ends_right();
}

#[test]
fn who_asks_what_is_in_the_way_is_told_the_process_and_its_host() {
    let mut world = three();
    let wish = lock(Exclusive);
    let found = world.asked(SECOND, Question::Get { wish });
    assert_eq!(found, Some(Answer::Found(None)));
    world.asked(THIRD, tries(wish));
    let holder = wish.holder(THIRD);
    let part = wish.part;
    assert_eq!(
        world.asked(SECOND, Question::Get { wish }),
        Some(Answer::Found(Some(InTheWay { holder, part })))
    );
    let own = world.asked(THIRD, Question::Get { wish });
    assert_eq!(own, Some(Answer::Found(None)), "nobody is in his own way");
}

#[test]
fn a_signal_ends_a_wait_although_nobody_else_is_there() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.ask(THIRD, waits(wish));
    world.all_is_lost();
    world.kill(FIRST);
    world.ask(THIRD, Question::Cancel { wish });
    assert_eq!(
        world.answers(THIRD),
        [Answer::Done],
        "only the signal has an answer"
    );
    assert_eq!(world.open(THIRD), []);
    world.ask(THIRD, Question::Cancel { wish });
    assert_eq!(world.answers(THIRD).last(), Some(&Answer::NoSuch));
    world.ends_right();
}

#[test]
fn a_lock_that_was_offered_when_the_signal_came_goes_to_the_next_one() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.ask(THIRD, waits(wish));
    // The offer is on its way.
    world.deliver(false);
    world.ask(THIRD, Question::Cancel { wish });
    assert_eq!(world.asked(SECOND, waits(wish)), Some(Answer::Done));
    assert_eq!(world.answers(THIRD), [Answer::Done]);
    world.ends_right();
}

#[test]
fn a_process_that_is_killed_has_nothing_and_waits_for_nothing() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.asked(THIRD, waits(wish));
    // So kernels before 6.6 tell of it.
    world.ask(THIRD, closes(wish));
    world.all_arrives();
    world.asked(SECOND, unlocks(wish));
    assert_eq!(world.asked(FIRST, tries(wish)), Some(Answer::Done));
    world.ends_right();
}

#[test]
fn a_thread_that_closes_the_file_ends_the_wait_of_another_because_kernels_say_the_same_of_a_killed_one()
 {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.asked(THIRD, waits(wish));
    world.ask(THIRD, closes(wish));
    assert_eq!(world.answers(THIRD), [Answer::Ended]);
    world.asked(SECOND, unlocks(wish));
    world.ends_right();
}

#[test]
fn whoever_waits_is_served_by_the_next_arbiter_once_the_former_one_is_fenced() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(FIRST, tries(wish));
    world.asked(SECOND, tries(Wish { file: 6, ..wish }));
    assert_eq!(world.asked(THIRD, waits(wish)), None);
    assert_eq!(world.asked(THIRD, waits(Wish { file: 6, ..wish })), None);
    world.lose(FIRST);
    world.tick(THIRD);
    world.all_arrives();
    assert_eq!(world.open(THIRD).len(), 2, "it may still write");
    world.change_members_now();
    world.all_arrives();
    assert_eq!(
        world.answers(THIRD),
        [Answer::Done],
        "what the lost one had is free"
    );
    assert_eq!(world.open(THIRD).len(), 1, "what the living one has is not");
    world.ends_right();
}

#[test]
fn a_daemon_that_ends_loses_neither_a_lock_nor_a_wait() {
    for ends in [FIRST, SECOND, THIRD] {
        let mut world = three();
        let wish = lock(Exclusive);
        world.asked(SECOND, tries(wish));
        world.asked(THIRD, waits(wish));
        world.kill(ends);
        world.begin(ends);
        world.tick(ends);
        world.all_arrives();
        assert_eq!(world.asked(FIRST, tries(wish)), Some(Answer::Busy));
        world.asked(SECOND, unlocks(wish));
        assert_eq!(
            world.answers(THIRD),
            [Answer::Done],
            "the daemon of {ends} ended"
        );
        world.ends_right();
    }
}

#[test]
fn nothing_is_given_while_the_lockspace_is_stopped_and_what_was_asked_then_is_answered_later() {
    let mut host = Host::new(FIRST, []);
    host.resume(false);
    let number = host.ask(tries(lock(Shared)));
    assert!(host.holds_up(number));
    host.start(4, &[FIRST]);
    let answers = |host: &mut Host| {
        let effects = host.effects().into_iter();
        let answers = effects.filter_map(|effect| match effect {
            crate::locks::Effect::Answer(number, _, answer) => Some((number, answer)),
            _ => None,
        });
        answers.collect::<Vec<_>>()
    };
    assert_eq!(answers(&mut host), [(number, Answer::Done)]);
    host.stop();
    let number = host.ask(waits(wish(5, 2, 0, 9, Shared)));
    assert_eq!(answers(&mut host), []);
    host.start(6, &[FIRST]);
    assert_eq!(answers(&mut host), [(number, Answer::Done)]);
}

#[test]
fn what_cannot_be_ended_by_a_signal_is_given_up_in_the_end() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.kill(FIRST);
    world.ask(SECOND, unlocks(wish));
    world.ask(SECOND, tries(wish));
    world.give_up(SECOND);
    world.give_up(SECOND);
    let expected = [Answer::Done, Answer::Done, Answer::NoAgreement];
    assert_eq!(world.answers(SECOND), expected);
    world.begin(FIRST);
    world.ends_right();
}

#[test]
fn notes_in_their_short_form_say_the_same() {
    let mut host = Host::new(FIRST, []);
    host.resume(false);
    host.start(1, &[FIRST]);
    host.ask(tries(wish(5, 1, 0, 99, Exclusive)));
    host.ask(waits(wish(5, 2, 50, 59, Shared)));
    host.effects();
    host.ask(Question::Unlock {
        file: 5,
        token: 1,
        range: Range::new(20, 29).expect("bytes"),
        pid: 7,
    });
    let notes: Vec<Note> = host
        .effects()
        .into_iter()
        .filter_map(|it| match it {
            crate::locks::Effect::Note(note) => Some(note),
            _ => None,
        })
        .collect();
    assert!(notes.len() > 1, "the short form is not what was noted");
    let again = Host::new(FIRST, host.notes());
    assert_eq!(
        again.held().collect::<Vec<_>>(),
        host.held().collect::<Vec<_>>()
    );
    let expected = [wish(5, 1, 0, 19, Exclusive), wish(5, 1, 30, 99, Exclusive)];
    assert_eq!(
        again.held().map(|it| it.part.range).collect::<Vec<_>>(),
        expected.map(|it| it.part.range)
    );
    assert!(
        again
            .notes()
            .iter()
            .any(|note| matches!(note, Note::Open(_, Question::Lock { wait: true, .. }, None)))
    );
}

#[test]
fn a_host_that_is_no_member_and_one_that_does_not_decide_are_not_believed() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    let mut host = Host::new(FIRST, []);
    host.resume(false);
    host.start(1, &[FIRST, SECOND]);
    let before = host.effects();
    assert!(!before.is_empty());
    for from in [FIRST, THIRD] {
        let packet = crate::locks::Packet {
            generation: 1,
            word: crate::locks::Word::Hello,
        };
        host.receive(from, &packet);
    }
    host.receive(
        SECOND,
        &crate::locks::Packet {
            generation: 1,
            word: crate::locks::Word::Welcome { arbiter: 99 },
        },
    );
    assert_eq!(host.effects(), []);
}

#[test]
fn the_short_form_ends_no_wait_a_second_time() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(FIRST, tries(wish));
    // Two threads wait for the same. A signal ends one of them while nothing that is answered in order is.
    world.asked(SECOND, waits(wish));
    world.asked(SECOND, waits(wish));
    world.kill(FIRST);
    world.ask(SECOND, tries(wish));
    world.ask(SECOND, Question::Cancel { wish });
    for _ in 0..2 {
        world.kill(SECOND);
        world.begin(SECOND);
    }
    world.begin(FIRST);
    world.ends_right();
}

#[test]
fn a_host_that_stops_and_starts_again_begins_anew_with_the_arbiter() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.stops_and_starts(SECOND);
    world.all_arrives();
    assert_eq!(world.asked(FIRST, tries(wish)), Some(Answer::Busy));
    assert_eq!(world.asked(SECOND, unlocks(wish)), Some(Answer::Done));
    assert_eq!(world.asked(FIRST, tries(wish)), Some(Answer::Done));
    world.ends_right();
}

#[test]
fn an_unlock_is_not_answered_for_what_was_said_before_it() {
    let mut world = three();
    let wish = lock(Exclusive);
    world.asked(SECOND, tries(wish));
    world.ask(SECOND, waits(Wish { file: 6, ..wish }));
    // It arrives, and the answer to it is on its way.
    world.deliver(false);
    world.ask(SECOND, unlocks(wish));
    world.deliver(false);
    let answers = world.answers(SECOND);
    assert_eq!(
        answers.len(),
        2,
        "the arbiter has not heard of the unlock: {answers:?}"
    );
    world.all_arrives();
    assert_eq!(world.answers(SECOND).len(), 3);
}
