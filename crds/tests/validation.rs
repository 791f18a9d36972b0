//! What the schemas refuse, and what they say about it.

use quorate_crds::{API_VERSION, find};
use serde_json::{Value, json};

/// What is wrong with an object of this spec, after defaults.
fn problems(kind: &str, spec: Value) -> Vec<String> {
    changes(kind, spec, None)
}

fn changes(kind: &str, spec: Value, old: Option<Value>) -> Vec<String> {
    let info = find(kind).expect("a kind");
    let whole = |spec: Value| {
        let mut object = json!({
            "apiVersion": API_VERSION,
            "kind": kind,
            "metadata": {"name": "example"},
            "spec": spec,
        });
        info.schema.apply_defaults(&mut object);
        object
    };
    let old = old.map(whole);
    let object = whole(spec);
    let mut violations = info.schema.unknown_fields(&object);
    violations.extend(info.schema.validate(&object, old.as_ref()));
    violations.iter().map(ToString::to_string).collect()
}

#[track_caller]
fn refused(kind: &str, spec: Value, path: &str, says: &str) {
    let problems = problems(kind, spec);
    assert!(
        problems
            .iter()
            .any(|problem| problem.starts_with(path) && problem.contains(says)),
        "expected {path}: …{says}…, found {problems:#?}"
    );
}

#[track_caller]
fn accepted(kind: &str, spec: Value) {
    assert_eq!(problems(kind, spec), Vec::<String>::new());
}

#[test]
fn a_guest_needs_its_memory_in_a_unit() {
    accepted("VirtualMachine", json!({"memory": "2Gi"}));
    refused("VirtualMachine", json!({}), "spec.memory", "");
    refused("VirtualMachine", json!({"memory": 2048}), "spec.memory", "");
    refused(
        "VirtualMachine",
        json!({"memory": "2 GB"}),
        "spec.memory",
        "2 GB",
    );
}

#[test]
fn a_heartbeat_of_the_agent_inside_is_not_promised() {
    let within = json!({"memory": "2Gi", "recovery": {"detectWithin": "4s"}});
    accepted("VirtualMachine", within);
    refused(
        "VirtualMachine",
        json!({"memory": "2Gi", "recovery": {"heartbeat": "1m"}}),
        "spec.recovery",
        "guestWatchdog",
    );
}

#[test]
fn what_is_written_in_a_form_of_its_own_is_checked_and_answered_with_an_example() {
    let cluster = |detection: Value| json!({"detection": detection});
    accepted("Cluster", cluster(json!({"timeout": "1m30s"})));
    refused(
        "Cluster",
        cluster(json!({"timeout": "10"})),
        "spec.detection.timeout",
        "1m30s",
    );
    let network = |subnet: &str| json!({"subnet": subnet});
    accepted("Network", network("fd00:20::/64"));
    refused(
        "Network",
        network("10.20.0.0/33"),
        "spec.subnet",
        "10.20.0.0/16",
    );
    refused(
        "Network",
        json!({"subnet": "10.20.0.0/16", "gateway": "10.20.0.999"}),
        "spec.gateway",
        "10.20.0.1",
    );
    refused(
        "Secret",
        json!({"data": {"password": "not base64!"}}),
        "spec.data",
        "base64",
    );
}

#[test]
fn a_misspelt_field_is_named() {
    refused(
        "VirtualMachine",
        json!({"memory": "2Gi", "cpu": {"modle": "Host"}}),
        "spec.cpu.modle",
        "",
    );
}

#[test]
fn a_value_that_is_not_on_the_list_is_answered_with_the_list() {
    refused(
        "VirtualMachine",
        json!({"memory": "2Gi", "clock": "local"}),
        "spec.clock",
        "Localtime",
    );
}

#[test]
fn a_disk_is_exactly_one_thing() {
    let disk = |disk: Value| json!({"memory": "2Gi", "disks": [disk]});
    accepted(
        "VirtualMachine",
        disk(json!({"name": "a", "volume": "data"})),
    );
    accepted(
        "VirtualMachine",
        disk(json!({"name": "a", "device": "Cdrom", "empty": true})),
    );
    refused(
        "VirtualMachine",
        disk(json!({"name": "a"})),
        "spec.disks[0]",
        "exactly one of volume, size, file, media and empty",
    );
    refused(
        "VirtualMachine",
        disk(json!({"name": "a", "volume": "data", "size": "1Gi", "pool": "local"})),
        "spec.disks[0]",
        "exactly one of",
    );
    refused(
        "VirtualMachine",
        disk(json!({"name": "a", "size": "1Gi"})),
        "spec.disks[0]",
        "needs a pool",
    );
    refused(
        "VirtualMachine",
        disk(json!({"name": "a", "media": "media://x.iso"})),
        "spec.disks[0]",
        "Cdrom",
    );
    refused(
        "VirtualMachine",
        disk(json!({"name": "a", "volume": "data", "cache": "WriteBack"})),
        "spec.disks[0]",
        "io Native needs the cache None or DirectSync",
    );
}

