//! What goes wrong while mistakes are looked for: trouble of the kind in which they show.

use std::time::Duration;

use crate::{
    executor::Random,
    world::{Fault, Setup, Trouble, faults_of},
};

/// Hosts that are silent and go on.
pub(super) fn silent_hosts(setup: &Setup) -> Vec<Fault> {
    faults_of(setup, |trouble| {
        matches!(
            trouble,
            Trouble::Isolate { .. }
                | Trouble::Hang { .. }
                | Trouble::Pause { .. }
                | Trouble::Kill { .. }
        )
    })
}

/// The mains of the whole room fail, more than once, and people go on to write in between.
pub(super) fn power_lost_everywhere(setup: &Setup) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "power lost everywhere");
    let mut faults = Vec::new();
    let mut at = 0;
    for _ in 0..2 {
        at += random.between(10_000, 20_000);
        let machines = setup.machine_names().into_iter();
        faults.extend(machines.map(|machine| fault(at, 3_000, Trouble::Mains { machine })));
        // Until then everybody has booted and found each other.
        at += 90_000;
    }
    faults
}

/// Hosts that are heard and get no answer, so that their leases end, on which guests end.
pub(super) fn hosts_without_answers(setup: &Setup) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "without answers");
    let hosts = setup.host_names().into_iter();
    let mut faults: Vec<Fault> = hosts
        .map(|host| {
            let process = format!("quorate-lease@{host}");
            fault(1_000, 60_000, Trouble::Deaf { process })
        })
        .collect();
    for number in 1..=setup.guests {
        let guest = format!("vm{number}");
        let at = random.between(15_000, 50_000);
        faults.push(fault(at, 1_000, Trouble::GuestCrash { guest }));
    }
    faults
}

pub(super) fn drains(setup: &Setup) -> Vec<Fault> {
    faults_of(setup, |trouble| {
        matches!(
            trouble,
            Trouble::Drain { .. } | Trouble::Mains { .. } | Trouble::Kill { .. }
        )
    })
}

pub(super) fn guests_that_crash(setup: &Setup) -> Vec<Fault> {
    faults_of(setup, |trouble| {
        matches!(trouble, Trouble::GuestCrash { .. })
    })
}

pub(super) fn daemons_that_restart(setup: &Setup) -> Vec<Fault> {
    faults_of(
        setup,
        |trouble| matches!(trouble, Trouble::Kill { process } if process.starts_with("quorate-node")),
    )
}

pub(super) fn members_that_pause(setup: &Setup) -> Vec<Fault> {
    faults_of(
        setup,
        |trouble| matches!(trouble, Trouble::Pause { process } if process.starts_with("quorated")),
    )
}

/// Two hosts are cut off, one after the other; from a moment before until a moment after, something is wrong with their
/// fence devices.
fn silent_beside(
    setup: &Setup,
    (least, most): (u64, u64),
    wrong: fn(&str) -> Vec<Trouble>,
) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "silent beside");
    let (mut faults, mut at) = (Vec::new(), 0);
    for _ in 0..2 {
        let hosts = setup.host_names();
        let Some(host) = random.pick(&hosts) else {
            return faults;
        };
        at += random.between(1_000, 10_000);
        let lasts = random.between(least, most);
        faults.extend(
            wrong(host)
                .into_iter()
                .map(|what| fault(at - 500, lasts + 1_000, what)),
        );
        let machine = host.clone();
        faults.push(fault(at, lasts, Trouble::Isolate { machine }));
        at += lasts + 30_000;
    }
    faults
}

fn fault(at: u64, lasts: u64, what: Trouble) -> Fault {
    Fault {
        at: Duration::from_millis(at),
        lasts: Duration::from_millis(lasts),
        what,
    }
}

fn board(host: &str) -> String {
    format!("bmc-{host}")
}

fn outlet(host: &str) -> String {
    format!("pdu-{host}")
}

