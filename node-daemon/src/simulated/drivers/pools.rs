use super::{Host, unexpected};
use crate::drivers::{
    Activation, Doing, Hints, LogicalVolumeTarget, Pools, PoolsSeen, SnapshotTarget,
    VolumeGroupSeen, VolumeGroupTarget,
};
use crate::simulated::room::{HostCall, PoolCall, Reply};
use quorate_crds::scalar::AbsolutePath;

impl Pools for Host {
    fn observe<'a>(&'a self, _above: &'a [AbsolutePath]) -> Doing<'a, PoolsSeen> {
        Box::pin(async move {
            Ok(PoolsSeen {
                groups: self.on_disks().await?,
                unread: Vec::new(),
            })
        })
    }

    fn on_disks(&self) -> Doing<'_, Vec<VolumeGroupSeen>> {
        Box::pin(async move {
            match self.call(HostCall::Pools(PoolCall::Observe)).await? {
                Reply::Groups(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.hints()
    }

    fn ensure_group<'a>(&'a self, target: &'a VolumeGroupTarget) -> Doing<'a, ()> {
        self.act(HostCall::Pools(PoolCall::EnsureGroup {
            pool: target.pool.to_string(),
            name: target.name.clone(),
            devices: target.devices.iter().map(ToString::to_string).collect(),
        }))
    }

    fn ensure_volume<'a>(&'a self, target: &'a LogicalVolumeTarget) -> Doing<'a, ()> {
        self.act(HostCall::Pools(PoolCall::EnsureVolume {
            group: target.group.clone(),
            name: target.name.clone(),
            owner: target.volume.to_string(),
            size: target.size,
            snapshot_of: None,
        }))
    }

    fn activate<'a>(&'a self, group: &'a str, volume: &'a str, how: Activation) -> Doing<'a, ()> {
        self.act(HostCall::Pools(PoolCall::Activate {
            group: group.to_owned(),
            name: volume.to_owned(),
            active: how != Activation::Off,
        }))
    }

    fn snapshot<'a>(&'a self, target: &'a SnapshotTarget) -> Doing<'a, ()> {
        self.act(HostCall::Pools(PoolCall::EnsureVolume {
            group: target.group.clone(),
            name: target.name.clone(),
            owner: target.owner.to_string(),
            size: target.reserve,
            snapshot_of: Some(target.of.clone()),
        }))
    }

    fn remove_volume<'a>(&'a self, group: &'a str, volume: &'a str, _wipe: bool) -> Doing<'a, ()> {
        self.act(HostCall::Pools(PoolCall::Remove {
            group: group.to_owned(),
            name: volume.to_owned(),
        }))
    }
}
