//! From a host that is lost to its guests running again.

use std::time::Duration;

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn a_guest_of_a_silent_host_runs_again_elsewhere_and_only_after_its_host_is_off() {
    let world = World::up(3, 2).await;
    world.guest("web").await;
    let first = world.settled("web").await;
    let second = if first == "an1" { "an2" } else { "an1" };

    // The host lives and its guest runs; nobody hears it.
    world.host(&first).cut(true);
    world.until_runs("web", second).await;
    assert_eq!(world.boards.asked()[0], format!("off {first}"));

    // It gets power again, boots, and is a host like any other.
    world.host(&first).cut(false);
    world.until_state(&first, "Online").await;
    assert_eq!(world.host(&first).incarnation(), 2);
    world.pass(60 * SECOND).await;
    assert_eq!(
        world.runs_on("web"),
        [second],
        "nothing moves back by itself"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_board_that_answers_nothing_is_recovered_and_everybody_is_told_why() {
    let world = World::up(1, 2).await;
    world.guest("web").await;
    let first = world.settled("web").await;
    let second = if first == "an1" { "an2" } else { "an1" };
    world.boards.break_board(&first, true);
    world.host(&first).switch_off();
    world.pass(600 * SECOND).await;
    assert!(world.runs_on("web").is_empty());
    let blocked = Some(("False".to_owned(), "FenceBlocked".to_owned()));
    assert_eq!(world.condition("Node", &first, "Ready"), blocked);

    // Somebody repairs the board.
    world.boards.break_board(&first, false);
    world.until_runs("web", second).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_heard_after_it_was_confirmed_off_voids_the_evidence() {
    let world = World::up(1, 2).await;
    world.boards.swap_cables("an1");
    let incarnation = world.host("an1").incarnation();
    world.host("an1").cut(true);
    world.until_state("an1", "Fenced").await;
    world.pass(10 * SECOND).await;

    // It was never off: the same boot is heard again.
    world.host("an1").cut(false);
    world
        .until("the evidence is void", |world| {
            world.all("FenceOperation").iter().any(|operation| {
                operation["spec"]["incarnation"] == incarnation
                    && operation["status"]["phase"] == "Voided"
            })
        })
        .await;
    assert_ne!(world.state("an1"), "Fenced");
    assert_eq!(
        world.get("FenceDevice", "bmc-an1")["status"]["state"],
        "Contradicted"
    );
}
