//! What people want of a simulated cluster.

use super::Setup;

/// The manifests in the order in which they are applied.
pub(super) fn manifests(setup: &Setup) -> Vec<String> {
    let mut all = vec![manifest("Cluster", crate::member::CLUSTER, "{}")];
    if setup.watchdog {
        all.push(manifest("FenceDevice", "watchdog", "{type: Watchdog}"));
    }
    for host in setup.host_names() {
        all.push(device(&format!("bmc-{host}"), "fence_ipmilan"));
        all.push(device(&format!("pdu-{host}"), "fence_apc_snmp"));
        all.push(node(setup, &host, "Active"));
    }
    all.push(pool(setup));
    for number in 1..=setup.guests {
        all.push(volume(number, setup.hosts.min(2)));
        all.push(guest(&format!("vm{number}"), "Running"));
    }
    all
}

fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: quorate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn device(name: &str, agent: &str) -> String {
    manifest(
        "FenceDevice",
        name,
        &format!("{{agent: {agent}, parameters: {{ip: {name}, username: sim}}}}"),
    )
}

/// A host with its board first, then its outlet, and its watchdog last where the cluster has that.
pub(super) fn node(setup: &Setup, name: &str, mode: &str) -> String {
    let number = setup.host_names().iter().position(|host| host == name);
    let number = number.unwrap_or(0) + 1;
    let last = if setup.watchdog {
        ", {name: watchdog, devices: [{device: watchdog}]}"
    } else {
        ""
    };
    manifest(
        "Node",
        name,
        &format!(
            "{{number: {number}, mode: {mode}, fencing: {{levels: [\
             {{name: bmc, devices: [{{device: bmc-{name}}}]}}, \
             {{name: pdu, devices: [{{device: pdu-{name}, plug: \"1\"}}]}}{last}]}}}}"
        ),
    )
}

fn pool(setup: &Setup) -> String {
    let hosts: Vec<String> = setup
        .host_names()
        .iter()
        .map(|host| format!("{{node: {host}, devices: [/dev/sdb]}}"))
        .collect();
    manifest(
        "StoragePool",
        "local",
        &format!("{{hosts: [{}]}}", hosts.join(", ")),
    )
}

fn volume(number: usize, replicas: usize) -> String {
    manifest(
        "Volume",
        &format!("data{number}"),
        &format!("{{size: 10Gi, pool: local, replicas: {replicas}}}"),
    )
}

/// A guest with the volume of its number.
pub(super) fn guest(name: &str, desired: &str) -> String {
    let volume = name.replace("vm", "data");
    manifest(
        "VirtualMachine",
        name,
        &format!(
            "{{memory: 2Gi, desiredState: {desired}, disks: [{{name: data, volume: {volume}}}]}}"
        ),
    )
}
