//! `quorated dev`: a whole cluster on this machine, made, started and watched over.
//!
//! Every member is a process of its own, so that killing one is what it would be elsewhere. The members
//! are founded and joined as an operator would do it: a note for the first, tokens for the others.

mod client;
mod hosts;
mod process;
mod site;

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use clap::Args;
use quorate_crds::manifest::to_yaml;
use quorate_identity::{
    Authority, AuthorityError, Bootstrap, BootstrapError, Credentials, CredentialsError, Keyring,
    KeyringError, PkiDir, Subject, SystemClock,
};
use serde_json::json;
use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tonic::Status;

use self::{client::DevClient, hosts::Hosts, process::Processes, site::Site};
use crate::{error::ApiError, sources::Sources};

const CLUSTER: &str = "dev";
const CONTEXTS: &str = "config.yaml";
/// The directory of the fence agents that stand in for real ones.
const AGENTS: &str = "agents";
const MAX_MEMBERS: u8 = 5;
/// How long a member may take to come up.
const PATIENCE: Duration = Duration::from_secs(120);
/// How often a member that comes up is asked.
const ASK_EVERY: Duration = Duration::from_millis(25);

/// How the cluster is to be.
#[derive(Clone, Debug, Args)]
pub struct DevOptions {
    /// Keep the cluster here and find it again next time [default: a temporary directory, removed at the end]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// How many members
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=i64::from(MAX_MEMBERS)))]
    members: u8,
    /// Start a member again when it ends by itself or is killed
    #[arg(long)]
    restart: bool,
    /// Simulate the hosts, fence devices and disks of the manifests in this directory; each host joins once its Node is
    /// applied. May be given several times
    #[arg(long, value_name = "DIR")]
    room: Vec<PathBuf>,
}

/// Why there is no cluster.
#[derive(Debug, Error)]
pub enum DevError {
    /// A file or a process. May succeed once its reason is gone.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// A member did not come up.
    #[error("member {name} did not come up within {PATIENCE:?}; its log is {log}")]
    Late {
        /// Which.
        name: String,
        /// Where it says why.
        log: String,
    },
    /// A member refused a call.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// The authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A certificate.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// A bootstrap note.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// No random numbers.
    #[error(transparent)]
    Random(#[from] ApiError),
}

impl DevError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }

    fn refused(status: &Status) -> Self {
        Self::Refused(status.message().to_owned())
    }
}

