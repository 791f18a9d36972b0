//! The authority of the cluster's hypervisors.
//!
//! Hypervisors speak to each other by themselves when a guest moves, and their programs take whoever shows a certificate
//! of the authority that they were given: libvirt lets him command every guest. So that authority is not the cluster's, which has
//! certified people and hosts too. And what QEMU shows lies where QEMU can read it: whoever breaks out of a guest must not find
//! there what makes a host a host.
//!
//! Its key follows from the cluster authority's, so that every member has it, none has to be told, and each makes the very same
//! certificate.

use std::{collections::BTreeSet, net::IpAddr, sync::Arc};

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PublicKeyData,
    SanType, SerialNumber, date_time_ymd,
};
use ring::digest;
use rustls::pki_types::PrivatePkcs8KeyDer;
use x509_parser::{certificate::X509Certificate, extensions::GeneralName, prelude::FromDer};

use crate::{
    AuthorityError, Clock, RESERVED_PREFIX,
    authority::{CA_VALIDITY, dns_name, number_and_date, parse_request, since_1970},
    pem,
};

/// What stands before the 32 bytes of an Ed25519 key in PKCS #8.
const ED25519: [u8; 16] = [
    0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20,
];

/// Signs certificates for hypervisors.
pub struct HypervisorAuthority {
    issuer: Issuer<'static, KeyPair>,
    certificate: String,
    born: Timestamp,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for HypervisorAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("HypervisorAuthority")
    }
}

impl HypervisorAuthority {
    pub(crate) fn derive(
        seed: [u8; 32],
        born: Timestamp,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, AuthorityError> {
        let der: Vec<u8> = ED25519.into_iter().chain(seed).collect();
        let key =
            KeyPair::try_from(&PrivatePkcs8KeyDer::from(der)).map_err(AuthorityError::Signing)?;
        let hash = digest::digest(&digest::SHA256, key.der_bytes());
        let mut number = [0; 16];
        number.copy_from_slice(&hash.as_ref()[..16]);
        number[0] = number[0] & 0x7f | 0x40;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        let name = u32::from_be_bytes([number[1], number[2], number[3], number[4]]);
        params.distinguished_name.push(
            DnType::CommonName,
            format!("quorate-hypervisors-{name:08x}"),
        );
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.not_before = date_time_ymd(1970, 1, 1);
        params.not_after = date_time_ymd(1970, 1, 1) + since_1970(born, CA_VALIDITY);
        params.serial_number = Some(SerialNumber::from_slice(&number));
        let certificate = params
            .self_signed(&key)
            .map_err(AuthorityError::Signing)?
            .pem();
        Ok(Self {
            issuer: Issuer::new(params, key),
            certificate,
            born,
            clock,
        })
    }

    /// Its certificate as PEM; the same on every member.
    pub fn certificate_pem(&self) -> String {
        self.certificate.clone()
    }

    /// Certifies the key in `request` (PEM) for the hypervisor of the host `node`, which is reached at `addresses`: as server and as
    /// client. Whatever else the request asks for is ignored. The result is PEM.
    ///
    /// # Errors
    /// When the request is none, or the host's name cannot stand in a certificate.
    pub fn issue(
        &self,
        request: &str,
        node: &str,
        addresses: &[IpAddr],
    ) -> Result<String, AuthorityError> {
        let request: CertificateSigningRequestParams = parse_request(request)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(
            DnType::CommonName,
            format!("{RESERVED_PREFIX}hypervisor:{node}"),
        );
        // libvirt and QEMU want both, whatever the kind of the key.
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyEncipherment,
        ];
        params.extended_key_usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        params.subject_alt_names.push(dns_name(node)?);
        for address in addresses {
            let name = SanType::IpAddress(*address);
            if !params.subject_alt_names.contains(&name) {
                params.subject_alt_names.push(name);
            }
        }
        number_and_date(&mut params, self.clock.now().max(self.born))?;
        params
            .signed_by(&request.public_key, &self.issuer)
            .map(|certificate| certificate.pem())
            .map_err(AuthorityError::Signing)
    }
}

