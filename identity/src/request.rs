use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use thiserror::Error;

/// A new private key and the request to certify it. The key never leaves the machine that made it.
pub struct KeyRequest {
    key: String,
    request: String,
}

/// The cryptographic library could not make a key.
#[derive(Debug, Error)]
#[error("cannot make a private key")]
pub struct KeyError(#[source] rcgen::Error);

impl KeyRequest {
    /// Makes both.
    pub fn generate() -> Result<Self, KeyError> {
        let key = KeyPair::generate().map_err(KeyError)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let request = params
            .serialize_request(&key)
            .and_then(|request| request.pem())
            .map_err(KeyError)?;
        Ok(Self {
            key: key.serialize_pem(),
            request,
        })
    }

    /// The private key, PEM.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The request to send, PEM.
    pub fn request(&self) -> &str {
        &self.request
    }
}

impl std::fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRequest")
    }
}
