use std::{collections::BTreeMap, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use quorate_identity::Keyring;
use quorate_store::{Bucket, Key, Store};
use serde_json::Value;
use thiserror::Error;

use super::request::SecretReference;
use crate::secrets::{self, SecretsError};

/// Why a secret parameter has no value. Helps to repeat only after the Secret was changed.
#[derive(Debug, Error)]
pub enum SecretError {
    /// There is no such Secret or entry.
    #[error(
        "parameter {parameter:?} needs entry {key:?} of Secret {secret:?}, which is not there; apply it"
    )]
    Missing {
        /// The parameter.
        parameter: String,
        /// The Secret.
        secret: String,
        /// The entry.
        key: String,
    },
    /// It is there and cannot be used.
    #[error("entry {key:?} of Secret {secret:?} is no text in UTF-8; apply the Secret anew")]
    NotText {
        /// The Secret.
        secret: String,
        /// The entry.
        key: String,
    },
    /// It cannot be opened.
    #[error("Secret {secret:?} cannot be opened")]
    Sealed {
        /// The Secret.
        secret: String,
        /// Why.
        #[source]
        source: SecretsError,
    },
}

/// Where secret parameters get their values.
pub trait SecretSource: Send + Sync {
    /// The values, by parameter.
    fn values(
        &self,
        references: &[SecretReference],
    ) -> Result<BTreeMap<String, String>, SecretError>;
}

/// The Secrets of the store, opened with this member's keyring.
pub struct StoredSecrets {
    store: Store,
    keyring: Arc<Keyring>,
}

impl StoredSecrets {
    /// The Secrets in `store`.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>) -> Self {
        Self { store, keyring }
    }
}

impl SecretSource for StoredSecrets {
    fn values(
        &self,
        references: &[SecretReference],
    ) -> Result<BTreeMap<String, String>, SecretError> {
        let view = self.store.view();
        let mut values = BTreeMap::new();
        for reference in references {
            let missing = || SecretError::Missing {
                parameter: reference.parameter.clone(),
                secret: reference.secret.clone(),
                key: reference.key.clone(),
            };
            let not_text = || SecretError::NotText {
                secret: reference.secret.clone(),
                key: reference.key.clone(),
            };
            let key = Key::new(Bucket::new(secrets::KIND), reference.secret.as_str());
            let stored = view.get(&key).ok_or_else(missing)?;
            let mut object: Value =
                serde_json::from_slice(&stored.value).map_err(|_| not_text())?;
            secrets::open(&self.keyring, &mut object).map_err(|source| SecretError::Sealed {
                secret: reference.secret.clone(),
                source,
            })?;
            let value = object["spec"]["data"]
                .get(&reference.key)
                .and_then(Value::as_str)
                .ok_or_else(missing)?;
            let bytes = STANDARD.decode(value).map_err(|_| not_text())?;
            let text = String::from_utf8(bytes).map_err(|_| not_text())?;
            values.insert(reference.parameter.clone(), text);
        }
        Ok(values)
    }
}
