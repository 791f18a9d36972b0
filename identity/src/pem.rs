use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::{CertificateDer, pem::PemObject};

/// The certificates in `text`, in order. Empty texts and other sections alone are an error.
pub(crate) fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, NoCertificate> {
    let chain = CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| NoCertificate)?;
    if chain.is_empty() {
        return Err(NoCertificate);
    }
    Ok(chain)
}

/// The text holds no certificate.
#[derive(Debug)]
pub(crate) struct NoCertificate;

/// One PEM section.
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let (line, tail) = rest.split_at(rest.len().min(64));
        pem.push_str(line);
        pem.push('\n');
        rest = tail;
    }
    pem.push_str(&format!("-----END {label}-----\n"));
    pem
}
