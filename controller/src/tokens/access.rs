//! Access tokens: for programs that speak the Kubernetes protocol and have no certificate.
//!
//! A token is a person's, like a certificate, and what it may do follows from roles at every call. It is no certificate: none
//! can be had for it, and gRPC does not take it. What is revoked is refused as soon as this member knows, also in
//! the middle of a watch.

use std::{net::IpAddr, sync::Arc, time::Instant};

use jiff::SignedDuration;
use quorate_identity::{AccessToken, Clock, Peer, Subject};
use quorate_store::Store;

use super::{
    JoinLimiter, Person, Record, Valid,
    book::{Book, Validity},
    excess,
};
use crate::{
    access::{Access, Caller},
    error::ApiError,
};

const VALIDITY: Validity = Validity {
    usual: SignedDuration::from_hours(30 * 24),
    most: SignedDuration::from_hours(366 * 24),
};

/// The access tokens of a cluster. Cheap to clone.
#[derive(Clone)]
pub struct AccessTokens {
    pub(super) book: Book<Person>,
    access: Arc<Access>,
    /// Holds back who tries tokens that are not good.
    limiter: Arc<JoinLimiter>,
}

impl AccessTokens {
    /// The tokens in `store`.
    pub fn new(store: Store, access: Arc<Access>, clock: Arc<dyn Clock>) -> Self {
        Self {
            book: Book::new(store, clock),
            access,
            limiter: Arc::new(JoinLimiter::new(Instant::now())),
        }
    }

    /// Makes a token. `valid_seconds` of 0 is thirty days.
    pub async fn grant(
        &self,
        caller: &Caller,
        person: Person,
        valid_seconds: u64,
    ) -> Result<(AccessToken, Record<Person>), ApiError> {
        let token =
            AccessToken::generate().map_err(|error| ApiError::Internal(error.to_string()))?;
        let record = self
            .book
            .add(
                (token.id(), &token.secret_hash()),
                person,
                caller.user(),
                (valid_seconds, &VALIDITY),
                |view, person| excess::refuse_person(&self.access, view, caller, person),
            )
            .await?;
        Ok((token, record))
    }

    /// Makes a token useless.
    pub async fn revoke(&self, id: &str) -> Result<(), ApiError> {
        self.book.revoke(id).await
    }

    /// Whom the token stands for; its id is in the place of a certificate's serial number.
    pub async fn recognise(&self, text: &str, from: IpAddr) -> Result<Arc<Peer>, ApiError> {
        let token = match text.parse::<AccessToken>() {
            Ok(token) => token,
            Err(error) => {
                self.limiter.attempt(from, Instant::now())?;
                return Err(ApiError::Unauthorized(error.to_string()));
            }
        };
        let store = self.book.store();
        let find = || {
            self.book
                .find(&store.view(), token.id(), &token.secret_hash())
        };
        if let Some(valid) = find() {
            return holder(token.id(), valid);
        }
        // It may have been made a moment ago, at another member.
        self.limiter.attempt(from, Instant::now())?;
        store.barrier().await?;
        match find() {
            Some(valid) => holder(token.id(), valid),
            None => Err(ApiError::Unauthorized(
                "the access token is not valid: it has expired, was revoked or never was; have a new one made with `quorate cluster access-token create`"
                    .into(),
            )),
        }
    }

    /// Refuses what was recognised earlier and has been revoked since.
    pub fn confirm(&self, holder: &Peer) -> Result<(), ApiError> {
        if self.book.holds(&self.book.store().view(), &holder.serial) {
            return Ok(());
        }
        Err(ApiError::Unauthorized(format!(
            "access token {} was revoked or has expired",
            holder.serial
        )))
    }
}

fn holder(id: &str, valid: Valid<Person>) -> Result<Arc<Peer>, ApiError> {
    let Record {
        purpose,
        created,
        expires,
        ..
    } = valid.record;
    let subject = Subject::person(&purpose.name, &purpose.groups)
        .map_err(|error| ApiError::Unauthorized(error.to_string()))?;
    Ok(Arc::new(Peer {
        subject,
        not_before: created,
        not_after: expires,
        serial: id.to_owned(),
    }))
}
