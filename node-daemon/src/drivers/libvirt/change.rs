//! What of a changed manifest a guest can be given while it runs, and what waits for its next start.

use quorate_crds::scalar::Label;
use quorate_crds::{Disk, DiskDevice, VirtualMachineSpec};

/// A change that is made while it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// So many processors.
    Cpus,
    /// So much memory.
    Memory,
    /// Another medium in a drive, or none.
    Medium(Label),
    /// A new disk.
    PlugDisk(Label),
    /// A disk less.
    UnplugDisk(Label),
    /// A new card.
    PlugNic(Label),
    /// A card less.
    UnplugNic(Label),
    /// A card's cable plugged in or out.
    Cable(Label),
}

/// What can be tried, in this order.
pub(super) fn changes(running: &VirtualMachineSpec, wanted: &VirtualMachineSpec) -> Vec<Change> {
    let mut all = Vec::new();
    let most = |spec: &VirtualMachineSpec| spec.max_cpus.unwrap_or(spec.cpus).max(spec.cpus);
    if running.cpus != wanted.cpus && wanted.cpus <= most(running) {
        all.push(Change::Cpus);
    }
    if running.memory != wanted.memory {
        all.push(Change::Memory);
    }
    for former in &running.disks {
        match wanted.disks.iter().find(|disk| disk.name == former.name) {
            None => all.push(Change::UnplugDisk(former.name.clone())),
            Some(disk)
                if content(former) != content(disk)
                    && apart_from_content(former) == apart_from_content(disk)
                    && drive(disk) =>
            {
                all.push(Change::Medium(disk.name.clone()));
            }
            Some(_) => {}
        }
    }
    for disk in &wanted.disks {
        if !running.disks.iter().any(|former| former.name == disk.name) {
            all.push(Change::PlugDisk(disk.name.clone()));
        }
    }
    for former in &running.nics {
        match wanted.nics.iter().find(|nic| nic.name == former.name) {
            None => all.push(Change::UnplugNic(former.name.clone())),
            Some(nic) if nic.connected != former.connected => {
                all.push(Change::Cable(nic.name.clone()));
            }
            Some(_) => {}
        }
    }
    for nic in &wanted.nics {
        if !running.nics.iter().any(|former| former.name == nic.name) {
            all.push(Change::PlugNic(nic.name.clone()));
        }
    }
    all
}

fn drive(disk: &Disk) -> bool {
    disk.device == DiskDevice::Cdrom
}

fn content(disk: &Disk) -> impl PartialEq {
    (disk.media.clone(), disk.file.clone(), disk.empty)
}

fn apart_from_content(disk: &Disk) -> Disk {
    Disk {
        media: None,
        file: None,
        empty: false,
        // The volume grows by itself.
        size: None,
        ..disk.clone()
    }
}

impl Change {
    /// Writes down that it was made.
    pub(super) fn made(&self, running: &mut VirtualMachineSpec, wanted: &VirtualMachineSpec) {
        let disk = |name: &Label| wanted.disks.iter().find(|disk| disk.name == *name).cloned();
        let nic = |name: &Label| wanted.nics.iter().find(|nic| nic.name == *name).cloned();
        match self {
            Self::Cpus => running.cpus = wanted.cpus,
            Self::Memory => running.memory = wanted.memory.clone(),
            Self::PlugDisk(name) => running.disks.extend(disk(name)),
            Self::UnplugDisk(name) => running.disks.retain(|disk| disk.name != *name),
            Self::PlugNic(name) => running.nics.extend(nic(name)),
            Self::UnplugNic(name) => running.nics.retain(|nic| nic.name != *name),
            Self::Medium(name) => {
                let former = running.disks.iter_mut().find(|disk| disk.name == *name);
                if let (Some(former), Some(disk)) = (former, disk(name)) {
                    *former = disk;
                }
            }
            Self::Cable(name) => {
                let former = running.nics.iter_mut().find(|nic| nic.name == *name);
                if let (Some(former), Some(nic)) = (former, nic(name)) {
                    former.connected = nic.connected;
                }
            }
        }
    }
}

