//! How one record lies on the disk.
//!
//! ```text
//! header  u32 checksum of (segment, offset, the next three)   body
//!         u32 length of the body                              padded with zeros to 8 bytes
//!         u32 checksum of the body
//!         u32 kind and a constant
//! ```
//!
//! All numbers are little endian, checksums are CRC32C. Records begin at multiples of 8. The header's
//! checksum binds a record to its segment and offset: a block that the disk wrote to the wrong place, or
//! kept from another file, is no record.

use bytes::{Buf, BufMut, Bytes};

use super::{Entry, EntryId};

/// The header's length.
pub(super) const HEADER: usize = 16;
/// Records begin at multiples of this.
pub(super) const ALIGN: usize = 8;
const CONSTANT: u32 = 0x51_4c_47_00;
const DURABLE: u32 = 6;
const ENTRY_FIXED: usize = 24;

/// What the log knows beside its entries. Every segment begins with it, so that the segments before
/// it may be removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    pub(super) vote: Option<Bytes>,
    pub(super) committed: Option<EntryId>,
    pub(super) purged: Option<EntryId>,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record {
    /// An entry, the next one unless it is purged already.
    Entry(Entry),
    /// The newest vote.
    Vote(Bytes),
    /// All entries after this one are void; all of them when there is none.
    Truncate(Option<EntryId>),
    /// Entries up to this one are no longer needed, later ones stay.
    Purge(EntryId),
    /// Entries up to this one are committed: a hint, never synced for its own sake.
    Committed(EntryId),
    /// All bytes of this segment before this offset are known to be durable.
    Durable(u64),
    /// Where a segment begins.
    Base(State),
}

/// Why there is no record at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Damage {
    /// The header is wrong.
    Header,
    /// The header is right, the body is not.
    Body {
        /// How long the whole record is.
        length: usize,
    },
    /// Both are right and yet it makes no sense.
    Meaning,
}

/// The length on disk of a record whose body has `body` bytes.
pub(super) const fn length(body: usize) -> usize {
    (HEADER + body).next_multiple_of(ALIGN)
}

impl Record {
    /// How many bytes [`Record::write`] adds.
    pub(super) fn length(&self) -> usize {
        length(self.body_length())
    }

    fn body_length(&self) -> usize {
        match self {
            Self::Entry(entry) => ENTRY_FIXED + entry.payload.len(),
            Self::Vote(vote) => vote.len(),
            Self::Truncate(id) => optional_length(id.is_some()),
            Self::Purge(_) | Self::Committed(_) => ENTRY_FIXED,
            Self::Durable(_) => 8,
            Self::Base(state) => {
                optional_length(state.committed.is_some())
                    + optional_length(state.purged.is_some())
                    + 1
                    + state.vote.as_ref().map_or(0, Bytes::len)
            }
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Self::Entry(_) => 1,
            Self::Vote(_) => 2,
            Self::Truncate(_) => 3,
            Self::Purge(_) => 4,
            Self::Committed(_) => 5,
            Self::Durable(_) => DURABLE as u8,
            Self::Base(_) => 7,
        }
    }

    /// Appends the record, which is to lie at `offset` of `segment`.
    pub(super) fn write(&self, segment: u64, offset: u64, out: &mut Vec<u8>) {
        let start = out.len();
        out.put_bytes(0, HEADER);
        match self {
            Self::Entry(entry) => {
                put_id(entry.id, out);
                out.put_slice(&entry.payload);
            }
            Self::Vote(vote) => out.put_slice(vote),
            Self::Truncate(id) => put_optional(*id, out),
            Self::Purge(id) | Self::Committed(id) => put_id(*id, out),
            Self::Durable(offset) => out.put_u64_le(*offset),
            Self::Base(state) => {
                put_optional(state.committed, out);
                put_optional(state.purged, out);
                out.put_u8(u8::from(state.vote.is_some()));
                out.put_slice(state.vote.as_deref().unwrap_or_default());
            }
        }
        let body = &out[start + HEADER..];
        // Bodies are bounded by the segment size, far below 4 GiB.
        let length = body.len() as u32;
        let sum = crc32c::crc32c(body);
        let kind = CONSTANT | u32::from(self.kind());
        let mut header = [0; HEADER];
        header[4..8].copy_from_slice(&length.to_le_bytes());
        header[8..12].copy_from_slice(&sum.to_le_bytes());
        header[12..16].copy_from_slice(&kind.to_le_bytes());
        let bound = header_sum(segment, offset, &header[4..]);
        header[..4].copy_from_slice(&bound.to_le_bytes());
        out[start..start + HEADER].copy_from_slice(&header);
        let padded = (out.len() - start).next_multiple_of(ALIGN);
        out.resize(start + padded, 0);
    }

