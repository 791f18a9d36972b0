//! Volume groups on replicated devices. Several hosts change and use them, each by its own LVM and without locks of LVM's: the
//! plan says whose turn it is, and where which logical volume may be active. So nothing that was seen of them is remembered,
//! and no host activates anything of them by itself when their device appears.

use std::path::{Path, PathBuf};

use quorate_crds::scalar::AbsolutePath;

use super::report::{self, Group, Reach};
use super::{Lvm, Shared, foreign, resolved};
use crate::drivers::{DriverError, Trouble, VolumeGroupTarget};

impl Shared {
    /// The replicated devices that are looked into.
    pub(super) fn above(&self) -> Vec<PathBuf> {
        self.above
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
            .clone()
    }

    fn look_into(&self, devices: Vec<PathBuf>) {
        *self
            .above
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = devices;
    }
}

impl Lvm {
    /// The groups on these devices, and which of them could not be read.
    pub(super) async fn look_above(
        &self,
        devices: &[AbsolutePath],
    ) -> (Vec<Group>, Vec<AbsolutePath>) {
        let paths = devices.iter().map(|device| device.as_str().into());
        self.shared.look_into(paths.collect());
        match self.groups_above().await {
            Ok(groups) => (groups, Vec::new()),
            Err(error) => {
                tracing::warn!(%error, "volume groups on replicated devices cannot be looked at");
                (Vec::new(), devices.to_vec())
            }
        }
    }

    async fn groups_above(&self) -> Result<Vec<Group>, DriverError> {
        if self.shared.above().is_empty() {
            return Ok(Vec::new());
        }
        self.report(Reach::Replicated).await
    }

    pub(super) async fn group_above(&self, name: &str) -> Result<Option<Group>, DriverError> {
        let groups = self.groups_above().await?;
        Ok(groups.into_iter().find(|group| group.name == name))
    }

    /// Makes the group on its device, or lets it take what the device has grown by.
    pub(super) async fn ensure_group_above(
        &self,
        target: &VolumeGroupTarget,
    ) -> Result<(), DriverError> {
        let name = target.name.as_str();
        let [device] = &target.devices[..] else {
            return Err(DriverError::lasting(
                Trouble::DeviceMissing,
                format!("volume group {name} lies on one replicated device, and none is named"),
            ));
        };
        let own = self.groups().await?;
        if own.iter().any(|group| group.name == name) {
            return Err(foreign(format!(
                "there is a volume group {name} already, on disks of this host"
            )));
        }
        let device = PathBuf::from(device.as_str());
        let mut above = self.shared.above();
        if !above.contains(&device) {
            above.push(device.clone());
            self.shared.look_into(above);
        }
        let tag = format!("{}{}", report::POOL, target.pool);
        let path = device.display().to_string();
        let Some(group) = self.group_above(name).await? else {
            self.blank(&device).await?;
            let make = ["vgcreate", "--setautoactivation", "n", "--addtag"];
            let make = make.into_iter().chain([tag.as_str(), name, &path]);
            return self.act(Reach::Replicated, make).await;
        };
        let on_it = |disk: &report::Disk| resolved(Path::new(&disk.path)) == resolved(&device);
        if !group.disks.iter().all(on_it) {
            return Err(foreign(format!(
                "volume group {name} lies on more than {path}"
            )));
        }
        match &group.pool {
            Some(pool) if *pool == target.pool => {}
            Some(other) => {
                return Err(foreign(format!(
                    "volume group {name} belongs to pool {other}"
                )));
            }
            // The manifest names exactly the device that it lies on: it is taken over.
            None => {
                let take = ["vgchange", "--setautoactivation", "n", "--addtag"];
                let take = take.into_iter().chain([tag.as_str(), name]);
                self.act(Reach::Replicated, take).await?;
            }
        }
        self.act(Reach::Replicated, ["pvresize", &path]).await
    }
}
