use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use prost::Message;

use super::{END, HEADER, MAGIC, PREFIX, VALUES, checksum};
use crate::{
    Bucket, View,
    raft::SnapshotMeta,
    state::{Shared, State},
    wire::{
        PbBucketUnchanged, PbLogId, PbSnapshotEnd, PbSnapshotHeader, PbValue, PbValues,
        encode_stored_membership,
    },
};

/// How many values are read under one lock, and how many bytes make a block.
const VALUES_PER_LOOK: usize = 256;
const BLOCK: usize = 256 << 10;

/// The blocks of a snapshot of one moment, made one by one while the store goes on.
pub(crate) struct Blocks {
    meta: SnapshotMeta,
    header: Option<PbSnapshotHeader>,
    view: View,
    buckets: std::vec::IntoIter<Bucket>,
    bucket: Option<Bucket>,
    after: Option<Arc<str>>,
    number: u64,
    values: u64,
    ended: bool,
}

fn header(state: &State) -> PbSnapshotHeader {
    PbSnapshotHeader {
        cluster_id: state.cluster_id.clone(),
        history_id: state.history_id.clone(),
        last: state.applied.as_ref().map(PbLogId::from),
        membership: encode_stored_membership(&state.membership),
        revision: state.revision,
        time_ms: state.time_ms,
        next_member_id: state.next_member_id,
        feature_level: state.feature_level,
        members_ever: state.members_ever.iter().copied().collect(),
        buckets: state
            .bucket_revisions()
            .into_iter()
            .map(|(bucket, since)| PbBucketUnchanged {
                bucket: bucket.to_string(),
                since,
            })
            .collect(),
    }
}

impl Blocks {
    /// Captures the present moment.
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let (view, (meta, header, buckets)) = shared.view_with(|state| {
            let meta = SnapshotMeta {
                last_log_id: state.applied,
                last_membership: state.membership.clone(),
            };
            let buckets: Vec<Bucket> = state
                .bucket_revisions()
                .into_iter()
                .map(|(bucket, _)| bucket)
                .collect();
            (meta, header(state), buckets)
        });
        Self {
            meta,
            header: Some(header),
            view,
            buckets: buckets.into_iter(),
            bucket: None,
            after: None,
            number: 0,
            values: 0,
            ended: false,
        }
    }

    /// What the snapshot covers.
    pub(crate) fn meta(&self) -> &SnapshotMeta {
        &self.meta
    }

    fn block(&mut self, kind: u8, message: &impl Message) -> Bytes {
        let length = message.encoded_len();
        let mut out = BytesMut::with_capacity(MAGIC.len() + PREFIX + length);
        if self.number == 0 {
            out.put_slice(MAGIC);
        }
        let body = message.encode_to_vec();
        // A body is bounded by the largest transaction, far below 4 GiB.
        out.put_u32_le(u32::try_from(length).unwrap_or(u32::MAX));
        out.put_u32_le(checksum(self.number, kind, &body));
        out.put_u8(kind);
        out.put_slice(&body);
        self.number += 1;
        out.freeze()
    }

    /// The next values, of one bucket.
    fn values(&mut self) -> Option<PbValues> {
        loop {
            if self.bucket.is_none() {
                self.bucket = Some(self.buckets.next()?);
                self.after = None;
            }
            let bucket = self.bucket.clone()?;
            let mut values = Vec::new();
            let mut bytes = 0;
            let mut found = self
                .view
                .entries(&bucket, self.after.as_deref(), VALUES_PER_LOOK)
                .into_iter();
            let mut complete = found.len() < VALUES_PER_LOOK;
            for (key, stored, expires_at_ms) in found.by_ref() {
                bytes += stored.value.len() + key.name.len();
                self.after = Some(key.name.clone());
                values.push(PbValue {
                    name: key.name.to_string(),
                    value: stored.value,
                    created: stored.created,
                    modified: stored.modified,
                    expires_at_ms,
                });
                if bytes >= BLOCK {
                    break;
                }
            }
            complete &= found.next().is_none();
            if complete {
                self.bucket = None;
            }
            if !values.is_empty() {
                self.values += values.len() as u64;
                return Some(PbValues {
                    bucket: bucket.to_string(),
                    values,
                });
            }
        }
    }
}

impl Iterator for Blocks {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(header) = self.header.take() {
            return Some(self.block(HEADER, &header));
        }
        if let Some(values) = self.values() {
            return Some(self.block(VALUES, &values));
        }
        if self.ended {
            return None;
        }
        self.ended = true;
        let end = PbSnapshotEnd {
            values: self.values,
        };
        Some(self.block(END, &end))
    }
}
