//! Who is who in a cluster: certificates, join tokens, TLS settings, and the keys that seal Secrets.
//!
//! Every connection is mutual TLS under the cluster's own [`Authority`], made at `quorate init`. A certificate names
//! a [`Subject`], a user with groups, and what a subject may do is decided elsewhere, at every call. A [`JoinToken`]
//! buys the first certificate; later ones are had by showing the present one, even when it has expired. An [`AccessToken`]
//! stands for a person in front of the Kubernetes face, for programs that have no certificate.
//!
//! Nothing here opens a connection or knows gRPC: [`Trust`] makes the settings, callers bring the sockets.

mod authority;
mod ca_hash;
mod clock;
mod credentials;
mod explain;
mod files;
mod hypervisors;
mod keyring;
mod member_config;
mod peer;
mod pem;
mod pki_dir;
mod request;
mod subject;
mod token;
mod trust;
mod verify;

pub use authority::{Authority, AuthorityError, MEMBER_NAME, VALIDITY};
pub use ca_hash::CaHash;
pub use clock::{Clock, SystemClock};
pub use credentials::{Credentials, CredentialsError, LiveCredentials};
pub use explain::explain_tls_error;
pub use files::FileError;
pub use hypervisors::{HypervisorAuthority, addresses_in};
pub use keyring::{Keyring, KeyringError};
pub use member_config::{
    BOOTSTRAP_FILE, Bootstrap, BootstrapError, MemberConfig, default_agent_dirs,
};
pub use peer::{Peer, PeerError};
pub use pki_dir::PkiDir;
pub use request::{KeyError, KeyRequest};
pub use subject::{
    ADMINS_GROUP, MEMBERS_GROUP, NODES_GROUP, RESERVED_PREFIX, Subject, SubjectError,
};
pub use token::{AccessToken, AccessTokenError, JoinToken, JoinTokenError, NoRandom, SecretHash};
pub use trust::{Trust, TrustError, joining_client_config, joining_verifier};
pub use verify::Dates;
