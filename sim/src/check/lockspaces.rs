//! The locks of a shared filesystem: all that give them have the same members, and whoever may write is one of them.

use std::collections::BTreeMap;

use quorate_crds::{LockspaceStep, MountState, NodePlan};
use quorate_node_daemon::simulated::room::{LockspaceTruth, Truth};

use super::{
    commits::{answers, is_released, surely_over},
    judge::Bench,
};

/// When a kernel began to give locks.
pub(crate) struct Begun {
    /// In which generation.
    generation: Option<u64>,
    /// Which boot of each host there was then.
    boots: BTreeMap<String, u64>,
}

/// What the kernels do.
pub(super) fn check(bench: &mut Bench, truth: &Truth) {
    let begun = &mut bench.locks_since;
    begun.retain(|(filesystem, host), _| {
        let hosts = truth.lockspaces.get(filesystem);
        hosts.is_some_and(|hosts| hosts.get(host).is_some_and(|space| space.running))
    });
    for (filesystem, hosts) in &truth.lockspaces {
        bench.looked("locks");
        let giving: BTreeMap<&String, &LockspaceTruth> =
            hosts.iter().filter(|(_, space)| space.running).collect();
        for (host, space) in &giving {
            since(bench, truth, (filesystem, host), space);
            if !space.members.contains(*host) {
                let what = format!("{host} gives locks of {filesystem} and is no member");
                bench.broken("locks", &what);
            }
            // Whoever goes on without a host replays its journal.
            let writes = hosts.iter().filter(|(_, other)| other.writes);
            let left_out = writes.filter(|(other, _)| !space.members.contains(*other));
            for (other, _) in left_out {
                let what = format!(
                    "{host} gives locks of {filesystem} without {other}, which has it mounted"
                );
                bench.broken("locks", &what);
            }
        }
        same_members(bench, filesystem, &giving);
        same_boots(bench, truth, filesystem, &giving);
    }
}

/// Remembers when a kernel begins to give locks.
fn since(
    bench: &mut Bench,
    truth: &Truth,
    (filesystem, host): (&str, &str),
    space: &LockspaceTruth,
) {
    let key = (filesystem.to_owned(), host.to_owned());
    let known = bench.locks_since.get(&key);
    if known.is_some_and(|known| known.generation == space.generation) {
        return;
    }
    let boots = truth.machines.iter();
    let boots = boots.map(|(name, machine)| (name.clone(), machine.boots));
    let begun = Begun {
        generation: space.generation,
        boots: boots.collect(),
    };
    bench.locks_since.insert(key, begun);
}

/// All hosts that give locks were started with the same members, after all had stopped.
fn same_members(bench: &mut Bench, filesystem: &str, giving: &BTreeMap<&String, &LockspaceTruth>) {
    let mut giving = giving.iter();
    let Some((first, known)) = giving.next() else {
        return;
    };
    for (host, space) in giving {
        if (space.generation, &space.members) != (known.generation, &known.members) {
            let what = format!(
                "{first} gives locks of {filesystem} with {:?} in generation {:?}, and {host} with {:?} in {:?}",
                known.members, known.generation, space.members, space.generation
            );
            bench.broken("locks", &what);
        }
    }
}

/// A member is one boot of a host. A later one comes in only after all have stopped, however the two are called.
fn same_boots(
    bench: &mut Bench,
    truth: &Truth,
    filesystem: &str,
    giving: &BTreeMap<&String, &LockspaceTruth>,
) {
    let mut wrong = Vec::new();
    for host in giving.keys() {
        let key = (filesystem.to_owned(), (*host).clone());
        let Some(begun) = bench.locks_since.get(&key) else {
            continue;
        };
        for other in giving.keys() {
            let now = truth.machines.get(*other).map(|machine| machine.boots);
            if begun.boots.get(*other) != now.as_ref() {
                wrong.push(format!(
                    "{host} has given locks of {filesystem} since before {other} was booted, which gives them too"
                ));
            }
        }
    }
    for what in wrong {
        bench.broken("locks", &what);
    }
}

