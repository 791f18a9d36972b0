use super::members::Cluster;
use futures_util::StreamExt;
use jiff::Timestamp;
use quorate_identity::Credentials;
use quorate_node_daemon::daemon::{Outcome, Stop};
use quorate_node_daemon::drivers::{LibvirtSettings, of_this_host};
use quorate_node_daemon::link::{ClusterLink, LinkError, Parcel, Relay};
use quorate_node_daemon::node::{Node, NodeConfig};
use quorate_proto::host::v1::{FollowRequest, RegisterRequest, ReportRequest};
use std::time::Duration;
use tokio::sync::watch;

async fn who_registers(link: &impl ClusterLink) -> Result<u64, LinkError> {
    let reply = link.register(RegisterRequest::default()).await?;
    Ok(reply.incarnation)
}

#[tokio::test]
async fn the_leader_is_found_over_any_member_and_then_asked_at_once() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.member(1).await, cluster.member(2).await);
    cluster.leads(Some(&two));
    // It knows the first alone; the leader's address comes with the refusal.
    let link = cluster.link(&[&one]);
    assert_eq!(who_registers(&link).await.expect("answered"), 2);
    let before = one.asked();
    for _ in 0..5 {
        link.report(ReportRequest::default()).await.expect("taken");
    }
    assert_eq!(one.asked(), before, "nobody else was asked");
}

#[tokio::test]
async fn a_member_that_dies_is_left_for_another_and_its_updates_end() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.member(1).await, cluster.member(2).await);
    cluster.leads(Some(&one));
    let link = cluster.link(&[&one, &two]);
    assert_eq!(who_registers(&link).await.expect("answered"), 1);
    let mut updates = link.follow(FollowRequest::default()).await.expect("opened");
    let first = updates.next().await.expect("one").expect("well");
    assert_eq!(first.revision, 1, "of the member that answered last");

    one.dies();
    let lost = updates.next().await;
    assert!(!matches!(lost, Some(Ok(_))), "{lost:?}");
    cluster.leads(Some(&two));
    assert_eq!(who_registers(&link).await.expect("answered"), 2);
    let mut updates = link.follow(FollowRequest::default()).await.expect("opened");
    let first = updates.next().await.expect("one").expect("well");
    assert_eq!(first.revision, 2);
}

#[tokio::test]
async fn who_cannot_be_reached_is_named_with_the_reason() {
    let cluster = Cluster::new();
    let one = cluster.member(1).await;
    let link = cluster.link(&[&one]);
    let error = who_registers(&link).await.expect_err("nobody leads");
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
    assert!(
        error.to_string().contains("another member leads"),
        "{error}"
    );

    let address = one.address.addresses[0].clone();
    one.dies();
    let error = who_registers(&link).await.expect_err("nobody is there");
    assert!(error.to_string().contains(&address), "{error}");
}

#[tokio::test]
async fn a_member_of_another_cluster_is_not_spoken_to() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let other = theirs.member(1).await;
    theirs.leads(Some(&other));
    let link = ours.link(&[&other]);
    let error = who_registers(&link).await.expect_err("not ours");
    assert!(matches!(error, LinkError::Unreachable { .. }), "{error}");
    assert_eq!(other.asked(), 0);
}

#[tokio::test]
async fn the_cluster_says_which_members_there_are() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.member(1).await, cluster.member(2).await);
    cluster.leads(Some(&one));
    let link = cluster.link(&[&one]);
    link.members_are(&[one.address.clone(), two.address.clone()]);
    who_registers(&link).await.expect("answered");
    cluster.leads(Some(&two));
    one.dies();
    assert_eq!(who_registers(&link).await.expect("answered"), 2);
}

/// Says it until it is heard: what was said before a member was reached is lost.
async fn says_until_heard(relay: &mut Relay, content: &'static str) {
    let parcel = Parcel {
        host: "an2".to_owned(),
        content: content.into(),
    };
    loop {
        relay.say.send(parcel.clone()).await.expect("carried");
        let heard = async {
            loop {
                let heard = relay.hear.recv().await.expect("carried");
                // What was said before may come late.
                if heard == parcel {
                    return;
                }
            }
        };
        let again = Duration::from_millis(100);
        if tokio::time::timeout(again, heard).await.is_ok() {
            return;
        }
    }
}

#[tokio::test]
async fn another_host_is_reached_by_any_member_and_then_by_the_one_that_it_was_heard_by() {
    let cluster = Cluster::new();
    let (one, two) = (cluster.member(1).await, cluster.member(2).await);
    let mut relay = cluster.link(&[&one, &two]).relay().expect("a way");
    says_until_heard(&mut relay, "hello").await;
    let before = one.carried() + two.carried();
    says_until_heard(&mut relay, "again").await;
    assert!(before >= 1 && one.carried() + two.carried() > before);

    // Whichever is lost, the other one is a way.
    one.dies();
    says_until_heard(&mut relay, "by the other one").await;
    assert!(two.carried() >= 1);
}

#[tokio::test]
async fn a_host_that_was_off_until_its_certificate_had_expired_gets_a_new_one() {
    let cluster = Cluster::new();
    let one = cluster.member(1).await;
    let dir = tempfile::tempdir().expect("a directory");
    cluster.joined(dir.path(), &one);
    let (certificate, key) = (dir.path().join("node.crt"), dir.path().join("node.key"));
    let expires = || {
        let own = Credentials::load(&certificate, &key).ok()?;
        Some(own.peer().not_after)
    };
    assert!(expires().expect("readable") < Timestamp::now());

    let config = NodeConfig::load(&dir.path().join("node.yaml")).expect("usable");
    let node = Node::new(config).expect("usable");
    let (stop, stopped) = watch::channel(Stop::No);
    let running = tokio::spawn(node.run(
        of_this_host(dir.path(), LibvirtSettings::default()),
        None,
        stopped,
    ));
    // Certificate and key are replaced one after the other: until both are, they do not fit.
    while expires().is_none_or(|until| until < Timestamp::now()) {
        assert!(!running.is_finished());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stop.send_replace(Stop::Restart);
    let outcome = running.await.expect("it did not break off");
    assert_eq!(outcome.expect("it ended well"), Outcome::Stopped);
}
