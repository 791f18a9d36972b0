//! The words of the kernel (`struct dlm_plock_info`): 64 bytes for a question, and the same for its answer.
//!
//! The kernel finds what an answer belongs to by the fields of the question. Those of one filesystem that do not wait it
//! takes for answered in the order in which it asked; which filesystem, it has looked at only since Linux 6.6.

use super::{Answer, Mode, Part, Question, Range, Wish};
use thiserror::Error;

/// A question or an answer.
pub type Record = [u8; LENGTH];

/// How long each is.
pub const LENGTH: usize = 64;
const MAJOR: usize = 0;
const WHAT: usize = 12;
const EXCLUSIVE: usize = 13;
const WAIT: usize = 14;
const FLAGS: usize = 15;
const PID: usize = 16;
const NODE: usize = 20;
const RESULT: usize = 24;
const FILESYSTEM: usize = 28;
const FILE: usize = 32;
const FIRST: usize = 40;
const LAST: usize = 48;
const TOKEN: usize = 56;

const LOCK: u8 = 1;
const UNLOCK: u8 = 2;
const GET: u8 = 3;
const CANCEL: u8 = 4;
/// In the flags: a file was closed, and nobody waits for an answer.
const CLOSED: u8 = 1;

const NO_SUCH: i32 = -2;
const INTERRUPTED: i32 = -4;
const AGAIN: i32 = -11;
const INVALID: i32 = -22;
const NO_LOCKS: i32 = -37;
const NOT_SUPPORTED: i32 = -95;

/// What is no question that this release knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum BadRecord {
    /// Another language.
    #[error("the kernel asks for locks in version {0}, and this release knows version 1")]
    Version(u32),
    /// Another question.
    #[error("the kernel asks for locks with question {0}, which this release does not know")]
    What(u8),
    /// Bytes from here to before.
    #[error("the kernel asks for a lock that ends before it begins")]
    Range,
}

fn small(record: &Record, at: usize) -> u32 {
    let mut bytes = [0; 4];
    bytes.copy_from_slice(&record[at..at + 4]);
    u32::from_ne_bytes(bytes)
}

fn large(record: &Record, at: usize) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&record[at..at + 8]);
    u64::from_ne_bytes(bytes)
}

fn put_small(record: &mut Record, at: usize, value: u32) {
    record[at..at + 4].copy_from_slice(&value.to_ne_bytes());
}

fn put_large(record: &mut Record, at: usize, value: u64) {
    record[at..at + 8].copy_from_slice(&value.to_ne_bytes());
}

/// The number of the filesystem that a question is about: the one with which its lockspace was made.
#[must_use]
pub fn filesystem(record: &Record) -> u32 {
    small(record, FILESYSTEM)
}

/// What it asks.
///
/// # Errors
/// When this release knows no such question. Somebody may wait for its answer all the same: [`refusal`].
pub fn question(record: &Record) -> Result<Question, BadRecord> {
    let version = small(record, MAJOR);
    if version != 1 {
        return Err(BadRecord::Version(version));
    }
    let range = Range::new(large(record, FIRST), large(record, LAST)).ok_or(BadRecord::Range)?;
    let (file, token) = (large(record, FILE), large(record, TOKEN));
    let mode = match record[EXCLUSIVE] {
        0 => Mode::Shared,
        _ => Mode::Exclusive,
    };
    let pid = small(record, PID);
    let part = Part { range, mode, pid };
    let wish = Wish { file, token, part };
    match record[WHAT] {
        LOCK => Ok(Question::Lock {
            wish,
            wait: record[WAIT] != 0,
        }),
        UNLOCK if record[FLAGS] & CLOSED != 0 => Ok(Question::Close { file, token }),
        UNLOCK => Ok(Question::Unlock {
            file,
            token,
            range,
            pid,
        }),
        GET => Ok(Question::Get { wish }),
        CANCEL => Ok(Question::Cancel { wish }),
        what => Err(BadRecord::What(what)),
    }
}

/// The answer to something that is no question; none, when nobody waits for one.
#[must_use]
pub fn refusal(record: &Record) -> Option<Record> {
    refused(record, INVALID)
}

