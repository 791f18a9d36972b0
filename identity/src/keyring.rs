//! The keys that encrypt Secrets at rest.
//!
//! The keyring lives in a file beside the certificates and is handed from member to member when one joins; it is
//! never in the store, so a stolen backup or store directory shows no secret. The last key in the file encrypts,
//! all of them decrypt: a key is retired by adding a new one, sealing everything anew, and then removing the old.

use std::{fmt, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::files::{self, FileError, Readable};

const FORM: &str = "q1";
const KEY_BYTES: usize = 32;
const MAX_KEYS: usize = 64;

/// One or more keys with their ids, oldest first.
#[derive(Clone)]
pub struct Keyring {
    keys: Vec<Key>,
    file: File,
}

#[derive(Clone)]
struct Key {
    id: String,
    key: LessSafeKey,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    keys: Vec<FileKey>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileKey {
    id: String,
    key: String,
}

/// Why a secret could not be sealed or opened. Only [`KeyringError::File`] may succeed when repeated.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// A file. May succeed once its reason is gone.
    #[error(transparent)]
    File(#[from] FileError),
    /// The keyring's text is not one.
    #[error("the keyring is not usable: {reason}; copy it from another member")]
    Malformed {
        /// What is wrong.
        reason: String,
    },
    /// The value was sealed with a key that this member does not have.
    #[error(
        "the secret was sealed with key {id:?}, which is not in this member's keyring; copy the keyring from a member that can read it"
    )]
    UnknownKey {
        /// Which key.
        id: String,
    },
    /// The text is not a sealed value.
    #[error("the stored value is not a sealed secret")]
    NotSealed,
    /// The value was changed, or belongs to another object.
    #[error("the sealed secret was tampered with or belongs to another object; write it again")]
    Tampered,
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random,
}

impl Keyring {
    /// A keyring with one new key.
    pub fn generate() -> Result<Self, KeyringError> {
        Self::assemble(File {
            keys: vec![new_key()?],
        })
    }

    /// This keyring with a new key, which encrypts from now on.
    pub fn with_new_key(&self) -> Result<Self, KeyringError> {
        let mut file = self.file.clone();
        file.keys.push(new_key()?);
        Self::assemble(file)
    }

    /// This keyring with its newest key alone. What was sealed with an older one is lost unless it was sealed
    /// anew before.
    pub fn newest_only(&self) -> Result<Self, KeyringError> {
        let keys = self.file.keys.last().cloned().into_iter().collect();
        Self::assemble(File { keys })
    }

    /// Reads the text form, which is also what a joining member is handed.
    pub fn parse(text: &str) -> Result<Self, KeyringError> {
        let file = serde_json::from_str(text).map_err(|error| KeyringError::Malformed {
            // The text holds keys: only the place may be told.
            reason: format!(
                "it is not the expected JSON at line {}, column {}",
                error.line(),
                error.column()
            ),
        })?;
        Self::assemble(file)
    }

    /// The text form: to be kept as carefully as a private key.
    pub fn reveal(&self) -> String {
        serde_json::to_string_pretty(&self.file).expect("strings always serialise")
    }

    /// The keyring kept in `path`.
    pub fn load(path: &Path) -> Result<Self, KeyringError> {
        Self::parse(&files::read(path)?)
    }

    /// Writes it to `path`, readable by the owner alone.
    pub fn save(&self, path: &Path) -> Result<(), KeyringError> {
        files::write(path, &self.reveal(), Readable::ByOwner)?;
        Ok(())
    }

    fn assemble(file: File) -> Result<Self, KeyringError> {
        let malformed = |reason: String| KeyringError::Malformed { reason };
        if !(1..=MAX_KEYS).contains(&file.keys.len()) {
            return Err(malformed(format!(
                "it has {} keys, 1 to {MAX_KEYS} are allowed",
                file.keys.len()
            )));
        }
        let mut keys: Vec<Key> = Vec::with_capacity(file.keys.len());
        for FileKey { id, key } in &file.keys {
            if id.is_empty() || !id.chars().all(|c| c.is_ascii_alphanumeric()) {
                return Err(malformed("a key's id is not letters and digits".into()));
            }
            if keys.iter().any(|known| known.id == *id) {
                return Err(malformed(format!("two keys have the id {id:?}")));
            }
            let key = STANDARD
                .decode(key)
                .ok()
                .filter(|bytes| bytes.len() == KEY_BYTES)
                .and_then(|bytes| UnboundKey::new(&AES_256_GCM, &bytes).ok())
                .ok_or_else(|| malformed(format!("key {id:?} is not 32 bytes of base64")))?;
            keys.push(Key {
                id: id.clone(),
                key: LessSafeKey::new(key),
            });
        }
        Ok(Self { keys, file })
    }

