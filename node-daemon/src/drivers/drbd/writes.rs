//! When replicas were last written by what has them open here.
//!
//! The kernel counts the sectors that were written to each device (`/sys/block/*/stat`), and tells no time. What DRBD counts
//! itself (`written` of its statistics) has its peers' writes and resyncs in it, and is told only when something else changes.
//! So the kernel's count is looked at every few seconds: that reads a file and starts no program. A write is found within those
//! seconds, never earlier than it was.
//!
//! What was found lies in /run, where it outlives the daemon, and not the host, whose count begins anew as well.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use jiff::Timestamp;
use quorate_crds::Name;
use serde::{Deserialize, Serialize};

use super::state::State;
use super::{Drbd, lock};
use crate::drivers::Written;

/// How often the kernel's count is looked at.
pub(super) const EVERY: Duration = Duration::from_secs(10);

const MINUTE: i64 = 60;

/// What is known of one device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Writes {
    sectors: u64,
    #[serde(flatten)]
    written: Written,
}

impl Writes {
    /// It is looked at for the first time.
    fn begin(sectors: u64, now: Timestamp) -> Self {
        let written = Written {
            since: now,
            last: None,
        };
        Self { sectors, written }
    }

    fn see(&mut self, sectors: u64, now: Timestamp) {
        // A device that was made anew counts from nothing.
        let before = match self.sectors {
            before if before > sectors => 0,
            before => before,
        };
        if sectors > before {
            self.written.last = Some(now);
        }
        self.sectors = sectors;
    }

    fn minute(&self) -> Option<i64> {
        self.written.last.map(|last| last.as_second() / MINUTE)
    }

    /// Whether a daemon that starts would know too little if it knew only `kept`. A device that is written all the time is kept
    /// once in a minute; one that rests is kept as it is, so that what was written before is not taken for new.
    fn is_worth_keeping(&self, kept: Option<&Self>, rests: bool) -> bool {
        match kept {
            Some(kept) if kept.minute() == self.minute() => rests && kept.sectors != self.sectors,
            _ => true,
        }
    }
}

/// All devices.
#[derive(Debug, Default)]
pub(super) struct Watch {
    now: BTreeMap<String, Writes>,
    kept: BTreeMap<String, Writes>,
}

/// Sectors that were written or discarded, from the kernel's line about a device.
fn sectors(line: &str) -> Option<u64> {
    let numbers: Vec<&str> = line.split_ascii_whitespace().collect();
    let written: u64 = numbers.get(6)?.parse().ok()?;
    // Older kernels do not count what is discarded.
    let discarded = numbers.get(13).and_then(|number| number.parse().ok());
    written.checked_add(discarded.unwrap_or(0))
}

impl Drbd {
    pub(super) fn written(&self, volume: &str) -> Option<Written> {
        let watch = lock(&self.shared.writes);
        watch.now.get(volume).map(|known| known.written)
    }

    /// Looks at the count of every replica of ours that is up. Returns those that have split and are said to be written another
    /// minute than before: nothing else would tell anybody.
    pub(super) fn look_at_writes(&self, state: &State, now: Timestamp) -> Vec<Name> {
        let resources = state.resources.iter();
        let up: Vec<(&String, u32, bool)> = resources
            .filter_map(|(name, resource)| {
                let minor = resource.device()?.minor?;
                Some((name, minor, !resource.split.is_empty()))
            })
            .collect();
        let mut watch = lock(&self.shared.writes);
        // Their files stay as long as they are ours: they may come up again.
        let is_up = |name: &String| state.resources.contains_key(name);
        watch.now.retain(|name, _| is_up(name));
        watch.kept.retain(|name, _| is_up(name));
        let mut renewed = Vec::new();
        for (name, minor, split) in up {
            let path = self.host.sys.join(format!("block/drbd{minor}/stat"));
            let line = fs::read_to_string(path).ok();
            let Some(sectors) = line.as_deref().and_then(sectors) else {
                continue;
            };
            if !watch.now.contains_key(name) {
                if !self.place.is_ours(name) {
                    continue;
                }
                let kept = self.place.kept_writes(name);
                let known = kept.unwrap_or_else(|| Writes::begin(sectors, now));
                watch.now.insert(name.clone(), known);
                watch.kept.extend(kept.map(|kept| (name.clone(), kept)));
            }
            let Some(known) = watch.now.get_mut(name) else {
                continue;
            };
            let before = *known;
            known.see(sectors, now);
            let known = *known;
            if split && known.minute() != before.minute() {
                renewed.push(Name::from(name.as_str()));
            }
            let rests = known == before;
            if known.is_worth_keeping(watch.kept.get(name), rests) {
                match self.place.keep_writes(name, &known) {
                    Ok(()) => _ = watch.kept.insert(name.clone(), known),
                    Err(error) => {
                        tracing::debug!(volume = name, %error, "when it was written cannot be kept")
                    }
                }
            }
        }
        renewed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).expect("a time")
    }

    /// `/sys/block/drbd0/stat` of Linux 6.1, as its documentation (`Documentation/block/stat.rst`) lists the fields.
    const LINE: &str = "      21        0     1304        4      190        0     1520       83        0       88       87        \
                        2        0       16        0        5        0\n";

    #[test]
    fn what_is_written_and_what_is_discarded_is_counted() {
        assert_eq!(sectors(LINE), Some(1536));
        assert_eq!(sectors("1 2 3 4 5 6 7 8 9 10 11"), Some(7));
        for bad in ["", "1 2 3", "a b c d e f g"] {
            assert_eq!(sectors(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_count_that_grows_is_a_write_at_that_moment() {
        let mut writes = Writes::begin(100, at(0));
        assert_eq!(
            writes.written.last, None,
            "of those before nobody knows when they were"
        );
        writes.see(100, at(10));
        assert_eq!(writes.written.last, None);
        writes.see(108, at(20));
        writes.see(108, at(30));
        assert_eq!(writes.written.last, Some(at(20)));
        assert_eq!(writes.written.since, at(0));
    }

    #[test]
    fn a_device_that_is_made_anew_was_not_written_by_that() {
        let mut writes = Writes::begin(100, at(0));
        writes.see(108, at(10));
        writes.see(0, at(20));
        assert_eq!(writes.written.last, Some(at(10)));
        writes.see(8, at(30));
        assert_eq!(writes.written.last, Some(at(30)));
    }

    /// Otherwise a daemon that starts takes the last writes of its predecessor's time for new ones.
    #[test]
    fn one_that_rests_is_kept_to_the_last_sector_and_one_that_is_busy_once_a_minute() {
        let mut kept = None;
        let mut writes = Writes::begin(0, at(0));
        let mut keeps = 0;
        let mut look = |writes: &mut Writes, sectors: u64, seconds: i64| {
            let before = *writes;
            writes.see(sectors, at(seconds));
            if writes.is_worth_keeping(kept.as_ref(), *writes == before) {
                kept = Some(*writes);
                keeps += 1;
            }
            (keeps, kept)
        };
        for second in (10..=600_i64).step_by(10) {
            look(&mut writes, second.unsigned_abs(), second);
        }
        let (busy, _) = look(&mut writes, 610, 605);
        assert!(busy <= 12, "{busy} times in ten minutes");
        let (rests, kept) = look(&mut writes, 610, 620);
        assert_eq!(kept.map(|kept| kept.sectors), Some(610));
        assert_eq!(look(&mut writes, 610, 6000).0, rests);
        let mut next_daemon = kept.expect("kept");
        next_daemon.see(610, at(7000));
        assert_eq!(next_daemon.written.last, Some(at(605)));
    }
}
