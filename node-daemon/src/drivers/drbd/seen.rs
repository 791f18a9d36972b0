//! What the kernel has, as the rest of the daemon sees it.

use std::time::Duration;

use jiff::Timestamp;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{ConnectionState, DiskState, ReplicaRole, Size, SyncProgress};
use tokio::time::Instant;

use super::kept::{Kept, KeptPeer};
use super::state::{Connection, Resource, State};
use super::verify::Verification;
use super::version::Generation;
use super::{Drbd, lock};
use crate::drivers::{DriverError, Owner, PeerSeen, ReplicaSeen};

/// A replica that has split stays apart for so long, and then tries to meet its peer again: the other side's data may have
/// been given up meanwhile.
const APART: Duration = Duration::from_secs(20);

impl Drbd {
    pub(super) async fn seen(&self) -> Result<Vec<ReplicaSeen>, DriverError> {
        let state = self.state().await?;
        self.look_at_writes(&state, Timestamp::now());
        let at_once = self.sharing(&state, None);
        let nine = match self.shared.version.get() {
            Some(version) => version.generation == Generation::Nine,
            // It was not asked yet; then it is enough to know whether peers have numbers.
            None => false,
        };
        let resources = state.resources.iter();
        Ok(resources
            .map(|(name, resource)| {
                let verification = state.verifications.get(name);
                let mut seen = self.replica(name, resource, verification, nine);
                if resource.takes() {
                    let told = self.parts_of(name);
                    seen.paced = told.is_none_or(|told| told == parts(at_once));
                }
                seen
            })
            .collect())
    }

    fn replica(
        &self,
        name: &str,
        resource: &Resource,
        verification: Option<&Verification>,
        nine: bool,
    ) -> ReplicaSeen {
        let kept = self.place.kept(name);
        let device = resource.device();
        let minor = device
            .and_then(|device| device.minor)
            .or(kept.as_ref().map(|kept| kept.minor))
            .unwrap_or_default();
        let kibibytes = device.map_or(0, |device| device.kibibytes);
        let size = self.size(minor).unwrap_or(kibibytes.saturating_mul(1024));
        let role = resource.role.unwrap_or(ReplicaRole::Unknown);
        let mut seen = ReplicaSeen {
            owner: Owner::Foreign,
            device: AbsolutePath(format!("/dev/drbd{minor}")),
            size,
            role,
            disk: resource.disk(),
            // 8.4 does not say it: one that may be written is taken for open.
            open: device
                .and_then(|device| device.open)
                .unwrap_or(role == ReplicaRole::Primary),
            frozen: resource.suspended,
            two_primaries: false,
            as_adjusted: true,
            paced: true,
            out_of_sync: out_of_sync(resource),
            sync: None,
            written: None,
            verify: None,
            peers: Vec::new(),
        };
        seen.sync = self.progress(name, resource, &seen);
        let Some(kept) = kept else { return seen };
        seen.owner = Owner::Ours(kept.volume.clone());
        if kept.peers.is_empty() {
            // It differs only from the one that 8.4 insists on, which is nobody.
            (seen.out_of_sync, seen.sync) = (0, None);
        }
        seen.two_primaries = kept.two_primaries;
        seen.written = self.written(name);
        seen.verify = kept.verification(verification);
        seen.peers = kept
            .peers
            .iter()
            .map(|peer| peer_seen(peer, connection(&kept, peer, resource, nine), resource))
            .collect();
        seen.as_adjusted = kept.adjusted && self.is_whole(name, &seen);
        seen
    }

    /// How many replicas beside that one catch up at present, and share the host's rate for it.
    fn sharing(&self, state: &State, beside: Option<&str>) -> u64 {
        let sharing = state.resources.iter().filter(|(name, resource)| {
            beside != Some(name.as_str()) && resource.takes() && self.parts_of(name).is_some()
        });
        sharing.count() as u64
    }

    fn parts_of(&self, name: &str) -> Option<u64> {
        self.place.kept(name)?.rate_parts
    }

