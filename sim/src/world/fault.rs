use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::Setup;
use crate::executor::{Random, Ring};

/// Something that goes wrong for a while.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fault {
    /// Counted from the moment when the cluster first ran as it should.
    pub at: Duration,
    /// For how long.
    pub lasts: Duration,
    /// What.
    pub what: Trouble,
}

/// What goes wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(
    missing_docs,
    reason = "the names say it, and `Display` says it in words"
)]
pub enum Trouble {
    /// `kill -9`; started again when the fault is over.
    Kill { process: String },
    /// Stopped without dying.
    Pause { process: String },
    /// The cords are out.
    Mains { machine: String },
    /// The kernel panics, and stays so until somebody cycles the power.
    Crash { machine: String },
    /// No process gets anywhere, but guests still write.
    Hang { machine: String },
    /// One ring between two machines, one way or both.
    Ring {
        one: String,
        other: String,
        ring: Ring,
        both: bool,
    },
    /// All rings of a machine.
    Isolate { machine: String },
    /// The storage network between two hosts.
    Storage { one: String, other: String },
    /// Datagrams are lost, everything is slow.
    Storm { loss: u64, most_ms: u64 },
    /// The wall clock is wrong by so much.
    Clock { machine: String, by_ms: i64 },
    /// The monotonic clock is wrong by so many parts in a million.
    Drift { machine: String, by: i64 },
    /// The member's disk is full.
    DiskFull { member: String },
    /// A bit of the member's disk reads wrong after its restart.
    DiskCorrupt { member: String, nth: usize },
    /// The fence device does not answer.
    DeviceDead { device: String },
    /// The fence device says that it failed.
    DeviceFails { device: String },
    /// The fence device says that it acted, and did nothing.
    DeviceActsNot { device: String },
    /// The fence device says that it acted, and that the host is off, whatever is so: it switches another one's outlet.
    DeviceLies { device: String },
    /// A packet filter keeps every datagram of the heartbeats from a process; everything else gets through.
    Deaf { process: String },
    /// The plan that a host has now is sent to it once more later, when it asks again.
    OldPlan { host: String },
    /// The guest's own kernel panics.
    GuestCrash { guest: String },
    /// A person wants the host empty.
    Drain { host: String },
    /// A person does not want the guest.
    GuestOff { guest: String },
    /// A person does not want the shared filesystem on one of the hosts that keep its volume.
    TakenOff { nth: usize },
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "after {:.3} s for {:.3} s: ",
            self.at.as_secs_f64(),
            self.lasts.as_secs_f64()
        )?;
        match &self.what {
            Trouble::Kill { process } => write!(f, "{process} is killed"),
            Trouble::Pause { process } => write!(f, "{process} is stopped"),
            Trouble::Mains { machine } => write!(f, "{machine} has no mains"),
            Trouble::Crash { machine } => write!(f, "{machine} panics"),
            Trouble::Hang { machine } => write!(f, "{machine} hangs while its guests go on"),
            Trouble::Ring {
                one,
                other,
                ring,
                both,
            } => {
                let arrow = if *both { "<->" } else { "->" };
                write!(f, "ring {ring} is cut {one} {arrow} {other}")
            }
            Trouble::Isolate { machine } => write!(f, "all rings of {machine} are cut"),
            Trouble::Storage { one, other } => {
                write!(f, "the storage network is cut {one} <-> {other}")
            }
            Trouble::Storm { loss, most_ms } => write!(
                f,
                "{loss} datagrams in a million are lost, messages take up to {most_ms} ms"
            ),
            Trouble::Clock { machine, by_ms } => {
                write!(f, "the wall clock of {machine} is wrong by {by_ms} ms")
            }
            Trouble::Drift { machine, by } => {
                write!(f, "the monotonic clock of {machine} drifts by {by} ppm")
            }
            Trouble::DiskFull { member } => write!(f, "the disk of the member on {member} is full"),
            Trouble::DiskCorrupt { member, nth } => write!(
                f,
                "the member on {member} is killed, and a bit of its file {nth} reads wrong"
            ),
            Trouble::DeviceDead { device } => write!(f, "{device} does not answer"),
            Trouble::DeviceFails { device } => write!(f, "{device} says that it fails"),
            Trouble::DeviceActsNot { device } => {
                write!(f, "{device} says that it acts, and does nothing")
            }
            Trouble::DeviceLies { device } => {
                write!(f, "{device} says that its host is off, whatever is so")
            }
            Trouble::Deaf { process } => {
                write!(f, "no heartbeat, and no answer to one, reaches {process}")
            }
            Trouble::OldPlan { host } => {
                write!(f, "the plan of {host} is sent once more later")
            }
            Trouble::GuestCrash { guest } => write!(f, "guest {guest} panics"),
            Trouble::Drain { host } => write!(f, "{host} is drained"),
            Trouble::GuestOff { guest } => write!(f, "guest {guest} is not wanted"),
            Trouble::TakenOff { nth } => {
                write!(f, "the shared filesystem is not wanted on its host {nth}")
            }
        }
    }
}

