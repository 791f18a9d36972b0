//! Mistakes that are planted in the product's code, to show that the checker finds them.
//!
//! The parts of the product know their own mistakes; here they get names, and the kind of cluster and of trouble in which
//! they can show at all.

mod shapes;
mod troubles;

use quorate_controller::{detector::mistake as detector, fencing::mistake as fencing};
use quorate_node_daemon::mistake as host;
use quorate_planner::mistake as planner;
use quorate_store::mistake as store;

use crate::world::{Fault, Setup};
use shapes::{
    cold_guests, few_hosts, large_guests, one_member, shared_filesystem, shared_filesystem_alone,
    two_supplies, watchdogs,
};
use troubles::{
    boards_that_act_not, boards_that_were_caught_lying, daemons_that_restart, deaf_members,
    devices_that_are_dead, devices_that_fail, drains, guests_that_crash, hosts_without_answers,
    members_that_pause, outlets_that_act_not, peers_lost_in_turn, plans_of_the_past,
    power_lost_everywhere, silent_hosts,
};

/// One planted mistake.
#[derive(Clone, Copy, Debug)]
pub struct Planted {
    /// What it is called on the command line.
    pub name: &'static str,
    /// The rules of which one must be found broken. `liveness` counts as one.
    pub breaks: &'static [&'static str],
    /// Within how many seeds it is found.
    pub within: u64,
    plant: fn(),
    shape: fn(&mut Setup),
    trouble: fn(&Setup) -> Vec<Fault>,
}

impl Planted {
    /// The mistake of that name.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        ALL.iter().find(|planted| planted.name == name)
    }

    /// From now on this thread makes it.
    pub fn plant(&self) {
        (self.plant)();
    }

    /// The cluster of this seed, changed so that the mistake can show.
    #[must_use]
    pub fn setup(&self, seed: u64) -> Setup {
        let mut setup = Setup::of(seed);
        // More trouble of the kind that matters shows in fewer seeds what all kinds would show in many.
        setup.faults = 8;
        setup.sharers = 0;
        (self.shape)(&mut setup);
        setup
    }

    /// What goes wrong in that cluster: trouble of the kind in which the mistake shows.
    #[must_use]
    pub fn faults(&self, setup: &Setup) -> Vec<Fault> {
        (self.trouble)(setup)
    }
}

macro_rules! planner_mistake {
    ($mistake:ident) => {
        || planner::make(Some(planner::Mistake::$mistake))
    };
}

macro_rules! fencing_mistake {
    ($mistake:ident) => {
        || fencing::plant(Some(fencing::Mistake::$mistake))
    };
}

macro_rules! detector_mistake {
    ($mistake:ident) => {
        || detector::plant(Some(detector::Mistake::$mistake))
    };
}

macro_rules! host_mistake {
    ($mistake:ident) => {
        || host::plant(Some(host::Mistake::$mistake))
    };
}

