//! Which certificates a handshake lets through.
//!
//! Both verifiers let rustls' own do the work and differ from it in two points only. The name to look for in a
//! member's certificate is always [`MEMBER_NAME`], whatever address was dialled. And a date outside the
//! certificate's validity need not end the handshake:
//!
//! - A server lets the holder of an expired certificate of its own authority in, so that it can renew;
//!   [`Peer::is_expired`] is asked at each call and everything but renewal is refused.
//! - Daemons take a member for a member whatever the date ([`Dates::Ignored`]): whoever holds a member's key holds the
//!   authority's as well and can issue himself any date, so the check would protect nothing, and it would
//!   take a cluster apart when a clock jumps. People's tools do check ([`Dates::Checked`]): a wrong clock is worth
//!   telling a person.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, RootCertStore,
    SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use crate::{CaHash, JoinTokenError, MEMBER_NAME, Peer};

/// Whether the dates in a member's certificate count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dates {
    /// Outside its validity a certificate is refused.
    Checked,
    /// Any date will do.
    Ignored,
}

/// What a client demands of the server.
#[derive(Debug)]
pub(crate) struct MemberVerifier {
    pub(crate) inner: Arc<WebPkiServerVerifier>,
    pub(crate) dates: Dates,
}

impl ServerCertVerifier for MemberVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let now = match self.dates {
            Dates::Checked => now,
            Dates::Ignored => within_validity(end_entity, now)?,
        };
        self.inner.verify_server_cert(
            end_entity,
            intermediates,
            &member_name()?,
            ocsp_response,
            now,
        )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// What a joiner demands, who knows nothing of the cluster but the hash in its token: the server must send the
/// authority with that hash, and that authority must have issued the server's certificate.
#[derive(Debug)]
pub(crate) struct JoiningVerifier {
    pub(crate) ca: CaHash,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for JoiningVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let other = |error: JoinTokenError| {
            Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
        };
        let authority = intermediates
            .iter()
            .find(|certificate| CaHash::of(certificate) == self.ca)
            .ok_or_else(|| {
                other(match intermediates.last() {
                    Some(sent) => JoinTokenError::OtherCluster {
                        found: CaHash::of(sent).to_string(),
                        expected: self.ca.to_string(),
                    },
                    None => JoinTokenError::NoAuthority,
                })
            })?;
        let mut roots = RootCertStore::empty();
        roots.add(authority.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|_| other(JoinTokenError::NoAuthority))?
            .verify_server_cert(
                end_entity,
                intermediates,
                &member_name()?,
                ocsp_response,
                within_validity(end_entity, now)?,
            )
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// What a server demands of a client that shows a certificate. None need be shown: joining and health checks
/// come without.
#[derive(Debug)]
pub(crate) struct PeerVerifier {
    pub(crate) inner: Arc<dyn ClientCertVerifier>,
}

impl ClientCertVerifier for PeerVerifier {
    fn offer_client_auth(&self) -> bool {
        self.inner.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.inner.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.inner.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let now = within_validity(end_entity, now)?;
        self.inner
            .verify_client_cert(end_entity, intermediates, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

fn member_name() -> Result<ServerName<'static>, Error> {
    ServerName::try_from(MEMBER_NAME)
        .map_err(|_| Error::General("the members' name is not a DNS name".into()))
}

/// `now`, or the nearest moment at which `certificate` is valid.
fn within_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<UnixTime, Error> {
    let peer = Peer::from_certificate(certificate)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))?;
    let seconds = |at: Timestamp| u64::try_from(at.as_second()).unwrap_or(0);
    let (begin, end) = (seconds(peer.not_before), seconds(peer.not_after));
    Ok(UnixTime::since_unix_epoch(std::time::Duration::from_secs(
        now.as_secs().min(end).max(begin),
    )))
}
