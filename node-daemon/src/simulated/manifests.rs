//! The room that manifests speak of: a machine for every Node, plugged in as its fence levels say.

use std::collections::BTreeMap;

use quorate_crds::{FenceDevice, Node, StoragePool};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::room::{DeviceKind, DeviceLayout, Layout, MachineLayout};

/// How large every disk is.
const DISK: u64 = 4 << 40;

/// Builds the room for these objects. A fence device that is named with an outlet has switched outlets; one without is
/// the board of the host that names it. In the room devices are known by their addresses, which is what agents are told.
#[must_use]
pub fn layout_of(objects: &[Value]) -> Layout {
    let nodes: Vec<Node> = of_kind(objects, "Node");
    let mut kinds: BTreeMap<String, DeviceKind> = BTreeMap::new();
    for node in &nodes {
        let name = node.metadata.name.clone().unwrap_or_default();
        let levels = node.spec.fencing.levels.iter();
        for target in levels.flat_map(|level| &level.devices) {
            let device = target.device.to_string();
            if target.plug.is_empty() {
                kinds.insert(device, DeviceKind::Board(name.clone()));
            } else if let DeviceKind::Outlets(plugs) = kinds
                .entry(device)
                .or_insert_with(|| DeviceKind::Outlets(BTreeMap::new()))
            {
                plugs.insert(target.plug.clone(), name.clone());
            }
        }
    }
    let devices = of_kind::<FenceDevice>(objects, "FenceDevice")
        .into_iter()
        .filter(|device| device.spec.agent.is_some())
        .filter_map(|device| {
            let name = device.metadata.name?;
            let kind = kinds.remove(&name)?;
            let name = device.spec.parameters.get("ip").cloned().unwrap_or(name);
            Some(DeviceLayout { name, kind })
        });
    let pools: Vec<StoragePool> = of_kind(objects, "StoragePool");
    let machines = nodes.iter().map(|node| {
        let name = node.metadata.name.clone().unwrap_or_default();
        let parts = pools.iter().flat_map(|pool| &pool.spec.hosts);
        let disks = parts
            .filter(|part| part.node.as_str() == name)
            .flat_map(|part| &part.devices)
            .map(|device| (device.to_string(), DISK));
        MachineLayout {
            nics: node.spec.nics.clone(),
            disks: disks.collect(),
            ..MachineLayout::new(&name)
        }
    });
    Layout {
        machines: machines.collect(),
        devices: devices.collect(),
    }
}

fn of_kind<T: DeserializeOwned>(objects: &[Value], kind: &str) -> Vec<T> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .filter_map(|object| serde_json::from_value(object.clone()).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn hosts_boards_outlets_and_disks_come_from_the_manifests() {
        let levels = json!([
            {"name": "ipmi", "devices": [{"device": "ipmi-a"}]},
            {"name": "pdu", "devices": [{"device": "p1", "plug": "1"}, {"device": "p2", "plug": "1"}]},
        ]);
        let device = |name: &str, ip: &str| {
            json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "FenceDevice", "metadata": {"name": name},
                "spec": {"agent": "fence_apc_snmp", "parameters": {"ip": ip}},
            })
        };
        let objects = [
            json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "Node", "metadata": {"name": "a"},
                "spec": {"number": 1, "fencing": {"levels": levels}},
            }),
            device("ipmi-a", "10.0.0.1"),
            device("p1", "10.0.0.2"),
            device("p2", "10.0.0.3"),
            json!({
                "apiVersion": "quorate.dev/v1alpha1", "kind": "StoragePool", "metadata": {"name": "local"},
                "spec": {"hosts": [{"node": "a", "devices": ["/dev/sda"]}]},
            }),
        ];
        let layout = layout_of(&objects);
        assert_eq!(layout.machines.len(), 1);
        assert!(layout.machines[0].disks.contains_key("/dev/sda"));
        let kinds: Vec<(&str, &str)> = layout
            .devices
            .iter()
            .map(|device| match &device.kind {
                DeviceKind::Board(machine) => (device.name.as_str(), machine.as_str()),
                DeviceKind::Outlets(plugs) => (device.name.as_str(), plugs["1"].as_str()),
            })
            .collect();
        assert_eq!(
            kinds,
            [("10.0.0.1", "a"), ("10.0.0.2", "a"), ("10.0.0.3", "a")]
        );
    }
}
