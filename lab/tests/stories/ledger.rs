//! What is written to the store, from the desk, while hosts are lost: nothing that was acknowledged may be missing afterwards.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quorate_lab::{Room, cluster};

use crate::stories::desk;

/// What the timeline says when a story lets something fail.
pub(super) const FAULT: &str = "the fault";

/// Longer than a leader that is busy takes for one write.
const GAP: Duration = Duration::from_secs(5);

/// A load that leaves the hosts, which are translated, most of their time.
const PACE: Duration = Duration::from_millis(250);

/// What the timeline says at the first write after a gap.
pub(super) const WRITTEN_AGAIN: &str = "the ledger is written again";

/// There is a ledger to write to.
pub(super) fn open(room: &Room) {
    let ledger = Path::new(env!("CARGO_MANIFEST_DIR")).join("ledger.yaml");
    cluster::apply(room, &[ledger]).expect("applied");
}

/// A number in the store that grows as long as a story is told.
pub(super) struct Ledger<'a> {
    room: &'a Room,
    acknowledged: AtomicU64,
    ended: AtomicBool,
}

impl Ledger<'_> {
    /// Keeps a ledger while the story is told, and looks at its end that nothing is missing.
    pub(super) fn kept<T>(room: &Room, story: impl FnOnce(&Ledger<'_>) -> T) -> T {
        let ledger = Ledger {
            room,
            acknowledged: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        };
        let first = ledger.stored().expect("the ledger can be read") + 1;
        let told = thread::scope(|scope| {
            // Also when the story fails.
            let _end = End(&ledger.ended);
            scope.spawn(|| ledger.write_from(first));
            story(&ledger)
        });
        let (acknowledged, stored) = (
            ledger.acknowledged(),
            ledger.stored().expect("it can be read again"),
        );
        println!("    {} writes were acknowledged", acknowledged + 1 - first);
        assert!(acknowledged >= first, "not one write was acknowledged");
        assert!(
            stored >= acknowledged,
            "{acknowledged} was acknowledged, and {stored} is what is stored"
        );
        told
    }

    /// The last number that was acknowledged.
    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::SeqCst)
    }

    fn write_from(&self, first: u64) {
        let mut last = Instant::now();
        for number in first.. {
            if self.ended.load(Ordering::SeqCst) {
                return;
            }
            let patch = format!(r#"{{"metadata":{{"annotations":{{"count":"{number}"}}}}}}"#);
            if desk::ask(self.room, &["patch", "role", "ledger", "-p", &patch]).is_ok() {
                self.acknowledged.store(number, Ordering::SeqCst);
                if last.elapsed() > GAP {
                    self.room.note(WRITTEN_AGAIN).expect("the room answers");
                }
                last = Instant::now();
            }
            thread::sleep(PACE);
        }
    }

    /// The number in the store; every committed write is in what this reads.
    fn stored(&self) -> Result<u64, String> {
        let path = "jsonpath={.metadata.annotations.count}";
        let text = desk::ask(self.room, &["get", "role", "ledger", "-o", path])?;
        match text.as_str() {
            "" => Ok(0),
            number => number.parse().map_err(|_| format!("{number:?}")),
        }
    }
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// What became of the pair between a fault and the first acknowledged write after it, from the timeline.
pub(super) fn seconds_until(room: &Room, seen: usize, what: &str) -> Option<f64> {
    let entries = room.timeline(seen).expect("a timeline");
    let fault = entries
        .iter()
        .position(|entry| entry.text.contains(FAULT))?;
    let found = entries[fault..]
        .iter()
        .find(|entry| entry.text.contains(what))?;
    let ms = u32::try_from(found.at_ms - entries[fault].at_ms).ok()?;
    Some(f64::from(ms) / 1000.0)
}
