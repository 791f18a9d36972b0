//! Mistakes that are planted in the product's code, to show that the checker finds them.
//!
//! The parts of the product know their own mistakes; here they get names, and the kind of cluster and of trouble in which
//! they can show at all.

use quorate_controller::fencing::mistake as fencing;
use quorate_node_daemon::mistake as host;
use quorate_planner::mistake as planner;

use crate::world::{Setup, Trouble};

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
    wanted: fn(&Trouble) -> bool,
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
        (self.shape)(&mut setup);
        setup
    }

    /// Whether a fault is of the kind in which the mistake shows.
    #[must_use]
    pub fn wants(&self, trouble: &Trouble) -> bool {
        (self.wanted)(trouble)
    }
}

fn any(_: &mut Setup) {}

fn few_hosts(setup: &mut Setup) {
    (setup.hosts, setup.members, setup.guests) = (3, 3, 3);
}

fn watchdogs(setup: &mut Setup) {
    few_hosts(setup);
    setup.watchdog = true;
}

fn all_trouble(_: &Trouble) -> bool {
    true
}

/// Hosts that are silent and go on.
fn silent_hosts(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Isolate { .. }
            | Trouble::Hang { .. }
            | Trouble::Pause { .. }
            | Trouble::Kill { .. }
    )
}

/// The same, beside devices that lie.
fn silent_hosts_and_devices(trouble: &Trouble) -> bool {
    silent_hosts(trouble)
        || matches!(
            trouble,
            Trouble::DeviceActsNot { .. } | Trouble::DeviceDead { .. }
        )
}

/// Hosts without a lease on which a guest ends, so that somebody must start it again.
fn silent_hosts_and_guests(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Isolate { .. }
            | Trouble::Kill { .. }
            | Trouble::Pause { .. }
            | Trouble::GuestCrash { .. }
    )
}

fn drains(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Drain { .. } | Trouble::Mains { .. } | Trouble::Kill { .. }
    )
}

fn storage(trouble: &Trouble) -> bool {
    matches!(
        trouble,
        Trouble::Storage { .. }
            | Trouble::Mains { .. }
            | Trouble::Crash { .. }
            | Trouble::Drain { .. }
    )
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
        wanted: silent_hosts,
    },
    Planted {
        name: "fence-not-verified",
        breaks: &["R1", "R3"],
        within: 10,
        plant: fencing_mistake!(SuccessNotVerified),
        shape: few_hosts,
        wanted: silent_hosts_and_devices,
    },
    Planted {
        name: "contradicted-device-believed",
        breaks: &["R1", "R3"],
        within: 30,
        plant: fencing_mistake!(ContradictedBelieved),
        shape: few_hosts,
        wanted: silent_hosts_and_devices,
    },
    Planted {
        name: "fencing-gives-up",
        breaks: &["liveness"],
        within: 20,
        plant: fencing_mistake!(GivesUp),
        shape: few_hosts,
        wanted: silent_hosts_and_devices,
    },
    Planted {
        name: "watchdog-too-early",
        breaks: &["R1", "R3"],
        within: 20,
        plant: fencing_mistake!(LeaseNotAwaited),
        shape: watchdogs,
        wanted: silent_hosts_and_devices,
    },
    Planted {
        name: "stale-replica-opens",
        breaks: &["R10", "R11"],
        within: 20,
        plant: planner_mistake!(StaleReplicaOpens),
        shape: few_hosts,
        wanted: storage,
    },
    Planted {
        name: "dual-primary-left-open",
        breaks: &["R10"],
        within: 10,
        plant: planner_mistake!(StaysOpenForTwo),
        shape: few_hosts,
        wanted: drains,
    },
    Planted {
        name: "withdrawn-is-released",
        breaks: &["R1", "R2", "R10"],
        within: 10,
        plant: planner_mistake!(WithdrawnIsReleased),
        shape: few_hosts,
        wanted: drains,
    },
    Planted {
        name: "old-answers-count",
        breaks: &["R1", "R2", "R10", "R11"],
        within: 30,
        plant: planner_mistake!(OldAnswersCount),
        shape: any,
        wanted: all_trouble,
    },
    Planted {
        name: "stale-plan-accepted",
        breaks: &["R1", "R2", "R5", "R10", "R12"],
        within: 30,
        plant: host_mistake!(StalePlanTaken),
        shape: few_hosts,
        wanted: all_trouble,
    },
    Planted {
        name: "started-without-lease",
        breaks: &["R1", "R5"],
        within: 20,
        plant: host_mistake!(LeaseIgnored),
        shape: few_hosts,
        wanted: silent_hosts_and_guests,
    },
    Planted {
        name: "arrived-runs-early",
        breaks: &["R1"],
        within: 10,
        plant: host_mistake!(ArrivedRunsEarly),
        shape: few_hosts,
        wanted: drains,
    },
];
