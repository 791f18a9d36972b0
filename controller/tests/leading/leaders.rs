//! Leaders that come and go, and what hosts notice of it: nothing.

use std::time::Duration;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn when_the_leader_dies_no_host_is_lost_and_a_host_that_dies_with_it_is_recovered() {
    let mut world = World::up(3, 2).await;
    world.guest("web").await;
    let first = world.settled("web").await;
    let second = if first == "an1" { "an2" } else { "an1" };

    let leader = world.leader().await;
    world.kill(leader).await;
    let elected = world.leader().await;
    world.pass(30 * SECOND).await;
    assert!(
        world.boards.asked().is_empty(),
        "{:?}",
        world.boards.asked()
    );
    assert!(world.host(&first).has_lease());

    world.start(leader).await;
    world.pass(5 * SECOND).await;
    world.host(&first).switch_off();
    world.kill(elected).await;
    world.until_runs("web", second).await;
    assert_eq!(world.state(second), "Online");
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_majority_gives_no_leases_and_decides_nothing() {
    let world = World::up(3, 2).await;
    world.guest("web").await;
    world
        .until("web runs", |world| world.runs_on("web").len() == 1)
        .await;
    let deposed = world.leader().await;
    let others = [1, 2, 3].into_iter().filter(|other| *other != deposed);
    world.net.isolate(deposed, others);

    // It alone goes deaf as well: were it still the judge, it would see everybody lost.
    world.wire.deafen(deposed, 1, true);
    world.wire.deafen(deposed, 2, true);
    world.pass(60 * SECOND).await;
    assert!(
        world.boards.asked().is_empty(),
        "{:?}",
        world.boards.asked()
    );
    assert!(world.host("an1").has_lease(), "the new leader gives it");
    assert!(world.host("an2").has_lease());
    world.net.heal();
    world.pass(10 * SECOND).await;
    assert_eq!(
        [world.state("an1"), world.state("an2")],
        ["Online", "Online"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_member_that_has_just_started_waits_for_hosts_before_it_has_them_fenced() {
    let mut world = World::up(1, 2).await;
    // The power of the whole site fails. The member is back first.
    world.kill(1).await;
    for host in ["an1", "an2"] {
        world.host(host).switch_off();
    }
    world.start(1).await;
    world.host("an1").switch_on();
    world.pass(28 * SECOND).await;
    assert_eq!(
        [world.state("an1"), world.state("an2")],
        ["Online", "Online"]
    );
    assert!(world.boards.asked().is_empty());
    world.until_state("an2", "Fenced").await;
    world.until_state("an1", "Online").await;
    assert!(!world.boards.asked().contains(&"off an1".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_was_silent_before_the_member_started_is_waited_for_as_well() {
    let mut world = World::up(1, 2).await;
    world
        .merge(
            "Node",
            "an1",
            serde_json::json!({"spec": {"mode": "Maintenance"}}),
        )
        .await;
    world.host("an1").cut(true);
    world.until_state("an1", "Suspect").await;
    world.kill(1).await;
    world.start(1).await;
    world
        .merge(
            "Node",
            "an1",
            serde_json::json!({"spec": {"mode": "Active"}}),
        )
        .await;
    world.pass(25 * SECOND).await;
    assert_eq!(world.state("an1"), "Suspect");
    let waits = Some(("False".to_owned(), "FenceWaits".to_owned()));
    assert_eq!(world.condition("Node", "an1", "Ready"), waits);
    assert!(world.boards.asked().is_empty());
    world.until_state("an1", "Fenced").await;
}
