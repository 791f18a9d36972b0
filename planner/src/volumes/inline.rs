//! Volumes that guests' disks bring along: made for the disk, deleted with the guest.

use crate::outcome::Outcome;
use crate::round::Round;
use quorate_crds::Disk;
use serde_json::json;

/// What the volume of a disk is called.
pub(crate) fn name(guest: &str, disk: &Disk) -> String {
    format!("{guest}-{}", disk.name)
}

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    for (guest, object) in round.state.guests.iter() {
        if object.metadata.deletion_timestamp.is_some() {
            continue;
        }
        for disk in &object.spec.disks {
            let (Some(size), Some(pool)) = (&disk.size, &disk.pool) else {
                continue;
            };
            let name = name(guest, disk);
            if round.state.volumes.contains_key(&name) {
                continue;
            }
            let owner = json!([{
                "apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachine", "name": guest,
                "uid": object.metadata.uid.clone().unwrap_or_default(), "controller": true,
            }]);
            outcome.decisions.create.push(json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "Volume",
                "metadata": {"name": name, "ownerReferences": owner},
                "spec": {"size": size, "pool": pool},
            }));
        }
    }
}
