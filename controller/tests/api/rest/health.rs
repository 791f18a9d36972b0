//! Whether an object is well can be told of every kind in the same way, as kstatus, GitOps controllers and `kubectl wait` do.

use std::{fs, path::Path, time::Duration};

use quorate_crds::KindInfo;
use serde_json::{Value, json};

use super::client::{Http, path};
use crate::support::TestCluster;

/// Hosts write the status of their plans, to the leader and to nobody else.
const NOT_TOLD: &str = "NodePlan";

/// A platform with an object of every kind, and a migration, which examples have no use for.
fn platform() -> Vec<Value> {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/anvil");
    let mut files: Vec<_> = fs::read_dir(examples)
        .expect("examples")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    let mut objects: Vec<Value> = files
        .iter()
        .flat_map(|path| {
            let text = fs::read(path).expect("readable");
            quorate_crds::manifest::parse(&text, &Default::default()).expect("YAML")
        })
        .collect();
    objects.push(json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "VirtualMachineMigration",
        "metadata": {"name": "move-web"}, "spec": {"virtualMachine": "vm01-web"},
    }));
    objects
}

fn kind(object: &Value) -> &'static KindInfo {
    let kind = object["kind"].as_str().expect("a kind");
    quorate_crds::find(kind).expect("a kind of ours")
}

/// Of these nothing is known before a host has been there, and none has.
const KNOWN_BY_HOSTS: [&str; 4] = ["Node", "Network", "StoragePool", "VirtualMachineMigration"];

/// Whether its status is about its present spec, and says whether it is as it should be or, of what is done once, whether it
/// is done.
fn tells_how_it_is(kind: &KindInfo, object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    let says = conditions
        .into_iter()
        .flatten()
        .any(|condition| condition["type"] == "Ready" || condition["type"] == "Complete");
    (says || KNOWN_BY_HOSTS.contains(&kind.kind))
        && object["status"]["observedGeneration"] == object["metadata"]["generation"]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_with_a_status_tells_how_it_is() {
    let cluster = TestCluster::of_one().await;
    let admin = Http::admin(&cluster);
    for object in platform() {
        admin.post(&path(kind(&object).plural), &object).await.ok();
    }
    for kind in quorate_crds::kinds() {
        if !kind.status || kind.kind == NOT_TOLD {
            continue;
        }
        loop {
            let listed = admin.get(&path(kind.plural)).await.ok();
            let objects = listed["items"].as_array().expect("a list");
            assert!(!objects.is_empty(), "there is no {}", kind.kind);
            let Some(untold) = objects.iter().find(|object| !tells_how_it_is(kind, object)) else {
                break;
            };
            // For whoever waits for it to end.
            println!("not yet: {}/{}", kind.plural, untold["metadata"]["name"]);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}
