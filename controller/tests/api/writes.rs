//! What writes do.

use serde_json::json;

use crate::support::{TestCluster, secret};

#[tokio::test(flavor = "multi_thread")]
async fn smoke() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    let made = admin
        .create(secret("a", json!({"k": "dmFsdWU="})))
        .await
        .expect("created");
    println!("{:#}", made.object);
    let got = admin.get("secret", "a").await.expect("there");
    assert_eq!(got, made.object);
}
