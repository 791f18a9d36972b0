//! Hosts with desks, whose kernels take answers as `fs/dlm/plock.c` of Linux 6.6 does.

use crate::locks::record::{self, Record};
use crate::locks::{Desk, Mode, Outside, Packet, Question, Waiting, Wish};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::time::Duration;

use super::world::wish;

const IMAGES: u32 = 77;
const OTHER: u32 = 78;
const NONE: u32 = 5;
const AGREED: i32 = 0;
const AGAIN: i32 = -11;
const NO_LOCKS: i32 = -37;
const NOT_SUPPORTED: i32 = -95;

/// A process, by its number, that waits in the kernel.
type Process = u32;

/// One kernel, and what leaves the host.
#[derive(Default)]
struct Linux {
    read: Vec<(Process, Record)>,
    results: BTreeMap<Process, i32>,
    sent: VecDeque<(u32, u32, Packet)>,
    takes_nothing: bool,
}

fn field(record: &Record, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    u64::from_ne_bytes(bytes)
}

fn waits(record: &Record) -> bool {
    record[14] != 0
}

impl Outside for Linux {
    fn answer(&mut self, answer: &Record) -> io::Result<()> {
        if self.takes_nothing {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let filesystem = record::filesystem(answer);
        let found = self.read.iter().position(|(_, asked)| {
            let same = record::filesystem(asked) == filesystem && waits(asked) == waits(answer);
            // Whoever waits is found by everything, and else the first one is meant.
            same && (!waits(asked)
                || (asked[12..24] == answer[12..24] && asked[28..] == answer[28..]))
        });
        let Some(found) = found else {
            return Ok(());
        };
        let (process, asked) = self.read.remove(found);
        let same = asked[12] == answer[12]
            && [32, 56]
                .iter()
                .all(|at| field(&asked, *at) == field(answer, *at));
        let result = i32::from_ne_bytes([answer[24], answer[25], answer[26], answer[27]]);
        // What was lost with a daemon has an answer that is nobody's.
        let same = same || (field(answer, 56) == 0 && result == NO_LOCKS);
        assert!(same, "process {process} is given the answer of another one");
        self.results.insert(process, result);
        Ok(())
    }

    fn send(&mut self, filesystem: u32, to: u32, packet: Packet) {
        // As it travels.
        let text = serde_json::to_vec(&packet).expect("written");
        let packet = serde_json::from_slice(&text).expect("read");
        self.sent.push_back((filesystem, to, packet));
    }

    fn waiting(&mut self, filesystem: u32) -> Waiting {
        let mut waiting = Waiting::default();
        let all = self.read.iter().map(|(_, record)| record);
        for record in all.filter(|record| record::filesystem(record) == filesystem) {
            let question = record::question(record).expect("a question");
            // The kernel does not show a signal: only where the thread stands.
            let stands = question.waits() || matches!(question, Question::Cancel { .. });
            let threads = match stands {
                true => &mut waiting.until_free,
                false => &mut waiting.in_order,
            };
            *threads
                .entry(question.process().expect("it waits"))
                .or_default() += 1;
        }
        waiting
    }
}

/// Some hosts.
struct Room {
    directory: tempfile::TempDir,
    desks: BTreeMap<u32, Desk<Linux>>,
    now: Duration,
    processes: Process,
}

impl Room {
    fn new(hosts: u32) -> Self {
        let mut room = Self {
            directory: tempfile::tempdir().expect("a directory"),
            desks: BTreeMap::new(),
            now: Duration::ZERO,
            processes: 0,
        };
        for own in 1..=hosts {
            room.begin(own, Linux::default());
        }
        room.start(1);
        room
    }

    fn begin(&mut self, own: u32, kernel: Linux) {
        let notes = self.directory.path().join(own.to_string());
        let mut desk = Desk::new(&notes, "one", kernel);
        for filesystem in [IMAGES, OTHER] {
            desk.open(filesystem, own).expect("opened");
        }
        self.desks.insert(own, desk);
    }

