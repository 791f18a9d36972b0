//! How a member comes to life: as the first of a cluster, again, as a new one, or from a backup.
//!
//! The identity file is what makes a directory a member's. It is written last where a cluster is
//! founded, so that a crash on the way leaves nothing that could be taken for a member, and first
//! where a member joins, because others hear of it from then on.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream::BoxStream};
use openraft::{Config, Raft, SnapshotPolicy, StepDownPolicy};
use prost::Message;
use tokio::sync::watch;

use crate::{
    DiskWork, Genesis, Grant, Leadership, MemberId, Revision, Store, StoreConfig, StoreError,
    disk::Disk,
    log::{Log, LogError, LogOptions, Mode, Recovered},
    member_file::{Identity, PeerStarts, SinceBoot, Succession},
    raft::{
        LogStore, Machine, Membership, Networks, Proposal, Receiver, StoredMembership, Vote,
        around::{self, Around},
        barrier::{self, Barriers},
        core::{Core, stopped},
        housekeeping,
        link::Link,
        log_id,
        part::Part,
        proposer::{self, Proposals},
        returning::{self, Returning},
        succession,
        takeover::{self, Testimony},
    },
    rt,
    shots::Shots,
    snapshot::{Blocks, Loader, Snapshots},
    state::{Command, Shared, State},
    transport::Transport,
    wire::{PbVote, encode_command},
};

/// The id of a cluster's first member.
const FIRST: MemberId = 1;
/// A restored cluster's revisions begin so far above the backup's.
const LIFT: Revision = 1_000_000_000;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

pub(crate) async fn create(
    config: StoreConfig,
    disk: Arc<dyn Disk>,
    net: Arc<dyn Transport>,
    genesis: Genesis,
) -> Result<Store, StoreError> {
    prepare(&*disk)?;
    let identity = Identity::new(&genesis.cluster_id, &genesis.history_id, FIRST);
    let store = start(config, disk.clone(), net, &identity).await?;
    let members = BTreeMap::from([(FIRST, genesis.member.clone())]);
    store
        .core
        .raft
        .initialize(members)
        .await
        .map_err(|e| StoreError::NoQuorum {
            reason: e.to_string(),
        })?;
    let command = Command::Genesis {
        cluster_id: genesis.cluster_id,
        history_id: genesis.history_id,
        feature_level: genesis.member.feature_level,
    };
    found(&store, &command).await?;
    identity.save(&*disk)?;
    Ok(store)
}

/// Writes a new cluster's first entry.
async fn found(store: &Store, command: &Command) -> Result<(), StoreError> {
    let core = &store.core;
    let deadline = rt::now() + core.config.propose_timeout;
    loop {
        let proposal = Proposal(encode_command(core.config.clock.now_ms(), command));
        let reason = match core.raft.client_write(proposal).await {
            Ok(_) => return Ok(()),
            Err(error) => error.to_string(),
        };
        if rt::now() >= deadline {
            return Err(StoreError::NoQuorum { reason });
        }
        rt::sleep(LOOK_AGAIN).await;
    }
}

pub(crate) async fn open(
    config: StoreConfig,
    disk: Arc<dyn Disk>,
    net: Arc<dyn Transport>,
) -> Result<Store, StoreError> {
    let Some(mut identity) = Identity::load(&*disk)? else {
        return Err(StoreError::Foreign {
            reason:
                "the directory holds no member; create a cluster, join one, or restore a backup"
                    .to_owned(),
        });
    };
    identity.start_counter += 1;
    identity.save(&*disk)?;
    start(config, disk, net, &identity).await
}

pub(crate) async fn join(
    config: StoreConfig,
    disk: Arc<dyn Disk>,
    net: Arc<dyn Transport>,
    grant: Grant,
) -> Result<Store, StoreError> {
    prepare(&*disk)?;
    let identity = Identity::new(&grant.cluster_id, &grant.history_id, grant.member_id);
    identity.save(&*disk)?;
    start(config, disk, net, &identity).await
}

pub(crate) async fn restore(
    config: StoreConfig,
    disk: Arc<dyn Disk>,
    net: Arc<dyn Transport>,
    genesis: Genesis,
    mut backup: BoxStream<'static, io::Result<Bytes>>,
) -> Result<Store, StoreError> {
    prepare(&*disk)?;
    let mut loader = Loader::new();
    let unusable = |reason: String| StoreError::Damaged {
        path: "the backup".to_owned(),
        reason: format!("{reason}; take another backup file"),
    };
    while let Some(bytes) = backup.next().await {
        let bytes = bytes.map_err(StoreError::Io)?;
        loader.push(&bytes).map_err(|e| unusable(e.to_string()))?;
    }
    let (_, mut state) = loader.finish().map_err(|e| unusable(e.to_string()))?;
    let member_id = adopt(&mut state, &genesis, 1);
    let term = state.applied.map_or(0, |id| id.leader_id.term);
    let identity = Identity::new(&genesis.cluster_id, &genesis.history_id, member_id);
    let inline = config.inline_io();
    let options = log_options(&config);
    let target = disk.clone();
    rt::blocking(inline, move || {
        plant(target, options, state, Vote::new(term, member_id))
    })
    .await?;
    identity.save(&*disk)?;
    start(config, disk, net, &identity).await
}

