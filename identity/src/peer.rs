//! Who is at the other end of a connection, read from the certificate that the handshake has verified.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use x509_parser::{prelude::FromDer, x509::AttributeTypeAndValue};

use crate::Subject;

/// What a verified certificate says about its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// Whom it stands for.
    pub subject: Subject,
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// Its serial number, in hexadecimal.
    pub serial: String,
}

/// Why a certificate says nothing usable. Repeating the call does not help.
#[derive(Debug, Error)]
pub enum PeerError {
    /// Not a certificate at all.
    #[error("not an X.509 certificate")]
    Malformed,
    /// No usable common name.
    #[error(
        "the certificate names no user: its common name is missing, not text, or there twice; ask for a new one with `quorate join`"
    )]
    NoUser,
}

impl Peer {
    /// Reads what the certificate says. Does not verify it: the handshake did.
    pub fn from_certificate(certificate: &CertificateDer<'_>) -> Result<Self, PeerError> {
        let (rest, parsed) = x509_parser::certificate::X509Certificate::from_der(certificate)
            .map_err(|_| PeerError::Malformed)?;
        if !rest.is_empty() {
            return Err(PeerError::Malformed);
        }
        let mut names = parsed.subject().iter_common_name();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(PeerError::NoUser);
        };
        let user = text(name).ok_or(PeerError::NoUser)?;
        let groups = parsed
            .subject()
            .iter_organization()
            .filter_map(text)
            .flat_map(|value| value.split(',').map(str::to_owned).collect::<Vec<_>>())
            .filter(|group| !group.is_empty())
            .collect();
        let validity = parsed.validity();
        Ok(Self {
            subject: Subject {
                user: user.to_owned(),
                groups,
            },
            not_before: timestamp(validity.not_before.timestamp()),
            not_after: timestamp(validity.not_after.timestamp()),
            serial: parsed.raw_serial().iter().fold(
                String::with_capacity(2 * parsed.raw_serial().len()),
                |mut text, byte| {
                    text.push_str(&format!("{byte:02x}"));
                    text
                },
            ),
        })
    }

    /// Whether the certificate is outside its time of validity. Such a peer may renew and nothing else.
    ///
    /// Asked at every call and not once per connection, because connections outlive certificates.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now < self.not_before || now > self.not_after
    }
}

fn text<'a>(attribute: &'a AttributeTypeAndValue<'_>) -> Option<&'a str> {
    attribute.as_str().ok().filter(|text| !text.is_empty())
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_second(seconds).unwrap_or(if seconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