#[test]
fn two_disks_of_one_name_are_refused() {
    refused(
        "VirtualMachine",
        json!({"memory": "2Gi", "disks": [{"name": "a", "volume": "x"}, {"name": "a", "volume": "y"}]}),
        "spec.disks[1]",
        "",
    );
}

#[test]
fn processors_and_topology_must_agree() {
    let guest = |sockets| json!({"memory": "2Gi", "cpus": 4, "cpu": {"topology": {"sockets": sockets, "cores": 2}}});
    accepted("VirtualMachine", guest(2));
    refused(
        "VirtualMachine",
        guest(3),
        "spec",
        "sockets times cores times threads",
    );
    refused(
        "VirtualMachine",
        json!({"memory": "2Gi", "cpus": 4, "maxCpus": 2}),
        "spec",
        "maxCpus must not be smaller than cpus",
    );
}

#[test]
fn a_card_is_found_in_exactly_one_way() {
    accepted(
        "Node",
        json!({"nics": [{"name": "a", "mac": "52:54:00:00:00:01"}]}),
    );
    refused(
        "Node",
        json!({"nics": [{"name": "a"}]}),
        "spec.nics[0]",
        "exactly one of mac, path and device",
    );
    refused(
        "Node",
        json!({"nics": [{"name": "a", "mac": "52:54:00:00:00:01", "device": "eth0"}]}),
        "spec.nics[0]",
        "exactly one of mac, path and device",
    );
    refused(
        "Node",
        json!({"nics": [{"name": "a", "mac": "52-54"}]}),
        "spec.nics[0].mac",
        "52-54",
    );
}

#[test]
fn a_fence_device_has_an_agent_when_a_program_drives_it() {
    accepted("FenceDevice", json!({"agent": "fence_ipmilan"}));
    accepted("FenceDevice", json!({"type": "Manual"}));
    refused("FenceDevice", json!({}), "spec", "agent names the program");
    refused(
        "FenceDevice",
        json!({"type": "Watchdog", "agent": "fence_ipmilan"}),
        "spec",
        "agent names the program",
    );
    refused(
        "FenceDevice",
        json!({"agent": "/bin/sh"}),
        "spec.agent",
        "/bin/sh",
    );
}

#[test]
fn a_fence_operation_is_a_record() {
    let operation = json!({"node": "alpha", "action": "PowerOff", "reason": "a test"});
    accepted("FenceOperation", operation.clone());
    refused(
        "FenceOperation",
        json!({"node": "alpha", "action": "Confirm", "reason": "burnt"}),
        "spec",
        "say in confirmation who looked",
    );
    let changed = json!({"node": "beta", "action": "PowerOff", "reason": "a test"});
    let problems = changes("FenceOperation", changed, Some(operation));
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("is a record")),
        "{problems:?}"
    );
}

#[test]
fn a_network_lies_on_cards_or_on_another_network() {
    accepted("Network", json!({"subnet": "10.20.0.0/16", "nics": ["a"]}));
    accepted(
        "Network",
        json!({"parent": "trunk", "vlan": 100, "addressing": "None"}),
    );
    refused(
        "Network",
        json!({"parent": "trunk", "nics": ["a"], "addressing": "None"}),
        "spec",
        "either on cards of its own",
    );
    refused("Network", json!({"nics": ["a"]}), "spec", "give the subnet");
    refused(
        "Network",
        json!({"addressing": "None", "heartbeat": true}),
        "spec",
        "a ring needs addresses",
    );
    refused(
        "Network",
        json!({"subnet": "10.20.0.0/16", "nics": ["a", "b"], "bond": {"primary": "c"}}),
        "spec",
        "bond.primary must be one of nics",
    );
    refused(
        "Network",
        json!({"subnet": "10.20.0.0/16", "nics": ["a"], "bond": {"name": "x0"}, "bridge": {"name": "x0"}}),
        "spec",
        "need names of their own",
    );
    refused(
        "Network",
        json!({"subnet": "10.20.0.0/16", "nics": ["a"], "bond": {"mode": "Lacp", "arp": {"targets": ["10.20.0.9"]}}}),
        "spec.bond",
        "bond.arp works with",
    );
    refused(
        "Network",
        json!({"subnet": "10.20.0.0/16", "vlan": 4095}),
        "spec.vlan",
        "4095",
    );
}

