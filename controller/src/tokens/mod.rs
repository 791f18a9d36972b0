//! Join tokens: made once, shown once, good once.
//!
//! The cluster keeps a hash of the secret. A token is redeemed by deleting its record on the condition that it is still
//! the one that was looked at, so that of two joiners with one token exactly one gets in, whichever members they ask.

mod limiter;
mod record;
mod wire;

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use quorate_identity::{ADMINS_GROUP, CaHash, Clock, JoinToken, JoinTokenError, Subject};
use quorate_store::{Bucket, Condition, Key, Outcome, Revision, Store, Transaction, View, Write};

use crate::{
    access::{Access, Caller},
    error::ApiError,
};

pub use limiter::JoinLimiter;
pub use record::{Invitee, Record};

const BUCKET: &str = "_jointokens";
const DEFAULT_VALIDITY: SignedDuration = SignedDuration::from_hours(1);
const MAX_VALIDITY: SignedDuration = SignedDuration::from_hours(7 * 24);
/// More open tokens than this are a mistake of a script.
const MAX_TOKENS: usize = 1000;

/// The tokens of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct Tokens {
    store: Store,
    access: Arc<Access>,
    ca: CaHash,
    clock: Arc<dyn Clock>,
}

/// A token that was found good and is not used up yet.
#[derive(Debug)]
pub struct Valid {
    /// What it was made for.
    pub record: Record,
    key: Key,
    revision: Revision,
}

impl Tokens {
    /// The tokens in `store`, for the cluster of the authority with this hash.
    pub fn new(store: Store, access: Arc<Access>, ca: CaHash, clock: Arc<dyn Clock>) -> Self {
        Self {
            store,
            access,
            ca,
            clock,
        }
    }

    /// Makes a token. `valid_seconds` of 0 is one hour.
    pub async fn invite(
        &self,
        caller: &Caller,
        invitee: Invitee,
        valid_seconds: u64,
    ) -> Result<(JoinToken, Record), ApiError> {
        let validity = validity(valid_seconds)?;
        self.store.barrier().await?;
        let view = self.store.view();
        self.refuse_excess(&view, caller, &invitee)?;
        if view.count(&Bucket::new(BUCKET)) >= MAX_TOKENS {
            return Err(ApiError::TooManyRequests {
                message: format!(
                    "there are {MAX_TOKENS} unused join tokens; revoke some with `quorate cluster join-token revoke`"
                ),
                retry_after_seconds: 60,
            });
        }
        let token = JoinToken::generate(self.ca).map_err(internal)?;
        let expires = self
            .now(&view)
            .saturating_add(validity)
            .map_err(|error| ApiError::Internal(error.to_string()))?;
        let record = Record {
            invitee,
            secret_hash: token.secret_hash().to_string(),
            history_id: self.store.status().history_id,
            expires,
            created_by: caller.user().to_owned(),
        };
        let key = key(token.id());
        let transaction = Transaction {
            conditions: vec![Condition::Absent(key.clone())],
            writes: vec![Write::Put {
                key,
                value: record.encode(),
                expires_at_ms: u64::try_from(expires.as_millisecond()).ok(),
            }],
        };
        match self.store.propose(transaction).await? {
            Outcome::Committed { .. } => Ok((token, record)),
            Outcome::Refused(_) => Err(ApiError::Internal(
                "two join tokens were given one id; make the token again".into(),
            )),
        }
    }

    /// The tokens that can still be used, by id.
    pub async fn open(&self) -> Result<Vec<(String, Record)>, ApiError> {
        self.store.barrier().await?;
        let view = self.store.view();
        let now = self.now(&view);
        let tokens = view
            .list(&Bucket::new(BUCKET), None, MAX_TOKENS)
            .into_iter()
            .filter_map(|(key, stored)| {
                Some((key.name.to_string(), Record::decode(&stored.value)?))
            })
            .filter(|(_, record)| record.expires > now)
            .collect();
        Ok(tokens)
    }

