//! What a resync is about to overwrite is kept aside before: always where the volume asks for it, and wherever both sides have
//! written (rule R11).

use jiff::Timestamp;

use super::Drbd;
use super::kept::Kept;
use crate::drivers::{DriverError, SnapshotTarget, Trouble};
use crate::handler::Call;

impl Drbd {
    /// Whether the kernel may go on.
    pub(super) async fn heard(&self, call: &Call) -> bool {
        let Some(kept) = self.place.kept(&call.resource) else {
            return call.handler != "before-resync-target";
        };
        let done = match call.handler.as_str() {
            "initial-split-brain" => {
                let since = kept.met_split.unwrap_or(Timestamp::now().as_second());
                self.remember_split(&kept, Some(since))
            }
            "before-resync-target" => self.keep_aside(&kept).await,
            "after-resync-target" => self.is_in_sync(&kept).await,
            _ => Ok(()),
        };
        if let Err(error) = &done {
            tracing::warn!(
                volume = call.resource,
                handler = call.handler,
                error = error as &dyn std::error::Error,
                "what DRBD waits for was not done"
            );
        }
        done.is_ok() || call.handler != "before-resync-target"
    }

    pub(super) fn remember_split(
        &self,
        kept: &Kept,
        met_split: Option<i64>,
    ) -> Result<(), DriverError> {
        if kept.met_split == met_split {
            return Ok(());
        }
        let kept = Kept {
            met_split,
            ..kept.clone()
        };
        self.place.keep(&kept).map_err(|error| {
            DriverError::passing(
                Trouble::Refused,
                format!(
                    "it cannot be remembered that volume {} has split",
                    kept.volume
                ),
            )
            .because(error)
        })
    }

    async fn keep_aside(&self, kept: &Kept) -> Result<(), DriverError> {
        if let Some(since) = kept.met_split {
            return self.snapshot(kept, &format!("given-up-{since}")).await;
        }
        if !kept.snapshot_target {
            return Ok(());
        }
        match self.snapshot(kept, "before-resync").await {
            // The redundancy that the resync brings back is worth more.
            Err(error) if error.trouble() == Trouble::NoSpace => {
                tracing::warn!(volume = %kept.volume, %error, "it is resynced without a snapshot");
                Ok(())
            }
            done => done,
        }
    }

    async fn is_in_sync(&self, kept: &Kept) -> Result<(), DriverError> {
        self.remember_split(kept, None)?;
        let (group, logical) = place(kept)?;
        let name = format!("{logical}-before-resync");
        let groups = self.pools.on_disks().await?;
        let there = groups.iter().any(|known| {
            known.name == group && known.volumes.iter().any(|volume| volume.name == name)
        });
        if there {
            self.pools.remove_volume(group, &name, false).await?;
        }
        Ok(())
    }

    async fn snapshot(&self, kept: &Kept, what: &str) -> Result<(), DriverError> {
        let (group, logical) = place(kept)?;
        let groups = self.pools.on_disks().await?;
        let size = groups
            .iter()
            .filter(|known| known.name == group)
            .flat_map(|known| &known.volumes)
            .find(|volume| volume.name == logical)
            .map_or(0, |volume| volume.size);
        let target = SnapshotTarget {
            owner: kept.volume.clone(),
            group: group.to_owned(),
            of: logical.to_owned(),
            name: format!("{logical}-{what}"),
            // The whole resync may overwrite everything.
            reserve: size,
        };
        self.pools.snapshot(&target).await
    }
}

fn place(kept: &Kept) -> Result<(&str, &str), DriverError> {
    let inside = kept.backing.as_str().strip_prefix("/dev/");
    inside
        .and_then(|inside| inside.split_once('/'))
        .ok_or_else(|| {
            DriverError::lasting(
                Trouble::NotSupported,
                format!(
                    "{} is no logical volume: it cannot be kept aside",
                    kept.backing
                ),
            )
        })
}
