//! Tokens: join tokens buy a certificate, once; access tokens stand for a person until they expire or are revoked.
//!
//! A token is shown once, when it is made. The cluster keeps a hash of its secret.

mod access;
mod book;
mod excess;
mod join;
mod limiter;
mod record;
mod wire;

pub use access::AccessTokens;
pub use book::Valid;
pub use join::JoinTokens;
pub use limiter::JoinLimiter;
pub use record::{Invitee, Person, Purpose, Record};
