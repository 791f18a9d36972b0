//! One throw-away CA and one certificate for etcd's members and our client to it: the same kind of
//! keys (ECDSA P-256) that Quorate's own members use.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};

use crate::peer::Result;

/// PEM texts, and the files that etcd reads them from.
pub(crate) struct Certificates {
    pub(crate) ca: String,
    pub(crate) cert: String,
    pub(crate) key: String,
    files: (PathBuf, PathBuf, PathBuf),
}

impl Certificates {
    /// Make them under `directory`.
    pub(crate) fn make(directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let cert = CertificateParams::new(names)?.signed_by(&key, &ca)?;
        let files = (
            directory.join("ca.pem"),
            directory.join("cert.pem"),
            directory.join("key.pem"),
        );
        let made = Self {
            ca: ca.pem(),
            cert: cert.pem(),
            key: key.serialize_pem(),
            files,
        };
        std::fs::write(&made.files.0, &made.ca)?;
        std::fs::write(&made.files.1, &made.cert)?;
        std::fs::write(&made.files.2, &made.key)?;
        Ok(made)
    }

    /// CA, certificate and key as files.
    pub(crate) fn files(&self) -> (&Path, &Path, &Path) {
        (&self.files.0, &self.files.1, &self.files.2)
    }
}
