//! TLS settings made from a cluster's authority: TLS 1.3, HTTP/2, ring, and no session resumption.
//!
//! A resumed session would carry the certificate of the first handshake, also when that one has been renewed
//! since or has expired.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, ServerConfig,
    client::{Resumption, WebPkiServerVerifier, danger::ServerCertVerifier},
    crypto::{CryptoProvider, ring::default_provider},
    pki_types::{CertificateDer, UnixTime},
    server::{NoServerSessionStorage, WebPkiClientVerifier},
    time_provider::TimeProvider,
    version::TLS13,
};
use thiserror::Error;

use crate::{
    CaHash, Clock, Dates, JoinToken, LiveCredentials,
    files::{self, FileError},
    pem,
    verify::{JoiningVerifier, MemberVerifier, PeerVerifier},
};

/// The authority that everybody in a cluster trusts, and the clock by which dates are judged.
#[derive(Clone)]
pub struct Trust {
    roots: Arc<RootCertStore>,
    authority: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    clock: Arc<dyn Clock>,
}

/// Why TLS settings could not be made.
#[derive(Debug, Error)]
pub enum TrustError {
    /// A file. May succeed once its reason is gone.
    #[error(transparent)]
    File(#[from] FileError),
    /// The text is not the certificate of an authority. Fetch it again from the cluster.
    #[error(
        "the cluster's authority certificate is not usable: {reason}; fetch it again with `quorate join`"
    )]
    Unusable {
        /// What is wrong.
        reason: String,
    },
    /// rustls refused the settings.
    #[error("cannot set up TLS")]
    Tls(#[source] rustls::Error),
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Trust").field(&self.hash()).finish()
    }
}

impl Trust {
    /// Trust in the authority of this PEM text.
    pub fn from_pem(authority: &str, clock: Arc<dyn Clock>) -> Result<Self, TrustError> {
        let unusable = |reason: &str| TrustError::Unusable {
            reason: reason.to_owned(),
        };
        let certificates =
            pem::certificates(authority).map_err(|_| unusable("there is no certificate in it"))?;
        let [authority] = certificates.as_slice() else {
            return Err(unusable("there is more than one certificate in it"));
        };
        let mut roots = RootCertStore::empty();
        roots
            .add(authority.clone())
            .map_err(|error| unusable(&error.to_string()))?;
        Ok(Self {
            roots: Arc::new(roots),
            authority: authority.clone(),
            provider: Arc::new(default_provider()),
            clock,
        })
    }

    /// Trust in the authority kept in `path`.
    pub fn load(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, TrustError> {
        Self::from_pem(&files::read(path)?, clock)
    }

    /// What a join token binds itself to.
    pub fn hash(&self) -> CaHash {
        CaHash::of(&self.authority)
    }

    /// Settings of a server: every certificate of our authority is let in, expired or not, and so is who shows
    /// none. Who may do what is decided per call.
    pub fn server_config(&self, own: Arc<LiveCredentials>) -> Result<ServerConfig, TrustError> {
        let inner =
            WebPkiClientVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
                .allow_unauthenticated()
                .build()
                .map_err(|error| TrustError::Unusable {
                    reason: error.to_string(),
                })?;
        let mut config = ServerConfig::builder_with_details(
            self.provider.clone(),
            Arc::new(TlsClock(self.clock.clone())),
        )
        .with_protocol_versions(&[&TLS13])
        .map_err(TrustError::Tls)?
        .with_client_cert_verifier(Arc::new(PeerVerifier { inner }))
        .with_cert_resolver(own);
        // Clients of Kubernetes may know nothing newer than HTTP/1.1.
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(config)
    }

    /// Settings of a client that shows `own` certificate, or none.
    pub fn client_config(
        &self,
        own: Option<Arc<LiveCredentials>>,
        dates: Dates,
    ) -> Result<ClientConfig, TrustError> {
        client_config(
            self.provider.clone(),
            &self.clock,
            self.member_verifier(dates)?,
            own,
        )
    }

    /// The part of [`Trust::client_config`] that judges the server, for clients that bring the rest.
    pub fn member_verifier(&self, dates: Dates) -> Result<Arc<dyn ServerCertVerifier>, TrustError> {
        let inner =
            WebPkiServerVerifier::builder_with_provider(self.roots.clone(), self.provider.clone())
                .build()
                .map_err(|error| TrustError::Unusable {
                    reason: error.to_string(),
                })?;
        Ok(Arc::new(MemberVerifier { inner, dates }))
    }
}

/// The server check of a client that has nothing but a join token. The secret must not be sent over a
/// connection that was not made with it.
pub fn joining_verifier(token: &JoinToken) -> Arc<dyn ServerCertVerifier> {
    Arc::new(JoiningVerifier {
        ca: token.ca(),
        provider: Arc::new(default_provider()),
    })
}

/// Settings of a client that has nothing but a join token.
pub fn joining_client_config(
    token: &JoinToken,
    clock: &Arc<dyn Clock>,
) -> Result<ClientConfig, TrustError> {
    client_config(
        Arc::new(default_provider()),
        clock,
        joining_verifier(token),
        None,
    )
}

fn client_config(
    provider: Arc<CryptoProvider>,
    clock: &Arc<dyn Clock>,
    verifier: Arc<dyn ServerCertVerifier>,
    own: Option<Arc<LiveCredentials>>,
) -> Result<ClientConfig, TrustError> {
    let config = ClientConfig::builder_with_details(provider, Arc::new(TlsClock(clock.clone())))
        .with_protocol_versions(&[&TLS13])
        .map_err(TrustError::Tls)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match own {
        Some(own) => config.with_client_cert_resolver(own),
        None => config.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config.resumption = Resumption::disabled();
    Ok(config)
}

#[derive(Debug)]
struct TlsClock(Arc<dyn Clock>);

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = u64::try_from(self.0.now().as_second()).unwrap_or(0);
        Some(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
            seconds,
        )))
    }
}
