//! A subsystem for which this release has no driver: it says so, and touches nothing.

use super::*;
use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::LockspaceAssignment;
use quorate_crds::scalar::AbsolutePath;

/// That one.
pub(super) struct Missing(pub(super) &'static str);

impl Missing {
    fn refuse<T: Send>(&self) -> Doing<'_, T> {
        let error = DriverError::lasting(
            Trouble::NotSupported,
            format!(
                "this release of quorate-node does not manage {}: upgrade this host, or plan nothing of the kind for it",
                self.0
            ),
        );
        Box::pin(async move { Err(error) })
    }
}

impl Networks for Missing {
    fn observe(&self) -> Doing<'_, Vec<NetworkSeen>> {
        self.refuse()
    }

    fn watch(&self) -> Hints {
        stream::pending().boxed()
    }

    fn apply<'a>(&'a self, _target: &'a NetworkTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn keep<'a>(&'a self, _network: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn remove<'a>(&'a self, _network: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }
}

impl Pools for Missing {
    fn observe(&self) -> Doing<'_, Vec<VolumeGroupSeen>> {
        self.refuse()
    }

    fn watch(&self) -> Hints {
        stream::pending().boxed()
    }

    fn ensure_group<'a>(&'a self, _target: &'a VolumeGroupTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn ensure_volume<'a>(&'a self, _target: &'a LogicalVolumeTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn activate<'a>(
        &'a self,
        _group: &'a str,
        _volume: &'a str,
        _how: Activation,
    ) -> Doing<'a, ()> {
        self.refuse()
    }

    fn snapshot<'a>(&'a self, _target: &'a SnapshotTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn remove_volume<'a>(
        &'a self,
        _group: &'a str,
        _volume: &'a str,
        _wipe: bool,
    ) -> Doing<'a, ()> {
        self.refuse()
    }
}

impl Replication for Missing {
    fn abilities(&self) -> Doing<'_, Abilities> {
        self.refuse()
    }

    fn observe(&self) -> Doing<'_, Vec<ReplicaSeen>> {
        self.refuse()
    }

    fn watch(&self) -> Hints {
        stream::pending().boxed()
    }

    fn questions(&self) -> BoxStream<'static, Question> {
        stream::pending().boxed()
    }

    fn create<'a>(&'a self, _target: &'a ReplicaTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn adjust<'a>(&'a self, _target: &'a ReplicaTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn promote<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn demote<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn resize<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn outdate<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn discard<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn verify<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn take_down<'a>(&'a self, _volume: &'a Name) -> Doing<'a, ()> {
        self.refuse()
    }

    fn erase<'a>(&'a self, _target: &'a ReplicaTarget) -> Doing<'a, ()> {
        self.refuse()
    }
}

impl Filesystems for Missing {
    fn observe(&self) -> Doing<'_, Vec<MountSeen>> {
        self.refuse()
    }

    fn watch(&self) -> Hints {
        stream::pending().boxed()
    }

    fn read<'a>(&'a self, _device: &'a AbsolutePath) -> Doing<'a, Option<SeenFilesystem>> {
        self.refuse()
    }

    fn make<'a>(&'a self, _target: &'a FilesystemTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn grow<'a>(&'a self, _target: &'a FilesystemTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn mount<'a>(&'a self, _target: &'a MountTarget) -> Doing<'a, ()> {
        self.refuse()
    }

    fn unmount<'a>(&'a self, _mount_point: &'a AbsolutePath) -> Doing<'a, ()> {
        self.refuse()
    }
}

impl Lockspaces for Missing {
    fn observe(&self) -> Doing<'_, Vec<LockspaceSeen>> {
        self.refuse()
    }

    fn watch(&self) -> Hints {
        stream::pending().boxed()
    }

    fn stop<'a>(&'a self, _name: &'a Name, _generation: u64) -> Doing<'a, ()> {
        self.refuse()
    }

    fn start<'a>(&'a self, _name: &'a Name, _target: &'a LockspaceAssignment) -> Doing<'a, ()> {
        self.refuse()
    }

    fn leave<'a>(&'a self, _name: &'a Name, _generation: u64) -> Doing<'a, ()> {
        self.refuse()
    }
}
