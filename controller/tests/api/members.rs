//! Several members: any of them answers, and what happens when some are gone.

use std::time::Duration;

use quorate_proto::api::v1::{Consistency, GetRequest, ListRequest, StatusRequest};
use serde_json::{Value, json};
use tonic::Code;

use crate::support::{TestCluster, network, object_ref, secret, tuning, tuning_of_several};

#[tokio::test(flavor = "multi_thread")]
async fn any_member_takes_a_write_and_every_member_shows_it_at_once() {
    let cluster = TestCluster::of_three().await;
    let mut written = Vec::new();
    for at in 0..3 {
        let client = cluster.admin(at).await;
        let name = format!("n{at}");
        let object = client.create(network(&name)).await.expect("created").object;
        written.push((name, object));
        for reader in 0..3 {
            let reader = cluster.admin(reader).await;
            for (name, object) in &written {
                let seen = reader
                    .get("network", name)
                    .await
                    .expect("acknowledged, so seen");
                assert_eq!(seen, *object);
            }
        }
    }
}

/// A page from one member goes on at another: continue tokens are the cluster's.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_goes_on_at_another_member() {
    let cluster = TestCluster::of_three().await;
    let first = cluster.admin(0).await;
    for name in ["a", "b", "c"] {
        first.create(network(name)).await.expect("created");
    }
    let request = ListRequest {
        kind: "network".into(),
        limit: 2,
        ..ListRequest::default()
    };
    let page = first.list(request.clone()).await.expect("a page");
    let request = ListRequest {
        continue_token: page.continue_token,
        ..request
    };
    let rest = cluster.admin(2).await.list(request).await.expect("a page");
    assert_eq!(rest.objects.len(), 1);
    assert_eq!(rest.resource_version, page.resource_version);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_quorum_writes_are_refused_and_reads_marked_stale_are_answered() {
    let mut impatient = tuning_of_several();
    impatient.store.propose_timeout = Duration::from_secs(10);
    let mut cluster = TestCluster::of_three_with(impatient).await;
    let admin = cluster.admin(2).await;
    admin
        .create(secret("s", json!({"k": "dmFsdWU="})))
        .await
        .expect("created");
    // The last one leads, so that those who stop need not find a successor.
    while cluster
        .member(2)
        .store()
        .transfer_leadership(Some(3))
        .await
        .is_err()
    {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for at in [0, 1] {
        let gone = cluster.sites[at].member.take().expect("it runs");
        gone.stop().await;
    }

    let refused = admin.create(network("lan")).await.expect_err("no quorum");
    assert!(
        matches!(refused.code(), Code::Unavailable | Code::DeadlineExceeded),
        "{refused}"
    );
    let refused = admin.get("secret", "s").await.expect_err("no quorum");
    assert_eq!(refused.code(), Code::Unavailable, "{refused}");

    let request = GetRequest {
        object: Some(object_ref("secret", "s")),
        consistency: Consistency::Local.into(),
    };
    let reply = admin
        .objects
        .clone()
        .get(request)
        .await
        .expect("answered")
        .into_inner();
    assert!(reply.stale);
    let object: Value = serde_json::from_slice(&reply.object).expect("JSON");
    assert_eq!(object["spec"]["data"]["k"], "dmFsdWU=");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_comes_back_with_everything_it_had() {
    let mut cluster = TestCluster::of_one().await;
    let before = cluster
        .admin(0)
        .await
        .create(network("lan"))
        .await
        .expect("created")
        .object;
    let member = cluster.sites[0].member.take().expect("it runs");
    member.stop().await;
    cluster.start(0).await;
    let after = cluster
        .admin(0)
        .await
        .get("network", "lan")
        .await
        .expect("there");
    assert_eq!(after, before);
}

/// A cluster of one has nobody to hear from, and goes on all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_of_one_takes_writes_after_a_long_silence() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.admin(0).await;
    admin.create(network("a")).await.expect("created");
    // Several election timeouts: the silence itself is what is tested.
    tokio::time::sleep(tuning().store.election_timeout * 4).await;
    admin.create(network("b")).await.expect("created");
}

/// Only the leader hears everybody; a person may ask any member.
#[tokio::test(flavor = "multi_thread")]
async fn every_member_tells_who_is_gone_and_that_no_more_may_be_lost() {
    let mut cluster = TestCluster::of_three().await;
    let gone = cluster.sites[2].member.take().expect("it runs");
    gone.stop().await;
    for at in [0, 1] {
        let client = cluster.admin(at).await;
        let within = tokio::time::timeout(Duration::from_secs(300), async {
            loop {
                let asked = client.cluster.clone().status(StatusRequest {}).await;
                let status = asked.expect("answered").into_inner();
                let gone: Vec<_> = status
                    .members
                    .iter()
                    .filter(|member| member.reachable != Some(true))
                    .map(|member| member.id)
                    .collect();
                if gone == [3] && status.has_quorum {
                    return status.can_lose;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        assert_eq!(within.await.expect("it is noticed"), 0);
    }
}