/// What the log says: nobody is told to go on without a host that may write, before it has said that it has unmounted, or
/// is surely off.
pub(super) fn nobody_is_forgotten(bench: &mut Bench) {
    let mut sharers = std::mem::take(&mut bench.sharers);
    for record in bench.committed.plans.values() {
        if let Some(place) = Place::of(record)
            && place.starts()
        {
            let of_filesystem = sharers.entry(place.filesystem.clone()).or_default();
            of_filesystem.insert(place.host.clone(), record.spec.incarnation);
        }
    }
    for (filesystem, hosts) in &mut sharers {
        hosts.retain(|host, incarnation| {
            let mut records = bench.committed.plans.values();
            let record = records.find(|record| {
                record.spec.node.as_str() == host
                    && Place::of(record).is_some_and(|place| place.filesystem == *filesystem)
            });
            record.is_some_and(|record| !is_out(record)) && !surely_over(bench, host, *incarnation)
        });
    }
    sharers.retain(|_, hosts| !hosts.is_empty());
    let mut forgotten = Vec::new();
    for record in bench.committed.plans.values() {
        let Some(place) = Place::of(record).filter(Place::starts) else {
            continue;
        };
        if surely_over(bench, &place.host, record.spec.incarnation) {
            continue;
        }
        let may_write = sharers.get(&place.filesystem).into_iter().flatten();
        let forgets =
            |(host, boot): &(&String, &u64)| place.members.get(*host) != Some(&Some(**boot));
        for (other, _) in may_write.filter(forgets) {
            forgotten.push(format!(
                "{} is to go on with {} without {other}, which may have it mounted",
                place.host, place.filesystem
            ));
        }
    }
    bench.looked("locks");
    for what in forgotten {
        bench.broken("locks", &what);
    }
    bench.sharers = sharers;
}

/// What a record tells a host about the locks of a shared filesystem.
struct Place {
    filesystem: String,
    host: String,
    step: LockspaceStep,
    /// By host, as the boot that is meant.
    members: BTreeMap<String, Option<u64>>,
}

impl Place {
    fn of(record: &NodePlan) -> Option<Self> {
        let assignment = record.spec.assignment.as_ref()?;
        let lockspace = assignment.mount.as_ref()?.lockspace.as_ref()?;
        let members = lockspace.members.iter();
        Some(Self {
            filesystem: assignment.object.name.to_string(),
            host: record.spec.node.to_string(),
            step: lockspace.step,
            members: members
                .map(|member| (member.node.to_string(), member.incarnation))
                .collect(),
        })
    }

    /// Whether the host is a member that is to give locks.
    fn starts(&self) -> bool {
        self.step == LockspaceStep::Start && self.members.contains_key(&self.host)
    }
}

/// Whether the host has said of this generation of the record that it has unmounted, and waits to be let out, or is out.
fn is_out(record: &NodePlan) -> bool {
    let status = record.status.as_ref();
    let mount = status.and_then(|status| status.mount.as_ref());
    let unmounted = mount.is_some_and(|mount| mount.state == Some(MountState::Unmounting));
    is_released(record) || (unmounted && answers(record))
}

#[cfg(test)]
mod tests {
    use quorate_node_daemon::simulated::{
        LocalRoom,
        room::{Kernel, Layout, MachineRoom, MachineTruth, Settings},
    };
    use serde_json::json;

    use super::*;
    use crate::check::Judge;

    fn judge() -> Judge {
        let room = MachineRoom::new(Layout::default(), Settings::default(), 1);
        Judge::new(LocalRoom::new(room))
    }

    /// Hosts a and b, both booted once.
    fn hosts() -> Truth {
        let machine = |name: &str| {
            let truth = MachineTruth {
                power: true,
                kernel: Kernel::Running,
                boot_id: format!("{name}-1"),
                boots: 1,
                memory_taken: 0,
                memory: 1 << 30,
            };
            (name.to_owned(), truth)
        };
        Truth {
            machines: ["a", "b"].map(machine).into(),
            ..Truth::default()
        }
    }

    fn gives(truth: &mut Truth, host: &str, generation: u64, members: &[&str]) {
        let space = LockspaceTruth {
            running: true,
            generation: Some(generation),
            members: members.iter().map(|name| (*name).to_owned()).collect(),
            writes: true,
        };
        let hosts = truth.lockspaces.entry("files".to_owned()).or_default();
        hosts.insert(host.to_owned(), space);
    }

    fn stops(truth: &mut Truth, host: &str) {
        let hosts = truth.lockspaces.get_mut("files").expect("it is there");
        hosts.get_mut(host).expect("it has it mounted").running = false;
    }

    fn found(judge: &Judge, truth: &Truth) -> Vec<String> {
        check(&mut judge.lock(), truth);
        judge.violations()
    }

