//! What `quorate-node` does, with whatever drivers: identity, link, memory and lease process around the daemon.

mod config;
mod hypervisor;
mod renewal;

pub use config::{ConfigError, NodeConfig, WatchdogChoice};
pub use hypervisor::{HypervisorCertificates, HypervisorFiles, Shown};

use crate::daemon::{self, DaemonError, Environment, Outcome, Stop};
use crate::drivers::{Drivers, WatchdogFound};
use crate::lease::{LeaseChannel, SystemBootClock, carry, process};
use crate::link::GrpcLink;
use crate::plan::FileMemory;
use quorate_identity::{
    Clock, Credentials, CredentialsError, Dates, LiveCredentials, SystemClock, Trust, TrustError,
};
use renewal::Renewal;
use std::collections::BTreeSet;
use std::io;
use std::net::IpAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::watch;

/// Why a host's daemon cannot run.
#[derive(Debug, Error)]
pub enum NodeError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The cluster's authority.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The host's own certificate or key.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The certificate is somebody else's.
    #[error(
        "the certificate is {found}'s, and the configuration is host {name}'s; join the cluster again with `quorate join`"
    )]
    OtherHost {
        /// Whose it is.
        found: String,
        /// Whose it should be.
        name: String,
    },
    /// The file system refused.
    #[error("cannot make {path}")]
    RunDir {
        /// The directory.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
    /// The daemon itself.
    #[error(transparent)]
    Daemon(#[from] DaemonError),
}

/// Everything that is read before the daemon starts, found usable.
pub struct Node {
    config: NodeConfig,
    credentials: Arc<LiveCredentials>,
    link: GrpcLink,
    /// Those on the cluster's networks, as soon as the plan says so.
    addresses: watch::Sender<BTreeSet<IpAddr>>,
}

impl Node {
    /// Reads what the configuration names.
    ///
    /// # Errors
    /// When something of it is missing, or belongs to another host. A person has to put that right.
    pub fn new(config: NodeConfig) -> Result<Self, NodeError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let trust = Trust::load(&config.authority(), clock)?;
        let credentials = Credentials::load(&config.certificate(), &config.key())?;
        let subject = &credentials.peer().subject;
        if subject.node_name() != Some(config.name.as_str()) {
            return Err(NodeError::OtherHost {
                found: subject.user().to_owned(),
                name: config.name,
            });
        }
        let credentials = LiveCredentials::new(credentials);
        // Every member holds the authority's key, so that a date in its certificate proves nothing; and a host whose
        // clock is wrong must still reach its cluster.
        let tls = trust.client_config(Some(Arc::clone(&credentials)), Dates::Ignored)?;
        Ok(Self {
            link: GrpcLink::new(tls, &config.endpoints),
            config,
            credentials,
            addresses: watch::Sender::default(),
        })
    }

    /// What keeps this host's hypervisor known to those of the other hosts. For a machine that really is one.
    #[must_use]
    pub fn hypervisor_certificates(&self) -> HypervisorCertificates {
        HypervisorCertificates {
            link: self.link.clone(),
            sockets: self.config.libvirt.sockets.clone(),
            addresses: self.addresses.subscribe(),
        }
    }

    /// Runs the daemon with these drivers until `stop` says otherwise. `watchdog` is the one that the lease process of
    /// the same runtime directory holds.
    ///
    /// # Errors
    /// When it cannot go on.
    pub async fn run(
        self,
        drivers: Drivers,
        watchdog: Option<WatchdogFound>,
        stop: watch::Receiver<Stop>,
    ) -> Result<Outcome, NodeError> {
        let run_dir = self.config.run_dir.clone();
        make(&run_dir)?;
        let (lease, end) = LeaseChannel::new();
        let environment = Environment {
            node: self.config.name.clone(),
            link: Arc::new(self.link.clone()),
            drivers,
            memory: Arc::new(FileMemory::new(run_dir.join("node.json"))),
            lease: Arc::new(lease),
            watchdog,
            clock: Arc::new(SystemClock),
            boot_clock: Arc::new(SystemBootClock),
            addresses: self.addresses,
        };
        let renewal = Renewal {
            link: self.link,
            credentials: self.credentials,
            certificate: self.config.certificate(),
            key: self.config.key(),
            clock: Arc::new(SystemClock),
        };
        let socket = run_dir.join(process::SOCKET);
        tokio::select! {
            biased;
            outcome = daemon::run(environment, stop) => Ok(outcome?),
            () = carry(&socket, end) => Err(DaemonError::Broken("the way to the lease process ended".to_owned()).into()),
            () = renewal.run() => Err(DaemonError::Broken("the renewal of the certificate ended".to_owned()).into()),
        }
    }
}

fn make(path: &Path) -> Result<(), NodeError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| NodeError::RunDir {
            path: path.to_owned(),
            source,
        })
}