/// Boards that say that they acted when they did not.
pub(super) fn boards_that_act_not(setup: &Setup) -> Vec<Fault> {
    silent_beside(setup, (12_000, 30_000), |host| {
        vec![Trouble::DeviceActsNot {
            device: board(host),
        }]
    })
}

/// Nothing can be switched for longer than a round of all levels takes.
pub(super) fn devices_that_fail(setup: &Setup) -> Vec<Fault> {
    silent_beside(setup, (20_000, 40_000), |host| {
        [board(host), outlet(host)]
            .map(|device| Trouble::DeviceFails { device })
            .to_vec()
    })
}

/// Nothing can be switched for longer than a watchdog takes.
pub(super) fn devices_that_are_dead(setup: &Setup) -> Vec<Fault> {
    silent_beside(setup, (60_000, 90_000), |host| {
        [board(host), outlet(host)]
            .map(|device| Trouble::DeviceFails { device })
            .to_vec()
    })
}

/// The board is dead, and one of the two outlets of a host does nothing.
pub(super) fn outlets_that_act_not(setup: &Setup) -> Vec<Fault> {
    silent_beside(setup, (30_000, 40_000), |host| {
        let (board, outlet) = (board(host), outlet(host));
        vec![
            Trouble::DeviceDead { device: board },
            Trouble::DeviceActsNot { device: outlet },
        ]
    })
}

/// A board has said off of a host that is heard for so long that everybody could know, when the host falls silent.
pub(super) fn boards_that_were_caught_lying(setup: &Setup) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "caught lying");
    let hosts = setup.host_names();
    let Some(machine) = random.pick(&hosts).cloned() else {
        return Vec::new();
    };
    let device = board(&machine);
    let at = random.between(150_000, 200_000);
    vec![
        fault(0, at + 30_000, Trouble::DeviceLies { device }),
        fault(at, 20_000, Trouble::Isolate { machine }),
    ]
}

/// A packet filter keeps every heartbeat from one member after the other, and so from the one that leads.
pub(super) fn deaf_members(setup: &Setup) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "deaf");
    let mut at = 5_000;
    let mut faults = Vec::new();
    for member in setup.member_names() {
        let lasts = random.between(4_000, 12_000);
        let process = format!("quorated@{member}");
        faults.push(fault(at, lasts, Trouble::Deaf { process }));
        at += lasts + random.between(5_000, 10_000);
    }
    faults
}

/// A host is away while its peer writes on, and comes back when the peer is lost.
pub(super) fn peers_lost_in_turn(setup: &Setup) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "in turn");
    let mut hosts = setup.host_names();
    if hosts.len() < 2 {
        return Vec::new();
    }
    let mut draw = || {
        let nth = usize::try_from(random.below(hosts.len() as u64)).unwrap_or(0);
        hosts.remove(nth)
    };
    let (first, second) = (draw(), draw());
    // Until the first is confirmed off nothing is written without it.
    let at = random.between(40_000, 50_000);
    vec![
        fault(1_000, at, Trouble::Mains { machine: first }),
        fault(at, 120_000, Trouble::Mains { machine: second }),
    ]
}

/// A host is lost and comes back, and what is sent to it first is the plan that it had before.
pub(super) fn plans_of_the_past(setup: &Setup) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "plans of the past");
    let hosts = setup.host_names();
    let Some(host) = random.pick(&hosts).cloned() else {
        return Vec::new();
    };
    let at = random.between(10_000, 15_000);
    let (process, machine) = (format!("quorate-node@{host}"), host.clone());
    vec![
        // It asks for its plan anew, and gets it whole.
        fault(1_000, 1_000, Trouble::Kill { process }),
        fault(at - 1_000, 1_000, Trouble::OldPlan { host: host.clone() }),
        fault(at, 5_000, Trouble::Mains { machine }),
        // Until then the host has booted and got its plan.
        fault(at + 60_000, 1_000, Trouble::OldPlan { host }),
    ]
}