/// The faults that a seed stands for, in the order of time, as far as they are of a kind that is wanted.
#[must_use]
pub fn faults_of(setup: &Setup, wanted: impl Fn(&Trouble) -> bool) -> Vec<Fault> {
    let mut random = Random::of(setup.seed, "faults");
    let mut faults = Vec::new();
    while faults.len() < setup.faults {
        let window = setup.trouble_seconds * 1000;
        let at = Duration::from_millis(random.below(window));
        // Some are over before anybody notices, some last.
        let longest = *random.pick(&[400, 3_000, 15_000, 40_000]).unwrap_or(&3_000);
        let lasts = Duration::from_millis(random.between(50, longest));
        match trouble(setup, &mut random).filter(&wanted) {
            Some(Trouble::Ring {
                one,
                other,
                ring,
                both,
            }) if random.happens(250_000) => {
                faults.extend(flapping(&mut random, at, (one, other, ring, both)));
            }
            Some(what) => faults.push(Fault { at, lasts, what }),
            None => {}
        }
    }
    let taken_off = taken_off(setup).into_iter();
    faults.extend(taken_off.filter(|fault| wanted(&fault.what)));
    faults.sort_by_key(|fault| fault.at);
    faults
}

/// Hosts that are taken off the shared filesystem and come back. Their stream is their own: what else goes wrong is the
/// same without them.
fn taken_off(setup: &Setup) -> Vec<Fault> {
    if setup.sharers == 0 {
        return Vec::new();
    }
    let mut random = Random::of(setup.seed, "taken off");
    let times = random.below(3);
    let one = |_| Fault {
        at: Duration::from_millis(random.below(setup.trouble_seconds * 1000)),
        lasts: Duration::from_millis(random.between(500, 30_000)),
        what: Trouble::TakenOff {
            nth: usize::try_from(random.below(setup.sharers as u64)).unwrap_or(0),
        },
    };
    (0..times).map(one).collect()
}

/// A link that comes and goes.
fn flapping(
    random: &mut Random,
    mut at: Duration,
    (one, other, ring, both): (String, String, Ring, bool),
) -> Vec<Fault> {
    let mut faults = Vec::new();
    for _ in 0..random.between(3, 8) {
        let lasts = Duration::from_millis(random.between(100, 1_500));
        faults.push(Fault {
            at,
            lasts,
            what: Trouble::Ring {
                one: one.clone(),
                other: other.clone(),
                ring,
                both,
            },
        });
        at += lasts + Duration::from_millis(random.between(100, 1_500));
    }
    faults
}

fn trouble(setup: &Setup, random: &mut Random) -> Option<Trouble> {
    let machines = setup.machine_names();
    let hosts = setup.host_names();
    let machine = random.pick(&machines)?.clone();
    let other = random.pick(&machines)?.clone();
    let member = random.pick(&setup.member_names())?.clone();
    let host = random.pick(&hosts)?.clone();
    let other_host = random.pick(&hosts)?.clone();
    Some(match random.below(23) {
        0 | 1 => Trouble::Kill {
            process: any_process(random, &member, &host),
        },
        2 => Trouble::Pause {
            process: any_process(random, &member, &host),
        },
        3 | 4 => Trouble::Mains { machine },
        5 => Trouble::Crash { machine: host },
        6 => Trouble::Hang { machine: host },
        7 | 8 if machine != other => Trouble::Ring {
            one: machine,
            other,
            ring: u8::try_from(random.below(2)).unwrap_or(0),
            both: random.happens(500_000),
        },
        9 => Trouble::Isolate { machine },
        10 if host != other_host => Trouble::Storage {
            one: host,
            other: other_host,
        },
        11 => Trouble::Storm {
            loss: random.between(1_000, 200_000),
            most_ms: random.between(1, 60),
        },
        12 => {
            let by_ms = i64::try_from(random.between(0, 7_200_000)).unwrap_or(0) - 3_600_000;
            Trouble::Clock { machine, by_ms }
        }
        13 => {
            let by = i64::try_from(random.between(0, 4_000)).unwrap_or(0) - 2_000;
            Trouble::Drift { machine, by }
        }
        14 => Trouble::DiskFull { member },
        15 => {
            let device = format!("{}-{host}", random.pick(&["bmc", "pdu"])?);
            match random.below(3) {
                0 => Trouble::DeviceDead { device },
                1 => Trouble::DeviceFails { device },
                _ => Trouble::DeviceActsNot { device },
            }
        }
        16 => Trouble::GuestCrash {
            guest: any_guest(setup, random),
        },
        17..=19 => Trouble::Drain { host },
        20 => Trouble::GuestOff {
            guest: any_guest(setup, random),
        },
        // A member alone has nobody to get it back from.
        21 if setup.members > 2 => Trouble::DiskCorrupt {
            member,
            nth: usize::try_from(random.below(16)).unwrap_or(0),
        },
        _ => return None,
    })
}

fn any_guest(setup: &Setup, random: &mut Random) -> String {
    format!("vm{}", random.between(1, setup.guests as u64))
}

fn any_process(random: &mut Random, member: &str, host: &str) -> String {
    match random.below(3) {
        0 => format!("quorated@{member}"),
        1 => format!("quorate-node@{host}"),
        _ => format!("quorate-lease@{host}"),
    }
}
