use quorate_crds::scalar::AbsolutePath;

use super::{Host, unexpected};
use crate::drivers::{
    CheckSeen, CheckTarget, Doing, FilesystemTarget, Filesystems, Hints, MountSeen, MountTarget,
    SeenFilesystem,
};
use crate::simulated::room::{FilesystemCall, HostCall, Reply};

impl Filesystems for Host {
    fn observe(&self) -> Doing<'_, Vec<MountSeen>> {
        Box::pin(async move {
            let call = HostCall::Filesystems(FilesystemCall::Observe);
            match self.call(call).await? {
                Reply::Mounts(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn watch(&self) -> Hints {
        self.hints()
    }

    fn read<'a>(&'a self, device: &'a AbsolutePath) -> Doing<'a, Option<SeenFilesystem>> {
        Box::pin(async move {
            let call = HostCall::Filesystems(FilesystemCall::Read {
                device: device.to_string(),
            });
            match self.call(call).await? {
                Reply::Filesystem(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn make<'a>(&'a self, target: &'a FilesystemTarget) -> Doing<'a, ()> {
        self.act(HostCall::Filesystems(FilesystemCall::Make {
            device: target.device.to_string(),
            filesystem: target.filesystem.clone(),
            lock_table: target.lock_table.clone(),
        }))
    }

    fn grow<'a>(&'a self, _target: &'a FilesystemTarget) -> Doing<'a, ()> {
        // A simulated filesystem is as large as its device.
        Box::pin(async { Ok(()) })
    }

    fn mount<'a>(&'a self, target: &'a MountTarget) -> Doing<'a, ()> {
        Box::pin(
            self.until_done(HostCall::Filesystems(FilesystemCall::Mount {
                owner: target.owner.to_string(),
                device: target.device.to_string(),
                filesystem: target.filesystem.clone(),
                point: target.mount_point.to_string(),
            })),
        )
    }

    fn remount<'a>(&'a self, _target: &'a MountTarget) -> Doing<'a, ()> {
        // Options mean nothing to it.
        Box::pin(async { Ok(()) })
    }

    fn find<'a>(&'a self, _path: &'a AbsolutePath) -> Doing<'a, ()> {
        // Its filesystems have every file.
        Box::pin(async { Ok(()) })
    }

    fn checks(&self) -> Doing<'_, Vec<CheckSeen>> {
        Box::pin(async move {
            let call = HostCall::Filesystems(FilesystemCall::Checks);
            match self.call(call).await? {
                Reply::Checks(seen) => Ok(seen),
                other => Err(unexpected(&other)),
            }
        })
    }

    fn check<'a>(&'a self, target: &'a CheckTarget) -> Doing<'a, ()> {
        self.act(HostCall::Filesystems(FilesystemCall::Check {
            owner: target.owner.to_string(),
            device: target.device.to_string(),
            number: target.number,
        }))
    }

    fn unmount<'a>(&'a self, mount_point: &'a AbsolutePath) -> Doing<'a, ()> {
        Box::pin(
            self.until_done(HostCall::Filesystems(FilesystemCall::Unmount {
                point: mount_point.to_string(),
            })),
        )
    }
}