/// The addresses that the first certificate of a PEM text is for; none when there is none.
pub fn addresses_in(certificate: &str) -> BTreeSet<IpAddr> {
    let chain = pem::certificates(certificate).unwrap_or_default();
    let parsed = chain
        .first()
        .and_then(|first| X509Certificate::from_der(first).ok());
    let Some((_, parsed)) = parsed else {
        return BTreeSet::new();
    };
    let Ok(Some(names)) = parsed.subject_alternative_name() else {
        return BTreeSet::new();
    };
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(octets) => <[u8; 4]>::try_from(*octets)
            .map(IpAddr::from)
            .or_else(|_| <[u8; 16]>::try_from(*octets).map(IpAddr::from))
            .ok(),
        _ => None,
    };
    names
        .value
        .general_names
        .iter()
        .filter_map(address)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Authority, Credentials, KeyRequest, MEMBER_NAME, Subject};
    use rustls::{RootCertStore, pki_types::ServerName};

    fn clock() -> Arc<dyn Clock> {
        let now: Timestamp = "2026-03-01T00:00:00Z".parse().expect("a time");
        Arc::new(now)
    }

    fn cluster() -> Authority {
        Authority::create("anvil", clock()).expect("an authority")
    }

    fn issued(authority: &Authority, addresses: &[&str]) -> (KeyRequest, String) {
        let key = KeyRequest::generate().expect("a key");
        let addresses: Vec<IpAddr> = addresses
            .iter()
            .map(|address| address.parse().expect("an address"))
            .collect();
        let hypervisors = authority.hypervisors().expect("an authority");
        let certificate = hypervisors
            .issue(key.request(), "an-a01n01", &addresses)
            .expect("signed");
        (key, certificate)
    }

    #[test]
    fn every_member_has_the_same_authority_and_another_cluster_another() {
        let one = cluster();
        let again =
            Authority::from_pem(&one.certificate_pem(), &one.key_pem(), clock()).expect("the same");
        let pem = |authority: &Authority| authority.hypervisors().expect("one").certificate_pem();
        assert_eq!(pem(&one), pem(&again));
        assert_ne!(pem(&one), pem(&cluster()));
    }

    #[test]
    fn a_certificate_names_the_host_and_its_addresses_and_is_good_for_both_sides() {
        let (_, certificate) = issued(&cluster(), &["10.20.10.1", "fd00::1", "10.20.10.1"]);
        let der = crate::pem::certificates(&certificate)
            .expect("PEM")
            .remove(0);
        let (_, parsed) =
            x509_parser::certificate::X509Certificate::from_der(&der).expect("a certificate");
        let usage = parsed
            .extended_key_usage()
            .expect("readable")
            .expect("there");
        assert!(usage.value.server_auth && usage.value.client_auth);
        let usage = parsed.key_usage().expect("readable").expect("there");
        assert!(usage.value.digital_signature() && usage.value.key_encipherment());
        let names = parsed
            .subject_alternative_name()
            .expect("readable")
            .expect("there");
        let names: Vec<String> = names
            .value
            .general_names
            .iter()
            .map(|name| match name {
                GeneralName::DNSName(name) => (*name).to_owned(),
                GeneralName::IPAddress(bytes) => format!("{bytes:?}"),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(names.len(), 3, "{names:?}");
        assert_eq!(names[0], "an-a01n01");
        assert_eq!(names[1], "[10, 20, 10, 1]");
    }

    #[test]
    fn a_hypervisor_is_no_host_and_no_member_and_neither_is_a_hypervisor() {
        let authority = cluster();
        let (key, certificate) = issued(&authority, &["127.0.0.1"]);
        let shown = Credentials::from_pem(&certificate, key.key()).expect("they fit");
        assert_eq!(shown.peer().subject.node_name(), None);
        assert_eq!(shown.peer().subject.member_id(), None);

        let hypervisors = authority.hypervisors().expect("an authority");
        let trusts = |root: &str, chain: &str, name: &str| {
            let mut roots = RootCertStore::empty();
            roots
                .add(crate::pem::certificates(root).expect("PEM").remove(0))
                .expect("a root");
            let verifier = rustls::client::WebPkiServerVerifier::builder_with_provider(
                Arc::new(roots),
                Arc::new(rustls::crypto::ring::default_provider()),
            )
            .build()
            .expect("a verifier");
            let chain = crate::pem::certificates(chain).expect("PEM");
            let name = ServerName::try_from(name.to_owned()).expect("a name");
            let now = rustls::pki_types::UnixTime::since_unix_epoch(
                std::time::Duration::from_secs(1_780_000_000),
            );
            rustls::client::danger::ServerCertVerifier::verify_server_cert(
                &*verifier,
                &chain[0],
                &chain[1..],
                &name,
                &[],
                now,
            )
            .is_ok()
        };
        let own = hypervisors.certificate_pem();
        assert!(trusts(&own, &certificate, "an-a01n01"));
        assert!(trusts(&own, &certificate, "127.0.0.1"));
        assert!(!trusts(&own, &certificate, "an-a01n02"));
        assert!(!trusts(&own, &certificate, MEMBER_NAME));
        let cluster = authority.certificate_pem();
        assert!(
            !trusts(&cluster, &certificate, "an-a01n01"),
            "no member believes it"
        );

        let member = Credentials::issue(
            &authority,
            &Subject::member(1),
            &["127.0.0.1:7443".to_owned()],
        )
        .expect("issued");
        assert!(trusts(&cluster, member.chain_pem(), MEMBER_NAME));
        assert!(
            !trusts(&own, member.chain_pem(), MEMBER_NAME),
            "no hypervisor believes that"
        );
    }
}