    fn start(&mut self, generation: u64) {
        let members: Vec<u32> = self.desks.keys().copied().collect();
        for desk in self.desks.values_mut() {
            for filesystem in [IMAGES, OTHER] {
                desk.start(filesystem, generation, &members);
            }
        }
        self.carry();
    }

    /// The daemon of a host is killed, and another one begins: the kernel stays.
    fn restart(&mut self, own: u32, generation: u64) {
        let mut desk = self.desks.remove(&own).expect("a host");
        let kernel = std::mem::take(desk.outside());
        drop(desk);
        self.begin(own, kernel);
        self.start(generation);
    }

    fn carry(&mut self) {
        loop {
            let mut sent = Vec::new();
            for (from, desk) in &mut self.desks {
                let all = desk.outside().sent.drain(..);
                sent.extend(all.map(|(filesystem, to, packet)| (*from, filesystem, to, packet)));
            }
            if sent.is_empty() {
                return;
            }
            for (from, filesystem, to, packet) in sent {
                if let Some(desk) = self.desks.get_mut(&to) {
                    desk.receive(filesystem, from, &packet);
                }
            }
        }
    }

    fn passes(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        for desk in self.desks.values_mut() {
            desk.tick(self.now);
        }
        self.carry();
    }

    /// A process asks its kernel.
    fn asks(&mut self, own: u32, filesystem: u32, question: &Question) -> Process {
        let mut record = match question {
            Question::Close { file, token, .. } => {
                let close = record::answer(
                    filesystem,
                    &unlocks(wish(*file, *token, 0, 9, Mode::Shared)),
                    crate::locks::Answer::Done,
                );
                let mut close = close.expect("a record");
                close[15] = 1;
                close
            }
            _ => {
                record::answer(filesystem, question, crate::locks::Answer::Done).expect("a record")
            }
        };
        record[4] = 2;
        self.processes += 1;
        let desk = self.desks.get_mut(&own).expect("a host");
        if record[15] == 0 {
            desk.outside().read.push((self.processes, record));
        }
        desk.read(&record, self.now).expect("taken");
        self.processes
    }

    fn result(&mut self, own: u32, process: Process) -> Option<i32> {
        let desk = self.desks.get_mut(&own).expect("a host");
        desk.outside().results.get(&process).copied()
    }

