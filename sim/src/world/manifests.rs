//! What people want of a simulated cluster.

use super::Setup;

/// The manifests in the order in which they are applied.
pub(super) fn manifests(setup: &Setup) -> Vec<String> {
    let mut all = vec![cluster(setup)];
    for (number, host) in setup.host_names().iter().enumerate() {
        all.push(device(&format!("bmc-{host}"), "fence_ipmilan"));
        all.push(device(&format!("pdu-{host}"), "fence_apc_snmp"));
        all.push(node(host, number + 1));
    }
    all.push(pool(setup));
    for number in 1..=setup.guests {
        all.push(volume(number, setup.hosts.min(2)));
        all.push(guest(number));
    }
    all
}

fn manifest(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: quorate.dev/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
    )
}

fn cluster(_setup: &Setup) -> String {
    manifest("Cluster", crate::member::CLUSTER, "{}")
}

fn device(name: &str, agent: &str) -> String {
    manifest(
        "FenceDevice",
        name,
        &format!("{{agent: {agent}, parameters: {{ip: {name}, username: sim}}}}"),
    )
}

fn node(name: &str, number: usize) -> String {
    manifest(
        "Node",
        name,
        &format!(
            "{{number: {number}, fencing: {{levels: [\
             {{name: bmc, devices: [{{device: bmc-{name}}}]}}, \
             {{name: pdu, devices: [{{device: pdu-{name}, plug: \"1\"}}]}}]}}}}"
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

fn guest(number: usize) -> String {
    manifest(
        "VirtualMachine",
        &format!("vm{number}"),
        &format!("{{memory: 2Gi, disks: [{{name: data, volume: data{number}}}]}}"),
    )
}
