//! Two machines, two votes: either may be lost, the other goes on, and never both.

use std::time::Duration;

use quorate_controller::takeover::Standing;
use quorate_store::{MemberId, Role};
use serde_json::{Value, json};

use crate::support::World;

const SECOND: Duration = Duration::from_secs(1);

fn voters(world: &World, id: MemberId) -> usize {
    let status = world.store(id).status();
    let votes = status.members.iter().filter(|it| it.role == Role::Voter);
    votes.count()
}

/// A pair that runs a guest: the number of the machine that runs it, and of the other.
async fn with_guest() -> (World, MemberId, MemberId) {
    let world = World::machines(2).await;
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

/// What proved the first boot of a host off.
fn evidence(world: &World, host: &str) -> Value {
    let operations = world.all("FenceOperation");
    let of_host = operations.iter().filter(|it| it["spec"]["node"] == host);
    let succeeded: Vec<&Value> = of_host
        .filter(|it| it["status"]["phase"] == "Succeeded")
        .collect();
    assert_eq!(succeeded.len(), 1, "{succeeded:?}");
    succeeded[0]["status"]["evidence"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_is_lost_is_proven_off_and_its_guests_run_on_the_other() {
    let (mut world, first, second) = with_guest().await;
    let next_loss = world.get("Cluster", "test")["status"]["quorum"]["nextLoss"].clone();
    let expected = "the cluster stands still until fencing has proven the lost ones off, then goes on; it waits 40s longer \
                    when the lost ones have the head start";
    assert_eq!(next_loss, expected);
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
    assert_eq!(
        world.boards.asked(),
        [format!("off an{first}"), format!("on an{first}")],
        "what switched it off for the vote's sake is evidence for its guests' sake"
    );
    let evidence = evidence(&world, &format!("an{first}"));
    assert_eq!(evidence["kind"], "Devices", "{evidence}");
    assert_eq!(evidence["incarnation"], 1);
    assert!(world.host("an1").powered() && world.host("an2").powered());
    assert_eq!(world.runs_on("web"), [runs_again.as_str()]);
}

#[tokio::test(start_paused = true)]
async fn a_head_start_is_as_long_as_the_cluster_says_and_a_short_one_is_pointed_out() {
    let (mut world, first, second) = with_guest().await;
    let five = json!({"spec": {"quorum": {"headStart": {"duration": "5s"}}}});
    world.merge("Cluster", "test", five).await;
    world
        .until_minded("it says what that means", |world| {
            let next_loss = &world.get("Cluster", "test")["status"]["quorum"]["nextLoss"];
            next_loss.as_str().is_some_and(|said| {
                said.contains("waits 5s longer")
                    && said.ends_with(
                        "a fence level may take 40s, so two that are cut apart may shoot each other \
                         (quorum.headStart.duration)",
                    )
            })
        })
        .await;
    world.host(&format!("an{first}")).switch_off();
    world.mind_machines().await;
    let fell_silent = tokio::time::Instant::now();
    world
        .until_minded("the other one has waited, and shoots", |world| {
            !world.boards.asked().is_empty()
        })
        .await;
    let waited = fell_silent.elapsed();
    assert!(waited > 5 * SECOND && waited < 20 * SECOND, "{waited:?}");
    let runs_again = format!("an{second}");
    world
        .until_minded("web runs on the other machine", |world| {
            world.runs_on("web") == [runs_again.as_str()]
        })
        .await;
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

/// A pair whose one machine has shot the other and is lost itself before that is committed; it is back, alone.
async fn shot_for_nothing(power_on: bool) -> (World, MemberId, MemberId) {
    let (mut world, first, second) = with_guest().await;
    let power_on = json!({"spec": {"fencing": {"powerOn": power_on}}});
    world.merge("Cluster", "test", power_on).await;
    world.net.isolate(1, [2]);
    world
        .until_minded("one is shot", |world| !world.boards.asked().is_empty())
        .await;
    let shooter = format!("an{first}");
    world.host(&shooter).switch_off();
    world.mind_machines().await;
    world.net.heal();
    world.pass_minded(SECOND).await;
    world.host(&shooter).switch_on();
    world
        .until_minded("it is back, and nothing was committed", |world| {
            world.runs(first) && voters(world, first) == 2
        })
        .await;
    assert!(world.store(first).takeovers().is_empty());
    (world, first, second)
}

#[tokio::test(start_paused = true)]
async fn whoever_was_shot_for_a_takeover_that_came_to_nothing_gets_its_power_back() {
    let (mut world, first, second) = shot_for_nothing(true).await;
    world
        .until_minded("both vote and web runs", |world| {
            world.runs(second) && world.store(first).has_quorum() && world.runs_on("web").len() == 1
        })
        .await;
    assert_eq!(
        world.boards.asked(),
        [format!("off an{second}"), format!("on an{second}")]
    );
    world.pass_minded(10 * SECOND).await;
    assert!(world.store(first).shots().is_empty(), "that is settled");
}

#[tokio::test(start_paused = true)]
async fn where_no_power_is_to_return_it_is_said_who_was_shot_for_nothing() {
    let (mut world, first, second) = shot_for_nothing(false).await;
    world
        .until_minded("it is said", |world| {
            let said = world.brain(first).standing().sentence();
            said.contains(&format!("an{second} was switched off for a takeover"))
                && said.contains("switch it on by hand")
        })
        .await;
    assert_eq!(world.boards.asked(), [format!("off an{second}")]);

    world.host(&format!("an{second}")).switch_on();
    world
        .until_minded("both are there", |world| {
            world.runs(second) && world.store(first).has_quorum()
        })
        .await;
    world.pass_minded(SECOND).await;
    assert!(world.store(first).shots().is_empty(), "that is settled");
    assert_eq!(world.boards.asked(), [format!("off an{second}")]);
}

/// A leader tells the first device while it writes down that it does. Of the two whose answers the log needs, one is then off.
#[tokio::test(start_paused = true)]
async fn whoever_was_shot_by_a_leader_that_was_lost_before_it_could_say_so_gets_its_power_back() {
    let (mut world, first, second) = with_guest().await;
    let (shooter, shot) = (format!("an{first}"), format!("an{second}"));
    let spec = json!({"node": shot, "incarnation": 1, "action": "PowerCycle", "reason": "a test",
                      "requestedBy": "a person"});
    world.apply("FenceOperation", "by-a-person", spec).await;
    world.net.isolate(1, [2]);
    world
        .until_minded("it is shot", |world| !world.boards.asked().is_empty())
        .await;
    world.host(&shooter).switch_off();
    world.mind_machines().await;
    world.net.heal();
    world.pass_minded(SECOND).await;
    world.host(&shooter).switch_on();
    world
        .until_minded("it is back", |world| world.runs(first))
        .await;
    let operation = world.get("FenceOperation", "by-a-person");
    assert_eq!(operation["status"], Value::Null, "nothing was written down");
    world
        .until_minded("both vote and web runs", |world| {
            world.runs(second) && world.store(first).has_quorum() && world.runs_on("web").len() == 1
        })
        .await;
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

#[tokio::test(start_paused = true)]
async fn nobody_is_shot_while_people_are_at_work() {
    let (mut world, first, second) = with_guest().await;
    let at_work = json!({"spec": {"mode": "Maintenance"}});
    let machine = format!("an{first}");
    world.merge("Node", &machine, at_work).await;
    world.pass(SECOND).await;
    world.host(&machine).switch_off();
    world.mind_machines().await;
    world.pass_minded(120 * SECOND).await;
    assert!(!world.store(second).has_quorum());
    assert!(world.boards.asked().is_empty());
    let said = world.brain(second).standing().sentence();
    assert!(said.contains("is in maintenance"), "{said}");

    // They are done, and it is switched on.
    world.host(&machine).switch_on();
    world
        .until_minded("both are there", |world| {
            world.store(second).has_quorum() && voters(world, second) == 2
        })
        .await;
    assert!(world.boards.asked().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_machine_that_was_withdrawn_and_is_switched_off_stays_off() {
    let (mut world, first, second) = with_guest().await;
    // The one that has nothing to move off.
    let (first, second) = (second, first);
    let (machine, other) = (format!("an{first}"), format!("an{second}"));
    let withdrawn = json!({"spec": {"mode": "Withdrawn"}});
    world.merge("Node", &machine, withdrawn).await;
    world.pass(SECOND).await;
    world.host(&machine).switch_off();
    world
        .until_minded("the other half goes on", |world| {
            voters(world, second) == 1 && world.store(second).has_quorum()
        })
        .await;
    world.pass_minded(120 * SECOND).await;
    assert_eq!(
        world.boards.asked(),
        [format!("off {machine}")],
        "somebody is at work on it"
    );
    assert_eq!(world.runs_on("web"), [other.as_str()]);

    // The work is done, and it is switched on.
    let active = json!({"spec": {"mode": "Active"}});
    world.merge("Node", &machine, active).await;
    world.host(&machine).switch_on();
    world
        .until_minded("both vote again", |world| {
            world.runs(first) && voters(world, second) == 2
        })
        .await;
    assert_eq!(world.boards.asked(), [format!("off {machine}")]);
}

/// A person shuts both down. The first one is off while the second one still stops its guests.
#[tokio::test(start_paused = true)]
async fn a_machine_that_is_being_shut_down_shoots_nobody_and_switches_nobody_on() {
    let (mut world, first, second) = with_guest().await;
    let (machine, other) = (format!("an{first}"), format!("an{second}"));
    let going = json!({"conditions": [{"type": "ShuttingDown", "status": "True", "reason": "HostStops",
                       "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
    world.say("Node", &other, going).await;
    world.pass(SECOND).await;
    world.host(&machine).switch_off();
    world.mind_machines().await;
    world.pass_minded(120 * SECOND).await;
    assert!(
        world.boards.asked().is_empty(),
        "{:?}",
        world.boards.asked()
    );
    let said = world.brain(second).standing().sentence();
    assert!(said.contains("is being shut down"), "{said}");

    // In its next boot that is over.
    world.host(&other).switch_off();
    world.mind_machines().await;
    for id in [first, second] {
        world.host(&format!("an{id}")).switch_on();
    }
    world
        .until_minded("both are there", |world| {
            world.runs(first) && world.runs(second) && world.store(first).has_quorum()
        })
        .await;
    world.pass_minded(60 * SECOND).await;
    world.host(&machine).switch_off();
    world
        .until_minded("the other half goes on", |world| {
            world.boards.asked().first() == Some(&format!("off {machine}"))
        })
        .await;
}

/// The other half of four machines, seen from the half of one of them; with a guest on that one.
async fn four_with_guest() -> (World, [MemberId; 2], [MemberId; 2]) {
    let world = World::machines(4).await;
    world.guest("web").await;
    let first = world.settled("web").await;
    world.pass(40 * SECOND).await;
    let halves = if ["an1", "an2"].contains(&first.as_str()) {
        ([1, 2], [3, 4])
    } else {
        ([3, 4], [1, 2])
    };
    (world, halves.0, halves.1)
}

fn machines(ids: &[MemberId]) -> Vec<String> {
    ids.iter().map(|id| format!("an{id}")).collect()
}

/// Which machines were told to go off, in order of their names.
fn shot(world: &World) -> Vec<String> {
    let mut shot: Vec<String> = world
        .boards
        .asked()
        .iter()
        .filter_map(|asked| asked.strip_prefix("off ").map(str::to_owned))
        .collect();
    shot.sort();
    shot
}

async fn all_four_vote_again(world: &mut World, survivor: MemberId) {
    world.join_again();
    world
        .until_minded("all four vote again", |world| {
            (1..=4).all(|id| world.runs(id)) && voters(world, survivor) == 4
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn of_four_machines_that_are_cut_in_half_the_half_with_the_guest_goes_on() {
    let (mut world, ours, theirs) = four_with_guest().await;
    let before = world.settled("web").await;
    world.cut_apart(&ours, &theirs);
    world
        .until_minded("the half with the guest goes on", |world| {
            voters(world, ours[0]) == 2 && world.store(ours[0]).has_quorum()
        })
        .await;
    assert_eq!(shot(&world), machines(&theirs), "the others, and each once");
    assert_eq!(world.runs_on("web"), [before.as_str()]);

    all_four_vote_again(&mut world, ours[0]).await;
    assert_eq!(shot(&world), machines(&theirs), "nobody is shot twice");
    assert_eq!(world.runs_on("web"), [before.as_str()]);
    for host in machines(&theirs) {
        assert_eq!(evidence(&world, &host)["kind"], "Devices");
    }
}

#[tokio::test(start_paused = true)]
async fn of_four_machines_that_are_cut_in_half_the_preferred_half_goes_on_with_the_guest() {
    let (mut world, ours, theirs) = four_with_guest().await;
    let preferred = json!({"by": "PreferredNode", "preferredNode": format!("an{}", theirs[1])});
    let quorum = json!({"spec": {"quorum": {"headStart": preferred}}});
    world.merge("Cluster", "test", quorum).await;
    world.pass(SECOND).await;
    world.cut_apart(&ours, &theirs);
    let survivors = machines(&theirs);
    world
        .until_minded("the guest runs in the preferred half", |world| {
            survivors
                .iter()
                .any(|host| world.runs_on("web") == [host.as_str()])
        })
        .await;
    assert_eq!(shot(&world), machines(&ours), "the losers have shot nobody");
    all_four_vote_again(&mut world, theirs[0]).await;
    assert_eq!(shot(&world), machines(&ours), "nobody is shot twice");
}

#[tokio::test(start_paused = true)]
async fn a_half_that_cannot_prove_all_of_the_others_off_does_not_go_on() {
    let (mut world, ours, theirs) = four_with_guest().await;
    let unproven = format!("an{}", theirs[1]);
    world.boards.break_board(&unproven, true);
    world.cut_apart(&ours, &theirs);
    world.pass_minded(90 * SECOND).await;
    // The one that was shot leaves the other alone: that is no half.
    assert!(!world.runs(theirs[0]) && world.runs(theirs[1]));
    for id in [ours[0], ours[1], theirs[1]] {
        assert_eq!(voters(&world, id), 4, "member {id}");
    }
    // Who is led hears its leader, and cannot tell that nobody else does.
    assert!(ours.iter().any(|id| !world.store(*id).has_quorum()));
    world
        .until_minded("it is said why", |world| {
            ours.iter().any(|id| {
                let said = world.brain(*id).standing().sentence();
                said.contains(&unproven) && said.contains("the board does not answer")
            })
        })
        .await;

    // Somebody repairs the board.
    world.boards.break_board(&unproven, false);
    world
        .until_minded("the half goes on", |world| {
            voters(world, ours[0]) == 2 && world.store(ours[0]).has_quorum()
        })
        .await;
    all_four_vote_again(&mut world, ours[0]).await;
}

/// Whichever of the two drove the devices: it finds its note when it is back, or it is left alone with what it has done.
#[tokio::test(start_paused = true)]
async fn a_half_that_breaks_apart_gives_power_back_to_whom_it_has_shot() {
    let (mut world, ours, theirs) = four_with_guest().await;
    world.cut_apart(&ours, &theirs);
    world
        .until_minded("both are shot", |world| shot(world) == machines(&theirs))
        .await;
    let mate = format!("an{}", ours[1]);
    world.host(&mate).switch_off();
    world.mind_machines().await;
    world.join_again();
    world.host(&mate).switch_on();
    world
        .until_minded("all four vote and web runs", |world| {
            (1..=4).all(|id| world.runs(id) && voters(world, id) == 4)
                && world.store(ours[0]).has_quorum()
                && world.runs_on("web").len() == 1
        })
        .await;
}
