use super::member::Member;
use super::process::Host;
use quorate_node_daemon::lease::{BootClock, SystemBootClock};
use quorate_proto::heartbeat::DaemonState;
use rustix::process::Signal;
use std::time::Duration;

const INTERVAL: Duration = Duration::from_millis(50);

#[test]
fn it_beats_on_every_ring_and_holds_a_lease_while_daemons_come_and_go() {
    let host = Host::new();
    let (first, second) = (Member::start(), Member::start());
    let process = host.start();
    let daemon = host.daemon();
    daemon.set_up(&host.setup(
        vec![
            vec![first.address.clone(), second.by_name()],
            vec![String::new(), second.address.clone()],
        ],
        INTERVAL,
    ));
    let view = daemon.until("a lease", |view| view.fresh(SystemBootClock.now()));
    assert_eq!((view.term, view.lowest_valid_generation), (1, 4));
    assert!(!view.watchdog_armed);
    first.until("the first ring", |heard| {
        heard.iter().any(|it| it.ring == 0)
    });
    second.until("the second ring", |heard| {
        heard.iter().filter(|it| it.ring == 1).count() > 4
    });
    first.until("a daemon that is well", |heard| {
        heard
            .last()
            .is_some_and(|it| it.daemon == DaemonState::Well)
    });

    drop(daemon);
    first.until("the daemon's end", |heard| {
        heard
            .last()
            .is_some_and(|it| it.daemon == DaemonState::Restarting)
    });
    let daemon = host.daemon();
    daemon.until("the same lease", |view| view.fresh(SystemBootClock.now()));
    daemon.set_up(&host.setup(vec![vec![first.address.clone()]], INTERVAL));
    first.until("the next daemon", |heard| {
        heard
            .last()
            .is_some_and(|it| it.daemon == DaemonState::Well)
    });
    drop(process);
}

#[test]
fn one_that_is_killed_is_replaced_by_one_that_needs_no_daemon() {
    let host = Host::new();
    let member = Member::start();
    let mut process = host.start();
    let daemon = host.daemon();
    daemon.set_up(&host.setup(vec![vec![member.address.clone()]], INTERVAL));
    daemon.until("a lease", |view| view.fresh(SystemBootClock.now()));
    drop(daemon);
    let before = member.until("some beats", |heard| heard.len() > 3);

    process.signal(Signal::KILL);
    process.wait();
    member.forget();
    let process = host.start();
    let after = member.until("beats again", |heard| heard.len() > 3);
    let newest = before.last().expect("some").sequence;
    assert!(
        after.iter().all(|it| it.sequence > newest),
        "it never goes back"
    );
    let daemon = host.daemon();
    daemon.until("a lease", |view| view.fresh(SystemBootClock.now()));
    drop(process);
}

#[test]
fn one_that_ends_in_order_says_so_with_its_last_beat_and_two_cannot_run() {
    let host = Host::new();
    let member = Member::start();
    let mut process = host.start();
    let daemon = host.daemon();
    daemon.set_up(&host.setup(vec![vec![member.address.clone()]], INTERVAL));
    daemon.until("a lease", |view| view.fresh(SystemBootClock.now()));

    let mut second = host.start();
    assert!(!second.wait().success(), "another one runs already");
    member.forget();
    member.until("the first goes on", |heard| heard.len() > 3);

    process.signal(Signal::TERM);
    assert!(process.wait().success());
    let heard = member.until("its end", |heard| {
        heard
            .last()
            .is_some_and(|it| it.daemon == DaemonState::Restarting)
    });
    assert_eq!(
        heard.last().map(|it| it.daemon),
        Some(DaemonState::Restarting)
    );
}
