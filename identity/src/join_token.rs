//! Join tokens: `quorate1.<id>.<secret>.<ca-hash>.<check>`.
//!
//! The id finds the token's record, the secret proves that the bearer was given it, and the hash of the cluster's
//! authority lets the bearer make sure of the server *before* the secret is sent. The check tells a mistyped or
//! cut-off token from a wrong one, on the bearer's own machine.

use std::{fmt, str::FromStr};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::{digest, rand::SecureRandom};
use rustls::pki_types::CertificateDer;
use thiserror::Error;

use crate::{CaHash, pem};

const FORM: &str = "quorate1";
const MAX_LENGTH: usize = 256;
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 16;

/// A token, with its secret. Its `Debug` form shows the id alone.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    id: String,
    secret: [u8; SECRET_BYTES],
    ca: CaHash,
}

/// What the cluster keeps of a token's secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretHash([u8; 32]);

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
    #[error("the system gave no random numbers")]
    Random,
}

impl JoinToken {
    /// A new token for the cluster of this authority.
    pub fn generate(ca: CaHash) -> Result<Self, JoinTokenError> {
        let random = ring::rand::SystemRandom::new();
        let mut id = [0; ID_BYTES];
        let mut secret = [0; SECRET_BYTES];
        random.fill(&mut id).map_err(|_| JoinTokenError::Random)?;
        random
            .fill(&mut secret)
            .map_err(|_| JoinTokenError::Random)?;
        Ok(Self {
            id: id.iter().map(|byte| format!("{byte:02x}")).collect(),
            secret,
            ca,
        })
    }

    /// What finds the token's record; no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The authority that the server must show.
    pub fn ca(&self) -> CaHash {
        self.ca
    }

    /// What the cluster keeps of the secret. The secret is random and long, so a plain hash cannot be guessed
    /// back.
    pub fn secret_hash(&self) -> SecretHash {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, &self.secret).as_ref());
        SecretHash(bytes)
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
        let body = format!(
            "{FORM}.{}.{}.{}",
            self.id,
            URL_SAFE_NO_PAD.encode(self.secret),
            self.ca
        );
        let check = check(&body);
        format!("{body}.{check}")
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let text = text.trim();
        let started = text
            .strip_prefix(FORM)
            .is_some_and(|rest| rest.starts_with('.'));
        if !started || text.len() > MAX_LENGTH {
            return Err(JoinTokenError::Form);
        }
        let (body, found) = text.rsplit_once('.').ok_or(JoinTokenError::Form)?;
        if check(body) != found {
            return Err(JoinTokenError::Typo);
        }
        let parts: Vec<&str> = body.split('.').collect();
        let [_, id, secret, ca] = parts.as_slice() else {
            return Err(JoinTokenError::Form);
        };
        let hexadecimal = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if id.len() != 2 * ID_BYTES || !id.chars().all(hexadecimal) {
            return Err(JoinTokenError::Form);
        }
        let secret = URL_SAFE_NO_PAD
            .decode(secret)
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(JoinTokenError::Form)?;
        Ok(Self {
            id: (*id).to_owned(),
            secret,
            ca: CaHash::parse(ca).ok_or(JoinTokenError::Form)?,
        })
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl SecretHash {
    /// From its text form.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        Some(Self(bytes.try_into().ok()?))
    }

    /// Whether both are of one secret, in a time that does not tell how much of it was right.
    pub fn matches(&self, other: &Self) -> bool {
        let difference = self
            .0
            .iter()
            .zip(other.0)
            .fold(0, |difference, (a, b)| difference | (a ^ b));
        std::hint::black_box(difference) == 0
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

fn check(body: &str) -> String {
    let digest = digest::digest(&digest::SHA256, body.as_bytes());
    URL_SAFE_NO_PAD.encode(&digest.as_ref()[..3])
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

    #[test]
    fn a_token_never_shows_its_secret_in_logs() {
        let token = token();
        let secret = URL_SAFE_NO_PAD.encode(token.secret);
        assert!(!format!("{token:?}").contains(&secret));
    }

    #[test]
    fn what_the_cluster_keeps_matches_the_same_secret_only() {
        let (one, other) = (token().secret_hash(), token().secret_hash());
        assert!(!one.matches(&other));
        assert!(one.matches(&SecretHash::parse(&one.to_string()).expect("its own text")));
    }
}