/// Makes a state that of a new line of history with one member; its id.
pub(crate) fn adopt(state: &mut State, genesis: &Genesis, terms: u64) -> MemberId {
    let member_id = state.next_member_id.max(FIRST);
    let (term, index) = state
        .applied
        .map_or((0, 0), |id| (id.leader_id.term, id.index));
    // Terms go on as well: what the former cluster's planner ordered is older than all that follows.
    let at = log_id(term + terms, index + 1);
    let members = BTreeMap::from([(member_id, genesis.member.clone())]);
    let membership =
        Membership::new(vec![[member_id].into()], members).expect("the only voter is a member");
    state.cluster_id.clone_from(&genesis.cluster_id);
    state.history_id.clone_from(&genesis.history_id);
    state.revision += LIFT;
    state.next_member_id = member_id + 1;
    state.applied = Some(at);
    state.set_membership(StoredMembership::new(Some(at), membership));
    state.seal();
    member_id
}

/// Writes the first snapshot and vote of a restored cluster.
pub(crate) fn plant(
    disk: Arc<dyn Disk>,
    options: LogOptions,
    state: State,
    vote: Vote,
) -> io::Result<()> {
    let shared = Shared::new(crate::HistoryLimits::default());
    shared.replace(state);
    let (snapshots, _) = Snapshots::recover(disk.clone())?;
    snapshots.build(Blocks::new(&shared))?;
    let options = LogOptions {
        mode: Mode::Inline,
        ..options
    };
    let (log, _) = Log::open(disk, options).map_err(io::Error::other)?;
    let (saved, result) = std::sync::mpsc::channel();
    let report = Box::new(move |result| {
        let _ = saved.send(result);
    });
    let bytes = Bytes::from(PbVote::from(&vote).encode_to_vec());
    log.save_vote(bytes, report).map_err(io::Error::other)?;
    log.close();
    result.recv().map_err(io::Error::other)??;
    Ok(())
}

/// Makes sure that the directory is nobody's. What a founding that crashed left behind is removed.
pub(crate) fn prepare(disk: &dyn Disk) -> Result<(), StoreError> {
    if let Some(identity) = Identity::load(disk)? {
        return Err(StoreError::Foreign {
            reason: format!(
                "the directory belongs to member {} of cluster {}; start it, or set it aside",
                identity.member_id, identity.cluster_id
            ),
        });
    }
    for name in disk.list()? {
        let ours = [
            "log-",
            "snapshot-",
            "incoming-",
            "peers.json",
            "member.json",
            "quorum.json",
        ];
        if ours.iter().any(|prefix| name.starts_with(prefix)) {
            disk.remove(&name)?;
        }
    }
    disk.sync_dir()?;
    Ok(())
}

pub(crate) fn log_options(config: &StoreConfig) -> LogOptions {
    LogOptions {
        segment_bytes: config.segment_bytes,
        mode: match config.disk_work {
            DiskWork::Threads => Mode::Thread,
            DiskWork::InPlace => Mode::Inline,
            DiskWork::Delayed(_) => Mode::Stepped,
        },
        ..LogOptions::default()
    }
}

/// What was found on the disk.
pub(crate) struct Found {
    pub(crate) snapshots: Snapshots,
    pub(crate) state: Option<State>,
    pub(crate) log: Log,
}

pub(crate) fn find(
    disk: Arc<dyn Disk>,
    options: LogOptions,
) -> io::Result<Result<Found, StoreError>> {
    let (snapshots, newest) = Snapshots::recover(disk.clone())?;
    let (log, recovered) = match Log::open(disk, options) {
        Ok(opened) => opened,
        Err(LogError::Io(error)) => return Err(error),
        Err(error) => return Ok(Err(damaged(error))),
    };
    let state = newest.map(|(_, state)| state);
    Ok(match continuous(&recovered, state.as_ref()) {
        Ok(()) => Ok(Found {
            snapshots,
            state,
            log,
        }),
        Err(error) => Err(error),
    })
}

fn damaged(error: LogError) -> StoreError {
    let path = match &error {
        LogError::Corrupt { file, .. } | LogError::Format { file, .. } => file.clone(),
        _ => "the log".to_owned(),
    };
    StoreError::Damaged {
        path,
        reason: error.to_string(),
    }
}

