use std::error::Error;

use rustls::{AlertDescription, CertificateError};

use crate::JoinTokenError;

/// What a failed TLS connection means for the person at the keyboard, when `error` or one of its sources is of TLS.
pub fn explain_tls_error(error: &(dyn Error + 'static)) -> Option<String> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            return Some(explain(tls));
        }
        // What an I/O error wraps is not its source but its inner error.
        next = match error.downcast_ref::<std::io::Error>() {
            Some(io) => io
                .get_ref()
                .map(|inner| inner as &(dyn Error + 'static))
                .or(error.source()),
            None => error.source(),
        };
    }
    None
}

fn explain(error: &rustls::Error) -> String {
    use CertificateError as C;
    use rustls::Error as E;
    match error {
        E::InvalidCertificate(C::Other(other)) => match other.0.downcast_ref::<JoinTokenError>() {
            Some(error) => error.to_string(),
            None => format!("the server's certificate was refused: {error}"),
        },
        E::InvalidCertificate(C::Expired | C::ExpiredContext { .. }) => {
            "the server's certificate has expired by this machine's clock; set the clock, or restart that member, which renews its certificate at start".into()
        }
        E::InvalidCertificate(C::NotValidYet | C::NotValidYetContext { .. }) => {
            "the server's certificate is not valid yet by this machine's clock; set the clock".into()
        }
        E::InvalidCertificate(C::UnknownIssuer | C::BadSignature) => {
            "the server belongs to another cluster: its certificate is not from the authority that this context trusts; check the address, or join that cluster".into()
        }
        E::InvalidCertificate(
            C::NotValidForName | C::NotValidForNameContext { .. } | C::InvalidPurpose | C::InvalidPurposeContext { .. },
        ) => "the server is not a Quorate member: its certificate was issued to somebody else; check the address".into(),
        E::AlertReceived(
            AlertDescription::UnknownCA | AlertDescription::DecryptError | AlertDescription::BadCertificate,
        ) => "the server refused our certificate: it is not from that cluster's authority; join that cluster with a token".into(),
        E::AlertReceived(AlertDescription::NoApplicationProtocol) | E::InvalidMessage(_) => {
            "the server does not speak Quorate's protocol there; check the address and port".into()
        }
        other => format!("the TLS handshake failed: {other}"),
    }
}
