//! What a host sees of itself, in the words of the drivers.

use quorate_crds::{
    Condition, ConnectionState, DiskState, LinkState, NicStatus, NodeResources, ReplicaRole,
    SyncProgress, VerifyState, Versions,
    scalar::{AbsolutePath, Size},
};

use super::{MachineRoom, refusal::Refusal, replica::BLOCKS};
use crate::drivers::{HostFacts, Owner, PeerSeen, ReplicaSeen, VerifySeen};

impl MachineRoom {
    pub(crate) fn facts(&mut self, host: &str) -> Result<HostFacts, Refusal> {
        let machine = self.machine(host)?;
        let layout = &machine.layout;
        let resources = NodeResources {
            memory: Some(Size(format!("{}Mi", layout.memory >> 20))),
            cpus: Some(layout.cpus),
            guests: None,
        };
        let nics = layout.nics.iter().map(|nic| NicStatus {
            name: nic.name.clone(),
            device: None,
            mac: nic.mac.clone(),
            state: Some(LinkState::Up),
            speed: Some(10_000),
        });
        let condition = |type_: &str, reason: &str, message: &str| Condition {
            type_: type_.to_owned(),
            status: quorate_crds::ConditionStatus::True,
            observed_generation: None,
            last_transition_time: quorate_crds::Time::from(jiff::Timestamp::UNIX_EPOCH),
            reason: reason.to_owned(),
            message: message.to_owned(),
        };
        Ok(HostFacts {
            capacity: Some(resources.clone()),
            allocatable: Some(resources),
            nics: nics.collect(),
            watchdog: None,
            clock: None,
            versions: Some(Versions {
                quorate: Some(env!("CARGO_PKG_VERSION").to_owned()),
                kernel: Some("simulated".to_owned()),
                ..Versions::default()
            }),
            hypervisors: Vec::new(),
            conditions: vec![
                condition(
                    "StorageReady",
                    "Simulated",
                    "SIMULATED: this host's disks do not exist",
                ),
                condition(
                    "Simulated",
                    "Simulated",
                    "SIMULATED: this host and all its guests do not exist; it is for trying things out",
                ),
            ],
        })
    }

    pub(crate) fn replicas_on(&self, host: &str) -> Vec<ReplicaSeen> {
        let mut seen = Vec::new();
        for (name, volume) in &self.volumes {
            let Some(replica) = volume.replicas.get(host) else {
                continue;
            };
            let Some(live) = &replica.live else { continue };
            let size = volume.sizes.get(host).copied().unwrap_or(0);
            let mut lacking = 0;
            let peers = live.links.iter().map(|(peer, link)| {
                let connected = link.connection == ConnectionState::Connected;
                let other = volume
                    .replicas
                    .get(peer)
                    .and_then(|replica| replica.live.as_ref())
                    .filter(|_| connected);
                PeerSeen {
                    node: peer.as_str().into(),
                    connection: link.connection,
                    role: other.map_or(ReplicaRole::Unknown, |other| other.role),
                    disk: match other {
                        Some(other) => other.disk,
                        None if link.settled => DiskState::Outdated,
                        None => DiskState::Unknown,
                    },
                    split_brain: link.connection == ConnectionState::StandAlone,
                }
            });
            let peers: Vec<PeerSeen> = peers.collect();
            let mut receiving = None;
            for (peer, link) in &live.links {
                lacking = lacking.max(link.sending.as_ref().map_or(0, |left| left.len()));
                let from = volume
                    .replicas
                    .get(peer)
                    .and_then(|replica| replica.live.as_ref())
                    .and_then(|live| live.links.get(host))
                    .and_then(|link| link.sending.as_ref());
                if let Some(left) = from {
                    receiving = Some(left.len());
                    lacking = lacking.max(left.len());
                }
            }
            let sync = receiving.map(|left| self.sync_progress(left, size));
            seen.push(ReplicaSeen {
                owner: Owner::Ours(name.as_str().into()),
                device: AbsolutePath(volume.devices.get(host).cloned().unwrap_or_default()),
                size,
                role: live.role,
                disk: live.disk,
                open: self.holder_of(host, name).is_some(),
                frozen: live.frozen(),
                two_primaries: live.allow_two_primaries,
                as_adjusted: true,
                paced: true,
                out_of_sync: size / u64::from(BLOCKS) * lacking as u64,
                sync,
                written: None,
                verify: live.verified.map(|number| VerifySeen {
                    number,
                    state: VerifyState::Finished,
                    message: None,
                }),
                peers,
            });
        }
        seen
    }

    fn sync_progress(&self, left: usize, size: u64) -> SyncProgress {
        let left = u32::try_from(left).unwrap_or(BLOCKS);
        let rate = self.settings.resync_rate.max(1);
        let block = size / u64::from(BLOCKS);
        SyncProgress {
            percent: Some(100 - left * 100 / BLOCKS),
            rate: Some(Size(format!("{}Mi", (block * u64::from(rate)) >> 20))),
            remaining: Some(quorate_crds::Duration::from(
                format!("{}s", left.div_ceil(rate)).as_str(),
            )),
        }
    }
}