/// The log must reach back to the snapshot.
fn continuous(log: &Recovered, state: Option<&State>) -> Result<(), StoreError> {
    if let Some(torn) = &log.torn {
        tracing::warn!(
            file = torn.file,
            offset = torn.offset,
            "an unacknowledged write was cut short by a crash; its remains are dropped"
        );
    }
    let purged = log.purged.map_or(0, |id| id.index);
    let covered = state.and_then(|s| s.applied).map_or(0, |id| id.index);
    if purged > covered {
        return Err(StoreError::Damaged {
            path: "the snapshots".to_owned(),
            reason: format!(
                "the log begins after entry {purged}, but the newest whole snapshot ends at {covered}: set the \
                 data directory aside and join this machine as a new member; it then gets everything from the others"
            ),
        });
    }
    Ok(())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn raft_config(config: &StoreConfig, cluster: &str) -> Result<Arc<Config>, StoreError> {
    let election = millis(config.election_timeout);
    let config = Config {
        cluster_name: cluster.to_owned(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min: election,
        election_timeout_max: election * 2,
        install_snapshot_timeout: 600_000,
        max_payload_entries: 64,
        // Snapshots and purges are triggered by our own housekeeping.
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: u64::MAX,
        removed_leader_step_down: StepDownPolicy::After(election),
        enable_pre_vote: Some(true),
        backoff: "50ms 100ms 200ms".to_owned(),
        // The commit point on the disk may be old: a leader that starts anew must ask first.
        enable_leader_restore: Some(false),
        ..Config::default()
    };
    let config = config.validate().map_err(|e| StoreError::Foreign {
        reason: format!("the timing of the store cannot work: {e}"),
    })?;
    Ok(Arc::new(config))
}

/// Starts a member from what is on its disk.
pub(crate) async fn start(
    config: StoreConfig,
    disk: Arc<dyn Disk>,
    net: Arc<dyn Transport>,
    identity: &Identity,
) -> Result<Store, StoreError> {
    let raft_config = raft_config(&config, &identity.cluster_id)?;
    let peers = PeerStarts::load(disk.clone())?;
    let since_boot = SinceBoot::load(disk.clone(), identity, config.boot.as_deref());
    let succession = Succession::load(disk.clone(), identity)?;
    let shots = Shots::load(disk.clone(), identity);
    let (part, asked) = Part::new(identity.member_id, identity.start_counter);
    let options = log_options(&config);
    let found = rt::blocking(config.inline_io(), move || find(disk, options)).await??;
    let shared = Shared::new(config.history);
    if let Some(state) = found.state {
        shared.replace(state);
    }
    let stop = watch::Sender::new(false);
    if config.inline_io() {
        let (log, work, mut stop) = (found.log.clone(), config.disk_work, stop.subscribe());
        rt::spawn(async move {
            tokio::select! {
                () = stopped(&mut stop) => {}
                () = turn(&log, work) => {}
            }
        });
    }
    let snapshots = Arc::new(found.snapshots);
    let link = Arc::new(Link::new(
        identity, net, peers, since_boot, succession, part,
    ));
    let raft = Raft::new(
        identity.member_id,
        raft_config,
        Networks::new(link.clone()),
        LogStore::new(found.log.clone()),
        Machine::new(shared.clone(), snapshots.clone(), config.inline_io()),
    )
    .await
    .map_err(|fatal| StoreError::Damaged {
        path: "the log and the snapshots".to_owned(),
        reason: fatal.to_string(),
    })?;
    let (proposals, proposed) = Proposals::new(config.propose_timeout);
    let core = Arc::new(Core {
        config,
        raft,
        shared,
        link,
        log: found.log,
        snapshots,
        proposals,
        identity: identity.clone(),
        leadership: watch::Sender::new(Leadership::default()),
        stop,
        evidence: Testimony::default(),
        shots,
        returning: Returning::default(),
        around: Around::default(),
    });
    let (barriers, waiting) = Barriers::new();
    rt::spawn(proposer::run(core.clone(), proposed));
    rt::spawn(barrier::run(core.clone(), waiting));
    rt::spawn(housekeeping::leadership(core.clone()));
    rt::spawn(housekeeping::expiry(core.clone()));
    rt::spawn(housekeeping::storage(core.clone()));
    rt::spawn(takeover::run(core.clone(), asked));
    rt::spawn(returning::run(core.clone()));
    rt::spawn(around::run(core.clone()));
    rt::spawn(succession::run(core.clone()));
    let receiver = Arc::new(Receiver::new(&core));
    Ok(Store {
        core,
        barriers,
        receiver,
    })
}

/// Stands in for the log's thread: writes what waits, after the time that a sync takes. It never ends.
pub(crate) async fn turn(log: &Log, work: DiskWork) {
    let every = match work {
        DiskWork::Delayed(every) => every,
        // Only what waits for a full disk needs a turn.
        DiskWork::InPlace | DiskWork::Threads => Duration::from_millis(250),
    };
    loop {
        rt::sleep(every).await;
        log.turn();
    }
}
