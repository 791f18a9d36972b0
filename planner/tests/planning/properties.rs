//! Rules that hold whatever operators do and whatever breaks, after every second.

use super::dice::Dice;
use super::world::World;
use std::collections::{BTreeMap, BTreeSet};

/// How long it may take, once everything is whole again, until everything runs that should.
const HEALING: u32 = 400;

/// Three hosts with guests of every sort.
pub(crate) fn cluster() -> World {
    let mut world = World::new();
    for line in [
        "host h1 16Gi",
        "host h2 16Gi",
        "host h3 16Gi",
        "pool fast 100Gi h1 h2 h3",
        "network lan",
        "fencing takes 3s",
        "detection takes 2s",
        "volume v1 10Gi",
        "volume v2 10Gi replicas=3",
        "volume v3 10Gi ext4",
        "volume shared 10Gi shared",
        "shared images shared",
        "domain home failback h1=1 h2=2",
        "guest g1 5Gi volume=v1 priority=200 network=lan",
        "guest g2 5Gi volume=v2 domain=home",
        "guest g3 4Gi after=g1 withoutReserve=true",
        "guest g4 4Gi file=images withoutReserve=true",
        "guest g5 4Gi disk=5Gi withoutReserve=true",
        "volume pv 10Gi shared",
        "pool above above pv",
        "volume v6 2Gi pool=above",
        "guest g6 1Gi volume=v6 withoutReserve=true",
    ] {
        world.command(line);
    }
    world
}

/// Watches one run of commands.
pub(crate) struct Watch {
    pub(crate) world: World,
    epochs: BTreeMap<(String, String), u64>,
    seconds: u32,
    healing: bool,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self {
            world: cluster(),
            epochs: BTreeMap::new(),
            seconds: 0,
            healing: false,
        }
    }

    pub(crate) fn command(&mut self, command: &str) {
        let Some(seconds) = command.strip_prefix("run ") else {
            self.world.command(command);
            return;
        };
        let seconds: u32 = seconds.trim_end_matches('s').parse().expect("seconds");
        for _ in 0..seconds {
            self.world.command("run 1s");
            self.check();
        }
    }

    /// R1, R2: the world itself asserts that nothing is active twice; it knows what silent hosts do.
    fn check(&mut self) {
        let world = &self.world;
        world.truth.check();
        world.members_hold_every_write();
        world.memory_is_promised_once();
        world.fenced_means_proven();
        self.seconds += 1;
        if self.seconds.is_multiple_of(5) && !self.healing {
            let now = world.decisions();
            assert_eq!(now, world.decisions(), "asked twice, decided twice");
            assert_eq!(now, world.decisions_of_another(), "another leader differs");
        }
        for (object, epoch) in world.epochs() {
            let before = self.epochs.insert(object, epoch).unwrap_or(0);
            assert!(epoch >= before, "an epoch went back");
        }
    }

    /// Everything is repaired; then everything that is wanted must run, and nothing may move any more.
    pub(crate) fn heal(&mut self) {
        self.healing = true;
        let world = &mut self.world;
        for host in ["h1", "h2", "h3"] {
            for line in ["repair-fence", "quick", "hear", "mend lan", "node uncordon"] {
                world.command(&format!("{line} {host}"));
            }
        }
        for line in [
            "mend-storage",
            "sending works",
            "cluster start",
            "sending takes 2s",
            "resync takes 0s",
        ] {
            world.command(line);
        }
        let mut written = BTreeSet::new();
        for second in 0..HEALING {
            if second % 10 == 0 {
                for host in ["h1", "h2", "h3"] {
                    self.world.command(&format!("heard {host}"));
                    self.world.command(&format!("rejoin {host}"));
                }
            }
            let idle = second <= 40 || !self.world.idle_guests().is_empty();
            // A volume is closed for two after the guest has moved.
            let before = std::mem::replace(&mut written, self.world.written());
            if !idle && before == written && !self.world.something_comes() {
                break;
            }
            self.command("run 1s");
        }
        let idle = self.world.idle_guests();
        assert!(idle.is_empty(), "these should run: {idle:#?}");
        self.world.transcript.clear();
        let before = self.world.written();
        self.command("run 15s");
        let said: Vec<String> = self.world.transcript.drain(..).collect();
        assert!(said.is_empty(), "it does not come to rest: {said:#?}");
        let after: BTreeSet<String> = self.world.written();
        assert_eq!(before, after, "records are written though nothing happens");
        self.world.nothing_is_left_open();
    }
}

/// The random runs that a test makes: `SEEDS=n` makes more, `SEED=n` one, and tells its story.
fn seeds() -> std::ops::Range<u64> {
    let number = |name: &str| {
        let value = std::env::var(name).ok()?;
        Some(value.parse::<u64>().expect("a number"))
    };
    match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SEEDS").unwrap_or(12),
    }
}

#[test]
fn rules_hold_whatever_happens() {
    let tell = std::env::var_os("SEED").is_some();
    for seed in seeds() {
        let commands = Dice::new(seed).commands();
        println!("seed {seed}: {commands:?}");
        let mut watch = Watch::new();
        for command in &commands {
            watch.command(command);
            if tell {
                println!("> {command}\n{}", watch.world.transcript.join("\n"));
                watch.world.transcript.clear();
            }
        }
        watch.heal();
    }
}
