//! Torn or damaged? What a place without a valid record means.
//!
//! A power cut may tear only what was never synced, and so was never acknowledged; anything else is
//! damage. Three facts tell them apart:
//!
//! 1. After every sync the writer notes, behind what it synced, how far the segment is durable. A
//!    bad record below the highest such note, wherever the note itself is found, is damage.
//! 2. Segments are filled with a pattern before use and every byte after that is written once. A write
//!    that did not happen left the pattern in whole sectors. So a bad record none of whose sectors is
//!    missing was written whole and changed afterwards: damage, even where the last note was itself
//!    lost with the power.
//! 3. Otherwise a sector is missing, and nothing says that it was ever synced: torn.

use super::{
    record::{self, Damage, Record},
    segment,
};

const SECTOR: usize = 512;

/// The end of what the last segment holds.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tail {
    /// Nothing was written from here on.
    Clean,
    /// A write that was never acknowledged was cut short.
    Torn,
    /// What was acknowledged is no longer there.
    Damaged(String),
}

/// Judges the end of segment `sequence` (whole in `bytes`), where at `at` there is no valid record,
/// and what is before it says that everything up to `durable` was synced.
pub(super) fn judge(sequence: u64, bytes: &[u8], at: usize, damage: Damage, durable: u64) -> Tail {
    let rest = &bytes[at..];
    let durable = durable.max(last_note(sequence, bytes, at));
    if (at as u64) < durable {
        return Tail::Damaged(format!(
            "a record is unreadable although everything up to byte {durable} had been synced"
        ));
    }
    if segment::is_unused(rest) {
        return Tail::Clean;
    }
    let written = match damage {
        Damage::Header => record::HEADER,
        Damage::Body { length } => length,
        Damage::Meaning => {
            return Tail::Damaged("a record has right checksums and no meaning".to_owned());
        }
    };
    let end = bytes.len().min(at + written);
    if lacks_a_sector(bytes, at, end) {
        Tail::Torn
    } else {
        Tail::Damaged(
            "a record was written whole and was changed afterwards: its checksum is wrong"
                .to_owned(),
        )
    }
}

/// The highest durable offset that any valid note after `from` tells.
fn last_note(sequence: u64, bytes: &[u8], from: usize) -> u64 {
    let starts = (from..bytes.len()).step_by(record::ALIGN);
    starts
        .filter(|at| record::may_be_durable(&bytes[*at..]))
        .filter_map(|at| match Record::read(sequence, at as u64, &bytes[at..]) {
            Ok((Record::Durable(offset), _)) => Some(offset),
            _ => None,
        })
        .max()
        .unwrap_or(0)
}

/// Whether some sector's part of this range was never written.
fn lacks_a_sector(bytes: &[u8], start: usize, end: usize) -> bool {
    let mut at = start;
    while at < end {
        let edge = end.min((at / SECTOR + 1) * SECTOR);
        if segment::is_unused(&bytes[at..edge]) {
            return true;
        }
        at = edge;
    }
    false
}
