use std::collections::BTreeMap;

use super::{
    Entry, EntryId, LogError,
    index::Place,
    record::Record,
    segment::{self, Segment},
};

/// How much is read from the disk with one call.
const AHEAD: u64 = 1024 * 1024;

/// Reads entries that lie behind each other with few calls, and believes none without its checksum.
pub(super) struct Window<'a> {
    segments: &'a BTreeMap<u64, Segment>,
    segment: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(super) fn new(segments: &'a BTreeMap<u64, Segment>) -> Self {
        Self {
            segments,
            segment: 0,
            start: 0,
            bytes: Vec::new(),
        }
    }

    /// The entry `id`, which lies at `place`. `until` is where the last entry that will be asked for
    /// ends, if that is in the same segment.
    pub(super) fn entry(
        &mut self,
        id: EntryId,
        place: Place,
        until: Option<u64>,
    ) -> Result<Entry, LogError> {
        let corrupt = |reason: String| LogError::Corrupt {
            file: segment::name(place.segment),
            offset: place.offset,
            reason,
        };
        if !self.covers(place) {
            self.move_to(place, until)?;
        }
        let position = usize::try_from(place.offset.saturating_sub(self.start));
        let bytes = position
            .ok()
            .and_then(|position| self.bytes.get(position..));
        match Record::read(place.segment, place.offset, bytes.unwrap_or_default()) {
            Ok((Record::Entry(entry), _)) if entry.id == id => Ok(entry),
            Ok(_) => Err(corrupt(format!("there is another record than entry {id}"))),
            Err(_) => Err(corrupt(format!("entry {id} is unreadable"))),
        }
    }

    fn covers(&self, place: Place) -> bool {
        self.segment == place.segment
            && self.start <= place.offset
            && place.offset + place.length as u64 <= self.start + self.bytes.len() as u64
    }

    fn move_to(&mut self, place: Place, until: Option<u64>) -> Result<(), LogError> {
        let Some(segment) = self.segments.get(&place.segment) else {
            return Err(LogError::Corrupt {
                file: segment::name(place.segment),
                offset: place.offset,
                reason: "the segment is not there any more".to_owned(),
            });
        };
        let least = place.offset + place.length as u64;
        let most = least.max(segment.size.min(place.offset + AHEAD));
        let end = until.unwrap_or(most).clamp(least, most);
        // At most the longer of one record and AHEAD, so it fits.
        self.bytes = vec![0; (end - place.offset) as usize];
        let read = segment.file.read_at(place.offset, &mut self.bytes)?;
        self.bytes.truncate(read);
        self.segment = place.segment;
        self.start = place.offset;
        Ok(())
    }
}
