//! kube-rs, as controllers use it: what they rely on must hold through broken connections, compaction and the loss of a
//! leader.

mod balancer;
mod breaking;
mod controlling;
mod follower;
mod losing;
mod verbs;

use kube::{
    Api, Client, Config,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    config::{KubeConfigOptions, Kubeconfig},
};
use quorate_crds::Secret;
use quorate_identity::Subject;
use serde_json::json;

use super::kubectl::kubeconfig;
use crate::support::{TestCluster, secret};

/// A client that may do everything and speaks to this address.
async fn client(cluster: &TestCluster, address: &str) -> Client {
    let mut written = kubeconfig(cluster, 0, &Subject::admin());
    written["clusters"][0]["cluster"]["server"] = json!(format!("https://{address}"));
    let written: Kubeconfig = serde_json::from_value(written).expect("a kubeconfig");
    let config = Config::from_custom_kubeconfig(written, &KubeConfigOptions::default()).await;
    Client::try_from(config.expect("it is complete")).expect("a client")
}

/// Secrets, which nobody but their owners writes: what is told of them is what the test did.
async fn secrets(cluster: &TestCluster, address: &str) -> Api<Secret> {
    Api::all(client(cluster, address).await)
}

fn empty_secret(name: &str) -> Secret {
    serde_json::from_value(secret(name, json!({}))).expect("a Secret")
}

async fn create(secrets: &Api<Secret>, name: &str) -> kube::Result<Secret> {
    let secret = empty_secret(name);
    secrets.create(&PostParams::default(), &secret).await
}

/// Changes an object whenever `value` is another one.
async fn label(secrets: &Api<Secret>, name: &str, value: usize) -> Secret {
    let patch = Patch::Merge(json!({"metadata": {"labels": {"n": value.to_string()}}}));
    let patched = secrets.patch(name, &PatchParams::default(), &patch).await;
    patched.expect("patched")
}

/// Whether it is gone at once.
async fn delete(secrets: &Api<Secret>, name: &str) -> bool {
    let deleted = secrets.delete(name, &DeleteParams::default()).await;
    deleted.expect("deleted").is_right()
}

fn version(secret: &Secret) -> String {
    let version = secret.metadata.resource_version.clone();
    version.expect("it has a version")
}
