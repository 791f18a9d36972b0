//! A certificate with its key: what a process shows to its peers.

use std::{
    path::Path,
    sync::{Arc, PoisonError, RwLock},
};

use jiff::Timestamp;
use rustls::{
    SignatureScheme,
    client::ResolvesClientCert,
    crypto::ring::sign::any_supported_type,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use thiserror::Error;

use crate::{
    Authority, AuthorityError, KeyError, KeyRequest, Peer, Subject, VALIDITY,
    files::{self, FileError, Readable},
    pem,
};

/// A certificate chain, its key, and what the certificate says.
#[derive(Clone)]
pub struct Credentials {
    chain: String,
    key: String,
    peer: Peer,
    certified: Arc<CertifiedKey>,
}

/// Why credentials cannot be used.
#[derive(Debug, Error)]
pub enum CredentialsError {
    /// A file. May succeed once its reason is gone.
    #[error(transparent)]
    File(#[from] FileError),
    /// The texts do not fit. Ask for new credentials.
    #[error("the certificate and key are not usable: {reason}; get new ones with `quorate join`")]
    Unusable {
        /// What is wrong.
        reason: String,
    },
    /// No key could be made.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The authority did not sign.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials")
            .field("peer", &self.peer)
            .finish_non_exhaustive()
    }
}

impl Credentials {
    /// Puts a chain (PEM, own certificate first) and its key (PEM) together.
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, CredentialsError> {
        let unusable = |reason: String| CredentialsError::Unusable { reason };
        let certificates = pem::certificates(chain)
            .map_err(|_| unusable("there is no certificate in the file".into()))?;
        let peer = Peer::from_certificate(&certificates[0])
            .map_err(|error| unusable(error.to_string()))?;
        let private = PrivateKeyDer::from_pem_slice(key.as_bytes())
            .map_err(|_| unusable("there is no private key in the file".into()))?;
        let signer = any_supported_type(&private).map_err(|error| unusable(error.to_string()))?;
        let certified = CertifiedKey::new(certificates, signer);
        certified
            .keys_match()
            .map_err(|_| unusable("the key does not belong to the certificate".into()))?;
        Ok(Self {
            chain: chain.to_owned(),
            key: key.to_owned(),
            peer,
            certified: Arc::new(certified),
        })
    }

    /// Has `authority` certify a new key: what members do for themselves, and `quorate init` for the first
    /// administrator.
    pub fn issue(
        authority: &Authority,
        subject: &Subject,
        addresses: &[String],
    ) -> Result<Self, CredentialsError> {
        let key = KeyRequest::generate()?;
        let chain = authority.issue(key.request(), subject, addresses)?;
        Self::from_pem(&chain, key.key())
    }

    /// The credentials kept in these two files.
    pub fn load(chain: &Path, key: &Path) -> Result<Self, CredentialsError> {
        Self::from_pem(&files::read(chain)?, &files::read(key)?)
    }

    /// Writes them to these two files.
    ///
    /// The two are replaced one after the other; a crash between them leaves a pair that does not match, which
    /// [`Credentials::load`] refuses and a member then replaces.
    pub fn save(&self, chain: &Path, key: &Path) -> Result<(), CredentialsError> {
        files::write(key, &self.key, Readable::ByOwner)?;
        files::write(chain, &self.chain, Readable::ByAll)?;
        Ok(())
    }

    /// What the certificate says.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The chain, PEM.
    pub fn chain_pem(&self) -> &str {
        &self.chain
    }

    /// The private key, PEM.
    pub fn key_pem(&self) -> &str {
        &self.key
    }

    /// The certificates, own first.
    pub fn certificates(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }

    /// Whether this cluster's present authority is the one that issued them.
    pub fn is_issued_by(&self, authority: &Authority) -> bool {
        self.certified.cert.last() == Some(authority.certificate())
    }

    /// When a new certificate should be asked for: when a third of the usual validity is left.
    pub fn renew_at(&self) -> Timestamp {
        self.peer
            .not_after
            .saturating_sub(VALIDITY / 3)
            .unwrap_or(Timestamp::MIN)
    }
}

/// The credentials in use now. Replacing them takes effect with the next handshake; nothing is restarted.
#[derive(Debug)]
pub struct LiveCredentials(RwLock<Credentials>);

impl LiveCredentials {
    /// Begins with `credentials`.
    pub fn new(credentials: Credentials) -> Arc<Self> {
        Arc::new(Self(RwLock::new(credentials)))
    }

    /// Those in use now.
    pub fn current(&self) -> Credentials {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// From now on use these.
    pub fn replace(&self, credentials: Credentials) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = credentials;
    }

    fn certified(&self) -> Arc<CertifiedKey> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .certified
            .clone()
    }
}

impl ResolvesServerCert for LiveCredentials {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }
}

impl ResolvesClientCert for LiveCredentials {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.certified())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
