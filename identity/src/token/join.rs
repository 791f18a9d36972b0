//! Join tokens: `quorate1.<id>.<secret>.<ca-hash>.<check>`.
//!
//! The id finds the token's record, the secret proves that the bearer was given it, and the hash of the cluster's
//! authority lets the bearer make sure of the server *before* the secret is sent. The check tells a mistyped or
//! cut-off token from a wrong one, on the bearer's own machine.

use std::{fmt, str::FromStr};

use rustls::pki_types::CertificateDer;
use thiserror::Error;

use super::{NoRandom, SecretHash, Text, Unreadable};
use crate::{CaHash, pem};

const FORM: &str = "quorate1";

/// A token, with its secret. Its `Debug` form shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    text: Text,
    ca: CaHash,
}

/// Why a text is no join token. Repeating the call does not help.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinTokenError {
    /// Something else was pasted.
    #[error(
        "this is not a join token: a token looks like {FORM}.<id>.<secret>.<hash>.<check>; make one with `quorate cluster join-token create`"
    )]
    Form,
    /// It was a token once.
    #[error(
        "the join token is mistyped or cut off: its check characters do not fit; copy it again as a whole"
    )]
    Typo,
    /// The server is not the one that the token is for.
    #[error(
        "the server belongs to another cluster than the token: its authority has hash {found}, the token says {expected}; check the address, or make a token on this cluster"
    )]
    OtherCluster {
        /// The hash of what the server sent.
        found: String,
        /// The hash in the token.
        expected: String,
    },
    /// What should be the authority's certificate is not one.
    #[error(
        "the server sent no usable authority certificate; check that the address is a Quorate member's"
    )]
    NoAuthority,
    /// The system gave no random numbers.
    #[error(transparent)]
    Random(#[from] NoRandom),
}

impl JoinToken {
    /// A new token for the cluster of this authority.
    pub fn generate(ca: CaHash) -> Result<Self, JoinTokenError> {
        Ok(Self {
            text: Text::generate()?,
            ca,
        })
    }

    /// What finds the token's record; no secret.
    pub fn id(&self) -> &str {
        self.text.id()
    }

    /// The authority that the server must show.
    pub fn ca(&self) -> CaHash {
        self.ca
    }

    /// What the cluster keeps of the secret.
    pub fn secret_hash(&self) -> SecretHash {
        self.text.secret_hash()
    }

    /// Whether `certificate` (PEM) is the authority that the token is for: a joiner checks the one it is handed.
    pub fn verify_authority(&self, certificate: &str) -> Result<(), JoinTokenError> {
        let chain = pem::certificates(certificate).map_err(|_| JoinTokenError::NoAuthority)?;
        let [certificate] = chain.as_slice() else {
            return Err(JoinTokenError::NoAuthority);
        };
        self.check_authority(certificate)
    }

    fn check_authority(&self, certificate: &CertificateDer<'_>) -> Result<(), JoinTokenError> {
        let found = CaHash::of(certificate);
        if found == self.ca {
            return Ok(());
        }
        Err(JoinTokenError::OtherCluster {
            found: found.to_string(),
            expected: self.ca.to_string(),
        })
    }

    /// The token as text: shown once, to the person who hands it on.
    pub fn reveal(&self) -> String {
        self.text.reveal(FORM, &[&self.ca.to_string()])
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let (text, more) = Text::read(FORM, text).map_err(|unreadable| match unreadable {
            Unreadable::Form => JoinTokenError::Form,
            Unreadable::Typo => JoinTokenError::Typo,
        })?;
        let [ca] = more.as_slice() else {
            return Err(JoinTokenError::Form);
        };
        let ca = CaHash::parse(ca).ok_or(JoinTokenError::Form)?;
        Ok(Self { text, ca })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken::generate(CaHash::of(&CertificateDer::from(vec![1, 2, 3]))).expect("random")
    }

    #[test]
    fn a_token_survives_being_copied() {
        let token = token();
        let read: JoinToken = format!("  {}\n", token.reveal()).parse().expect("a token");
        assert_eq!(read, token);
        assert!(read.secret_hash().matches(&token.secret_hash()));
    }

    #[test]
    fn every_single_mistyped_character_is_noticed_before_anything_is_sent() {
        let text = token().reveal();
        for (at, old) in text.char_indices().skip("quorate1.".len()) {
            let new = if old == 'x' { 'y' } else { 'x' };
            let mut typo = text.clone();
            typo.replace_range(at..=at, &new.to_string());
            typo.parse::<JoinToken>().expect_err("a typo");
        }
    }

    #[test]
    fn a_cut_off_token_is_told_from_something_else() {
        let text = token().reveal();
        assert_eq!(
            text[..text.len() - 9].parse::<JoinToken>(),
            Err(JoinTokenError::Typo)
        );
        for other in [
            "",
            "quorate1",
            "quorate12.a.b.c.d",
            "hunter2",
            &"a.".repeat(500),
        ] {
            assert_eq!(other.parse::<JoinToken>(), Err(JoinTokenError::Form));
        }
    }
}