    /// Makes a token useless.
    pub async fn revoke(&self, id: &str) -> Result<(), ApiError> {
        let key = key(id);
        let transaction = Transaction {
            conditions: vec![Condition::Present(key.clone())],
            writes: vec![Write::Delete { key }],
        };
        match self.store.propose(transaction).await? {
            Outcome::Committed { .. } => Ok(()),
            Outcome::Refused(_) => Err(ApiError::BadRequest(format!(
                "there is no join token {id:?}: it was used, has expired or never was; `quorate cluster join-token list` shows those there are"
            ))),
        }
    }

    /// Whether the token is good, without using it up. Unknown, wrong, used and expired tokens are refused in the same
    /// words: a guesser learns nothing.
    pub async fn verify(&self, token: &JoinToken) -> Result<Valid, ApiError> {
        self.store.barrier().await?;
        let view = self.store.view();
        let key = key(token.id());
        let stored = view.get(&key).ok_or_else(not_good)?;
        let record = Record::decode(&stored.value).ok_or_else(not_good)?;
        let secret = record.secret().ok_or_else(not_good)?;
        if !secret.matches(&token.secret_hash())
            || record.expires <= self.now(&view)
            || record.history_id != self.store.status().history_id
        {
            return Err(not_good());
        }
        Ok(Valid {
            record,
            key,
            revision: stored.modified,
        })
    }

    /// Uses the token up. Of all who try, one succeeds.
    pub async fn redeem(&self, valid: Valid) -> Result<Record, ApiError> {
        let transaction = Transaction {
            conditions: vec![Condition::AtRevision(valid.key.clone(), valid.revision)],
            writes: vec![Write::Delete { key: valid.key }],
        };
        match self.store.propose(transaction).await? {
            Outcome::Committed { .. } => Ok(valid.record),
            Outcome::Refused(_) => Err(not_good()),
        }
    }

    /// The later of this member's clock and the log's: a clock that is behind makes no token live longer.
    fn now(&self, view: &View) -> Timestamp {
        let logged = i64::try_from(view.time_ms())
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok())
            .unwrap_or(Timestamp::UNIX_EPOCH);
        self.clock.now().max(logged)
    }

    /// Nobody invites somebody who may do more than he himself.
    fn refuse_excess(
        &self,
        view: &View,
        caller: &Caller,
        invitee: &Invitee,
    ) -> Result<(), ApiError> {
        match invitee {
            Invitee::Member { .. } if caller.is_admin() => Ok(()),
            Invitee::Member { .. } => Err(ApiError::Forbidden(format!(
                "user {:?} cannot invite a member: a member holds the cluster's keys, so only the administrators' group may",
                caller.user()
            ))),
            Invitee::Node { name } => self.access.check_inviting_node(view, caller, name),
            Invitee::User { name, groups } => {
                let subject = Subject::person(name, groups)
                    .map_err(|error| ApiError::BadRequest(error.to_string()))?;
                // That group may invite members, which no role allows: see above.
                if subject.is_in(ADMINS_GROUP) && !caller.is_admin() {
                    return Err(ApiError::Forbidden(format!(
                        "user {:?} cannot invite into the group {ADMINS_GROUP:?}: only the administrators' group may, whatever roles allow",
                        caller.user()
                    )));
                }
                self.access.check_inviting(view, caller, &subject)
            }
        }
    }
}

fn key(id: &str) -> Key {
    Key::new(Bucket::new(BUCKET), id)
}

fn validity(seconds: u64) -> Result<SignedDuration, ApiError> {
    if seconds == 0 {
        return Ok(DEFAULT_VALIDITY);
    }
    i64::try_from(seconds)
        .ok()
        .map(SignedDuration::from_secs)
        .filter(|validity| *validity <= MAX_VALIDITY)
        .ok_or_else(|| {
            ApiError::BadRequest(format!(
                "a join token cannot be valid for {seconds} s, at most {} s (seven days) are allowed",
                MAX_VALIDITY.as_secs()
            ))
        })
}

fn not_good() -> ApiError {
    ApiError::Unauthorized(
        "the join token is not valid: it was used already, has expired, was revoked or never was; have a new one made with `quorate cluster join-token create`"
            .into(),
    )
}

fn internal(error: JoinTokenError) -> ApiError {
    ApiError::Internal(error.to_string())
}