/// The fields in which what runs differs from what is wanted.
pub(super) fn pending(running: &VirtualMachineSpec, wanted: &VirtualMachineSpec) -> Vec<String> {
    let mut fields = Vec::new();
    let mut compare = |field: &str, equal: bool| {
        if !equal {
            fields.push(field.to_owned());
        }
    };
    compare("memory", running.memory == wanted.memory);
    compare("maxMemory", running.max_memory == wanted.max_memory);
    compare("cpus", running.cpus == wanted.cpus);
    compare("maxCpus", running.max_cpus == wanted.max_cpus);
    compare("cpu", running.cpu == wanted.cpu);
    compare("hypervisor", running.hypervisor == wanted.hypervisor);
    compare("machine", running.machine == wanted.machine);
    compare("firmware", running.firmware == wanted.firmware);
    compare("boot", running.boot == wanted.boot);
    compare("display", running.display == wanted.display);
    compare(
        "serialConsole",
        running.serial_console == wanted.serial_console,
    );
    compare("clock", running.clock == wanted.clock);
    compare("agent", running.agent == wanted.agent);
    compare(
        "guestWatchdog",
        running.guest_watchdog == wanted.guest_watchdog,
    );
    compare(
        "recovery.onCrash",
        running.recovery.on_crash == wanted.recovery.on_crash,
    );
    compare("rawDomain", running.raw_domain == wanted.raw_domain);
    let grown = |disk: &Disk| Disk {
        size: None,
        ..disk.clone()
    };
    let names = running
        .disks
        .iter()
        .chain(&wanted.disks)
        .map(|disk| &disk.name);
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let of = |spec: &VirtualMachineSpec| {
            spec.disks.iter().find(|disk| disk.name == *name).map(grown)
        };
        compare(&format!("disks[{name}]"), of(running) == of(wanted));
    }
    let names = running.nics.iter().chain(&wanted.nics).map(|nic| &nic.name);
    for name in names.collect::<std::collections::BTreeSet<_>>() {
        let of =
            |spec: &VirtualMachineSpec| spec.nics.iter().find(|nic| nic.name == *name).cloned();
        compare(&format!("nics[{name}]"), of(running) == of(wanted));
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec(json: &str) -> VirtualMachineSpec {
        serde_json::from_str(json).expect("a spec")
    }

    #[test]
    fn what_can_be_changed_is_changed_and_the_rest_is_pending() {
        let mut running = spec(
            r#"{"memory":"1Gi","maxMemory":"2Gi","cpus":1,"maxCpus":2,"disks":[{"name":"system","size":"1Gi","pool":"p"},
                {"name":"drive","device":"Cdrom","media":"media://a.iso"},{"name":"old","volume":"o"}],
                "nics":[{"name":"eth0","network":"n"}]}"#,
        );
        let wanted = spec(
            r#"{"memory":"2Gi","maxMemory":"2Gi","cpus":2,"maxCpus":2,"clock":"Localtime","disks":[{"name":"system","size":"2Gi","pool":"p"},
                {"name":"drive","device":"Cdrom","empty":true},{"name":"new","volume":"n"}],
                "nics":[{"name":"eth0","network":"n","connected":false},{"name":"eth1","network":"n"}]}"#,
        );
        let label = |name: &str| Label(name.to_owned());
        let found = changes(&running, &wanted);
        assert_eq!(
            found,
            [
                Change::Cpus,
                Change::Memory,
                Change::Medium(label("drive")),
                Change::UnplugDisk(label("old")),
                Change::PlugDisk(label("new")),
                Change::Cable(label("eth0")),
                Change::PlugNic(label("eth1")),
            ]
        );
        assert_eq!(
            pending(&running, &wanted),
            [
                "memory",
                "cpus",
                "clock",
                "disks[drive]",
                "disks[new]",
                "disks[old]",
                "nics[eth0]",
                "nics[eth1]"
            ]
        );
        for change in found {
            change.made(&mut running, &wanted);
        }
        assert_eq!(pending(&running, &wanted), ["clock"]);
        assert_eq!(changes(&running, &wanted), []);
    }

    #[test]
    fn a_disk_that_becomes_another_waits_for_a_restart() {
        let running = spec(r#"{"memory":"1Gi","disks":[{"name":"data","volume":"a"}]}"#);
        let wanted = spec(r#"{"memory":"1Gi","disks":[{"name":"data","volume":"b"}]}"#);
        assert_eq!(changes(&running, &wanted), []);
        assert_eq!(pending(&running, &wanted), ["disks[data]"]);
    }

    #[test]
    fn more_processors_than_it_was_started_for_wait_for_a_restart() {
        let running = spec(r#"{"memory":"1Gi","cpus":1}"#);
        let wanted = spec(r#"{"memory":"1Gi","cpus":4}"#);
        assert_eq!(changes(&running, &wanted), []);
        assert_eq!(pending(&running, &wanted), ["cpus"]);
    }
}
