//! One member, put together: its directory, its store, its port and its loops.

mod awake;
pub mod chronicle;
mod connect;
mod directory;
mod serve;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use quorate_identity::{
    Authority, AuthorityError, BootstrapError, Clock, Credentials, CredentialsError, Dates,
    Keyring, KeyringError, LiveCredentials, MemberConfig, PkiDir, SystemClock, Trust, TrustError,
};
use quorate_store::{Store, StoreConfig, StoreError, transport::GrpcTransport};
use thiserror::Error;
use tokio::{
    net::TcpListener,
    sync::watch,
    task::{JoinHandle, JoinSet},
};

use crate::{
    access::Access,
    api::{Admittance, CallLimits, Front},
    audit::{Audit, AuditError, Rotation},
    brain::{self, Brain},
    detector,
    events::Recorder,
    fencing::{
        MemberAgents, RunAgentDesk,
        agents::{LocalAgents, StoredSecrets},
    },
    gc,
    members::{CallsByName, GrpcMemberCalls},
    resource::Engine,
    restore::RestoreError,
    secrets,
    takeover::{Settled, settle},
    tls,
    tokens::AccessTokens,
};

use connect::MemberConnector;
use directory::Directory;

/// Why a member does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// The directory is empty and nobody asked for a new member here. Trying again does not help.
    #[error(
        "{path} holds no member and no bootstrap note: run `quorate init` for a new cluster or `quorate join` for a new member; if a member lived here, its disk is not mounted or is lost, and it must join as a new member"
    )]
    Nothing {
        /// The data directory.
        path: PathBuf,
    },
    /// The note belongs to another member than the directory. Trying again does not help.
    #[error(
        "{path} holds member {found} already, the bootstrap note is for {wanted}; move the note away to go on with the old member, or the directory to begin with the new one"
    )]
    Occupied {
        /// The data directory.
        path: PathBuf,
        /// Whose store it is.
        found: u64,
        /// Whom the note is for.
        wanted: u64,
    },
    /// A file or a socket. May succeed once its reason is gone.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The bootstrap note.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The authority's files.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// This member's certificate.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The keys that seal secrets.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The TLS settings.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What a takeover by a person has left. Stop whoever is at work on it.
    #[error(transparent)]
    Unsettled(#[from] RestoreError),
}

impl StartError {
    fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}

/// How a member behaves, beside what its configuration file says.
#[derive(Clone, Debug, Default)]
pub struct Tuning {
    /// The store below.
    pub store: StoreConfig,
    /// What callers may ask for.
    pub calls: CallLimits,
    /// What clients may hold open.
    pub connections: tls::Limits,
}

/// A member that runs.
pub struct RunningMember {
    id: u64,
    engine: Engine,
    brain: Brain,
    addresses: Vec<SocketAddr>,
    own: Arc<LiveCredentials>,
    pki: PkiDir,
    stop: watch::Sender<bool>,
    server: JoinHandle<()>,
    loops: JoinSet<()>,
}

