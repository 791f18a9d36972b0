//! Access tokens: `quorateaccess1.<id>.<secret>.<check>`.
//!
//! For programs that speak the Kubernetes protocol and cannot show a certificate. Whoever holds one is the user that it was
//! made for, until it expires or is revoked.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{NoRandom, SecretHash, Text, Unreadable};

const FORM: &str = "quorateaccess1";

/// A token, with its secret. Its `Debug` form shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessToken(Text);

/// Why a text is no access token. Repeating the call does not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AccessTokenError {
    /// Something else was given.
    #[error(
        "this is not an access token: a token looks like {FORM}.<id>.<secret>.<check>; make one with `quorate cluster access-token create`"
    )]
    Form,
    /// It was a token once.
    #[error(
        "the access token is mistyped or cut off: its check characters do not fit; copy it again as a whole"
    )]
    Typo,
}

impl AccessToken {
    /// A new token.
    pub fn generate() -> Result<Self, NoRandom> {
        Ok(Self(Text::generate()?))
    }

    /// What finds the token's record; no secret.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// What the cluster keeps of the secret.
    pub fn secret_hash(&self) -> SecretHash {
        self.0.secret_hash()
    }

    /// The token as text: shown once, to the person who hands it on.
    pub fn reveal(&self) -> String {
        self.0.reveal(FORM, &[])
    }
}

impl FromStr for AccessToken {
    type Err = AccessTokenError;

    fn from_str(text: &str) -> Result<Self, AccessTokenError> {
        match Text::read(FORM, text) {
            Ok((text, more)) if more.is_empty() => Ok(Self(text)),
            Ok(_) | Err(Unreadable::Form) => Err(AccessTokenError::Form),
            Err(Unreadable::Typo) => Err(AccessTokenError::Typo),
        }
    }
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccessToken").field(&self.id()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_being_copied_and_nothing_else_is_one() {
        let token = AccessToken::generate().expect("random");
        let text = token.reveal();
        assert_eq!(format!(" {text}\n").parse(), Ok(token));
        assert_eq!(
            text[..text.len() - 9].parse::<AccessToken>(),
            Err(AccessTokenError::Typo)
        );
        for other in ["", "quorateaccess1", "hunter2", "quorateaccess1.a.b.c"] {
            other.parse::<AccessToken>().expect_err("no token");
        }
    }
}