    /// Into how many parts the rate is divided of which one is given to this replica. One that is up and does not catch up stays
    /// as it is: nothing has to be told to it now.
    pub(super) fn rate_parts(&self, state: &State, name: &str) -> u64 {
        let rests = |resource: &&Resource| !resource.takes();
        let rests = state.resources.get(name).filter(rests);
        rests
            .and_then(|_| self.parts_of(name))
            .unwrap_or_else(|| parts(self.sharing(state, Some(name)) + 1))
    }

    /// In bytes, as the kernel says at this moment.
    fn size(&self, minor: u32) -> Option<u64> {
        let path = self.host.sys.join(format!("block/drbd{minor}/size"));
        let sectors: u64 = std::fs::read_to_string(path).ok()?.trim().parse().ok()?;
        sectors.checked_mul(512)
    }

    /// Whether everything that was configured is there.
    fn is_whole(&self, name: &str, seen: &ReplicaSeen) -> bool {
        let split = seen.peers.iter().any(|peer| peer.split_brain);
        let alone = seen.peers.iter().any(|peer| {
            matches!(
                peer.connection,
                ConnectionState::StandAlone | ConnectionState::Disconnected
            )
        });
        let mut apart = lock(&self.shared.apart);
        if !alone {
            apart.remove(name);
        }
        let may_wait = split && {
            let since = apart.entry(name.to_owned()).or_insert_with(Instant::now);
            since.elapsed() < APART
        };
        seen.disk != DiskState::Diskless && (!alone || may_wait)
    }

    fn progress(
        &self,
        name: &str,
        resource: &Resource,
        seen: &ReplicaSeen,
    ) -> Option<SyncProgress> {
        let mut progress = lock(&self.shared.progress);
        if !resource.resyncs() || seen.size == 0 {
            progress.remove(name);
            return None;
        }
        let (now, left) = (Instant::now(), seen.out_of_sync);
        let (since, before) = *progress.entry(name.to_owned()).or_insert((now, left));
        let done = seen.size.saturating_sub(left).saturating_mul(100) / seen.size;
        let seconds = now.duration_since(since).as_secs();
        let rate = before.saturating_sub(left).checked_div(seconds);
        let remaining = rate.and_then(|rate| left.checked_div(rate));
        Some(SyncProgress {
            percent: u32::try_from(done).ok(),
            rate: rate.map(|rate| Size(rate.to_string())),
            remaining: remaining.map(|seconds| format!("{seconds}s").as_str().into()),
        })
    }
}

/// As many as there are, up to the next power of two. Otherwise each of fifty replicas that catch up would be told anew whenever one
/// of them is done.
fn parts(replicas: u64) -> u64 {
    replicas.max(1).next_power_of_two()
}

/// 8.4 knows one peer, without a number.
fn connection<'a>(
    kept: &Kept,
    peer: &KeptPeer,
    resource: &'a Resource,
    nine: bool,
) -> (u32, Option<&'a Connection>) {
    let exact = resource.connections.get(&peer.node_id);
    if nine || exact.is_some() || kept.peers.len() != 1 {
        return (peer.node_id, exact);
    }
    (0, resource.connections.get(&0))
}

fn peer_seen(
    peer: &KeptPeer,
    (number, connection): (u32, Option<&Connection>),
    resource: &Resource,
) -> PeerSeen {
    let device = connection.and_then(|connection| connection.peers.get(&0));
    PeerSeen {
        node: peer.node.clone(),
        connection: connection
            .and_then(|connection| connection.state)
            .unwrap_or(ConnectionState::StandAlone),
        role: connection
            .and_then(|connection| connection.role)
            .unwrap_or(ReplicaRole::Unknown),
        disk: device
            .and_then(|device| device.disk)
            .unwrap_or(DiskState::Unknown),
        split_brain: resource.split.contains(&number),
    }
}

fn out_of_sync(resource: &Resource) -> u64 {
    let peers = resource.connections.values().flat_map(|known| &known.peers);
    let most = peers.map(|(_, device)| device.out_of_sync_kibibytes).max();
    most.unwrap_or(0).saturating_mul(1024)
}
