//! What is wrong with a host's cables and disks. It outlives the machine: a cut cable is still cut after a power cycle.

use std::collections::BTreeMap;

use serde_json::json;

use crate::error::LabError;
use crate::hardware::{data_disk, nics};
use crate::qmp::Qmp;
use crate::request::{Cable, DiskMood};

/// The faults of one host.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    /// Whether its processors are stopped; ends with the machine.
    pub(crate) frozen: bool,
    cables: BTreeMap<String, Cable>,
    dead_switches: [bool; 2],
    disks: Vec<DiskMood>,
}

impl Faults {
    pub(crate) fn new(disks: usize) -> Faults {
        let cables =
            nics().map(|(network, switch)| (format!("{}-{switch}", network.name), Cable::Plugged));
        Faults {
            frozen: false,
            cables: cables.collect(),
            dead_switches: [false; 2],
            disks: vec![DiskMood::Healthy; disks],
        }
    }

    /// The cable of this NIC gets into this state; its former one is returned.
    pub(crate) fn set_cable(&mut self, nic: &str, state: Cable) -> Result<Cable, LabError> {
        let known = self.cables.keys().cloned().collect::<Vec<_>>().join(", ");
        let cable = self.cables.get_mut(nic).ok_or_else(|| {
            LabError::Refused(format!("a host has no NIC {nic:?}; it has {known}"))
        })?;
        Ok(std::mem::replace(cable, state))
    }

    /// Switch 0 or 1 loses its power or has it back.
    pub(crate) fn set_switch(&mut self, index: usize, on: bool) {
        self.dead_switches[index] = !on;
    }

    /// The disk gets into this state; its former one is returned.
    pub(crate) fn set_disk(&mut self, disk: usize, mood: DiskMood) -> Result<DiskMood, LabError> {
        let count = self.disks.len();
        let place = self.disks.get_mut(disk).ok_or_else(|| {
            LabError::Refused(format!(
                "a host has no data disk {disk}; it has {count}, counted from 0"
            ))
        })?;
        Ok(std::mem::replace(place, mood))
    }

    /// The cables that do not carry, by name.
    pub(crate) fn bad_cables(&self) -> Vec<String> {
        let bad = self
            .cables
            .iter()
            .filter(|(_, state)| **state != Cable::Plugged);
        bad.map(|(nic, state)| {
            format!(
                "{nic} {}",
                if *state == Cable::Cut {
                    "cut"
                } else {
                    "black hole"
                }
            )
        })
        .collect()
    }

    /// The disks that are not healthy.
    pub(crate) fn bad_disks(&self) -> Vec<String> {
        let bad = self
            .disks
            .iter()
            .enumerate()
            .filter(|(_, mood)| **mood != DiskMood::Healthy);
        bad.map(|(disk, mood)| match mood {
            DiskMood::Slow(rate) => format!("{} {rate} B/s", data_disk(disk)),
            _ => format!("{} failing", data_disk(disk)),
        })
        .collect()
    }

    /// Whether the host sees a carrier there.
    fn has_carrier(&self, nic: &str) -> bool {
        let dead = self.dead_switches[usize::from(nic.ends_with('b'))];
        !dead && self.cables.get(nic) != Some(&Cable::Cut)
    }

    /// Brings a machine that has just been made to what it should be.
    pub(crate) async fn apply_all(&self, qmp: &Qmp) -> Result<(), LabError> {
        self.apply_links(qmp).await?;
        for (disk, mood) in self.disks.iter().enumerate() {
            apply_disk(qmp, disk, DiskMood::Healthy, *mood).await?;
        }
        Ok(())
    }

    /// Sets the carrier of every NIC.
    pub(crate) async fn apply_links(&self, qmp: &Qmp) -> Result<(), LabError> {
        for nic in self.cables.keys() {
            let arguments = json!({ "name": format!("nic-{nic}"), "up": self.has_carrier(nic) });
            qmp.execute("set_link", arguments).await?;
        }
        Ok(())
    }
}

/// Changes how a disk of a running machine behaves.
pub(crate) async fn apply_disk(
    qmp: &Qmp,
    disk: usize,
    from: DiskMood,
    to: DiskMood,
) -> Result<(), LabError> {
    let node = data_disk(disk);
    let path = format!("/machine/peripheral/{node}-device/virtio-backend");
    if from == DiskMood::Failing && to != DiskMood::Failing {
        qmp.execute(
            "qom-set",
            json!({ "path": path, "property": "drive", "value": node }),
        )
        .await?;
        qmp.execute(
            "blockdev-del",
            json!({ "node-name": format!("{node}-ill") }),
        )
        .await?;
    }
    if to == DiskMood::Failing && from != DiskMood::Failing {
        // A filter between the device and the disk that fails each request before it is carried out.
        let error = |event: &str| json!({ "event": event, "errno": 5, "immediately": true });
        let filter = json!({
            "driver": "blkdebug",
            "node-name": format!("{node}-ill"),
            "image": node,
            "inject-error": [error("none")],
        });
        qmp.execute("blockdev-add", filter).await?;
        let value = format!("{node}-ill");
        qmp.execute(
            "qom-set",
            json!({ "path": path, "property": "drive", "value": value }),
        )
        .await?;
    }
    let rate = |mood| {
        if let DiskMood::Slow(rate) = mood {
            rate
        } else {
            0
        }
    };
    if rate(from) == rate(to) {
        return Ok(());
    }
    let limits = json!({
        "id": path, "bps": rate(to), "bps_rd": 0, "bps_wr": 0, "iops": 0, "iops_rd": 0, "iops_wr": 0,
    });
    qmp.execute("block_set_io_throttle", limits).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cable_carries_when_it_is_plugged_and_its_switch_is_on() {
        let mut faults = Faults::new(1);
        assert!(faults.has_carrier("sn-b"));
        faults.set_switch(1, false);
        assert!(!faults.has_carrier("sn-b") && faults.has_carrier("sn-a"));
        faults.set_switch(1, true);
        faults
            .set_cable("sn-b", Cable::Cut)
            .expect("there is such a NIC");
        assert!(!faults.has_carrier("sn-b"));
        faults
            .set_cable("sn-b", Cable::BlackHole)
            .expect("there is such a NIC");
        assert!(faults.has_carrier("sn-b"), "a black hole keeps the carrier");
        assert_eq!(faults.bad_cables(), ["sn-b black hole"]);
    }

    #[test]
    fn what_is_not_there_is_refused_with_what_is() {
        let mut faults = Faults::new(2);
        let error = faults
            .set_cable("eth0", Cable::Cut)
            .expect_err("no such NIC")
            .to_string();
        assert!(error.contains("bcn-a"), "{error}");
        let error = faults
            .set_disk(2, DiskMood::Failing)
            .expect_err("only 0 and 1")
            .to_string();
        assert!(error.contains("it has 2"), "{error}");
    }
}