/// The answer to a question about a filesystem without such locks; none, when nobody waits for one.
#[must_use]
pub fn not_supported(record: &Record) -> Option<Record> {
    refused(record, NOT_SUPPORTED)
}

fn refused(record: &Record, result: i32) -> Option<Record> {
    if record[FLAGS] & CLOSED != 0 {
        return None;
    }
    let mut answer = *record;
    put_small(&mut answer, RESULT, result.cast_unsigned());
    Some(answer)
}

/// What is written to the kernel; nothing, when it expects nothing. It follows from the question alone, so that a daemon
/// can answer what a former one was asked.
#[must_use]
pub fn answer(filesystem: u32, question: &Question, answer: Answer) -> Option<Record> {
    let mut record = [0; LENGTH];
    // The oldest minor version: the kernel refuses newer ones than its own.
    put_small(&mut record, MAJOR, 1);
    put_small(&mut record, FILESYSTEM, filesystem);
    match question {
        Question::Lock { wish, wait } => {
            put_wish(&mut record, LOCK, wish);
            record[WAIT] = u8::from(*wait);
        }
        Question::Get { wish } => put_wish(&mut record, GET, wish),
        Question::Cancel { wish } => put_wish(&mut record, CANCEL, wish),
        Question::Unlock {
            file,
            token,
            range,
            pid,
        } => {
            record[WHAT] = UNLOCK;
            put_small(&mut record, PID, *pid);
            put_large(&mut record, FILE, *file);
            put_large(&mut record, TOKEN, *token);
            put_range(&mut record, *range);
        }
        Question::Lost { process } => {
            record[WHAT] = LOCK;
            put_small(&mut record, PID, *process);
        }
        Question::Close { .. } => return None,
    }
    let result = match answer {
        Answer::Nothing => return None,
        Answer::Done | Answer::Found(None) => 0,
        Answer::Found(Some(found)) => {
            put_part(&mut record, &found.part);
            put_small(&mut record, NODE, found.holder.node);
            1
        }
        Answer::Busy => AGAIN,
        Answer::Ended => INTERRUPTED,
        Answer::NoSuch => NO_SUCH,
        Answer::NoAgreement => NO_LOCKS,
        Answer::NotSupported => NOT_SUPPORTED,
    };
    put_small(&mut record, RESULT, result.cast_unsigned());
    Some(record)
}

fn put_wish(record: &mut Record, what: u8, wish: &Wish) {
    record[WHAT] = what;
    put_large(record, FILE, wish.file);
    put_large(record, TOKEN, wish.token);
    put_part(record, &wish.part);
}

fn put_part(record: &mut Record, part: &Part) {
    record[EXCLUSIVE] = u8::from(part.mode == Mode::Exclusive);
    put_small(record, PID, part.pid);
    put_range(record, part.range);
}

fn put_range(record: &mut Record, range: Range) {
    put_large(record, FIRST, range.first());
    put_large(record, LAST, range.last());
}

#[cfg(test)]
mod tests {
    use super::super::{Holder, InTheWay};
    use super::*;
    use proptest::prelude::*;

    const IMAGES: u32 = 77;

    /// As Linux 6.1 asks when process 568 takes a lock on a whole file.
    fn asked(what: u8, minor: u32, flags: u8) -> Record {
        let mut bytes = [0; LENGTH];
        bytes[0] = 1;
        bytes[4..8].copy_from_slice(&minor.to_ne_bytes());
        bytes[12] = what;
        bytes[13] = 1;
        bytes[15] = flags;
        bytes[16..20].copy_from_slice(&568_u32.to_ne_bytes());
        bytes[28..32].copy_from_slice(&IMAGES.to_ne_bytes());
        bytes[32..40].copy_from_slice(&71_705_u64.to_ne_bytes());
        bytes[48..56].copy_from_slice(&i64::MAX.to_ne_bytes());
        bytes[56..64].copy_from_slice(&0xffff_8880_0123_4567_u64.to_ne_bytes());
        bytes
    }

    fn result(record: &Record) -> i32 {
        i32::from_ne_bytes([record[24], record[25], record[26], record[27]])
    }