/// All of them.
pub const ALL: &[Planted] = &[
    Planted {
        name: "recover-before-fence",
        breaks: &["R1", "R2", "R10", "R11"],
        within: 5,
        plant: planner_mistake!(SilenceIsProof),
        shape: few_hosts,
        trouble: silent_hosts,
    },
    Planted {
        name: "fence-not-verified",
        breaks: &["R1", "R3"],
        within: 10,
        plant: fencing_mistake!(SuccessNotVerified),
        shape: few_hosts,
        trouble: boards_that_act_not,
    },
    Planted {
        name: "contradicted-device-believed",
        breaks: &["R1", "R3"],
        within: 10,
        plant: fencing_mistake!(ContradictedBelieved),
        shape: few_hosts,
        trouble: boards_that_were_caught_lying,
    },
    Planted {
        name: "one-device-is-enough",
        breaks: &["R4"],
        within: 10,
        plant: fencing_mistake!(OneDeviceIsEnough),
        shape: two_supplies,
        trouble: outlets_that_act_not,
    },
    Planted {
        name: "last-level-first",
        breaks: &["R4"],
        within: 10,
        plant: fencing_mistake!(LastLevelFirst),
        shape: few_hosts,
        trouble: silent_hosts,
    },
    Planted {
        name: "fencing-gives-up",
        breaks: &["liveness"],
        within: 10,
        plant: fencing_mistake!(GivesUp),
        shape: few_hosts,
        trouble: devices_that_fail,
    },
    Planted {
        name: "watchdog-too-early",
        breaks: &["R1", "R3"],
        within: 10,
        plant: fencing_mistake!(LeaseNotAwaited),
        shape: watchdogs,
        trouble: devices_that_are_dead,
    },
    Planted {
        name: "leader-without-grace",
        breaks: &["R7"],
        within: 10,
        plant: detector_mistake!(NoGrace),
        shape: few_hosts,
        trouble: silent_hosts,
    },
    Planted {
        name: "own-stall-counts",
        breaks: &["R7"],
        within: 10,
        plant: detector_mistake!(StallCounts),
        shape: one_member,
        trouble: members_that_pause,
    },
    Planted {
        name: "leader-believes-itself",
        breaks: &["R7"],
        within: 10,
        plant: detector_mistake!(BelievesItself),
        shape: few_hosts,
        trouble: deaf_members,
    },
    Planted {
        name: "stale-replica-opens",
        breaks: &["R10", "R11"],
        within: 20,
        plant: planner_mistake!(StaleReplicaOpens),
        shape: few_hosts,
        trouble: peers_lost_in_turn,
    },
    Planted {
        name: "connected-is-in-sync",
        breaks: &["R10", "R11"],
        within: 20,
        plant: planner_mistake!(ConnectedIsInSync),
        shape: few_hosts,
        trouble: peers_lost_in_turn,
    },
    Planted {
        name: "two-primaries-unasked",
        breaks: &["R1", "R10"],
        within: 10,
        plant: planner_mistake!(JoinsUnasked),
        shape: few_hosts,
        trouble: drains,
    },
    Planted {
        name: "dual-primary-left-open",
        breaks: &["R10"],
        within: 10,
        plant: planner_mistake!(StaysOpenForTwo),
        shape: few_hosts,
        trouble: drains,
    },
    Planted {
        name: "withdrawn-is-released",
        breaks: &["R1", "R2", "R10"],
        within: 10,
        plant: planner_mistake!(WithdrawnIsReleased),
        shape: few_hosts,
        trouble: drains,
    },
    Planted {
        name: "old-answers-count",
        breaks: &["R1", "R2", "R10", "R11"],
        within: 10,
        plant: planner_mistake!(OldAnswersCount),
        shape: cold_guests,
        trouble: drains,
    },
    Planted {
        name: "joiner-starts-first",
        breaks: &["locks"],
        within: 5,
        plant: planner_mistake!(LocksGoOn),
        shape: shared_filesystem,
        trouble: silent_hosts,
    },
    Planted {
        name: "journal-replayed-early",
        breaks: &["locks"],
        within: 5,
        plant: planner_mistake!(SilenceIsProof),
        shape: shared_filesystem_alone,
        trouble: silent_hosts,
    },
    Planted {
        name: "memory-not-counted",
        breaks: &["R9"],
        within: 10,
        plant: planner_mistake!(MemoryIsNotCounted),
        shape: large_guests,
        trouble: drains,
    },
    Planted {
        name: "epoch-reused",
        breaks: &["liveness"],
        within: 10,
        plant: planner_mistake!(EpochIsReused),
        shape: few_hosts,
        trouble: guests_that_crash,
    },
    Planted {
        name: "stale-plan-accepted",
        breaks: &["R1", "R2", "R5", "R10", "R12"],
        within: 10,
        plant: host_mistake!(StalePlanTaken),
        shape: few_hosts,
        trouble: plans_of_the_past,
    },
    Planted {
        name: "started-without-lease",
        breaks: &["R1", "R5"],
        within: 20,
        plant: host_mistake!(LeaseIgnored),
        shape: few_hosts,
        trouble: hosts_without_answers,
    },
    Planted {
        name: "arrived-runs-early",
        breaks: &["R1"],
        within: 10,
        plant: host_mistake!(ArrivedRunsEarly),
        shape: few_hosts,
        trouble: drains,
    },
    Planted {
        name: "epoch-started-again",
        breaks: &["R2"],
        within: 10,
        plant: host_mistake!(EpochStartedAgain),
        shape: few_hosts,
        trouble: guests_that_crash,
    },
    Planted {
        name: "nothing-adopted",
        breaks: &["R12"],
        within: 10,
        plant: host_mistake!(NothingAdopted),
        shape: few_hosts,
        trouble: daemons_that_restart,
    },
    Planted {
        name: "sync-put-off",
        breaks: &["R6"],
        within: 10,
        plant: || store::plant(Some(store::Mistake::SyncPutOff)),
        shape: few_hosts,
        trouble: power_lost_everywhere,
    },
];