    /// The record at `offset` of `segment`, of which `bytes` is everything from that offset on, and its
    /// length.
    pub(super) fn read(segment: u64, offset: u64, bytes: &[u8]) -> Result<(Self, usize), Damage> {
        let (kind, sum, body_length) = read_header(segment, offset, bytes)?;
        let whole = length(body_length);
        let Some(body) = bytes.get(HEADER..HEADER + body_length) else {
            return Err(Damage::Body { length: whole });
        };
        if crc32c::crc32c(body) != sum {
            return Err(Damage::Body { length: whole });
        }
        match Self::decode(kind, body) {
            Some(record) => Ok((record, whole)),
            None => Err(Damage::Meaning),
        }
    }

    fn decode(kind: u8, mut body: &[u8]) -> Option<Self> {
        let record = match kind {
            1 => {
                let id = get_id(&mut body)?;
                return Some(Self::Entry(Entry {
                    id,
                    payload: Bytes::copy_from_slice(body),
                }));
            }
            2 => return Some(Self::Vote(Bytes::copy_from_slice(body))),
            3 => Self::Truncate(get_optional(&mut body)?),
            4 => Self::Purge(get_id(&mut body)?),
            5 => Self::Committed(get_id(&mut body)?),
            _ if u32::from(kind) == DURABLE => Self::Durable(body.try_get_u64_le().ok()?),
            7 => {
                let committed = get_optional(&mut body)?;
                let purged = get_optional(&mut body)?;
                let vote = match body.try_get_u8().ok()? {
                    0 => None,
                    1 => Some(Bytes::copy_from_slice(std::mem::take(&mut body))),
                    _ => return None,
                };
                Self::Base(State {
                    vote,
                    committed,
                    purged,
                })
            }
            _ => return None,
        };
        body.is_empty().then_some(record)
    }
}

/// Whether `bytes` may begin with a [`Record::Durable`]: a cheap look before its checksums are verified.
pub(super) fn may_be_durable(bytes: &[u8]) -> bool {
    let kind = (CONSTANT | DURABLE).to_le_bytes();
    bytes.get(12..16).is_some_and(|found| found == kind)
}

fn read_header(segment: u64, offset: u64, bytes: &[u8]) -> Result<(u8, u32, usize), Damage> {
    let mut header = bytes.get(..HEADER).ok_or(Damage::Header)?;
    let expected = header_sum(segment, offset, &header[4..]);
    let found = header.get_u32_le();
    let length = header.get_u32_le();
    let sum = header.get_u32_le();
    let kind = header.get_u32_le();
    if found != expected || kind & !0xff != CONSTANT {
        return Err(Damage::Header);
    }
    Ok(((kind & 0xff) as u8, sum, length as usize))
}

fn header_sum(segment: u64, offset: u64, rest: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&segment.to_le_bytes());
    let sum = crc32c::crc32c_append(sum, &offset.to_le_bytes());
    crc32c::crc32c_append(sum, rest)
}

fn put_id(id: EntryId, out: &mut Vec<u8>) {
    out.put_u64_le(id.index);
    out.put_u64_le(id.term);
    out.put_u64_le(id.leader);
}

fn get_id(body: &mut &[u8]) -> Option<EntryId> {
    Some(EntryId {
        index: body.try_get_u64_le().ok()?,
        term: body.try_get_u64_le().ok()?,
        leader: body.try_get_u64_le().ok()?,
    })
}

fn optional_length(present: bool) -> usize {
    if present { 1 + ENTRY_FIXED } else { 1 }
}

fn put_optional(id: Option<EntryId>, out: &mut Vec<u8>) {
    out.put_u8(u8::from(id.is_some()));
    if let Some(id) = id {
        put_id(id, out);
    }
}

fn get_optional(body: &mut &[u8]) -> Option<Option<EntryId>> {
    match body.try_get_u8().ok()? {
        0 => Some(None),
        1 => get_id(body).map(Some),
        _ => None,
    }
}
