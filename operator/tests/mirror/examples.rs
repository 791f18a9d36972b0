//! A whole platform, as somebody keeps it in a repository.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::{
    rights::manifests,
    world::{NAMESPACE, World},
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whole_platform_arrives_in_whatever_order_it_is_applied() {
    let world = World::start().await;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/examples/anvil");
    let mut files: Vec<_> = fs::read_dir(folder)
        .expect("the example")
        .map(|entry| entry.expect("an entry").path())
        // The order to test a fence device is no part of a platform.
        .filter(|path| !path.ends_with("95-fence-test.yaml"))
        .filter(|path| path.extension().is_some_and(|ending| ending == "yaml"))
        .collect();
    files.sort();
    let mut expected = Vec::new();
    // What refers to others comes before them.
    for manifest in files.iter().rev().flat_map(|file| manifests(file)) {
        let kind = manifest["kind"].as_str().expect("a kind");
        let info = quorate_crds::find(kind).expect("one of ours");
        if info.crd {
            let name = manifest["metadata"]["name"]
                .as_str()
                .expect("a name")
                .to_owned();
            world.apply(info.plural, manifest);
            expected.push((info, name));
        } else if info.kind == "Secret" {
            world
                .kube
                .apply("", "secrets", NAMESPACE, secret(&manifest));
        }
    }
    assert!(expected.len() > 20, "only {} objects", expected.len());

    for (info, name) in &expected {
        world.kube.until_synced(info.plural, name, "Synced").await;
        let there = world.admin.get(info.kind, name).await;
        assert!(there.is_some(), "{} {name}", info.kind);
    }
    // As many writes as there are objects and Secrets: what was refused meanwhile was not written.
    assert_eq!(world.writes_to_cluster(), expected.len() as u64 + 3);
}

/// The Secret as Kubernetes keeps it.
fn secret(ours: &Value) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": ours["metadata"]["name"],
            "labels": {"operator.quorate.dev/mirror": "true"},
        },
        "type": "Opaque",
        "data": ours["spec"]["data"],
    })
}
