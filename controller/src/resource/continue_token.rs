//! Where a list goes on.
//!
//! A token is opaque to callers and worth nothing to forgers: it only says at which revision and after
//! which name to go on reading a kind that the caller must be allowed to list anyway. It names the
//! history it was issued in, because revisions of another history mean nothing here.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use quorate_store::Revision;
use serde::{Deserialize, Serialize};

use crate::error::ApiError;

const FORMAT: u8 = 1;

/// The decoded form of a continue token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContinueToken {
    #[serde(rename = "v")]
    format: u8,
    #[serde(rename = "h")]
    history: String,
    #[serde(rename = "k")]
    kind: String,
    /// The revision that all pages show.
    #[serde(rename = "r")]
    pub revision: Revision,
    /// The last name that was looked at.
    #[serde(rename = "a")]
    pub after: String,
    /// How many objects were passed.
    #[serde(rename = "n")]
    pub seen: u64,
}

impl ContinueToken {
    /// A token for the page after `after`.
    pub fn new(history: &str, kind: &str, revision: Revision, after: &str, seen: u64) -> Self {
        Self {
            format: FORMAT,
            history: history.to_owned(),
            kind: kind.to_owned(),
            revision,
            after: after.to_owned(),
            seen,
        }
    }

    /// The token as text.
    pub fn encode(&self) -> Result<String, ApiError> {
        serde_json::to_vec(self)
            .map(|json| URL_SAFE_NO_PAD.encode(json))
            .map_err(|error| ApiError::Internal(error.to_string()))
    }

    /// Reads a token that was issued for listing `kind` in `history`.
    pub fn decode(text: &str, history: &str, kind: &str) -> Result<Self, ApiError> {
        const MAX: usize = 2048;
        let unreadable = || {
            ApiError::BadRequest(
                "the continue token is not one that this server issued; list again without it"
                    .into(),
            )
        };
        if text.len() > MAX {
            return Err(unreadable());
        }
        let json = URL_SAFE_NO_PAD.decode(text).map_err(|_| unreadable())?;
        let token: Self = serde_json::from_slice(&json).map_err(|_| unreadable())?;
        if token.format != FORMAT {
            return Err(unreadable());
        }
        if token.kind != kind {
            return Err(ApiError::BadRequest(format!(
                "the continue token is for {}, the request for {kind}; list again without it",
                token.kind
            )));
        }
        if token.history != history {
            return Err(ApiError::Expired(
                "the continue token is from before the cluster was restored; list again without it"
                    .into(),
            ));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_token_says_where_to_go_on_in_the_same_kind_and_history() {
        let token = ContinueToken::new("h1", "volumes", 7, "vol-a", 500);
        let text = token.encode().expect("encodes");
        assert_eq!(ContinueToken::decode(&text, "h1", "volumes"), Ok(token));
        assert!(matches!(
            ContinueToken::decode(&text, "h1", "networks"),
            Err(ApiError::BadRequest(_))
        ));
        assert!(matches!(
            ContinueToken::decode(&text, "h2", "volumes"),
            Err(ApiError::Expired(_))
        ));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_server_stumble(text in ".*") {
            let _ = ContinueToken::decode(&text, "h", "k");
        }
    }
}
