//! Two machines, two votes: either may be lost, the other goes on, and never both.

use std::time::Duration;

use quorate_controller::takeover::Standing;
use quorate_store::{MemberId, Role};
use serde_json::json;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

fn voters(world: &World, id: MemberId) -> usize {
    let status = world.store(id).status();
    let votes = status.members.iter().filter(|it| it.role == Role::Voter);
    votes.count()
}

/// A pair that runs a guest: the number of the machine that runs it, and of the other.
async fn with_guest() -> (World, MemberId, MemberId) {
    let world = World::pair().await;
    world.guest("web").await;
    let first = if world.settled("web").await == "an1" {
        1
    } else {
        2
    };
    // A member that has just started waits before it shoots.
    world.pass(40 * SECOND).await;
    (world, first, 3 - first)
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_lost_is_proven_off_and_its_guests_run_on_the_other() {
    let (mut world, first, second) = with_guest().await;
    let next_loss = world.get("Cluster", "test")["status"]["quorum"]["nextLoss"].clone();
    let expected = "stands still until fencing has proven the lost ones off, then goes on";
    assert_eq!(next_loss, format!("the cluster {expected}"));
    world.host(&format!("an{first}")).switch_off();
    world.mind_machines().await;
    let runs_again = format!("an{second}");
    world
        .until_minded("web runs on the other machine", |world| {
            world.runs_on("web") == [runs_again.as_str()]
        })
        .await;
    assert_eq!(world.boards.asked()[0], format!("off an{first}"));
    let taken = world.store(second).takeovers();
    assert_eq!(taken.len(), 1);
    assert!(
        taken[0].evidence[0].proof.contains("says off"),
        "{:?}",
        taken[0].evidence
    );

    // Its power is returned, it boots, learns what it has missed, and votes again.
    world
        .until_minded("both vote again", |world| {
            world.runs(first) && voters(world, second) == 2
        })
        .await;
    world.pass_minded(60 * SECOND).await;
    let asked = world.boards.asked();
    let shots = asked.iter().filter(|asked| asked.starts_with("off"));
    assert!(shots.count() <= 2, "no fence loop: {asked:?}");
    assert!(world.host("an1").powered() && world.host("an2").powered());
    assert_eq!(world.runs_on("web"), [runs_again.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn of_two_machines_that_do_not_hear_each_other_one_survives() {
    let (mut world, first, second) = with_guest().await;
    world.net.isolate(1, [2]);
    world
        .until_minded("one is shot", |world| !world.boards.asked().is_empty())
        .await;
    assert_eq!(
        world.boards.asked(),
        [format!("off an{second}")],
        "the one that runs the guest has the head start"
    );
    world
        .until_minded("the other goes on", |world| {
            voters(world, first) == 1 && world.store(first).has_quorum()
        })
        .await;
    world.net.heal();
    world
        .until_minded("both vote again", |world| {
            world.runs(second) && voters(world, first) == 2
        })
        .await;
    assert_eq!(world.runs_on("web"), [format!("an{first}")]);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_is_started_anew_on_a_machine_that_is_well_is_not_shot() {
    let (mut world, first, second) = with_guest().await;
    world.kill(first).await;
    world.pass(15 * SECOND).await;
    let standing = world.brain(second).standing();
    assert!(
        matches!(&standing, Standing::Waits { why, .. } if why.contains("itself is heard")),
        "{standing:?}"
    );
    world.start(first).await;
    world
        .until_minded("there is a quorum", |world| {
            world.store(second).has_quorum()
        })
        .await;
    world.pass_minded(60 * SECOND).await;
    assert!(world.boards.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_proof_nobody_goes_on_and_it_is_said_why() {
    let (mut world, first, second) = with_guest().await;
    world.boards.break_board(&format!("an{first}"), true);
    world.host(&format!("an{first}")).switch_off();
    world.mind_machines().await;
    world.pass_minded(120 * SECOND).await;
    assert!(world.runs_on("web").is_empty());
    assert!(!world.store(second).has_quorum());
    let said = world.brain(second).standing().sentence();
    assert!(said.contains("the board does not answer"), "{said}");

    // Somebody repairs the board.
    world.boards.break_board(&format!("an{first}"), false);
    let runs_again = format!("an{second}");
    world
        .until_minded("web runs on the other machine", |world| {
            world.runs_on("web") == [runs_again.as_str()]
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn both_machines_that_boot_together_go_on_and_one_alone_does_not() {
    let (mut world, first, second) = with_guest().await;
    for id in [first, second] {
        world.host(&format!("an{id}")).switch_off();
    }
    world.mind_machines().await;
    world.host(&format!("an{second}")).switch_on();
    world.pass_minded(120 * SECOND).await;
    assert!(!world.store(second).has_quorum());
    assert!(world.boards.asked().is_empty());
    let said = world.brain(second).standing().sentence();
    assert!(said.contains("in no quorum since it started"), "{said}");

    world.host(&format!("an{first}")).switch_on();
    world
        .until_minded("web runs", |world| world.runs_on("web").len() == 1)
        .await;
    assert_eq!(voters(&world, second), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_told_to_freeze_freezes() {
    let (mut world, first, second) = with_guest().await;
    let freeze = json!({"spec": {"quorum": {"evenSplit": "Freeze"}}});
    world.merge("Cluster", "test", freeze).await;
    world.pass(SECOND).await;
    world.host(&format!("an{first}")).switch_off();
    world.mind_machines().await;
    world.pass_minded(120 * SECOND).await;
    assert!(!world.store(second).has_quorum());
    assert!(world.boards.asked().is_empty());
    let said = world.brain(second).standing().sentence();
    assert!(said.contains("Freeze"), "{said}");
}
