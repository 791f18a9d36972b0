//! What a host is told about its replica of a volume.

use super::choice;
use crate::round::Round;
use crate::state::Subject;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Assignment, ReplicaAssignment, ReplicaData, ReplicaOriginal, ReplicaPeer, ReplicaRole,
    ReplicaStatus, Volume, VolumeStatus,
};

/// What is decided about one replica.
pub(crate) struct Role {
    pub(crate) epoch: u64,
    pub(crate) active: bool,
    pub(crate) primary: bool,
    pub(crate) allow_two_primaries: bool,
    pub(crate) begins_here: bool,
    pub(crate) copy_of: Option<ReplicaOriginal>,
    pub(crate) outdate: bool,
    pub(crate) give_up: Option<u64>,
    pub(crate) verify: Option<u64>,
    pub(crate) data: ReplicaData,
}

pub(crate) fn assignment(
    round: &Round<'_>,
    (name, volume): (&str, &Volume),
    status: &VolumeStatus,
    replica: &ReplicaStatus,
    role: &Role,
) -> Assignment {
    let peers = status
        .replicas
        .iter()
        .filter(|peer| peer.node != replica.node);
    let own_rate = volume.spec.resync.rate.as_ref();
    let together = &round.settings.replication.resync_rate;
    Assignment {
        object: Subject::volume(name).reference(),
        object_generation: volume.metadata.generation,
        epoch: role.epoch,
        active: role.active,
        after: Vec::new(),
        network: None,
        storage: None,
        replica: Some(ReplicaAssignment {
            minor: status.minor.unwrap_or(0),
            port: status.port.unwrap_or(0),
            node_id: replica.node_id.unwrap_or(0),
            backing_device: AbsolutePath(choice::backing_device(
                round,
                name,
                volume,
                &replica.node,
            )),
            size: status
                .size
                .clone()
                .unwrap_or_else(|| volume.spec.size.clone()),
            role: match role.primary {
                true => ReplicaRole::Primary,
                false => ReplicaRole::Secondary,
            },
            allow_two_primaries: role.allow_two_primaries,
            resync_rate: Some(own_rate.unwrap_or(together).clone()),
            resync_rate_shared: own_rate.is_none(),
            begins_here: role.begins_here,
            copy_of: role.copy_of.clone(),
            outdate: role.outdate,
            give_up: role.give_up,
            verify: role.verify,
            data: role.data,
            peers: peers
                .map(|peer| ReplicaPeer {
                    node: peer.node.clone(),
                    node_id: peer.node_id.unwrap_or(0),
                    addresses: choice::addresses(round, volume, &peer.node),
                })
                .collect(),
        }),
        mount: None,
        guest: None,
        secrets: volume
            .spec
            .replication
            .authentication
            .secret
            .iter()
            .cloned()
            .collect(),
    }
}