    /// Seals `plain` so that it opens only with the same `context`: what it belongs to, so that the sealed values of
    /// two objects cannot be exchanged.
    ///
    /// The nonce is random; with one key up to 2^32 values may be sealed.
    pub fn seal(&self, plain: &[u8], context: &[u8]) -> Result<String, KeyringError> {
        let newest = self.keys.last().ok_or_else(|| KeyringError::Malformed {
            reason: "it has no keys".into(),
        })?;
        let mut nonce = [0; NONCE_LEN];
        SystemRandom::new()
            .fill(&mut nonce)
            .map_err(|_| KeyringError::Random)?;
        let mut sealed = plain.to_vec();
        newest
            .key
            .seal_in_place_append_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .map_err(|_| KeyringError::Random)?;
        let mut bytes = nonce.to_vec();
        bytes.append(&mut sealed);
        Ok(format!("{FORM}:{}:{}", newest.id, STANDARD.encode(bytes)))
    }

    /// Opens what [`Keyring::seal`] made with the same `context`.
    pub fn open(&self, sealed: &str, context: &[u8]) -> Result<Vec<u8>, KeyringError> {
        let (id, text) = parts(sealed).ok_or(KeyringError::NotSealed)?;
        let key =
            self.keys
                .iter()
                .find(|key| key.id == id)
                .ok_or_else(|| KeyringError::UnknownKey {
                    id: id.chars().take(32).collect(),
                })?;
        let mut bytes = STANDARD.decode(text).map_err(|_| KeyringError::NotSealed)?;
        let Some((nonce, body)) = bytes.split_first_chunk_mut::<NONCE_LEN>() else {
            return Err(KeyringError::NotSealed);
        };
        let plain = key
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                body,
            )
            .map_err(|_| KeyringError::Tampered)?;
        Ok(plain.to_vec())
    }

    /// Whether `sealed` uses the newest key already.
    pub fn is_current(&self, sealed: &str) -> bool {
        match (parts(sealed), self.keys.last()) {
            (Some((id, _)), Some(newest)) => id == newest.id,
            _ => false,
        }
    }

    /// Whether `text` has the form of a sealed value.
    pub fn is_sealed(text: &str) -> bool {
        parts(text).is_some()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.keys.iter().map(|key| &key.id))
            .finish()
    }
}

fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed
        .strip_prefix(FORM)?
        .strip_prefix(':')?
        .split_once(':')
}

fn new_key() -> Result<FileKey, KeyringError> {
    let random = SystemRandom::new();
    let (mut id, mut key) = ([0; 4], [0; KEY_BYTES]);
    random.fill(&mut id).map_err(|_| KeyringError::Random)?;
    random.fill(&mut key).map_err(|_| KeyringError::Random)?;
    Ok(FileKey {
        id: format!("{:08x}", u32::from_be_bytes(id)),
        key: STANDARD.encode(key),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_value_opens_only_where_it_belongs() {
        let keyring = Keyring::generate().expect("random");
        let sealed = keyring.seal(b"hunter2", b"secrets/bmc/1").expect("sealed");
        assert!(!sealed.contains("hunter2"));

        let opened = keyring.open(&sealed, b"secrets/bmc/1").expect("opened");
        assert_eq!(opened, b"hunter2");
        let moved = keyring.open(&sealed, b"secrets/other/2");
        assert!(matches!(moved, Err(KeyringError::Tampered)));
    }

    #[test]
    fn a_retired_key_still_opens_until_everything_is_sealed_anew() {
        let old = Keyring::generate().expect("random");
        let sealed = old.seal(b"x", b"c").expect("sealed");

        let both = Keyring::parse(&old.with_new_key().expect("random").reveal()).expect("its text");
        assert_eq!(both.open(&sealed, b"c").expect("opened"), b"x");
        assert!(!both.is_current(&sealed));
        let anew = both.seal(b"x", b"c").expect("sealed");
        assert!(both.is_current(&anew));

        let new = both.newest_only().expect("a key");
        assert_eq!(new.open(&anew, b"c").expect("opened"), b"x");
        let lost = new.open(&sealed, b"c");
        assert!(matches!(lost, Err(KeyringError::UnknownKey { .. })));
    }

    #[test]
    fn damaged_values_are_refused_without_a_panic() {
        let keyring = Keyring::generate().expect("random");
        let sealed = keyring.seal(b"x", b"c").expect("sealed");
        for length in 0..sealed.len() {
            keyring.open(&sealed[..length], b"c").expect_err("cut off");
        }
        for other in ["", "q1", "q1:", "q1::", "q1:a:b", "plain"] {
            keyring.open(other, b"c").expect_err("not sealed");
        }
    }

    #[test]
    fn an_unusable_keyring_is_named_without_showing_its_keys() {
        let twice = r#"{"keys":[{"id":"a","key":"c2VjcmV0"}, {"id":"a","key":7}]}"#;
        for text in [
            "",
            "{}",
            r#"{"keys":[]}"#,
            r#"{"keys":[{"id":"a","key":"c2VjcmV0"}]}"#,
            twice,
        ] {
            let error = Keyring::parse(text).expect_err("no keyring").to_string();
            assert!(error.contains("copy it from another member"), "{error}");
            assert!(!error.contains("c2VjcmV0"), "{error}");
        }
    }
}
