//! Hosts that come, fall silent, and go in order.

use std::{collections::BTreeSet, panic::AssertUnwindSafe, time::Duration};

use futures_util::FutureExt;
use quorate_controller::hosts::DeskError;
use quorate_proto::host::v1::LeaveRequest;
use quorate_store::WatchScope;
use serde_json::json;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_host_that_registers_and_beats_is_online_and_gets_a_lease() {
    let world = World::of(1, 1).await;
    world.host("an1").switch_on();
    world.until_state("an1", "Online").await;
    world.pass(SECOND).await;
    assert!(world.host("an1").has_lease());
    let online = ("True".to_owned(), "Online".to_owned());
    assert_eq!(world.condition("Node", "an1", "Ready"), Some(online));
}

#[tokio::test(start_paused = true)]
async fn a_silence_that_is_shorter_than_the_detection_time_is_none() {
    let world = World::up(1, 2).await;
    world.host("an1").cut(true);
    world.pass(Duration::from_millis(1_600)).await;
    world.host("an1").cut(false);
    world.pass(10 * SECOND).await;
    assert_eq!(world.state("an1"), "Online");
    assert!(world.boards.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_kernel_closed_the_connection_may_be_away_for_the_restart_grace() {
    let world = World::up(1, 2).await;
    world.desk().await.connection_closed("an1");
    world.host("an1").cut(true);
    world.pass(29 * SECOND).await;
    assert_eq!(world.state("an1"), "Online");
    world.until_state("an1", "Fenced").await;
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_restarted_for_long_is_reported_and_its_host_keeps_its_lease() {
    let world = World::up(1, 1).await;
    world.host("an1").restart_daemon(true);
    world.pass(40 * SECOND).await;
    assert_eq!(world.state("an1"), "Online");
    let silent = Some(("False".to_owned(), "DaemonSilent".to_owned()));
    assert_eq!(world.condition("Node", "an1", "DaemonWorks"), silent);
    assert!(world.host("an1").has_lease());
    world.host("an1").restart_daemon(false);
    world.pass(5 * SECOND).await;
    assert_eq!(world.condition("Node", "an1", "DaemonWorks"), None);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_given_up_after_a_silence_excuses_nobody() {
    let world = World::up(1, 2).await;
    world.host("an1").cut(true);
    world.pass(Duration::from_millis(1_500)).await;
    world.desk().await.connection_closed("an1");
    world.pass(SECOND).await;
    assert_ne!(world.state("an1"), "Online");
}

#[tokio::test(start_paused = true)]
async fn a_host_that_left_in_order_is_not_fenced_when_it_goes_off() {
    let world = World::up(1, 2).await;
    let host = world.host("an1");
    let incarnation = host.incarnation();
    world
        .desk()
        .await
        .leave("an1", LeaveRequest { incarnation })
        .await
        .expect("it holds nothing");
    host.switch_off();
    world.pass(120 * SECOND).await;
    assert_eq!(world.state("an1"), "Left");
    assert!(world.boards.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_holds_a_guest_may_not_leave_and_is_told_what_it_holds() {
    let world = World::up(1, 1).await;
    world.guest("web").await;
    world.until_runs("web", "an1").await;
    let incarnation = world.host("an1").incarnation();
    let refusal = world
        .desk()
        .await
        .leave("an1", LeaveRequest { incarnation })
        .await
        .expect_err("it holds a guest");
    assert!(matches!(&refusal, DeskError::Refused { retry: true, .. }));
    assert!(
        refusal.to_string().contains("VirtualMachine/web"),
        "{refusal}"
    );
}

#[tokio::test(start_paused = true)]
async fn hosts_that_only_the_leader_does_not_hear_are_not_fenced() {
    let world = World::up(3, 3).await;
    let leader = world.leader().await;
    for host in [1, 2] {
        world.wire.deafen(leader, host, true);
    }
    // Nor does any other member hear more of them, so that none of these would lead better.
    let others = [1, 2, 3].into_iter().filter(|member| *member != leader);
    for (member, unheard) in others.zip([[2, 3], [1, 3]]) {
        for host in unheard {
            world.wire.deafen(member, host, true);
        }
    }
    world.pass(20 * SECOND).await;
    assert_eq!(
        [world.state("an1"), world.state("an2")],
        ["Online", "Online"]
    );
    let before = world.store(1).view().revision();
    world.pass(10 * SECOND).await;
    let written = world.changes_since(before);
    assert!(written.is_empty(), "it is said once: {written:?}");
    let elsewhere = Some(("False".to_owned(), "HeardElsewhere".to_owned()));
    assert_eq!(world.condition("Node", "an1", "HeardByLeader"), elsewhere);
    assert!(
        !world.host("an1").has_lease(),
        "nobody but the leader gives leases"
    );

    for host in [1, 2] {
        world.wire.deafen(leader, host, false);
    }
    world.pass(5 * SECOND).await;
    assert_eq!(world.condition("Node", "an1", "HeardByLeader"), None);
    assert!(world.host("an1").has_lease());
    assert!(world.boards.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_deaf_to_most_hosts_lets_a_member_lead_that_hears_them() {
    let world = World::up(3, 3).await;
    let deaf = world.leader().await;
    for host in [1, 2] {
        world.wire.deafen(deaf, host, true);
    }
    world.pass(20 * SECOND).await;
    assert!(!world.host("an1").has_lease());
    world.pass(40 * SECOND).await;
    let next = world.leader().await;
    assert_ne!(next, deaf);
    assert!(world.host("an1").has_lease());
    assert_eq!(world.condition("Node", "an1", "HeardByLeader"), None);

    // It stays so, and nobody was harmed.
    world.pass(300 * SECOND).await;
    assert_eq!(world.leader().await, next);
    assert!(world.boards.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_ring_that_is_silent_is_down_in_the_status_and_up_again_when_it_is_heard_for_a_while() {
    let world = World::up(1, 2).await;
    let ring = |number: usize| world.get("Node", "an1")["status"]["rings"][number]["state"].clone();
    world.pass(SECOND).await;
    assert_eq!([ring(0), ring(1)], ["Up", "Up"]);
    world.wire.silence_ring(1, 1, true);
    world.pass(10 * SECOND).await;
    assert_eq!([ring(0), ring(1)], ["Up", "Down"]);
    world.wire.silence_ring(1, 1, false);
    world.pass(60 * SECOND).await;
    assert_eq!([ring(0), ring(1)], ["Up", "Up"]);
}

#[tokio::test(start_paused = true)]
async fn what_hosts_accept_is_written_down_together_and_overtakes_nobody() {
    let world = World::up(1, 6).await;
    // Devices are asked for the first time, and everything comes to rest.
    world.pass(300 * SECOND).await;
    let before = world.store(1).view().revision();
    let spec = json!({"role": "InternetFacing", "bridge": {}, "addressing": "None"});
    world.apply("Network", "lan", spec).await;
    world.pass(10 * SECOND).await;

    let mut watch = world
        .store(1)
        .watch(WatchScope::default(), before)
        .expect("it is not long ago");
    let changes = watch.next_batch().now_or_never().expect("there are some");
    let changes = changes.expect("the store runs");
    let of_hosts = changes
        .iter()
        .filter(|change| change.key.bucket.as_str() == "nodes");
    let writes: BTreeSet<u64> = of_hosts.map(|change| change.revision).collect();
    assert_eq!(writes.len(), 1, "six hosts: {writes:?}");
    let head = world.get("NodePlan", "an6")["spec"]["planGeneration"].clone();
    assert_eq!(world.get("Node", "an6")["status"]["planGeneration"], head);
}

/// What is said to somebody who would delete it.
async fn refusal(world: &World, kind: &str, name: &str) -> String {
    let deletion = AssertUnwindSafe(world.delete(kind, name)).catch_unwind();
    let refused = deletion.await.expect_err("it is not to be deleted");
    refused.downcast_ref::<String>().cloned().expect("words")
}

#[tokio::test(start_paused = true)]
async fn a_node_whose_host_holds_a_guest_is_not_deleted_and_one_that_is_off_is() {
    let world = World::up(1, 2).await;
    world.guest("web").await;
    let first = world.settled("web").await;
    let refused = refusal(&world, "Node", &first).await;
    assert!(refused.contains("VirtualMachine/web"), "{refused}");
    let way_out = format!("quorate node withdraw {first}");
    assert!(refused.contains(&way_out), "{refused}");

    world.host(&first).cut(true);
    world.until_state(&first, "Fenced").await;
    world.host(&first).switch_off();
    world.delete("Node", &first).await;
}

#[tokio::test(start_paused = true)]
async fn hosts_that_nobody_hears_any_more_are_fenced_one_after_the_other() {
    let world = World::up(3, 3).await;
    world.boards.break_board("an1", true);
    for host in ["an1", "an2"] {
        world.host(host).cut(true);
    }
    world.until_state("an1", "Fencing").await;
    // `maxAtOnce` is 1.
    let waits = Some(("False".to_owned(), "FenceWaits".to_owned()));
    world
        .until("an2 waits for its turn", |world| {
            world.condition("Node", "an2", "Ready") == waits
        })
        .await;
    assert_eq!(world.state("an2"), "Suspect");
    // A board that is dead for good holds up nobody: once its level has failed, the turn goes on.
    world.until_state("an2", "Fenced").await;
    assert_eq!(world.state("an1"), "Fencing");
    let blocked = Some(("False".to_owned(), "FenceBlocked".to_owned()));
    assert_eq!(world.condition("Node", "an1", "Ready"), blocked);
    world.boards.break_board("an1", false);
    world.until_state("an1", "Fenced").await;
}
