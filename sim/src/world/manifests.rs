//! What people want of a simulated cluster.

use super::Setup;

use quorate_controller::resource::Manifest;

/// What the shared filesystem and its volume are called.
pub(super) const SHARED: &str = "files";

/// The manifests in the order in which they are applied.
pub(super) fn manifests(setup: &Setup) -> Vec<String> {
    let mut all = usual(setup);
    let usual: Vec<About> = all.iter().map(|manifest| about(manifest)).collect();
    for manifest in &setup.besides {
        let place = usual.iter().position(|usual| *usual == about(manifest));
        if let Some(place) = place {
            all[place].clone_from(manifest);
        }
    }
    // What guests refer to comes before them.
    let more = setup
        .besides
        .iter()
        .filter(|one| !usual.contains(&about(one)));
    let first = |manifest: &String| about(manifest).is_some_and(|(kind, _)| kind == "Volume");
    let place = all.iter().position(first).unwrap_or(all.len());
    all.splice(place..place, more.cloned());
    all
}

/// The kind and name of what a manifest is about.
type About = Option<(&'static str, String)>;

fn about(manifest: &str) -> About {
    let manifest = Manifest::parse(manifest.as_bytes()).ok()?;
    Some((manifest.kind.kind, manifest.name().to_owned()))
}

/// What people say besides in place of the usual.
fn besides<'a>(setup: &'a Setup, kind: &str, name: &str) -> Option<&'a String> {
    let is_about =
        |manifest: &&String| about(manifest).is_some_and(|(of, named)| of == kind && named == name);
    setup.besides.iter().find(is_about)
}

fn usual(setup: &Setup) -> Vec<String> {
    let mut all = vec![manifest("Cluster", crate::member::CLUSTER, "{}")];
    if setup.watchdog {
        all.push(manifest("FenceDevice", "watchdog", "{type: Watchdog}"));
    }
    for host in setup.host_names() {
        all.push(device(&format!("bmc-{host}"), "fence_ipmilan"));
        all.push(device(&format!("pdu-{host}"), "fence_apc_snmp"));
        if setup.two_supplies {
            all.push(device(&format!("ups-{host}"), "fence_apc_snmp"));
        }
        all.push(node(setup, &host, "Active"));
    }
    all.push(pool(setup));
    if setup.sharers > 0 {
        all.extend(shared(setup));
    }
    for number in 1..=setup.guests {
        all.push(volume(number, setup.hosts.min(2)));
        all.push(guest(setup, &format!("vm{number}"), "Running"));
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
    if let Some(given) = besides(setup, "Node", name) {
        return given.replace("mode: Active", &format!("mode: {mode}"));
    }
    let number = setup.host_names().iter().position(|host| host == name);
    let number = number.unwrap_or(0) + 1;
    let last = if setup.watchdog {
        ", {name: watchdog, devices: [{device: watchdog}]}"
    } else {
        ""
    };
    let (board, outlet) = (
        format!("{{device: bmc-{name}}}"),
        format!("{{device: pdu-{name}, plug: \"1\"}}"),
    );
    let second = if setup.two_supplies {
        format!(", {{device: ups-{name}, plug: \"1\"}}")
    } else {
        String::new()
    };
    manifest(
        "Node",
        name,
        &format!(
            "{{number: {number}, mode: {mode}, fencing: {{levels: [\
             {{name: bmc, devices: [{board}]}}, \
             {{name: pdu, devices: [{outlet}{second}]}}{last}]}}}}"
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

/// A filesystem on a volume that several hosts write.
fn shared(setup: &Setup) -> [String; 2] {
    let replicas = setup.sharers;
    let volume = format!("{{size: 10Gi, pool: local, replicas: {replicas}, access: MultiWriter}}");
    [manifest("Volume", SHARED, &volume), filesystem(setup, None)]
}

/// The filesystem on every host that keeps its volume, or on all but one.
pub(super) fn filesystem(setup: &Setup, without: Option<&str>) -> String {
    let mut hosts = setup.host_names();
    hosts.retain(|host| Some(host.as_str()) != without);
    let nodes = match without {
        Some(_) => format!(", nodes: [{}]", hosts.join(", ")),
        None => String::new(),
    };
    let journals = setup.sharers;
    let spec = format!("{{volume: {SHARED}, mountPoint: /srv/files, journals: {journals}{nodes}}}");
    manifest("SharedFilesystem", SHARED, &spec)
}

/// A guest with the volume of its number.
pub(super) fn guest(setup: &Setup, name: &str, desired: &str) -> String {
    if let Some(given) = besides(setup, "VirtualMachine", name) {
        return given.replace("desiredState: Running", &format!("desiredState: {desired}"));
    }
    let (memory, reserve) = match setup.guest_memory {
        small @ ..=8 => (small, ""),
        large => (large, "withoutReserve: true, "),
    };
    let volume = name.replace("vm", "data");
    manifest(
        "VirtualMachine",
        name,
        &format!(
            "{{memory: {memory}Gi, {reserve}desiredState: {desired}, disks: [{{name: data, volume: {volume}}}]}}"
        ),
    )
}
