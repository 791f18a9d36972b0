//! Hosts over the wires of the product: gRPC with their certificates, heartbeats by UDP.

use std::time::Duration;

use quorate_identity::Subject;
use quorate_proto::{
    heartbeat::{Beat, DaemonState, Grant, HeartbeatKey, MAX_LENGTH},
    host::v1::{Figure, FiguresRequest, FollowRequest, RegisterRequest, hosts_client::HostsClient},
    member::v1::{HeardRequest, members_client::MembersClient},
    refusal,
};
use tokio::{net::UdpSocket, sync::watch};
use tonic::{Code, transport::Channel};

use crate::support::TestCluster;

fn boot() -> RegisterRequest {
    RegisterRequest {
        boot_id: "boot-1".to_owned(),
        feature_level: quorate_proto::FEATURE_LEVEL,
        ..RegisterRequest::default()
    }
}

async fn host(cluster: &TestCluster, at: usize, name: &str) -> HostsClient<Channel> {
    let credentials = cluster.credentials(&Subject::node(name).expect("a name"));
    HostsClient::new(cluster.channel(at, Some(credentials)).await)
}

#[tokio::test]
async fn a_host_registers_follows_its_plan_and_gets_leases_by_udp() {
    let cluster = TestCluster::of_one().await;
    let mut an1 = host(&cluster, 0, "an1").await;
    let reply = an1
        .register(boot())
        .await
        .expect("it is a host")
        .into_inner();
    assert_eq!(reply.incarnation, 1);
    assert_eq!(
        reply.members[0].addresses,
        cluster.sites[0].config.addresses
    );

    let follow = FollowRequest { incarnation: 1 };
    let mut updates = an1.follow(follow).await.expect("its plan").into_inner();
    let whole = updates
        .message()
        .await
        .expect("an update")
        .expect("the first");
    assert!(whole.whole);
    assert_eq!(whole.watchdog_bound, Some(false));

    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let member = &cluster.sites[0].config.addresses[0];
    socket.connect(member).await.expect("connected");
    let key: [u8; 32] = reply
        .heartbeat_key
        .as_ref()
        .try_into()
        .expect("a whole key");
    let key = HeartbeatKey::new(&key);
    let (grants, mut granted) = watch::channel(0);
    // It goes on as a host does: who falls silent is lost.
    let beating = tokio::spawn(async move {
        for sequence in 1.. {
            let beat = Beat {
                ring: 0,
                node: "an1",
                incarnation: 1,
                sequence,
                daemon: DaemonState::Well,
            };
            let mut datagram = [0; MAX_LENGTH];
            let length = beat.encode(&key, &mut datagram).expect("a short name");
            socket.send(&datagram[..length]).await.expect("sent");
            let mut answer = [0; MAX_LENGTH];
            let waited = Duration::from_millis(250);
            if let Ok(received) = tokio::time::timeout(waited, socket.recv(&mut answer)).await {
                let received = received.expect("an answer");
                let grant = Grant::decode(&answer[..received], &key).expect("authentic");
                grants.send_replace(grant.lease_ms);
                assert_eq!(grant.incarnation, 1);
                tokio::time::sleep(waited).await;
            }
        }
    });
    let lease = granted.wait_for(|lease| *lease > 0).await;
    assert!(lease.is_ok(), "a beat or its answer was no good");
    drop(lease);
    let admin = cluster.admin(0).await;
    while admin.get("Node", "an1").await.expect("a Node")["status"]["state"] != "Online" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Its head comes by itself.
    loop {
        let update = updates
            .message()
            .await
            .expect("an update")
            .expect("it stays open");
        if !update.records.is_empty() {
            break;
        }
    }
    assert!(!beating.is_finished(), "a beat or its answer was no good");
    beating.abort();
}

#[tokio::test]
async fn who_is_no_host_is_no_host_and_no_host_is_a_member() {
    let cluster = TestCluster::of_one().await;
    let admin = cluster.credentials(&Subject::admin());
    let mut admin = HostsClient::new(cluster.channel(0, Some(admin)).await);
    let refused = admin
        .register(boot())
        .await
        .expect_err("a person is no host");
    assert_eq!(refused.code(), Code::PermissionDenied);

    let mut stranger = HostsClient::new(cluster.channel(0, None).await);
    let refused = stranger
        .register(boot())
        .await
        .expect_err("nobody knows it");
    assert_eq!(refused.code(), Code::Unauthenticated);

    let credentials = cluster.credentials(&Subject::node("an1").expect("a name"));
    let mut members = MembersClient::new(cluster.channel(0, Some(credentials)).await);
    let refused = members.heard(HeardRequest::default()).await;
    assert_eq!(
        refused.expect_err("it is a host").code(),
        Code::PermissionDenied
    );
}

#[tokio::test]
async fn a_member_that_does_not_lead_says_who_does() {
    let cluster = TestCluster::of_three().await;
    // While nobody leads no leader is named, and whoever is asked may be elected: then others are asked.
    let asked = (0..3).cycle();
    for at in asked {
        let Err(refused) = host(&cluster, at, "an1").await.register(boot()).await else {
            continue;
        };
        let reason = refused.metadata().get(refusal::REASON).expect("a reason");
        if reason == refusal::NOT_LEADER && refused.metadata().get_bin(refusal::LEADER).is_some() {
            break;
        }
        assert_eq!(refused.code(), Code::Unavailable, "{refused}");
    }
}

#[tokio::test]
async fn a_boot_that_counts_no_more_is_told_so() {
    let cluster = TestCluster::of_one().await;
    let mut an1 = host(&cluster, 0, "an1").await;
    an1.register(boot()).await.expect("it is a host");
    let again = RegisterRequest {
        boot_id: "boot-2".to_owned(),
        ..boot()
    };
    let reply = an1.register(again).await.expect("it booted").into_inner();
    assert_eq!(reply.incarnation, 2);
    let follow = FollowRequest { incarnation: 1 };
    let refused = an1.follow(follow).await.expect_err("it is over");
    let reason = refused.metadata().get(refusal::REASON).expect("a reason");
    assert_eq!(reason, refusal::INCARNATION_OVER);
}

#[tokio::test]
async fn figures_are_shown_and_not_written() {
    let cluster = TestCluster::of_one().await;
    let mut an1 = host(&cluster, 0, "an1").await;
    an1.register(boot()).await.expect("it is a host");
    let figure = Figure {
        subject: "Node/an1".to_owned(),
        name: "load1".to_owned(),
        value: 0.5,
    };
    let request = FiguresRequest {
        incarnation: 1,
        figures: vec![figure],
    };
    an1.figures(request).await.expect("taken");
    let figures = cluster.member(0).brain().figures();
    assert_eq!(
        (figures[0].subject.as_str(), figures[0].value),
        ("Node/an1", 0.5)
    );
    // The leader writes about the host as it joins; of its figures it writes none.
    let stored = cluster.member(0).store().view().list(
        &quorate_store::Bucket::new("nodes"),
        None,
        usize::MAX,
    );
    assert!(!stored.is_empty());
    for (_, node) in stored {
        let text = String::from_utf8_lossy(&node.value).into_owned();
        assert!(!text.contains("load1"), "{text}");
    }
}
