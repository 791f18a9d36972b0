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
