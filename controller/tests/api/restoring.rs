//! Backup to one file, restore to a new cluster.

use std::fs;

use quorate_controller::{member::RunningMember, restore::restore};
use quorate_identity::{MemberConfig, Subject};
use quorate_proto::api::v1::{BackupRequest, StatusRequest};
use serde_json::json;
use tonic::Code;

use crate::support::{Client, TestCluster, network, secret, tuning, version};

async fn backup(client: &Client) -> Vec<u8> {
    let mut chunks = client
        .cluster
        .clone()
        .backup(BackupRequest {})
        .await
        .expect("a backup")
        .into_inner();
    let mut bytes = Vec::new();
    while let Some(chunk) = chunks.message().await.expect("a chunk") {
        bytes.extend_from_slice(&chunk.data);
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_becomes_a_new_cluster_with_a_history_of_its_own() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let old = admin
        .create(secret("bmc", json!({"password": "aHVudGVyMg=="})))
        .await
        .expect("created")
        .object;
    let file = cluster.sites[0].dir.path().join("backup");
    fs::write(&file, backup(&admin).await).expect("written");

    // Another directory of the same machine; the keys are those of the former member.
    let config = MemberConfig {
        name: "restored".into(),
        data_dir: cluster.sites[0].dir.path().join("restored"),
        listen: vec!["127.0.0.1:0".parse().expect("an address")],
        addresses: vec!["restored:7443".into()],
        ..cluster.sites[0].config.clone()
    };
    let config_file = cluster.sites[0].dir.path().join("restored.yaml");
    fs::write(&config_file, json!(config).to_string()).expect("written");
    // An attempt that was killed is in nobody's way.
    let attempt = config.data_dir.join("store.restoring");
    fs::create_dir_all(&attempt).expect("made");
    fs::write(attempt.join("half"), "of a store").expect("written");
    restore(&file, &config_file).await.expect("restored");
    assert!(!attempt.exists());
    let again = restore(&file, &config_file)
        .await
        .expect_err("there is one now");
    assert!(again.to_string().contains("not empty"), "{again}");

    let member = RunningMember::start(&config, tuning())
        .await
        .expect("starts");
    let address = member.addresses()[0].to_string();
    let channel = cluster
        .try_channel(&address, Some(cluster.credentials(&Subject::admin())))
        .await
        .expect("connected");
    let restored = Client::new(channel);
    member.store().barrier().await.expect("a leader");
    let found = restored.get("secret", "bmc").await.expect("restored");
    assert_eq!(
        found["spec"], old["spec"],
        "the secret opens with the old keyring"
    );
    let new = restored
        .create(network("lan"))
        .await
        .expect("it takes writes")
        .object;
    let number = |object| version(object).parse::<u64>().expect("a number");
    assert!(number(&new) > number(&old) + 1_000, "revisions are lifted");

    let status = |client: Client| async move {
        let mut client = client.cluster;
        client
            .status(StatusRequest {})
            .await
            .expect("answered")
            .into_inner()
    };
    let (before, after) = (status(admin).await, status(restored).await);
    assert_ne!(before.history_id, after.history_id);
    assert_ne!(
        before.member_id, after.member_id,
        "ids are never used again"
    );
    assert_eq!(after.cluster_name, "test");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_takes_a_backup_and_a_damaged_one_restores_nothing() {
    let cluster = TestCluster::of_one().await;
    let nobody = Subject::person("eve", &[]).expect("a name");
    let eve = cluster.client(0, &nobody).await;
    let refused = eve
        .cluster
        .clone()
        .backup(BackupRequest {})
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::PermissionDenied);

    let mut bytes = backup(&cluster.admin(0).await).await;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    let dir = cluster.sites[0].dir.path();
    fs::write(dir.join("backup"), bytes).expect("written");
    let config = MemberConfig {
        data_dir: dir.join("restored"),
        ..cluster.sites[0].config.clone()
    };
    fs::write(dir.join("restored.yaml"), json!(config).to_string()).expect("written");
    restore(&dir.join("backup"), &dir.join("restored.yaml"))
        .await
        .expect_err("damaged");
    assert!(!dir.join("restored/store").exists(), "nothing came of it");
}
