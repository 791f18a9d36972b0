use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use super::{
    PbAtRevision, PbBucketUnchanged, PbCommand, PbCommandKind, PbCondition, PbConditionKind,
    PbGenesis, PbKey, PbNothing, PbOutcome, PbPut, PbRefusal, PbTransaction, PbTransactions,
    PbWrite, PbWriteKind, WireError,
};
use crate::{Bucket, Condition, Key, Outcome, Refusal, Transaction, Write, state::Command};

/// Encodes a transaction, once for its whole way.
pub(crate) fn encode_transaction(transaction: &Transaction) -> Bytes {
    let message = PbTransaction {
        conditions: transaction.conditions.iter().map(condition).collect(),
        writes: transaction.writes.iter().map(write).collect(),
    };
    Bytes::from(message.encode_to_vec())
}

/// An entry's command made of transactions that are encoded already.
pub(crate) fn encode_transactions(clock_ms: u64, encoded: Vec<Bytes>) -> Bytes {
    command(
        clock_ms,
        PbCommandKind::Transactions(PbTransactions { encoded }),
    )
}

/// Encodes any other command.
pub(crate) fn encode_command(clock_ms: u64, c: &Command) -> Bytes {
    let kind = match c {
        Command::Transactions(transactions) => {
            let encoded = transactions.iter().map(encode_transaction).collect();
            PbCommandKind::Transactions(PbTransactions { encoded })
        }
        Command::Genesis {
            cluster_id,
            history_id,
            feature_level,
        } => PbCommandKind::Genesis(PbGenesis {
            cluster_id: cluster_id.clone(),
            history_id: history_id.clone(),
            feature_level: *feature_level,
        }),
        Command::AllocateMember => PbCommandKind::AllocateMember(PbNothing {}),
        Command::RaiseFeatureLevel(level) => PbCommandKind::RaiseFeatureLevel(*level),
        Command::Expire => PbCommandKind::Expire(PbNothing {}),
    };
    command(clock_ms, kind)
}

fn command(clock_ms: u64, kind: PbCommandKind) -> Bytes {
    let message = PbCommand {
        clock_ms,
        kind: Some(kind),
    };
    Bytes::from(message.encode_to_vec())
}

/// The command and its clock. Values are copied out, so that one small value does not keep a whole
/// batch in memory.
pub(crate) fn decode_command(bytes: &Bytes) -> Result<(u64, Command), WireError> {
    let message = PbCommand::decode(bytes.clone())?;
    let command = match message
        .kind
        .ok_or(WireError::Unknown { what: "a command" })?
    {
        PbCommandKind::Transactions(batch) => {
            let transactions = batch
                .encoded
                .into_iter()
                .map(decode_transaction)
                .collect::<Result<_, _>>()?;
            Command::Transactions(transactions)
        }
        PbCommandKind::Genesis(genesis) => Command::Genesis {
            cluster_id: genesis.cluster_id,
            history_id: genesis.history_id,
            feature_level: genesis.feature_level,
        },
        PbCommandKind::AllocateMember(_) => Command::AllocateMember,
        PbCommandKind::RaiseFeatureLevel(level) => Command::RaiseFeatureLevel(level),
        PbCommandKind::Expire(_) => Command::Expire,
    };
    Ok((message.clock_ms, command))
}

/// Whether this member's software understands a transaction that another member encoded.
pub(crate) fn check_transaction(encoded: &Bytes) -> Result<(), WireError> {
    decode_transaction(encoded.clone()).map(drop)
}

fn decode_transaction(encoded: Bytes) -> Result<Transaction, WireError> {
    let message = PbTransaction::decode(encoded)?;
    Ok(Transaction {
        conditions: message
            .conditions
            .into_iter()
            .map(decode_condition)
            .collect::<Result<_, _>>()?,
        writes: message
            .writes
            .into_iter()
            .map(decode_write)
            .collect::<Result<_, _>>()?,
    })
}

fn key(key: &Key) -> PbKey {
    PbKey {
        bucket: key.bucket.as_str().to_owned(),
        name: key.name.to_string(),
    }
}

fn decode_key(key: PbKey) -> Key {
    Key::new(Bucket::new(key.bucket), Arc::<str>::from(key.name))
}

fn condition(condition: &Condition) -> PbCondition {
    let kind = match condition {
        Condition::Absent(k) => PbConditionKind::Absent(key(k)),
        Condition::Present(k) => PbConditionKind::Present(key(k)),
        Condition::AtRevision(k, revision) => PbConditionKind::AtRevision(PbAtRevision {
            key: key(k),
            revision: *revision,
        }),
        Condition::BucketUnchangedSince(bucket, since) => {
            PbConditionKind::BucketUnchanged(PbBucketUnchanged {
                bucket: bucket.as_str().to_owned(),
                since: *since,
            })
        }
        Condition::Term(term) => PbConditionKind::Term(*term),
        Condition::FeatureLevel(level) => PbConditionKind::FeatureLevel(*level),
    };
    PbCondition { kind: Some(kind) }
}

fn decode_condition(condition: PbCondition) -> Result<Condition, WireError> {
    let kind = condition.kind.ok_or(WireError::Unknown {
        what: "a condition",
    })?;
    Ok(match kind {
        PbConditionKind::Absent(k) => Condition::Absent(decode_key(k)),
        PbConditionKind::Present(k) => Condition::Present(decode_key(k)),
        PbConditionKind::AtRevision(at) => Condition::AtRevision(decode_key(at.key), at.revision),
        PbConditionKind::BucketUnchanged(b) => {
            Condition::BucketUnchangedSince(Bucket::new(b.bucket), b.since)
        }
        PbConditionKind::Term(term) => Condition::Term(term),
        PbConditionKind::FeatureLevel(level) => Condition::FeatureLevel(level),
    })
}

fn write(write: &Write) -> PbWrite {
    let kind = match write {
        Write::Put {
            key: k,
            value,
            expires_at_ms,
        } => PbWriteKind::Put(PbPut {
            key: key(k),
            value: value.clone(),
            expires_at_ms: *expires_at_ms,
        }),
        Write::Delete { key: k } => PbWriteKind::Delete(key(k)),
    };
    PbWrite { kind: Some(kind) }
}

fn decode_write(write: PbWrite) -> Result<Write, WireError> {
    Ok(
        match write.kind.ok_or(WireError::Unknown { what: "a write" })? {
            PbWriteKind::Put(put) => Write::Put {
                key: decode_key(put.key),
                value: Bytes::copy_from_slice(&put.value),
                expires_at_ms: put.expires_at_ms,
            },
            PbWriteKind::Delete(k) => Write::Delete { key: decode_key(k) },
        },
    )
}

impl From<&Outcome> for PbOutcome {
    fn from(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Committed { revision, time_ms } => Self {
                revision: *revision,
                time_ms: *time_ms,
                refusals: Vec::new(),
            },
            Outcome::Refused(refusals) => Self {
                revision: 0,
                time_ms: 0,
                refusals: refusals
                    .iter()
                    .map(|r| PbRefusal {
                        condition: u32::try_from(r.condition).unwrap_or(u32::MAX),
                        found: r.found,
                    })
                    .collect(),
            },
        }
    }
}

impl From<PbOutcome> for Outcome {
    fn from(outcome: PbOutcome) -> Self {
        if outcome.refusals.is_empty() {
            return Self::Committed {
                revision: outcome.revision,
                time_ms: outcome.time_ms,
            };
        }
        Self::Refused(
            outcome
                .refusals
                .into_iter()
                .map(|r| Refusal {
                    condition: r.condition as usize,
                    found: r.found,
                })
                .collect(),
        )
    }
}