impl RunningMember {
    /// Starts the member that lives in `config.data_dir`, or makes it as its bootstrap note says.
    pub async fn start(config: &MemberConfig, tuning: Tuning) -> Result<Self, StartError> {
        // The ports first: a second process on this machine is found out before it touches anything.
        let mut listeners = Vec::new();
        for address in &config.listen {
            let listener = TcpListener::bind(address)
                .await
                .map_err(StartError::io(format!("cannot listen on {address}")))?;
            listeners.push(listener);
        }
        let addresses: Vec<SocketAddr> = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<Result<_, _>>()
            .map_err(StartError::io("cannot find out the listening addresses"))?;
        let heartbeats = heartbeat_sockets(&addresses)?;

        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let pki = PkiDir::new(&config.pki_dir);
        let authority = Arc::new(Authority::load(
            &pki.ca_certificate(),
            &pki.ca_key(),
            clock.clone(),
        )?);
        let keyring = Arc::new(Keyring::load(&pki.keyring())?);
        let trust = Trust::load(&pki.ca_certificate(), clock.clone())?;
        let audit = Audit::open(&config.audit_dir, Rotation::default())?;

        match settle(&config.data_dir)? {
            Settled::Nothing => {}
            Settled::Dropped => tracing::warn!(
                "a takeover by a person was cut off before it took effect; this member goes on as before"
            ),
            Settled::Ended(former) => tracing::warn!(
                former = %former.display(),
                "a takeover by a person was cut off after it took effect; it is completed"
            ),
        }
        let directory = Directory::open(config)?;
        let id = directory.member_id();
        let own = LiveCredentials::new(tls::usable_credentials(
            &pki,
            &authority,
            id,
            &config.addresses,
            &*clock,
        )?);
        let connector = trust.client_config(Some(own.clone()), Dates::Ignored)?;
        let connector = Arc::new(MemberConnector::new(connector));
        let transport = Arc::new(GrpcTransport::new(connector.clone()));
        let mut settings = tuning.store;
        if let Some(timeout) = config.election_timeout_ms {
            settings = settings.waiting_for_leaders(Duration::from_millis(u64::from(timeout)));
        }
        settings.boot = settings.boot.or_else(awake::this_boot);
        let store = directory.open_store(settings, transport).await?;

        let engine = Engine::new(store.clone(), keyring.clone());
        let sealing = keyring.clone();
        let recorder = Recorder::start(engine.clone());
        let access = Arc::new(Access::new());
        let front = Front {
            engine: engine.clone(),
            access: access.clone(),
            access_tokens: AccessTokens::new(store.clone(), access.clone(), clock.clone()),
            audit,
            admittance: Admittance::new(tuning.calls),
            recorder: recorder.clone(),
        };
        let local_agents = LocalAgents::new(
            config.agent_dirs.clone(),
            Arc::new(StoredSecrets::new(store.clone(), keyring.clone())),
        );
        let member_calls = Arc::new(GrpcMemberCalls::new(store.clone(), connector));
        let brain = Brain::new(brain::Environment {
            engine: engine.clone(),
            heartbeat_secret: authority.shared_secret("heartbeats"),
            rings: config.addresses.len(),
            agents: Arc::new(MemberAgents::new(
                config.name.clone(),
                local_agents.clone(),
                Arc::new(CallsByName::new(store.clone(), member_calls.clone())),
            )),
            member_calls,
            recorder: recorder.clone(),
        });
        let (stop, stopping) = watch::channel(false);
        detector::on_its_own_thread(
            brain.detector(),
            heartbeats,
            awake::while_awake(brain.acknowledged()),
            stopping.clone(),
        )
        .map_err(StartError::io("cannot listen to heartbeats"))?;
        let incoming = tls::listen(
            listeners,
            Arc::new(trust.server_config(own.clone())?),
            tuning.connections,
        );
        let parts = serve::Parts {
            front,
            authority: authority.clone(),
            keyring,
            clock: clock.clone(),
            brain: brain.clone(),
            agents: Arc::new(RunAgentDesk::new(local_agents)),
        };
        let server = tokio::spawn(serve::serve(parts, incoming, stopping)?);

        let mut loops = JoinSet::new();
        loops.spawn(brain.clone().run());
        loops.spawn(gc::run(engine.clone()));
        loops.spawn(secrets::keep_current(store.clone(), sealing));
        loops.spawn(chronicle::run(store.clone(), recorder));
        loops.spawn(tls::renew_always(
            own.clone(),
            pki.clone(),
            authority,
            config.addresses.clone(),
            clock,
        ));
        loops.spawn(directory.finish(store));
        Ok(Self {
            id,
            engine,
            brain,
            addresses,
            own,
            pki,
            stop,
            server,
            loops,
        })
    }

    /// Its id in the cluster.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Where it listens; the ports are known even when the configuration left them to the system.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Its engine.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// What it thinks of hosts, and answers them.
    pub fn brain(&self) -> &Brain {
        &self.brain
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        self.engine.store()
    }

    /// Reads the member's certificate anew; it is shown from the next connection on.
    pub fn reload_credentials(&self) -> Result<(), CredentialsError> {
        let fresh = Credentials::load(&self.pki.certificate(), &self.pki.key())?;
        self.own.replace(fresh);
        Ok(())
    }

    /// Hands leadership over if it can, finishes the calls under way and stops.
    pub async fn stop(mut self) {
        let store = self.engine.store().clone();
        let alone = store.status().members.len() < 2;
        if store.leadership().borrow().is_self
            && !alone
            && let Err(error) = store.transfer_leadership(None).await
        {
            tracing::warn!(%error, "leadership was not handed over before the stop");
        }
        // The receiver is gone only when the server has ended already.
        let _ = self.stop.send(true);
        if let Err(error) = self.server.await {
            tracing::warn!(%error, "the server did not end well");
        }
        self.loops.shutdown().await;
        store.shutdown().await;
    }
}

/// Heartbeats come to the same addresses as everything else, by UDP.
fn heartbeat_sockets(addresses: &[SocketAddr]) -> Result<Vec<UdpSocket>, StartError> {
    let bind = |address: &SocketAddr| {
        let socket = UdpSocket::bind(address)?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    };
    addresses
        .iter()
        .map(|address| {
            bind(address).map_err(StartError::io(format!(
                "cannot listen to heartbeats on {address}"
            )))
        })
        .collect()
}