    #[test]
    fn a_joiner_that_waits_until_all_have_stopped_breaks_nothing() {
        let (judge, mut truth) = (judge(), hosts());
        gives(&mut truth, "a", 1, &["a"]);
        assert!(found(&judge, &truth).is_empty());
        stops(&mut truth, "a");
        assert!(found(&judge, &truth).is_empty());
        gives(&mut truth, "b", 2, &["a", "b"]);
        assert!(found(&judge, &truth).is_empty());
        gives(&mut truth, "a", 2, &["a", "b"]);
        assert!(found(&judge, &truth).is_empty());
    }

    #[test]
    fn a_joiner_that_starts_before_a_member_has_stopped_is_found() {
        let (judge, mut truth) = (judge(), hosts());
        gives(&mut truth, "a", 1, &["a"]);
        gives(&mut truth, "b", 2, &["a", "b"]);
        let found = found(&judge, &truth);
        assert!(
            found.iter().any(|it| it.contains("in generation")),
            "{found:?}"
        );
    }

    #[test]
    fn who_goes_on_without_one_that_has_it_mounted_is_found() {
        let (judge, mut truth) = (judge(), hosts());
        gives(&mut truth, "b", 1, &["a", "b"]);
        stops(&mut truth, "b");
        gives(&mut truth, "a", 2, &["a"]);
        let found = found(&judge, &truth);
        assert!(found.iter().any(|it| it.contains("without b")), "{found:?}");
    }

    #[test]
    fn one_that_was_booted_after_the_others_began_is_no_member() {
        let (judge, mut truth) = (judge(), hosts());
        gives(&mut truth, "a", 1, &["a", "b"]);
        assert!(found(&judge, &truth).is_empty());
        truth.machines.get_mut("b").expect("it is there").boots = 2;
        gives(&mut truth, "b", 1, &["a", "b"]);
        let found = found(&judge, &truth);
        assert!(
            found.iter().any(|it| it.contains("since before b")),
            "{found:?}"
        );
    }

    /// What the log tells a host of incarnation 1, and what that one has said of it.
    fn record(host: &str, members: &[&str], says: &str) -> NodePlan {
        let member = |name: &&str| json!({"node": name, "nodeId": 1, "incarnation": 1});
        let members: Vec<_> = members.iter().map(member).collect();
        serde_json::from_value(json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": host},
            "spec": {
                "node": host, "incarnation": 1, "term": 1, "planGeneration": 7,
                "assignment": {
                    "object": {"kind": "SharedFilesystem", "name": "files"}, "epoch": 1, "active": true,
                    "mount": {
                        "device": "/dev/drbd0", "filesystem": "gfs2", "mountPoint": "/srv/files",
                        "lockspace": {
                            "id": 1, "table": "t:files", "generation": 1, "step": "Start", "members": members,
                        },
                    },
                },
            },
            "status": {
                "observedPlanGeneration": 7, "incarnation": 1,
                "mount": {"node": host, "state": says},
            },
        }))
        .expect("a record")
    }

    fn committed(judge: &Judge, records: [NodePlan; 2]) -> Vec<String> {
        let mut bench = judge.lock();
        for record in records {
            let name = record.spec.node.to_string();
            bench.committed.plans.insert(name, record);
        }
        nobody_is_forgotten(&mut bench);
        drop(bench);
        judge.violations()
    }

    #[test]
    fn the_log_goes_on_without_a_member_that_has_unmounted() {
        let judge = judge();
        let both = ["a", "b"];
        let mounted = [record("a", &both, "Mounted"), record("b", &both, "Mounted")];
        assert!(committed(&judge, mounted).is_empty());
        let unmounted = [
            record("a", &both, "Mounted"),
            record("b", &both, "Unmounting"),
        ];
        assert!(committed(&judge, unmounted).is_empty());
        let without = [
            record("a", &["a"], "Mounted"),
            record("b", &["a"], "Unmounting"),
        ];
        assert!(committed(&judge, without).is_empty());
    }

    #[test]
    fn the_log_that_goes_on_without_a_member_that_may_write_is_found() {
        let judge = judge();
        let both = ["a", "b"];
        let mounted = [record("a", &both, "Mounted"), record("b", &both, "Mounted")];
        assert!(committed(&judge, mounted).is_empty());
        let without = [
            record("a", &["a"], "Mounted"),
            record("b", &both, "Mounted"),
        ];
        let found = committed(&judge, without);
        assert!(found.iter().any(|it| it.contains("without b")), "{found:?}");
    }
}
