use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::executor::Random;

/// What a run consists of. It follows from the seed, or is given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setup {
    /// Decides everything.
    pub seed: u64,
    /// Machines that carry storage and guests.
    pub hosts: usize,
    /// Members of the store, on the first machines; one more than hosts is a witness on a machine of its own.
    pub members: usize,
    /// Guests, each with a replicated volume.
    pub guests: usize,
    /// For how many seconds things go wrong.
    pub trouble_seconds: u64,
    /// How many faults there are.
    pub faults: usize,
    /// Whether the last way to make a host safe is its own watchdog.
    pub watchdog: bool,
    /// Whether every host has two power supplies, each at an outlet of its own.
    #[serde(default)]
    pub two_supplies: bool,
    /// How many GiB of memory each guest has. Guests that would not fit on one host fewer give up that reserve.
    #[serde(default = "usual_memory")]
    pub guest_memory: u64,
    /// How many hosts share a filesystem; none: there is none.
    #[serde(default)]
    pub sharers: usize,
    /// Manifests that people apply besides, each in place of the one of the same kind and name.
    #[serde(default)]
    pub besides: Vec<String>,
}

/// Hosts and members. Small clusters are what most people have, and where most goes wrong.
const SHAPES: [(usize, usize); 10] = [
    (2, 3),
    (2, 2),
    (2, 1),
    (3, 3),
    (3, 3),
    (3, 1),
    (4, 3),
    (4, 4),
    (5, 5),
    (7, 5),
];

fn usual_memory() -> u64 {
    2
}

/// One cluster in five has a filesystem that two or three of its hosts share. Its stream is its own, so that all others are
/// as they were before there were any.
fn sharers(seed: u64, hosts: usize) -> usize {
    let mut random = Random::of(seed, "shared filesystem");
    if !random.happens(200_000) {
        return 0;
    }
    let wanted = *random.pick(&[2, 3]).unwrap_or(&2);
    hosts.min(wanted)
}

impl Setup {
    /// The cluster and the amount of trouble that a seed stands for.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        let mut random = Random::of(seed, "setup");
        let (hosts, members) = *random.pick(&SHAPES).unwrap_or(&(3, 3));
        Self {
            seed,
            hosts,
            members,
            guests: usize::try_from(random.between(1, 3)).unwrap_or(1),
            trouble_seconds: random.between(30, 90),
            faults: usize::try_from(random.between(1, 8)).unwrap_or(1),
            // It certifies no even split, so that an even number of votes does not have it.
            watchdog: members % 2 == 1 && random.happens(300_000),
            two_supplies: false,
            guest_memory: usual_memory(),
            sharers: sharers(seed, hosts),
            besides: Vec::new(),
        }
    }

    /// How many members the cluster of a seed can have.
    #[must_use]
    pub fn numbers_of_members() -> BTreeSet<usize> {
        SHAPES.iter().map(|(_, members)| *members).collect()
    }

    /// The names of the machines that carry guests.
    #[must_use]
    pub fn host_names(&self) -> Vec<String> {
        (1..=self.hosts)
            .map(|number| format!("an{number}"))
            .collect()
    }

    /// The names of the machines that carry a member.
    #[must_use]
    pub fn member_names(&self) -> Vec<String> {
        let mut names = self.host_names();
        names.push("witness".to_owned());
        names.truncate(self.members);
        names
    }

    /// All machines.
    #[must_use]
    pub fn machine_names(&self) -> Vec<String> {
        let mut names = self.host_names();
        if self.members > self.hosts {
            names.push("witness".to_owned());
        }
        names
    }
}
