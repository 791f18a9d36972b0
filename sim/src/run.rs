//! One run: a cluster comes up, things go wrong, everything heals, and the cluster must be well again.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

pub use crate::check::Failover;
use crate::{
    executor::Trace,
    mistakes::Planted,
    world::{Fault, Setup, World, faults_of},
};

/// How long after the last fault the cluster may take to be well again.
pub const LIVENESS: Duration = Duration::from_secs(240);

/// What came of a run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// What happened, as a number; the same for every run of the seed.
    pub hash: u64,
    /// How many messages and decisions there were.
    pub events: u64,
    /// Simulated milliseconds.
    pub simulated_ms: u64,
    /// Real milliseconds. The only number that another run of the seed does not repeat.
    pub took_ms: u64,
    /// Faults, in words.
    pub faults: Vec<String>,
    /// How often each rule was looked at.
    pub checks: BTreeMap<String, u64>,
    /// The recoveries of guests.
    pub failovers: Vec<Failover>,
    /// What was found wrong, with its time. Empty when all is well.
    pub violations: Vec<String>,
    /// What the log says in the end, when something was found wrong.
    #[serde(skip)]
    pub state: Vec<String>,
}

impl Report {
    /// The rules that were broken, and `liveness`.
    #[must_use]
    pub fn broken_rules(&self) -> BTreeSet<&str> {
        self.violations
            .iter()
            .filter_map(|violation| violation.split(':').next())
            .collect()
    }
}

/// A cluster, and what goes wrong in it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Story {
    /// The cluster.
    pub setup: Setup,
    /// What goes wrong.
    pub faults: Vec<Fault>,
}

impl Story {
    /// What a seed stands for, in the kind of cluster and of trouble in which the mistake shows, if there is one.
    #[must_use]
    pub fn of(seed: u64, planted: Option<&Planted>) -> Self {
        let setup = planted.map_or_else(|| Setup::of(seed), |planted| planted.setup(seed));
        let faults = match planted {
            None => faults_of(&setup, |_| true),
            Some(planted) => planted.faults(&setup),
        };
        Self { setup, faults }
    }

    /// A story that was written by hand, as JSON.
    ///
    /// # Errors
    /// When it cannot be read or is no story.
    pub fn read(file: &Path) -> Result<Self, StoryError> {
        let text = std::fs::read_to_string(file).map_err(|source| StoryError::Read {
            file: file.to_owned(),
            source,
        })?;
        serde_json::from_str(&text).map_err(|source| StoryError::Understand {
            file: file.to_owned(),
            source,
        })
    }
}

/// Why there is no story. Nothing but another file helps.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// There is no such file, or it cannot be read.
    #[error("{} cannot be read", file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It says something else.
    #[error("{} is not a setup with its faults", file.display())]
    Understand {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

/// Plays a story, with a mistake or without, leaving out the faults with these numbers.
#[must_use]
pub fn run(story: &Story, planted: Option<&Planted>, without: &[usize], trace: Trace) -> Report {
    if let Some(planted) = planted {
        planted.plant();
    }
    let setup = story.setup.clone();
    let faults: Vec<Fault> = story
        .faults
        .iter()
        .cloned()
        .enumerate()
        .filter(|(number, _)| !without.contains(number))
        .map(|(_, fault)| fault)
        .collect();
    let began = Instant::now();
    let mut world = World::new(&setup, trace.clone());
    let mut violations = Vec::new();
    if let Err(error) = play(&mut world, &faults) {
        violations.push(format!("liveness: {error}"));
    }
    violations.extend(world.violations());
    let state = if violations.is_empty() {
        Vec::new()
    } else {
        world.show()
    };
    Report {
        seed: setup.seed,
        hash: trace.hash(),
        events: trace.events(),
        simulated_ms: u64::try_from(world.now().as_millis()).unwrap_or(u64::MAX),
        took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        failovers: world.failovers(),
        faults: faults.iter().map(ToString::to_string).collect(),
        checks: world.checks(),
        violations,
        state,
    }
}

fn play(world: &mut World, faults: &[Fault]) -> Result<(), String> {
    world.found()?;
    world.until_well(LIVENESS)?;
    let began = world.now();
    let mut changes: Vec<(Duration, bool, &Fault)> = faults
        .iter()
        .flat_map(|fault| {
            [
                (fault.at, true, fault),
                (fault.at + fault.lasts, false, fault),
            ]
        })
        .collect();
    changes.sort_by_key(|(at, ..)| *at);
    for (at, begins, fault) in changes {
        while world.now() < began + at {
            world.tick();
            if world.is_broken() {
                return Ok(());
            }
        }
        world.happen(&fault.what, begins);
    }
    world.until_well(LIVENESS)
}