#[test]
fn a_volume_stays_what_it_is() {
    let volume = json!({"size": "10Gi", "pool": "local"});
    accepted("Volume", volume.clone());
    let problems = changes(
        "Volume",
        json!({"size": "10Gi", "pool": "other"}),
        Some(volume),
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.starts_with("spec.pool")),
        "{problems:?}"
    );
    refused(
        "Volume",
        json!({"size": "10Gi", "pool": "local", "replicas": 1, "access": "MultiWriter"}),
        "spec",
        "MultiWriter needs two replicas",
    );
    refused(
        "Volume",
        json!({"size": "10Gi", "pool": "local", "nodes": ["alpha"]}),
        "spec",
        "nodes must list at least as many hosts",
    );
    refused(
        "Volume",
        json!({"size": "10Gi", "pool": "local", "source": {"url": "https://example.com/a.img"}}),
        "spec.source",
        "give sha256",
    );
}

#[test]
fn a_pool_lies_on_disks_or_on_a_volume() {
    accepted("StoragePool", json!({"hosts": [{"node": "alpha"}]}));
    accepted("StoragePool", json!({"type": "Shared", "volume": "pv"}));
    refused("StoragePool", json!({"volume": "pv"}), "spec", "type Local");
    refused(
        "StoragePool",
        json!({"type": "Shared"}),
        "spec",
        "type Shared",
    );
}

#[test]
fn a_cancelled_migration_stays_cancelled_and_keeps_its_target() {
    let migration = |cancel: bool, target: &str| json!({"virtualMachine": "web", "target": target, "cancel": cancel});
    accepted("VirtualMachineMigration", migration(false, "alpha"));
    let problems = changes(
        "VirtualMachineMigration",
        migration(false, "alpha"),
        Some(migration(true, "alpha")),
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("stays cancelled")),
        "{problems:?}"
    );
    let problems = changes(
        "VirtualMachineMigration",
        migration(false, "beta"),
        Some(migration(false, "alpha")),
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("cannot be changed")),
        "{problems:?}"
    );
}

#[test]
fn an_immutable_secret_and_the_role_of_a_binding_cannot_be_changed() {
    let secret = |value: &str| json!({"immutable": true, "data": {"key": value}});
    let problems = changes("Secret", secret("Yg=="), Some(secret("YQ==")));
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("immutable Secret")),
        "{problems:?}"
    );
    let problems = changes(
        "RoleBinding",
        json!({"role": "admin"}),
        Some(json!({"role": "viewer"})),
    );
    assert!(
        problems
            .iter()
            .any(|problem| problem.contains("role of a binding")),
        "{problems:?}"
    );
}

#[test]
fn the_head_start_of_a_preferred_host_names_it() {
    accepted("Cluster", json!({}));
    refused(
        "Cluster",
        json!({"quorum": {"headStart": {"by": "PreferredNode"}}}),
        "spec.quorum.headStart",
        "name the host in headStart.preferredNode",
    );
}

#[test]
fn a_plan_assigns_one_thing_at_a_time() {
    let plan = |assignment: Value| json!({"node": "alpha", "incarnation": 1, "term": 1, "planGeneration": 1, "assignment": assignment});
    let object = json!({"kind": "Volume", "name": "data"});
    accepted(
        "NodePlan",
        plan(json!({"object": object, "epoch": 1, "active": true,
        "storage": {"volumeGroup": "vg", "logicalVolume": "data"}})),
    );
    refused(
        "NodePlan",
        plan(json!({"object": object, "epoch": 1, "active": true,
            "storage": {"volumeGroup": "vg"}, "guest": {"desiredState": "Running", "step": "Keep"}})),
        "spec.assignment",
        "one of network, storage, replica, mount and guest",
    );
}

fn volume(field: &str, value: Value) -> Value {
    let mut spec = json!({"size": "8Gi", "pool": "fast"});
    spec[field] = value;
    spec
}

