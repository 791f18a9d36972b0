//! What a schema cannot say.

use serde_json::{Value, json};
use tonic::{Code, Status};

use crate::support::{TestCluster, details, network};

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "quorate.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    })
}

fn guest(name: &str, mac: &str, network: &str) -> Value {
    object(
        "VirtualMachine",
        name,
        json!({"memory": "1Gi", "cpus": 1, "nics": [{"name": "eth0", "network": network, "mac": mac}]}),
    )
}

fn open_network(name: &str) -> Value {
    let mut open = network(name);
    open["spec"]["guestAccess"] = json!(true);
    open
}

fn cause(refused: &Status) -> (String, String) {
    let cause = details(refused)["details"]["causes"][0].clone();
    let text = |field: &str| cause[field].as_str().expect("a text").to_owned();
    (text("field"), text("message"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reference_to_nothing_is_refused_by_field_and_what_is_needed_stays() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let web = guest("web", "52:54:00:00:00:01", "lan");
    let refused = admin
        .apply("ops", web.clone())
        .await
        .expect_err("no such network");
    let (field, message) = cause(&refused);
    assert_eq!(field, "spec.nics[0].network");
    assert!(
        message.contains("\"lan\"") && message.contains("create it first"),
        "{message}"
    );

    admin
        .apply("ops", open_network("lan"))
        .await
        .expect("applied");
    admin.apply("ops", web).await.expect("applied");
    let refused = admin.delete("network", "lan").await.expect_err("in use");
    assert_eq!(refused.code(), Code::Aborted);
    assert!(
        refused
            .message()
            .contains("virtualmachine/web (spec.nics[0].network)"),
        "{}",
        refused.message()
    );
    admin.delete("vm", "web").await.expect("deleted");
    admin.delete("network", "lan").await.expect("now it may go");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_guest_is_kept_off_a_network_that_is_closed_to_guests() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.apply("ops", network("bcn")).await.expect("applied");
    let refused = admin
        .apply("ops", guest("web", "52:54:00:00:00:01", "bcn"))
        .await
        .expect_err("closed");
    assert!(cause(&refused).1.contains("guestAccess"), "{refused}");
}

/// Two writers that want the same thing at the same time: one gets it, the other learns who has it.
#[tokio::test(flavor = "multi_thread")]
async fn of_many_guests_that_claim_one_mac_address_exactly_one_gets_it() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .apply("ops", open_network("lan"))
        .await
        .expect("applied");
    let writers: Vec<_> = (0..8)
        .map(|n| {
            let admin = admin.clone();
            tokio::spawn(async move {
                let guest = guest(&format!("g{n}"), "52:54:00:00:00:01", "lan");
                admin.apply("ops", guest).await
            })
        })
        .collect();
    let mut made = 0;
    for writer in writers {
        match writer.await.expect("ran") {
            Ok(_) => made += 1,
            Err(refused) => {
                let (field, message) = cause(&refused);
                assert_eq!(field, "spec.nics[0].mac");
                assert!(message.contains("belongs to virtualmachine/g"), "{message}");
            }
        }
    }
    assert_eq!(made, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_given_back_when_its_holder_changes_or_goes() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .apply("ops", open_network("lan"))
        .await
        .expect("applied");
    let (one, two) = ("52:54:00:00:00:01", "52:54:00:00:00:02");
    admin
        .apply("ops", guest("a", one, "lan"))
        .await
        .expect("applied");
    admin
        .apply("ops", guest("b", one, "lan"))
        .await
        .expect_err("taken");
    admin
        .apply("ops", guest("a", two, "lan"))
        .await
        .expect("moved on");
    admin
        .apply("ops", guest("b", one, "lan"))
        .await
        .expect("free again");
    admin.delete("vm", "b").await.expect("deleted");
    admin
        .apply("ops", guest("c", one, "lan"))
        .await
        .expect("free again");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_cluster_and_its_networks_do_not_overlap() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin
        .apply("ops", object("Cluster", "anvil", json!({})))
        .await
        .expect("applied");
    let refused = admin
        .apply("ops", object("Cluster", "second", json!({})))
        .await
        .expect_err("there is one");
    assert!(cause(&refused).1.contains("cluster/anvil"), "{refused}");

    let on = |name: &str, subnet: &str| {
        let mut network = network(name);
        network["spec"]["subnet"] = json!(subnet);
        network
    };
    admin
        .apply("ops", on("bcn", "10.20.0.0/16"))
        .await
        .expect("applied");
    let refused = admin
        .apply("ops", on("x", "10.20.7.0/24"))
        .await
        .expect_err("overlaps");
    assert_eq!(cause(&refused).0, "spec.subnet");
}

/// Every example applies cleanly, twice, the second time without a change (acceptance of the kinds and of
/// admission together). Objects are applied in any order that works, as the command line finds one.
#[tokio::test(flavor = "multi_thread")]
async fn the_examples_apply_and_the_second_time_nothing_changes() {
    for example in ["minimal", "anvil", "campus"] {
        let cluster = TestCluster::of_one().await;
        let admin = cluster.admin(0).await;
        let objects = example_objects(example);
        assert!(!objects.is_empty(), "{example}");

        let mut waiting = objects.clone();
        while !waiting.is_empty() {
            let mut refused = Vec::new();
            for object in &waiting {
                if let Err(status) = admin.apply("ops", object.clone()).await {
                    refused.push((object.clone(), status));
                }
            }
            assert!(
                refused.len() < waiting.len(),
                "{example}: {} objects do not apply, first: {}",
                refused.len(),
                refused[0].1
            );
            waiting = refused.into_iter().map(|(object, _)| object).collect();
        }
        for object in objects {
            let again = admin.apply("ops", object).await.expect("applies again");
            assert_eq!(
                again.outcome,
                quorate_proto::api::v1::Outcome::Unchanged,
                "{example}: {}",
                again.object
            );
        }
    }
}

fn example_objects(example: &str) -> Vec<Value> {
    let dir = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../deploy/examples")
        .join(example);
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .expect("the example")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "yaml")
        })
        .collect();
    files.sort();
    files
        .into_iter()
        .flat_map(|path| {
            let text = std::fs::read(&path).expect("readable");
            quorate_crds::manifest::parse(&text, &quorate_crds::manifest::Limits::default())
                .expect("a manifest")
        })
        .collect()
}