/// Runs a development cluster until it is asked to stop.
pub async fn dev(options: DevOptions) -> Result<(), DevError> {
    let began = Instant::now();
    let mut terminate =
        signal(SignalKind::terminate()).map_err(DevError::io("cannot take signals"))?;
    let mut interrupt =
        signal(SignalKind::interrupt()).map_err(DevError::io("cannot take signals"))?;
    let home = Home::make(options.dir.as_deref())?;
    let hosts = if options.room.is_empty() {
        None
    } else {
        Some(Hosts::new(&home.path, &options.room)?)
    };
    let mut processes = Processes::new(options.restart);
    let up = tokio::select! {
        up = bring_up(&home.path, options.members, hosts.as_ref(), &mut processes) => up,
        _ = terminate.recv() => return processes.stop().await,
        _ = interrupt.recv() => return processes.stop().await,
    };
    let client = match up {
        Ok(client) => client,
        Err(error) => {
            processes.stop().await?;
            return Err(error);
        }
    };
    announce(&home.path, options.members, hosts.as_ref(), began.elapsed());
    let joining = async {
        if let Some(hosts) = &hosts
            && let Err(error) = hosts.let_join(&client).await
        {
            println!("not every machine became a host: {error}");
        }
        std::future::pending().await
    };
    tokio::select! {
        () = processes.watch_over() => {}
        () = joining => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    processes.stop().await
}

/// Founds the cluster, or finds it, and starts its members one after the other.
async fn bring_up(
    home: &Path,
    members: u8,
    hosts: Option<&Hosts>,
    processes: &mut Processes,
) -> Result<DevClient, DevError> {
    let first = Site::new(home, 1);
    if let Some(hosts) = hosts {
        if first.exists() {
            return Err(DevError::Refused(format!(
                "the simulated machines of {} are gone with their disks; choose an empty directory",
                home.display()
            )));
        }
        hosts.set_up_agents()?;
        processes.start(hosts.program())?;
    }
    if !first.exists() {
        found(&first)?;
    }
    let pki = PkiDir::new(first.pki());
    let authority = Authority::load(&pki.ca_certificate(), &pki.ca_key(), Arc::new(SystemClock))?;
    let admin = Credentials::issue(&authority, &Subject::admin(), &[])?;
    let sites: Vec<Site> = (1..=members)
        .map(|number| Site::new(home, number))
        .collect();
    // Those that are there already need each other for a quorum.
    for site in sites.iter().filter(|site| site.exists()) {
        processes.start(site.program()?)?;
    }
    let client = DevClient::new(&authority, &admin, first.address()?)?;
    client.until_led(&first).await?;
    for site in &sites {
        if !site.exists() {
            let grant = client.join(site).await?;
            processes.start(site.program()?)?;
            client.promote(grant, site).await?;
        }
    }
    let endpoints = sites
        .iter()
        .map(Site::address)
        .collect::<Result<Vec<_>, _>>()?;
    let contexts = json!({
        "currentContext": CLUSTER,
        "contexts": [{
            "name": CLUSTER,
            "endpoints": endpoints,
            "certificateAuthority": authority.certificate_pem(),
            "clientCertificate": admin.chain_pem(),
            "clientKey": admin.key_pem(),
        }],
    });
    site::write(&home.join(CONTEXTS), &to_yaml(&contexts))?;
    Ok(client)
}

/// What `quorate init` does.
fn found(first: &Site) -> Result<(), DevError> {
    let authority = Authority::create(CLUSTER, Arc::new(SystemClock))?;
    let keyring = Keyring::generate()?;
    first.write(
        &authority.certificate_pem(),
        &authority.key_pem(),
        &keyring,
        &Bootstrap::Found {
            cluster_name: CLUSTER.into(),
            cluster_id: Sources::default().new_uid()?,
            history_id: Sources::default().new_uid()?,
            witness: false,
        },
    )
}

fn announce(home: &Path, members: u8, hosts: Option<&Hosts>, took: Duration) {
    println!(
        "{members} member{} of cluster {CLUSTER} ready after {:.1} s in {}",
        if members == 1 { "" } else { "s" },
        took.as_secs_f64(),
        home.display()
    );
    println!("  export QUORATE_CONFIG={}", home.join(CONTEXTS).display());
    println!("  quorate cluster status");
    if let Some(hosts) = hosts {
        println!("SIMULATED machines: their disks and guests do not exist. What is really so:");
        println!("  {}", hosts.look());
    }
    println!("Ctrl-C stops it.");
}

/// Where the cluster lives; a directory that nobody asked for is removed at the end.
struct Home {
    path: PathBuf,
    temporary: bool,
}

impl Home {
    fn make(asked: Option<&Path>) -> Result<Self, DevError> {
        let path = match asked {
            Some(path) => path.to_owned(),
            None => {
                std::env::temp_dir().join(format!("quorate-dev-{}", Sources::default().new_uid()?))
            }
        };
        let path = std::path::absolute(path).map_err(DevError::io("cannot find the directory"))?;
        fs::create_dir_all(&path)
            .map_err(DevError::io(format!("cannot make {}", path.display())))?;
        Ok(Self {
            path,
            temporary: asked.is_none(),
        })
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if self.temporary
            && let Err(error) = fs::remove_dir_all(&self.path)
        {
            eprintln!("{} was not removed: {error}", self.path.display());
        }
    }
}
