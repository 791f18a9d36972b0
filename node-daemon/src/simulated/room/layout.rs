//! What stands in the room: machines, their boards and disks, and the switched outlets they are plugged into.

use std::collections::BTreeMap;

use quorate_crds::Nic;
use serde::{Deserialize, Serialize};

/// What stands in the room.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Layout {
    /// The machines.
    pub machines: Vec<MachineLayout>,
    /// The fence devices.
    pub devices: Vec<DeviceLayout>,
}

/// One machine.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MachineLayout {
    /// Its name: that of its Node.
    pub name: String,
    /// Bytes of memory.
    pub memory: u64,
    /// Processors.
    pub cpus: u32,
    /// Network cards.
    pub nics: Vec<Nic>,
    /// Disks by their paths, with their bytes.
    pub disks: BTreeMap<String, u64>,
    /// Whether it has a hardware watchdog.
    pub watchdog: bool,
}

impl MachineLayout {
    /// A machine with plenty of everything and no card.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            memory: 64 << 30,
            cpus: 16,
            nics: Vec::new(),
            disks: BTreeMap::new(),
            watchdog: true,
        }
    }
}

/// One fence device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DeviceLayout {
    /// Its name.
    pub name: String,
    /// What it is.
    pub kind: DeviceKind,
}

/// What a fence device is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum DeviceKind {
    /// The management board of this machine: it lives from the machine's own mains.
    Board(String),
    /// Switched outlets: what is plugged into each. A machine that is plugged into several has as many power supplies.
    Outlets(BTreeMap<String, String>),
}