#[test]
fn what_nobody_does_to_a_volume_is_refused_with_what_to_do_instead() {
    let sum = "0".repeat(64);
    let image = |url: &str| volume("source", json!({"url": url, "sha256": sum}));
    accepted("Volume", image("https://images.example/a.raw"));
    accepted("Volume", image("file:///var/lib/quorate-node/images/a.raw"));
    refused(
        "Volume",
        image("media://a.raw"),
        "spec.source",
        "file:///var",
    );
    for of in ["snapshot", "volume"] {
        accepted("Volume", volume("source", json!({of: "before"})));
    }
    let both = json!({"snapshot": "before", "volume": "data"});
    refused(
        "Volume",
        volume("source", both),
        "spec.source",
        "exactly one",
    );

    let replication = |value| volume("replication", value);
    let beside = |pool: &str| json!({"metadata": "External", "metadataPool": pool});
    accepted("Volume", replication(beside("fast")));
    refused(
        "Volume",
        replication(beside("slow")),
        "spec",
        "leave replication.metadataPool out",
    );
    let mut taken_over = replication(json!({"metadata": "External"}));
    taken_over["logicalVolume"] = json!("old");
    refused(
        "Volume",
        taken_over,
        "spec",
        "replication.metadata Internal",
    );
    let weak = json!({"authentication": {"algorithm": "Crc32c"}});
    refused(
        "Volume",
        replication(weak),
        "spec.replication.authentication",
        "use Sha256",
    );
}

#[test]
fn no_time_ends_the_wait_of_a_replica_and_none_can_be_set() {
    accepted("Volume", volume("startup", json!({})));
    let of_earlier_releases = json!({"waitForPeer": "300s", "degradedWaitForPeer": "2m"});
    accepted("Volume", volume("startup", of_earlier_releases));
    for wait in [
        json!({"waitForPeer": "10m"}),
        json!({"degradedWaitForPeer": "1s"}),
    ] {
        refused(
            "Volume",
            volume("startup", wait),
            "spec.startup",
            "leave startup out",
        );
    }
}

#[test]
fn what_is_on_a_filesystem_lies_below_its_mount_point() {
    let filesystem = |field: &str, value: Value| {
        let mut spec = json!({"volume": "files", "mountPoint": "/srv/files"});
        spec[field] = value;
        spec
    };
    let directory =
        |path: &str| filesystem("directories", json!([{"purpose": "Media", "path": path}]));
    let medium = |media: &str| json!({"memory": "1Gi", "disks": [{"name": "cd", "device": "Cdrom", "media": media}]});
    let file = |path: &str| {
        let file = json!({"filesystem": "files", "path": path});
        json!({"memory": "1Gi", "disks": [{"name": "a", "file": file}]})
    };
    for path in ["iso", "guests/old", "a..b", ".hidden", "..hidden/x"] {
        accepted("SharedFilesystem", directory(path));
        accepted("VirtualMachine", medium(&format!("media://{path}")));
        accepted("VirtualMachine", file(path));
    }
    for path in [
        "..",
        "../etc",
        "a/../../etc",
        "a/..",
        ".",
        "a/./b",
        "a//b",
        "/etc",
    ] {
        refused("SharedFilesystem", directory(path), "spec.directories", "");
        let media = format!("media://{path}");
        refused("VirtualMachine", medium(&media), "spec.disks[0].media", "");
        refused("VirtualMachine", file(path), "spec.disks[0].file.path", "");
    }
}

#[test]
fn a_filesystem_says_once_how_its_use_is_counted_and_stays_where_it_is() {
    let spec = json!({"volume": "files", "mountPoint": "/srv/files"});
    let with = |field: &str, value: Value| {
        let mut spec = spec.clone();
        spec[field] = value;
        spec
    };
    accepted("SharedFilesystem", with("quota", json!("Enforced")));
    let twice = with("mountOptions", json!(["noatime", "quota=off"]));
    refused("SharedFilesystem", twice, "spec", "say it in quota");
    for (field, value) in [
        ("mountPoint", json!("/srv/other")),
        ("lockTable", json!("a:b")),
    ] {
        let problems = changes("SharedFilesystem", with(field, value), Some(spec.clone()));
        assert!(
            problems.iter().any(|one| one.contains("create it anew")),
            "{problems:?}"
        );
    }
    let check = json!({"at": "2026-03-01T12:00:00Z"});
    accepted("SharedFilesystem", with("check", check));
    accepted("SharedFilesystem", with("desiredState", json!("Unmounted")));
}
