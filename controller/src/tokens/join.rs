//! Join tokens: made once, shown once, good once.
//!
//! A token is redeemed by deleting its record on the condition that it is still the one that was looked at, so that of two
//! joiners with one token exactly one gets in, whichever members they ask.

use std::sync::Arc;

use jiff::SignedDuration;
use quorate_identity::{CaHash, Clock, JoinToken};
use quorate_store::{Condition, Outcome, Store, Transaction, Write};

use super::{
    Invitee, Record, Valid,
    book::{Book, Validity},
    excess,
};
use crate::{
    access::{Access, Caller},
    error::ApiError,
};

const VALIDITY: Validity = Validity {
    usual: SignedDuration::from_hours(1),
    most: SignedDuration::from_hours(7 * 24),
};

/// The join tokens of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct JoinTokens {
    pub(super) book: Book<Invitee>,
    access: Arc<Access>,
    ca: CaHash,
}

impl JoinTokens {
    /// The tokens in `store`, for the cluster of the authority with this hash.
    pub fn new(store: Store, access: Arc<Access>, ca: CaHash, clock: Arc<dyn Clock>) -> Self {
        Self {
            book: Book::new(store, clock),
            access,
            ca,
        }
    }

    /// Makes a token. `valid_seconds` of 0 is one hour.
    pub async fn invite(
        &self,
        caller: &Caller,
        invitee: Invitee,
        valid_seconds: u64,
    ) -> Result<(JoinToken, Record<Invitee>), ApiError> {
        let token =
            JoinToken::generate(self.ca).map_err(|error| ApiError::Internal(error.to_string()))?;
        let record = self
            .book
            .add(
                (token.id(), &token.secret_hash()),
                invitee,
                caller.user(),
                (valid_seconds, &VALIDITY),
                |view, invitee| excess::refuse(&self.access, view, caller, invitee),
            )
            .await?;
        Ok((token, record))
    }

    /// Makes a token useless.
    pub async fn revoke(&self, id: &str) -> Result<(), ApiError> {
        self.book.revoke(id).await
    }

    /// Whether the token is good, without using it up. Unknown, wrong, used and expired tokens are refused in the same
    /// words: a guesser learns nothing.
    pub async fn verify(&self, token: &JoinToken) -> Result<Valid<Invitee>, ApiError> {
        self.book.store().barrier().await?;
        let view = self.book.store().view();
        self.book
            .find(&view, token.id(), &token.secret_hash())
            .ok_or_else(not_good)
    }

    /// Uses the token up. Of all who try, one succeeds.
    pub async fn redeem(&self, valid: Valid<Invitee>) -> Result<Record<Invitee>, ApiError> {
        let transaction = Transaction {
            conditions: vec![Condition::AtRevision(valid.key.clone(), valid.revision)],
            writes: vec![Write::Delete { key: valid.key }],
        };
        match self.book.store().propose(transaction).await? {
            Outcome::Committed { .. } => Ok(valid.record),
            Outcome::Refused(_) => Err(not_good()),
        }
    }
}

fn not_good() -> ApiError {
    ApiError::Unauthorized(
        "the join token is not valid: it was used already, has expired, was revoked or never was; have a new one made with `quorate cluster join-token create`"
            .into(),
    )
}
