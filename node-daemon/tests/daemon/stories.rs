use super::host::Host;
use super::plans::{DISK, POOL, WEB, Wanted};
use quorate_node_daemon::daemon::{Outcome, Stop};
use quorate_node_daemon::simulated::room::{Happening, Request};
use std::time::Duration;
use tokio::time::Instant;

fn runs(host: &Host) -> bool {
    [POOL, DISK, WEB]
        .iter()
        .all(|record| host.cluster.converged(record))
}

fn starts(host: &Host) -> usize {
    host.truth().runs.get("web").map_or(0, Vec::len)
}

fn executes(host: &Host) -> bool {
    let truth = host.truth();
    let copies = truth.guests.get("web");
    copies.is_some_and(|copies| copies.iter().any(|copy| copy.executes))
}

#[tokio::test(start_paused = true)]
async fn what_is_planned_is_made_in_order_and_then_nothing_is_said_any_more() {
    let host = Host::new().await;
    host.cluster.plan(Wanted::default().plan());
    host.until("the guest runs", runs).await;
    assert_eq!(starts(&host), 1);
    assert!(executes(&host));
    assert_eq!(host.cluster.state().acknowledged, 1);

    tokio::time::sleep(Duration::from_secs(1)).await;
    let reports = host.cluster.state().reports;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(
        host.cluster.state().reports,
        reports,
        "an idle host writes nothing"
    );
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_guest_is_noticed_in_time_although_nobody_tells_of_it() {
    for seconds in [4, 10, 30] {
        let host = Host::deaf().await;
        let wanted = Wanted {
            detect_within: Some(seconds),
            ..Wanted::default()
        };
        host.cluster.plan(wanted.plan());
        host.until("the guest runs", runs).await;

        // Whenever it ends between two looks.
        tokio::time::sleep(Duration::from_millis(1730)).await;
        let ended = Instant::now();
        let crash = Request::Happen(Happening::GuestCrashes("web".to_owned()));
        host.room.lock().ask(crash).outcome.expect("it crashes");
        host.until("its end is told", |host| {
            host.cluster.condition(WEB, "Stalled") == Some("GuestCrashed".to_owned())
        })
        .await;
        let after = ended.elapsed();
        assert!(
            after <= Duration::from_secs(seconds),
            "within {seconds} s it was wanted, after {after:?} it was told"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_daemon_may_be_killed_at_any_moment_and_the_guest_is_started_once() {
    let mut kills = 0;
    // Whenever it is killed, from the first registration until everything is as planned.
    for moment in 0_u64.. {
        let mut host = Host::new().await;
        host.cluster.plan(Wanted::default().plan());
        tokio::time::sleep(Duration::from_millis(20 * moment)).await;
        let done = runs(&host);
        host.kill().await;
        kills += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
        host.start();
        host.until("the guest runs", runs).await;
        assert_eq!(starts(&host), 1, "killed after {} ms", 20 * moment);
        assert_eq!(host.cluster.state().incarnation, 1, "the same boot");
        if done {
            break;
        }
    }
    assert!(kills > 20, "only {kills} moments were tried");
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_killed_again_and_again_gets_it_done_and_stops_nothing() {
    let mut host = Host::new().await;
    host.cluster.plan(Wanted::default().plan());
    for round in 1..20 {
        tokio::time::sleep(Duration::from_millis(70 * round)).await;
        host.kill().await;
        host.start();
    }
    host.until("the guest runs", runs).await;
    let before = host.truth().progress;
    for _ in 0..10 {
        host.kill().await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        host.start();
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(executes(&host));
    }
    assert_eq!(starts(&host), 1);
    assert_ne!(host.truth().progress, before, "it has got on meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_registration_whose_answer_is_lost_is_repeated_and_is_still_the_same() {
    let host = Host::new().await;
    host.cluster.state().lose_answers = 3;
    host.cluster.plan(Wanted::default().plan());
    host.until("the guest runs", runs).await;
    assert_eq!(host.cluster.state().registrations, 4);
    assert_eq!(host.cluster.state().incarnation, 1);
}

#[tokio::test(start_paused = true)]
async fn without_a_lease_nothing_is_started_and_what_runs_runs_on() {
    let mut host = Host::new().await;
    host.lease(false);
    host.cluster.plan(Wanted::default().plan());
    host.until("it says why", |host| {
        host.cluster.state().said.contains_key(WEB)
    })
    .await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(starts(&host), 0);
    let said = host.cluster.state().said[POOL].message.clone();
    assert!(said.unwrap_or_default().contains("no fresh lease"));

    host.lease(true);
    host.until("the guest runs", runs).await;
    host.lease(false);
    host.kill().await;
    host.start();
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert!(executes(&host) && host.cluster.converged(WEB));
    assert_eq!(starts(&host), 1);
}

#[tokio::test(start_paused = true)]
async fn an_older_plan_is_refused_also_by_the_next_daemon() {
    let mut host = Host::new().await;
    let old = Wanted::default().plan();
    host.cluster.plan(old.clone());
    host.until("the guest runs", runs).await;
    let without = Wanted {
        generation: 2,
        guest: false,
        ..Wanted::default()
    };
    host.cluster.plan(without.plan());
    host.until("the guest is released", |host| {
        host.cluster.state().said[WEB].released == Some(true)
    })
    .await;

    host.cluster.lag(&old);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!executes(&host));
    host.kill().await;
    host.cluster.plan(old);
    host.start();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(!executes(&host));
    assert_eq!(starts(&host), 1);

    host.cluster.plan(without.plan());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.cluster.state().acknowledged, 2);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_remembered_is_neither_acted_on_nor_acknowledged() {
    let host = Host::new().await;
    host.until("it is registered", |host| host.cluster.state().reports > 0)
        .await;
    host.memory.break_down(true);
    host.cluster.plan(Wanted::default().plan());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(host.cluster.state().acknowledged, 0);
    assert!(!host.cluster.state().said.contains_key(POOL));

    host.memory.break_down(false);
    host.until("the guest runs", runs).await;
    assert_eq!(host.cluster.state().acknowledged, 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_shuts_down_asks_to_be_emptied_and_leaves_when_it_holds_nothing() {
    let mut host = Host::new().await;
    host.cluster.state().holds = true;
    host.cluster.plan(Wanted::default().plan());
    host.until("the guest runs", runs).await;
    host.ask_to_stop(Stop::HostStops);
    host.until("it says so", |host| {
        host.cluster.host_condition("ShuttingDown").is_some()
    })
    .await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(executes(&host), "it is not stopped before the plan says so");

    let without = Wanted {
        generation: 2,
        guest: false,
        ..Wanted::default()
    };
    host.cluster.plan(without.plan());
    host.until("the guest is released", |host| {
        host.cluster.state().said[WEB].released == Some(true)
    })
    .await;
    host.cluster.state().holds = false;
    assert_eq!(host.ended().await, Outcome::Left);
    assert_eq!(host.cluster.state().left, 1);
}

#[tokio::test(start_paused = true)]
async fn who_asks_twice_does_not_wait_for_the_host_to_be_empty() {
    let mut host = Host::new().await;
    host.cluster.state().holds = true;
    host.cluster.plan(Wanted::default().plan());
    host.until("the guest runs", runs).await;
    host.ask_to_stop(Stop::HostStops);
    tokio::time::sleep(Duration::from_secs(10)).await;
    host.ask_to_stop(Stop::Restart);
    assert_eq!(host.ended().await, Outcome::Stopped);
    assert!(executes(&host));
}

#[tokio::test(start_paused = true)]
async fn a_withdrawn_host_leaves_and_comes_back_when_it_is_wanted() {
    let host = Host::new().await;
    let withdrawn = Wanted {
        guest: false,
        mode: "Withdrawn",
        ..Wanted::default()
    };
    host.cluster.plan(withdrawn.plan());
    host.until("it has left", |host| host.cluster.state().left == 1)
        .await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(host.cluster.state().left, 1, "once");
    assert_eq!(host.cluster.state().registrations, 1);

    let wanted = Wanted {
        incarnation: 2,
        generation: 2,
        ..Wanted::default()
    };
    host.cluster.plan(wanted.plan());
    host.until("the guest executes", executes).await;
    assert_eq!(host.cluster.state().incarnation, 2);
    assert_eq!(host.cluster.state().registrations, 2);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_shuts_down_does_not_wait_for_ever_for_a_cluster_that_is_away() {
    let mut host = Host::new().await;
    host.cluster.state().holds = true;
    host.cluster.plan(Wanted::default().plan());
    host.until("the guest runs", runs).await;
    host.ask_to_stop(Stop::HostStops);
    tokio::time::sleep(Duration::from_secs(300)).await;
    host.cluster.state().away = true;
    let ended = tokio::time::timeout(Duration::from_secs(120), host.ended()).await;
    assert_eq!(ended.expect("it gives up"), Outcome::Stopped);
}

#[tokio::test(start_paused = true)]
async fn a_host_that_has_left_shuts_down_at_once() {
    let mut host = Host::new().await;
    let withdrawn = Wanted {
        guest: false,
        mode: "Withdrawn",
        ..Wanted::default()
    };
    host.cluster.plan(withdrawn.plan());
    host.until("it has left", |host| host.cluster.state().left == 1)
        .await;
    host.ask_to_stop(Stop::HostStops);
    let ended = tokio::time::timeout(Duration::from_secs(10), host.ended()).await;
    assert_eq!(ended.expect("it does not wait"), Outcome::Left);
    assert_eq!(host.cluster.state().left, 1);
}

#[tokio::test(start_paused = true)]
async fn a_host_whose_incarnation_is_over_starts_nothing_and_says_that_its_daemon_lives() {
    let host = Host::new().await;
    host.until("it is registered", |host| host.cluster.state().reports > 0)
        .await;
    host.cluster.state().over = true;
    host.cluster.lag(&Wanted::default().plan());
    tokio::time::sleep(Duration::from_secs(60)).await;
    let (alive, asked) = (host.said_alive(), host.cluster.state().registrations);
    tokio::time::sleep(Duration::from_secs(600)).await;
    assert_eq!(starts(&host), 0);
    assert!(host.said_alive() > alive + 1_000, "its loops advance");
    let again = host.cluster.state().registrations - asked;
    assert!((5..50).contains(&again), "it asked {again} times");
}
