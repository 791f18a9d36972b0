//! What a token looks like: `<form>.<id>.<secret>.<more>.<check>`.
//!
//! The id finds the token's record, the secret proves that the bearer was given it. The check tells a mistyped or cut-off
//! token from a wrong one, on the bearer's own machine.

mod access;
mod join;
mod secret_hash;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{digest, rand::SecureRandom};
use thiserror::Error;

pub use access::{AccessToken, AccessTokenError};
pub use join::{JoinToken, JoinTokenError};
pub use secret_hash::SecretHash;

const MAX_LENGTH: usize = 256;
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 16;

/// The system gave no random numbers.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the system gave no random numbers")]
pub struct NoRandom;

/// What every token has.
#[derive(Clone, PartialEq, Eq)]
struct Text {
    id: String,
    secret: [u8; SECRET_BYTES],
}

/// Why a text is no token of that form.
enum Unreadable {
    Form,
    Typo,
}

impl Text {
    fn generate() -> Result<Self, NoRandom> {
        let random = ring::rand::SystemRandom::new();
        let mut id = [0; ID_BYTES];
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut id).map_err(|_| NoRandom)?;
        random.fill(&mut secret).map_err(|_| NoRandom)?;
        Ok(Self {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            secret,
        })
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn secret_hash(&self) -> SecretHash {
        SecretHash::of(&self.secret)
    }

    fn reveal(&self, form: &str, more: &[&str]) -> String {
        let secret = URL_SAFE_NO_PAD.encode(self.secret);
        let mut parts = vec![form, &self.id, &secret];
        parts.extend(more);
        let body = parts.join(".");
        let check = check(&body);
        format!("{body}.{check}")
    }

    /// The token, and what else stands in it.
    fn read<'t>(form: &str, text: &'t str) -> Result<(Self, Vec<&'t str>), Unreadable> {
        let text = text.trim();
        let started = text
            .strip_prefix(form)
            .is_some_and(|rest| rest.starts_with('.'));
        if !started || text.len() > MAX_LENGTH {
            return Err(Unreadable::Form);
        }
        let (body, found) = text.rsplit_once('.').ok_or(Unreadable::Form)?;
        if check(body) != found {
            return Err(Unreadable::Typo);
        }
        let mut parts = body.split('.').skip(1);
        let (Some(id), Some(secret)) = (parts.next(), parts.next()) else {
            return Err(Unreadable::Form);
        };
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if id.len() != 2 * ID_BYTES || !id.chars().all(hexadecimal) {
            return Err(Unreadable::Form);
        }
        let secret = URL_SAFE_NO_PAD.decode(secret).ok();
        let secret = secret.and_then(|bytes| bytes.try_into().ok());
        let token = Self {
            id: id.to_owned(),
            secret: secret.ok_or(Unreadable::Form)?,
        };
        Ok((token, parts.collect()))
    }
}

fn check(body: &str) -> String {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..3])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CaHash;
    use rustls::pki_types::CertificateDer;

    fn join() -> JoinToken {
        JoinToken::generate(CaHash::of(&CertificateDer::from(vec![1, 2, 3]))).expect("random")
    }

    fn access() -> AccessToken {
        AccessToken::generate().expect("random")
    }

    #[test]
    fn a_token_never_shows_its_secret_in_logs() {
        let (join, access) = (join(), access());
        for (shown, whole) in [
            (format!("{join:?}"), join.reveal()),
            (format!("{access:?}"), access.reveal()),
        ] {
            let secret = whole.split('.').nth(2).expect("a secret");
            assert!(!shown.contains(secret), "{shown}");
        }
    }

    #[test]
    fn what_the_cluster_keeps_matches_the_same_secret_only() {
        let (one, other) = (join().secret_hash(), access().secret_hash());
        assert!(!one.matches(&other));
        assert!(one.matches(&SecretHash::parse(&one.to_string()).expect("its own text")));
    }

    #[test]
    fn a_token_of_one_sort_is_none_of_the_other() {
        assert_eq!(
            access().reveal().parse::<JoinToken>(),
            Err(JoinTokenError::Form)
        );
        assert_eq!(
            join().reveal().parse::<AccessToken>(),
            Err(AccessTokenError::Form)
        );
    }
}