    #[test]
    fn a_lock_is_read_and_its_answer_has_what_the_kernel_finds_it_by() {
        for wait in [false, true] {
            let mut record = asked(LOCK, 1, 0);
            record[14] = u8::from(wait);
            let question = question(&record).expect("a question");
            let Question::Lock { wish, wait: waits } = question else {
                panic!("{question:?} is no lock");
            };
            assert_eq!((filesystem(&record), waits), (IMAGES, wait));
            assert_eq!((wish.file, wish.part.pid), (71_705, 568));
            assert_eq!(wish.part.range.last(), i64::MAX.cast_unsigned());
            let answer = answer(IMAGES, &question, Answer::Busy).expect("somebody waits");
            assert_eq!(result(&answer), -11);
            assert_eq!(answer[12..15], record[12..15]);
            assert_eq!(answer[16..20], record[16..20]);
            assert_eq!(answer[28..], record[28..]);
        }
    }

    #[test]
    fn a_close_has_no_answer() {
        let record = asked(UNLOCK, 2, CLOSED);
        let closed = question(&record).expect("a question");
        assert!(matches!(closed, Question::Close { file: 71_705, .. }));
        assert!(!closed.has_answer());
        assert_eq!(answer(IMAGES, &closed, Answer::Done), None);
        let kept = question(&asked(UNLOCK, 1, 0)).expect("a question");
        assert!(matches!(kept, Question::Unlock { .. }));
    }

    #[test]
    fn the_lock_that_is_in_the_way_is_shown_with_its_process_and_host() {
        let question = question(&asked(GET, 2, 0)).expect("a question");
        let free = answer(IMAGES, &question, Answer::Found(None)).expect("somebody waits");
        assert_eq!(result(&free), 0);
        let part = Part {
            range: Range::new(10, 19).expect("bytes"),
            mode: Mode::Shared,
            pid: 99,
        };
        let holder = Holder { node: 3, token: 1 };
        let found = Answer::Found(Some(InTheWay { holder, part }));
        let found = answer(IMAGES, &question, found).expect("somebody waits");
        assert_eq!(result(&found), 1);
        assert_eq!(
            (found[13], small(&found, 16), small(&found, 20)),
            (0, 99, 3)
        );
        assert_eq!((large(&found, 40), large(&found, 48)), (10, 19));
    }

    #[test]
    fn what_is_no_question_is_refused_where_somebody_waits() {
        let mut other = asked(LOCK, 1, 0);
        other[0] = 2;
        assert_eq!(question(&other), Err(BadRecord::Version(2)));
        let unknown = asked(9, 2, 0);
        assert_eq!(question(&unknown), Err(BadRecord::What(9)));
        assert_eq!(refusal(&unknown).map(|answer| result(&answer)), Some(-22));
        assert_eq!(refusal(&asked(9, 2, CLOSED)), None);
        let mut backwards = asked(LOCK, 1, 0);
        backwards[40..48].copy_from_slice(&u64::MAX.to_ne_bytes());
        assert_eq!(question(&backwards), Err(BadRecord::Range));
    }

    #[test]
    fn whoever_asks_where_there_are_no_such_locks_is_told_so_at_once() {
        let question = asked(LOCK, 2, 0);
        let answer = not_supported(&question).expect("somebody waits");
        assert_eq!(result(&answer), -95);
        assert_eq!(
            answer[..24],
            question[..24],
            "the kernel finds it again by these"
        );
        assert_eq!(answer[28..], question[28..]);
    }

    #[test]
    fn a_file_that_was_closed_waits_for_nothing() {
        assert_eq!(not_supported(&asked(LOCK, 2, CLOSED)), None);
    }

    proptest! {
        #[test]
        fn whatever_is_read_nothing_panics_and_an_answer_asks_the_same(bytes in prop::collection::vec(any::<u8>(), 64), what in 0..6_u8) {
            let mut record: Record = bytes.try_into().expect("64 bytes");
            record[..4].copy_from_slice(&1_u32.to_ne_bytes());
            record[12] = what;
            if let Ok(asked) = question(&record)
                && let Some(answer) = answer(filesystem(&record), &asked, Answer::Done)
            {
                prop_assert_eq!(question(&answer), Ok(asked));
                prop_assert_eq!(filesystem(&answer), filesystem(&record));
            }
        }
    }
}
