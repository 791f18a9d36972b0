//! The cluster's own certificate authority.
//!
//! Every member holds its key, so any member can admit a machine or a person and renew a certificate while the
//! others are away. The consequences are deliberate:
//!
//! - Certificates are valid from 1970 on. The beginning of validity protects nothing here, and a machine that
//!   boots with a dead clock must still find its peers' certificates valid.
//! - A member renews its own certificate locally before it listens. A cluster that was off for years starts
//!   without help, and then renews its hosts and people, whose expired certificates are good for that one call.
//! - An authority whose clock is dead reckons from its own birth: what it issues is not expired once the clock
//!   is set.

use std::{net::IpAddr, path::Path, sync::Arc, time::Duration};

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber, date_time_ymd,
};
use ring::{hmac, rand::SecureRandom};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::prelude::FromDer;

use crate::{
    CaHash, Clock, HypervisorAuthority, Subject,
    files::{self, FileError, Readable},
    pem,
};

/// The name inside every member's certificate. Verification rests on the cluster's authority and on this name,
/// so that it does not depend on the addresses by which a member happens to be reached.
pub const MEMBER_NAME: &str = "member.quorate.internal";

/// How long a certificate is valid. It is renewed when a third of this is left.
pub const VALIDITY: SignedDuration = SignedDuration::from_hours(365 * 24);

/// How long the authority itself is valid: longer than the hardware will live.
pub(crate) const CA_VALIDITY: SignedDuration = SignedDuration::from_hours(30 * 365 * 24);

const MAX_REQUEST: usize = 16 * 1024;

/// Signs certificates for the members, hosts and people of one cluster.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: CertificateDer<'static>,
    born: Timestamp,
    clock: Arc<dyn Clock>,
}

/// Why the authority could not be made, loaded or asked.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// A file. May succeed once its reason is gone.
    #[error(transparent)]
    File(#[from] FileError),
    /// The request for a certificate is not one. Make a new key and request.
    #[error("the certificate request is not acceptable: {reason}")]
    Request {
        /// What is wrong.
        reason: String,
    },
    /// The authority's files are not usable; restore them from another member, which holds the same ones.
    #[error(
        "the cluster's certificate authority is not usable: {reason}; copy ca.crt and ca.key from another member"
    )]
    Unusable {
        /// What is wrong.
        reason: String,
    },
    /// An address that cannot stand in a certificate.
    #[error("address {found:?} is neither an IP address nor a DNS name")]
    Address {
        /// What was given.
        found: String,
    },
    /// The cryptographic library failed.
    #[error("signing failed")]
    Signing(#[source] rcgen::Error),
    /// The system gave no random numbers.
    #[error("the system gave no random numbers")]
    Random,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority")
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// A new authority for a new cluster.
    pub fn create(cluster_name: &str, clock: Arc<dyn Clock>) -> Result<Self, AuthorityError> {
        let born = clock.now();
        let key = KeyPair::generate().map_err(AuthorityError::Signing)?;
        let mut params = CertificateParams::default();
        // Two clusters may have one name; their authorities' names differ, so that a certificate of the other
        // is "unknown issuer" and not "bad signature".
        let mut suffix = [0; 4];
        random(&mut suffix)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("quorate-ca-{:08x}", u32::from_be_bytes(suffix)),
        );
        params
            .distinguished_name
            .push(DnType::OrganizationName, cluster_name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(born, CA_VALIDITY);
        params.serial_number = Some(serial()?);
        let certificate = params.self_signed(&key).map_err(AuthorityError::Signing)?;
        Self::assemble(certificate.into(), key, clock)
    }

    /// The authority of these two PEM texts.
    pub fn from_pem(
        certificate: &str,
        key: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        let unusable = |reason: &str| AuthorityError::Unusable {
            reason: reason.to_owned(),
        };
        let certificate = pem::certificates(certificate)
            .ok()
            .and_then(|chain| chain.into_iter().next())
            .ok_or_else(|| unusable("ca.crt holds no certificate"))?;
        let key = KeyPair::from_pem(key).map_err(|_| unusable("ca.key holds no private key"))?;
        Self::assemble(certificate, key, clock)
    }

    /// The authority kept in `certificate` and `key`.
    pub fn load(
        certificate: &Path,
        key: &Path,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        Self::from_pem(&files::read(certificate)?, &files::read(key)?, clock)
    }

    /// Writes the authority to `certificate` and `key`.
    pub fn save(&self, certificate: &Path, key: &Path) -> Result<(), AuthorityError> {
        files::write(key, &self.key_pem(), Readable::ByOwner)?;
        files::write(certificate, &self.certificate_pem(), Readable::ByAll)?;
        Ok(())
    }

    fn assemble(
        certificate: CertificateDer<'static>,
        key: KeyPair,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        let unusable = |reason: &str| AuthorityError::Unusable {
            reason: reason.to_owned(),
        };
        let (_, parsed) = x509_parser::certificate::X509Certificate::from_der(&certificate)
            .map_err(|_| unusable("ca.crt holds no certificate"))?;
        if !parsed.is_ca() {
            return Err(unusable("ca.crt is not an authority's certificate"));
        }
        if parsed.public_key().subject_public_key.data.as_ref() != key.der_bytes() {
            return Err(unusable("ca.key does not belong to ca.crt"));
        }
        let dies = Timestamp::from_second(parsed.validity().not_after.timestamp())
            .map_err(|_| unusable("ca.crt has no sensible end of validity"))?;
        let issuer = Issuer::from_ca_cert_der(&certificate, key)
            .map_err(|_| unusable("ca.crt has an unsupported form"))?;
        Ok(Self {
            issuer,
            born: dies
                .saturating_sub(CA_VALIDITY)
                .unwrap_or(Timestamp::UNIX_EPOCH),
            certificate,
            clock,
        })
    }

    /// The authority's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// The authority's certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        pem::encode("CERTIFICATE", &self.certificate)
    }

    /// The authority's key as PEM: for members only.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// A secret that all members share because all of them hold the authority's key, and that tells nothing about it.
    /// Another purpose gives another secret.
    pub fn shared_secret(&self, purpose: &str) -> [u8; 32] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.issuer.key().serialized_der());
        let mut secret = [0; 32];
        secret.copy_from_slice(hmac::sign(&key, purpose.as_bytes()).as_ref());
        secret
    }

    /// The authority of the cluster's hypervisors.
    pub fn hypervisors(&self) -> Result<HypervisorAuthority, AuthorityError> {
        let seed = self.shared_secret("hypervisors");
        HypervisorAuthority::derive(seed, self.born, self.clock.clone())
    }

    /// What a join token binds itself to.
    pub fn hash(&self) -> CaHash {
        CaHash::of(&self.certificate)
    }

    /// Certifies the key in `request` (PEM) for `subject`. Whatever else the request asks for is ignored.
    ///
    /// `addresses` are a member's: `host`, `host:port` or `[v6]:port`. The result is the certificate followed by
    /// the authority's, as PEM.
    pub fn issue(
        &self,
        request: &str,
        subject: &Subject,
        addresses: &[String],
    ) -> Result<String, AuthorityError> {
        let request = parse_request(request)?;
        let certificate = self
            .params(subject, addresses)?
            .signed_by(&request.public_key, &self.issuer)
            .map_err(AuthorityError::Signing)?;
        Ok(format!("{}{}", certificate.pem(), self.certificate_pem()))
    }

    fn params(
        &self,
        subject: &Subject,
        addresses: &[String],
    ) -> Result<CertificateParams, AuthorityError> {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, subject.user());
        if !subject.groups().is_empty() {
            params
                .distinguished_name
                .push(DnType::OrganizationName, subject.organisation());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        if subject.member_id().is_some() {
            // Only members may ever be taken for a server.
            params
                .extended_key_usages
                .push(ExtendedKeyUsagePurpose::ServerAuth);
            params.subject_alt_names.push(dns_name(MEMBER_NAME)?);
            for address in addresses {
                let name = alternative_name(address)?;
                if !params.subject_alt_names.contains(&name) {
                    params.subject_alt_names.push(name);
                }
            }
        }
        number_and_date(&mut params, self.clock.now().max(self.born))?;
        Ok(params)
    }
}

