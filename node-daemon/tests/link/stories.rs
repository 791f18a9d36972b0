use super::members::Cluster;
use futures_util::StreamExt;
use quorate_node_daemon::link::{ClusterLink, LinkError};
use quorate_proto::host::v1::{FollowRequest, RegisterRequest, ReportRequest};

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
