//! What proves who somebody is.

use std::sync::{Arc, LazyLock};

use quorate_identity::{Authority, JoinToken, Keyring, Peer, SystemClock};
use rustls::pki_types::CertificateDer;

pub(crate) fn join_token(data: &[u8]) {
    let _ = String::from_utf8_lossy(data).parse::<JoinToken>();
}

pub(crate) fn certificate(data: &[u8]) {
    static GENUINE: LazyLock<Authority> = LazyLock::new(|| {
        Authority::create("fuzz", Arc::new(SystemClock)).expect("an authority can be made")
    });
    let _ = Peer::from_certificate(&CertificateDer::from(data));
    let changed = crate::changed(GENUINE.certificate(), data);
    let _ = Peer::from_certificate(&CertificateDer::from(changed));
}

pub(crate) fn keyring(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = Keyring::parse(&text);
    static KEYRING: LazyLock<Keyring> =
        LazyLock::new(|| Keyring::generate().expect("the system has random numbers"));
    assert!(
        KEYRING.open(&text, b"secrets/a").is_err(),
        "a forged sealed value was opened"
    );
}
