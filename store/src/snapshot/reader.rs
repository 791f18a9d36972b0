use bytes::{Buf, Bytes, BytesMut};
use prost::Message;
use thiserror::Error;

use super::{END, HEADER, LONGEST, MAGIC, PREFIX, VALUES, checksum};
use crate::{
    Bucket, Key, Stored,
    raft::{LogId, SnapshotMeta},
    state::State,
    wire::{PbSnapshotEnd, PbSnapshotHeader, PbValues, WireError, decode_stored_membership},
};

/// Why a snapshot or backup cannot be used.
#[derive(Debug, Error)]
pub(crate) enum SnapshotError {
    #[error("it does not begin like a snapshot of Quorate")]
    Alien,
    #[error("block {number} is damaged (byte {offset})")]
    Checksum { number: u64, offset: u64 },
    #[error("block {number} is not in its place")]
    Misplaced { number: u64 },
    #[error("it ends too early, at byte {offset}")]
    Torn { offset: u64 },
    #[error("it holds {found} values, its last block says {counted}")]
    Count { found: u64, counted: u64 },
    #[error("a block cannot be read")]
    Content(#[from] WireError),
}

impl From<SnapshotError> for std::io::Error {
    fn from(error: SnapshotError) -> Self {
        std::io::Error::new(std::io::ErrorKind::InvalidData, error)
    }
}

/// Rebuilds a state from a stream that arrives in pieces of any size.
pub(crate) struct Loader {
    state: State,
    buffer: BytesMut,
    offset: u64,
    number: u64,
    values: u64,
    begun: bool,
    ended: bool,
}

impl Loader {
    pub(crate) fn new() -> Self {
        Self {
            state: State::default(),
            buffer: BytesMut::new(),
            offset: 0,
            number: 0,
            values: 0,
            begun: false,
            ended: false,
        }
    }

    /// Takes in the next bytes.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Result<(), SnapshotError> {
        self.buffer.extend_from_slice(bytes);
        if !self.begun {
            if self.buffer.len() < MAGIC.len() {
                return Ok(());
            }
            if !self.buffer.starts_with(MAGIC) {
                return Err(SnapshotError::Alien);
            }
            self.advance(MAGIC.len());
            self.begun = true;
        }
        while let Some((kind, body)) = self.block()? {
            self.take(kind, body)?;
        }
        Ok(())
    }

    fn advance(&mut self, bytes: usize) {
        self.buffer.advance(bytes);
        self.offset += bytes as u64;
    }

    fn block(&mut self) -> Result<Option<(u8, Bytes)>, SnapshotError> {
        if self.buffer.len() < PREFIX {
            return Ok(None);
        }
        let damaged = SnapshotError::Checksum {
            number: self.number,
            offset: self.offset,
        };
        let mut prefix = &self.buffer[..PREFIX];
        let length = prefix.get_u32_le() as usize;
        let expected = prefix.get_u32_le();
        let kind = prefix.get_u8();
        if length > LONGEST {
            return Err(damaged);
        }
        if self.buffer.len() < PREFIX + length {
            self.buffer.reserve(PREFIX + length - self.buffer.len());
            return Ok(None);
        }
        self.advance(PREFIX);
        let body = self.buffer.split_to(length).freeze();
        self.offset += length as u64;
        if checksum(self.number, kind, &body) != expected {
            return Err(damaged);
        }
        Ok(Some((kind, body)))
    }

    fn take(&mut self, kind: u8, body: Bytes) -> Result<(), SnapshotError> {
        let number = self.number;
        self.number += 1;
        if self.ended || (number == 0) != (kind == HEADER) {
            return Err(SnapshotError::Misplaced { number });
        }
        match kind {
            HEADER => self.header(PbSnapshotHeader::decode(body).map_err(WireError::from)?),
            VALUES => {
                self.load(PbValues::decode(body).map_err(WireError::from)?);
                Ok(())
            }
            END => {
                let end = PbSnapshotEnd::decode(body).map_err(WireError::from)?;
                if end.values != self.values {
                    return Err(SnapshotError::Count {
                        found: self.values,
                        counted: end.values,
                    });
                }
                self.ended = true;
                Ok(())
            }
            _ => Err(WireError::Unknown {
                what: "a snapshot's block",
            }
            .into()),
        }
    }

    fn header(&mut self, header: PbSnapshotHeader) -> Result<(), SnapshotError> {
        let state = &mut self.state;
        state.cluster_id = header.cluster_id;
        state.history_id = header.history_id;
        state.applied = header.last.as_ref().map(LogId::from);
        state.membership = decode_stored_membership(header.membership)?;
        state.revision = header.revision;
        state.time_ms = header.time_ms;
        state.next_member_id = header.next_member_id;
        state.feature_level = header.feature_level;
        state.members_ever = header.members_ever.into_iter().collect();
        for bucket in header.buckets {
            state.load_bucket(Bucket::new(bucket.bucket), bucket.since);
        }
        Ok(())
    }

    fn load(&mut self, values: PbValues) {
        let bucket = self.state.bucket(Bucket::new(values.bucket));
        self.values += values.values.len() as u64;
        for value in values.values {
            let stored = Stored {
                // A copy of its own, so that the block can be freed.
                value: Bytes::copy_from_slice(&value.value),
                created: value.created,
                modified: value.modified,
            };
            let key = Key::new(bucket.clone(), value.name);
            self.state.load_value(key, stored, value.expires_at_ms);
        }
    }

    /// The state, if the stream was whole.
    pub(crate) fn finish(mut self) -> Result<(SnapshotMeta, State), SnapshotError> {
        if !self.ended || !self.buffer.is_empty() {
            return Err(SnapshotError::Torn {
                offset: self.offset,
            });
        }
        self.state.seal();
        let meta = SnapshotMeta {
            last_log_id: self.state.applied,
            last_membership: self.state.membership.clone(),
        };
        Ok((meta, self.state))
    }
}
