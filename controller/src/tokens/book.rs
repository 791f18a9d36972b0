use std::{marker::PhantomData, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use quorate_identity::{Clock, SecretHash};
use quorate_store::{Bucket, Condition, Key, Outcome, Revision, Store, Transaction, View, Write};

use super::{Purpose, Record};
use crate::error::ApiError;

/// More tokens of one sort than this are a mistake of a script.
const MAX_TOKENS: usize = 1000;

/// The tokens of one sort, each under its id until it expires.
#[derive(Clone)]
pub(super) struct Book<P> {
    store: Store,
    clock: Arc<dyn Clock>,
    purpose: PhantomData<P>,
}

/// A token that was found good.
#[derive(Debug)]
pub struct Valid<P> {
    /// What is kept of it.
    pub record: Record<P>,
    pub(super) key: Key,
    pub(super) revision: Revision,
}

/// How long tokens of one sort are good.
pub(super) struct Validity {
    /// When nothing was said.
    pub(super) usual: SignedDuration,
    pub(super) most: SignedDuration,
}

impl<P: Purpose> Book<P> {
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            clock,
            purpose: PhantomData,
        }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Writes a new token down, unless it is refused as of now; `valid_seconds` of 0 is as long as usual.
    pub(super) async fn add(
        &self,
        (id, secret): (&str, &SecretHash),
        purpose: P,
        created_by: &str,
        (valid_seconds, validity): (u64, &Validity),
        refuse: impl FnOnce(&View, &P) -> Result<(), ApiError>,
    ) -> Result<Record<P>, ApiError> {
        let validity = validity.of::<P>(valid_seconds)?;
        self.store.barrier().await?;
        let view = self.store.view();
        refuse(&view, &purpose)?;
        if view.count(&Bucket::new(P::BUCKET)) >= MAX_TOKENS {
            return Err(ApiError::TooManyRequests {
                message: format!(
                    "there are {MAX_TOKENS} {}s; revoke some with `quorate cluster {} revoke`",
                    P::CALLED,
                    command::<P>()
                ),
                retry_after_seconds: 60,
            });
        }
        let created = self.now(&view);
        let expires = created
            .saturating_add(validity)
            .map_err(|error| ApiError::Internal(error.to_string()))?;
        let record = Record {
            purpose,
            secret_hash: secret.to_string(),
            history_id: self.store.status().history_id,
            created,
            expires,
            created_by: created_by.to_owned(),
        };
        let key = key::<P>(id);
        let transaction = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            writes: vec![Write::Put {
                key,
                value: record.encode(),
                expires_at_ms: u64::try_from(expires.as_millisecond()).ok(),
            }],
        };
        match self.store.propose(transaction).await? {
            Outcome::Committed { .. } => Ok(record),
            Outcome::Refused(_) => Err(ApiError::Internal(format!(
                "two {}s were given one id; make the token again",
                P::CALLED
            ))),
        }
    }

    /// The tokens that can still be used, by id.
    pub(super) async fn open(&self) -> Result<Vec<(String, Record<P>)>, ApiError> {
        self.store.barrier().await?;
        let view = self.store.view();
        let now = self.now(&view);
        let tokens = view
            .list(&Bucket::new(P::BUCKET), None, MAX_TOKENS)
            .into_iter()
            .filter_map(|(key, stored)| {
                Some((key.name.to_string(), Record::decode(&stored.value)?))
            })
            .filter(|(_, record)| record.expires > now)
            .collect();
        Ok(tokens)
    }

    /// Makes a token useless.
    pub(super) async fn revoke(&self, id: &str) -> Result<(), ApiError> {
        let key = key::<P>(id);
        let transaction = Transaction {
            conditions: vec![Condition::Present(key.clone())],
            writes: vec![Write::Delete { key }],
        };
        match self.store.propose(transaction).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Refused(_) => Err(ApiError::BadRequest(format!(
                "there is no {} {id:?}: it was used, has expired or never was; `quorate cluster {} list` shows those there are",
                P::CALLED,
                command::<P>()
            ))),
        }
    }

    /// The token with this id, if it is good as of `view` and the secret is the right one.
    pub(super) fn find(&self, view: &View, id: &str, secret: &SecretHash) -> Option<Valid<P>> {
        let key = key::<P>(id);
        let stored = view.get(&key)?;
        let record = Record::decode(&stored.value)?;
        let good = record.secret()?.matches(secret)
            && record.expires > self.now(view)
            && record.history_id == self.store.status().history_id;
        good.then_some(Valid {
            record,
            key,
            revision: stored.modified,
        })
    }

    /// Whether there still is a token with this id as of `view`.
    pub(super) fn holds(&self, view: &View, id: &str) -> bool {
        view.get(&key::<P>(id)).is_some()
    }

    /// The later of this member's clock and the log's: a clock that is behind makes no token live longer.
    fn now(&self, view: &View) -> Timestamp {
        let logged = i64::try_from(view.time_ms())
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        self.clock.now().max(logged)
    }
}

impl Validity {
    fn of<P: Purpose>(&self, seconds: u64) -> Result<SignedDuration, ApiError> {
        if seconds == 0 {
            return Ok(self.usual);
        }
        i64::try_from(seconds)
            .ok()
            .map(SignedDuration::from_secs)
            .filter(|validity| *validity <= self.most)
            .ok_or_else(|| {
                ApiError::BadRequest(format!(
                    "this {} cannot be valid for {seconds} s, at most {} s ({} days) are allowed",
                    P::CALLED,
                    self.most.as_secs(),
                    self.most.as_secs() / 86_400
                ))
            })
    }
}

fn key<P: Purpose>(id: &str) -> Key {
    Key::new(Bucket::new(P::BUCKET), id)
}

fn command<P: Purpose>() -> String {
    P::CALLED.replace(' ', "-")
}
