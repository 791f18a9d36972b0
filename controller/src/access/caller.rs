use std::{net::SocketAddr, sync::Arc};

use jiff::Timestamp;
use quorate_identity::{ADMINS_GROUP, Peer, Subject};

use crate::{error::ApiError, tls::ConnectionInfo};

/// Who makes a call, and from where. Made anew for every call, because connections outlive certificates.
#[derive(Clone, Debug)]
pub struct Caller {
    peer: Arc<Peer>,
    remote: SocketAddr,
}

impl Caller {
    /// Who may call at all: a certificate or a token must be shown and must not have expired.
    pub fn authenticate(connection: &ConnectionInfo, now: Timestamp) -> Result<Self, ApiError> {
        if let (None, Some(holder)) = (&connection.peer, &connection.token) {
            return Self::by_token(holder, connection, now);
        }
        let caller = Self::authenticate_for_renewal(connection)?;
        if caller.peer.is_expired(now) {
            return Err(ApiError::Unauthorized(format!(
                "the certificate of {:?} is valid from {} to {} and it is {now} here; renew it, an expired certificate is good for that",
                caller.user(),
                caller.peer.not_before,
                caller.peer.not_after,
            )));
        }
        Ok(caller)
    }

    fn by_token(
        holder: &Arc<Peer>,
        connection: &ConnectionInfo,
        now: Timestamp,
    ) -> Result<Self, ApiError> {
        // A clock that is behind that of the member where the token was made is no reason to refuse it.
        if now > holder.not_after {
            return Err(ApiError::Unauthorized(format!(
                "access token {} has expired at {}; have a new one made with `quorate cluster access-token create`",
                holder.serial, holder.not_after
            )));
        }
        Ok(Self {
            peer: holder.clone(),
            remote: connection.remote,
        })
    }

    /// Who may renew: the certificate may have expired. A token buys no certificate.
    pub fn authenticate_for_renewal(connection: &ConnectionInfo) -> Result<Self, ApiError> {
        let Some(peer) = &connection.peer else {
            return Err(ApiError::Unauthorized(
                "this call needs a client certificate and none was shown; get one with `quorate join`"
                    .into(),
            ));
        };
        Ok(Self {
            peer: peer.clone(),
            remote: connection.remote,
        })
    }

    /// What the certificate or the token says.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Whom it stands for.
    pub fn subject(&self) -> &Subject {
        &self.peer.subject
    }

    /// The user's name.
    pub fn user(&self) -> &str {
        self.peer.subject.user()
    }

    /// The groups.
    pub fn groups(&self) -> &[String] {
        self.peer.subject.groups()
    }

    /// Where the call comes from.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// The host's name, when a host calls.
    pub fn node_name(&self) -> Option<&str> {
        self.peer.subject.node_name()
    }

    /// The member's id, when a member calls.
    pub fn member_id(&self) -> Option<u64> {
        self.peer.subject.member_id()
    }

    /// Whether nothing is forbidden to this caller.
    pub fn is_admin(&self) -> bool {
        self.peer.subject.is_in(ADMINS_GROUP)
    }
}