    /// Asks, and waits for the others.
    fn gets(&mut self, own: u32, question: &Question) -> Option<i32> {
        let process = self.asks(own, IMAGES, question);
        self.carry();
        self.result(own, process)
    }
}

fn lock() -> Wish {
    wish(5, 1, 0, 9, Mode::Exclusive)
}

fn tries(wish: Wish) -> Question {
    Question::Lock { wish, wait: false }
}

fn waiting(wish: Wish) -> Question {
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

#[test]
fn programs_on_two_hosts_lock_in_turn() {
    let mut room = Room::new(3);
    assert_eq!(room.gets(2, &tries(lock())), Some(AGREED));
    assert_eq!(room.gets(3, &tries(lock())), Some(AGAIN));
    let waits = room.asks(3, IMAGES, &waiting(lock()));
    room.carry();
    assert_eq!(room.result(3, waits), None);
    assert_eq!(room.gets(2, &unlocks(lock())), Some(AGREED));
    assert_eq!(room.result(3, waits), Some(AGREED));
}

#[test]
fn answers_that_are_ready_wait_for_those_that_were_asked_for_before() {
    let mut room = Room::new(2);
    room.gets(2, &tries(lock()));
    let first = room.asks(2, IMAGES, &tries(Wish { file: 6, ..lock() }));
    // A signal: answered at once, and told in order.
    let signal = room.asks(2, IMAGES, &Question::Cancel { wish: lock() });
    let elsewhere = room.asks(2, OTHER, &Question::Cancel { wish: lock() });
    assert_eq!(room.result(2, signal), None);
    assert_eq!(
        room.result(2, elsewhere),
        Some(-2),
        "another filesystem does not wait"
    );
    room.carry();
    assert_eq!(room.result(2, first), Some(AGREED));
    assert_eq!(room.result(2, signal), Some(-2));
}

#[test]
fn whoever_is_killed_leaves_everything_to_the_next_daemon() {
    let mut room = Room::new(3);
    room.gets(2, &tries(lock()));
    let waits = room.asks(3, IMAGES, &waiting(lock()));
    let asks = room.asks(3, IMAGES, &tries(Wish { file: 6, ..lock() }));
    for own in [1, 2, 3] {
        room.restart(own, 1);
    }
    room.passes(1);
    assert_eq!(room.result(3, asks), Some(AGREED));
    assert_eq!(room.result(3, waits), None);
    let token = lock().token;
    room.asks(2, IMAGES, &Question::Close { file: 5, token });
    room.carry();
    assert_eq!(room.result(3, waits), Some(AGREED));
}

#[test]
fn nothing_that_a_signal_cannot_end_waits_for_ever() {
    let mut room = Room::new(2);
    let first = room.desks.remove(&1).expect("a host");
    let tried = room.asks(2, IMAGES, &tries(lock()));
    let waits = room.asks(2, IMAGES, &waiting(Wish { token: 2, ..lock() }));
    room.passes(29);
    assert_eq!(room.result(2, tried), None);
    room.passes(2);
    assert_eq!(room.result(2, tried), Some(NO_LOCKS));
    assert_eq!(room.result(2, waits), None, "a signal can end it");
    room.desks.insert(1, first);
    room.passes(1);
    assert_eq!(
        room.result(2, waits),
        Some(AGREED),
        "what was given up is not held"
    );
}

#[test]
fn a_filesystem_that_is_not_shared_so_is_refused_at_once() {
    let mut room = Room::new(1);
    let process = room.asks(1, NONE, &waiting(lock()));
    assert_eq!(room.result(1, process), Some(NOT_SUPPORTED));
}

#[test]
fn what_the_kernel_does_not_take_is_told_again_and_nothing_more_is_read_before() {
    let mut room = Room::new(1);
    room.desks
        .get_mut(&1)
        .expect("a host")
        .outside()
        .takes_nothing = true;
    let process = room.asks(1, IMAGES, &tries(lock()));
    assert!(!room.desks[&1].may_read());
    room.passes(1);
    assert_eq!(room.result(1, process), None);
    room.desks
        .get_mut(&1)
        .expect("a host")
        .outside()
        .takes_nothing = false;
    room.passes(1);
    assert_eq!(room.result(1, process), Some(AGREED));
    assert!(room.desks[&1].may_read());
}

#[test]
fn a_filesystem_that_was_unmounted_begins_without_locks() {
    let mut room = Room::new(2);
    room.gets(2, &tries(lock()));
    let desk = room.desks.get_mut(&2).expect("a host");
    desk.stop(IMAGES);
    desk.close(IMAGES).expect("closed");
    desk.open(IMAGES, 2).expect("opened");
    for desk in room.desks.values_mut() {
        desk.stop(IMAGES);
    }
    room.start(3);
    assert_eq!(room.gets(1, &tries(lock())), Some(AGREED));
}

#[test]
fn notes_stay_short_while_the_same_lock_comes_and_goes() {
    let mut room = Room::new(1);
    for _ in 0..2_000 {
        room.gets(1, &tries(lock()));
        room.gets(1, &unlocks(lock()));
    }
    room.gets(1, &tries(lock()));
    room.passes(1);
    let notes = room.directory.path().join(format!("1/{IMAGES}.notes"));
    let lines = std::fs::read_to_string(&notes)
        .expect("there")
        .lines()
        .count();
    assert!(lines < 10, "{lines} lines");
    room.restart(1, 1);
    let other = Wish { token: 2, ..lock() };
    assert_eq!(room.gets(1, &tries(other)), Some(AGAIN));
}

#[test]
fn what_a_former_daemon_was_asked_is_given_up_as_well() {
    let mut room = Room::new(2);
    room.desks.remove(&1).expect("a host");
    let tried = room.asks(2, IMAGES, &tries(lock()));
    let mut former = room.desks.remove(&2).expect("a host");
    let kernel = std::mem::take(former.outside());
    drop(former);
    room.begin(2, kernel);
    room.passes(1);
    assert_eq!(room.result(2, tried), None);
    room.passes(31);
    assert_eq!(room.result(2, tried), Some(NO_LOCKS));
}

#[test]
fn where_not_all_settle_such_locks_they_are_refused_and_what_was_held_is_let_go_at_once() {
    let mut room = Room::new(2);
    room.gets(2, &tries(lock()));
    let elsewhere = Wish { file: 6, ..lock() };
    let waits = room.asks(1, IMAGES, &waiting(lock()));
    let stopped = |room: &mut Room| {
        for desk in room.desks.values_mut() {
            desk.stop(IMAGES);
        }
    };
    stopped(&mut room);
    let tried = room.asks(1, IMAGES, &tries(elsewhere));
    for desk in room.desks.values_mut() {
        desk.refuse(IMAGES);
    }
    assert_eq!(room.result(1, waits), Some(NOT_SUPPORTED));
    assert_eq!(room.result(1, tried), Some(NOT_SUPPORTED));
    assert_eq!(room.gets(2, &tries(elsewhere)), Some(NOT_SUPPORTED));
    assert_eq!(room.gets(1, &unlocks(elsewhere)), Some(AGREED));

    // Only what its holder has not let go yet is held when all can again.
    stopped(&mut room);
    room.start(3);
    assert_eq!(room.gets(1, &tries(lock())), Some(AGAIN));
    assert_eq!(room.gets(2, &unlocks(lock())), Some(AGREED));
    assert_eq!(room.gets(1, &tries(lock())), Some(AGREED));
}

#[test]
fn what_was_read_and_not_noted_is_answered_in_its_place_and_takes_no_answer_of_others() {
    let mut room = Room::new(2);
    room.gets(2, &tries(lock()));
    let first = room.asks(2, IMAGES, &tries(Wish { file: 6, ..lock() }));
    // The daemon is killed in that moment.
    let desk = room.desks.get_mut(&2).expect("a host");
    let mut lost = Wish { file: 7, ..lock() };
    lost.part.pid = 99;
    let record = record::answer(IMAGES, &tries(lost), crate::locks::Answer::Done);
    desk.outside().read.push((1_000, record.expect("a record")));
    room.restart(2, 1);
    let next = room.asks(2, IMAGES, &tries(Wish { file: 8, ..lock() }));
    room.passes(1);
    assert_eq!(room.result(2, first), Some(AGREED));
    assert_eq!(room.result(2, 1_000), Some(NO_LOCKS));
    assert_eq!(room.result(2, next), Some(AGREED));
    assert_eq!(
        room.gets(1, &tries(Wish { file: 7, ..lock() })),
        Some(AGREED),
        "nobody has what was lost"
    );
}

#[test]
fn an_answer_that_the_kernel_has_is_told_from_one_that_it_has_not() {
    for has_it in [true, false] {
        let mut room = Room::new(1);
        let asked = room.asks(1, IMAGES, &tries(lock()));
        let notes = room.directory.path().join(format!("1/{IMAGES}.notes"));
        let text = std::fs::read_to_string(&notes).expect("there");
        let (before, told) = text.trim_end().rsplit_once('\n').expect("lines");
        assert!(told.contains("told"), "{told}");
        std::fs::write(&notes, format!("{before}\n")).expect("written");
        if !has_it {
            let record = record::answer(IMAGES, &tries(lock()), crate::locks::Answer::Done);
            let kernel = room.desks.get_mut(&1).expect("a host").outside();
            kernel.read.push((asked, record.expect("a record")));
            kernel.results.remove(&asked);
        }
        room.restart(1, 1);
        let other = Wish { token: 2, ..lock() };
        assert_eq!(room.gets(1, &tries(other)), Some(AGAIN));
        assert_eq!(room.result(1, asked), Some(AGREED));
    }
}