/// A request for a certificate, PEM. Only the key in it counts.
pub(crate) fn parse_request(
    request: &str,
) -> Result<CertificateSigningRequestParams, AuthorityError> {
    let refused = |reason: &str| AuthorityError::Request {
        reason: reason.to_owned(),
    };
    if request.len() > MAX_REQUEST {
        return Err(refused("it is larger than 16 KiB"));
    }
    CertificateSigningRequestParams::from_pem(request).map_err(|error| refused(&error.to_string()))
}

fn alternative_name(address: &str) -> Result<SanType, AuthorityError> {
    let host = host(address);
    match host.parse::<IpAddr>() {
        Ok(ip) => Ok(SanType::IpAddress(ip)),
        Err(_) => dns_name(host).map_err(|_| AuthorityError::Address {
            found: address.to_owned(),
        }),
    }
}

pub(crate) fn dns_name(name: &str) -> Result<SanType, AuthorityError> {
    let bad = || AuthorityError::Address {
        found: name.to_owned(),
    };
    rustls::pki_types::DnsName::try_from(name).map_err(|_| bad())?;
    Ok(SanType::DnsName(
        name.to_owned().try_into().map_err(|_| bad())?,
    ))
}

/// `host` of `host`, `host:port`, `[v6]:port` and of a bare IPv6 address.
fn host(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split_once(']').map_or(rest, |(host, _)| host);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

/// `validity` after `begin`, within what a certificate can say: up to the year 9999.
pub(crate) fn since_1970(begin: Timestamp, validity: SignedDuration) -> Duration {
    let end = begin.as_second().saturating_add(validity.as_secs());
    Duration::from_secs(end.clamp(0, 253_402_300_799).unsigned_abs())
}

/// What every certificate of an authority has: a number of its own, its authority's, and an end.
pub(crate) fn number_and_date(
    params: &mut CertificateParams,
    now: Timestamp,
) -> Result<(), AuthorityError> {
    params.not_before = date_time_ymd(1970, 1, 1);
    params.not_after = date_time_ymd(1970, 1, 1) + since_1970(now, VALIDITY);
    params.serial_number = Some(serial()?);
    params.use_authority_key_identifier_extension = true;
    Ok(())
}

fn serial() -> Result<SerialNumber, AuthorityError> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    // Positive and of full length, whatever came.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random(bytes: &mut [u8]) -> Result<(), AuthorityError> {
    ring::rand::SystemRandom::new()
        .fill(bytes)
        .map_err(|_| AuthorityError::Random)
}
