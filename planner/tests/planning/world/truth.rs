//! What is really so on the hosts, which the planner does not know.

use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// An object, and a host.
pub(crate) type Place = (String, String);

/// What is really so.
#[derive(Clone, Debug, Default)]
pub(crate) struct Truth {
    /// Guests that run, with the hosts on which they do.
    pub(crate) running: BTreeSet<Place>,
    /// Guests whose memory has arrived, and that stand still.
    pub(super) arrived: BTreeSet<Place>,
    /// Guests that were sent away and stand still.
    pub(super) sent: BTreeSet<Place>,
    /// For how many seconds a guest has been sent.
    pub(super) sending: BTreeMap<Place, u32>,
    /// Sendings that failed.
    pub(super) failed: BTreeSet<Place>,
    /// The newest epoch under which a host started, or was ready to receive, a guest.
    pub(super) started: BTreeMap<Place, u64>,
    /// Volumes that are open for writing.
    pub(crate) writing: BTreeSet<Place>,
    /// Replicas that let another one write beside them.
    pub(crate) two: BTreeSet<Place>,
    /// Replicas that hold every write.
    pub(super) current: BTreeSet<Place>,
    /// Replicas that exist, with their sizes.
    pub(super) made: BTreeMap<Place, String>,
    /// Replicas that are up, and so hear each other.
    pub(super) up: BTreeSet<Place>,
    /// Replicas marked as outdated.
    pub(super) outdated: BTreeSet<Place>,
    /// Replicas whose disk has failed.
    pub(super) diskless: BTreeSet<Place>,
    /// Volumes whose replicas refuse each other, because both have written.
    pub(super) apart: BTreeSet<String>,
    /// Guests that came to an end by themselves, and how.
    pub(super) ended: BTreeMap<Place, String>,
    /// Replicas that compare their blocks: since when, and under which number.
    pub(super) compares: BTreeMap<Place, (u64, Timestamp)>,
    /// Volumes whose replicas differ, and by how much.
    pub(super) differ: BTreeMap<String, String>,
    /// Writers that wait, with the peers that they wait for.
    pub(super) asks: BTreeMap<Place, BTreeSet<String>>,
    /// Writers, each with a peer that it does not hear and need not ask about any more.
    pub(super) settled: BTreeSet<(Place, String)>,
    /// Replicas that somebody took down by hand, with what the in-sync set was called when they left.
    pub(super) left: BTreeMap<Place, u64>,
    /// Filesystems that are mounted, `true` when by one host at a time.
    pub(crate) mounted: BTreeMap<Place, bool>,
    /// Filesystems that shut themselves down on a host; those that are not sound.
    pub(crate) withdrawn: BTreeSet<Place>,
    pub(crate) damaged: BTreeSet<String>,
    /// Guests a file of which is not where it should be.
    pub(crate) fileless: BTreeSet<String>,
    /// Filesystems without room for another journal.
    pub(crate) full: BTreeSet<String>,
    /// How many journals filesystems have.
    pub(crate) journals: BTreeMap<String, u32>,
    /// Filesystems that are checked, or were last: since when, and under which number.
    pub(crate) checks: BTreeMap<Place, (u64, Timestamp)>,
    /// Logical volumes above others that can be opened.
    pub(crate) active: BTreeSet<Place>,
    /// Those that exist, with their sizes; and volume groups above volumes, with nothing.
    pub(crate) logical: BTreeMap<String, String>,
    /// Hosts that lack what guests need.
    pub(crate) incapable: BTreeSet<String>,
    /// Snapshots that were taken, and when.
    pub(crate) snapshots: BTreeMap<Place, String>,
    /// Lockspaces that give locks, with their members.
    pub(crate) locks: BTreeMap<Place, String>,
}

impl Truth {
    /// The host has no power any more: only its disks stay as they are.
    pub(super) fn off(&mut self, host: &str) {
        let elsewhere = |place: &Place| place.1 != host;
        self.running.retain(elsewhere);
        self.arrived.retain(elsewhere);
        self.sent.retain(elsewhere);
        self.sending.retain(|place, _| elsewhere(place));
        self.failed.retain(elsewhere);
        self.started.retain(|place, _| elsewhere(place));
        self.writing.retain(elsewhere);
        self.two.retain(elsewhere);
        self.up.retain(elsewhere);
        self.asks.retain(|place, _| elsewhere(place));
        self.settled.retain(|(place, _)| elsewhere(place));
        self.started.retain(|place, _| elsewhere(place));
        self.ended.retain(|place, _| elsewhere(place));
        self.mounted.retain(|place, _| elsewhere(place));
        self.locks.retain(|place, _| elsewhere(place));
        self.withdrawn.retain(elsewhere);
        self.checks.retain(|place, _| elsewhere(place));
        self.active.retain(elsewhere);
    }

    /// The host goes in order: nothing may be active on it.
    pub(super) fn leaves(&mut self, host: &str) {
        let active = |places: &BTreeSet<Place>| places.iter().any(|place| place.1 == host);
        assert!(!active(&self.running), "{host} leaves with a guest");
        assert!(!active(&self.writing), "{host} leaves with an open volume");
        assert!(!active(&self.active), "{host} leaves with a logical volume");
        self.off(host);
    }

    /// Nothing of the guest is on the host any more.
    pub(super) fn gone(&mut self, here: &Place) {
        self.running.remove(here);
        self.arrived.remove(here);
        self.sent.remove(here);
        self.sending.remove(here);
        self.failed.remove(here);
    }

    /// Closes a volume: who opens it again knows nothing of its peers.
    pub(super) fn close(&mut self, here: &Place) {
        self.writing.remove(here);
        self.asks.remove(here);
        self.settled.retain(|(writer, _)| writer != here);
    }

    /// Opens a volume, as the storage would: with others only when all allow it.
    pub(super) fn open(&mut self, here: &Place) {
        assert!(
            self.writing.contains(here)
                || (self.current.contains(here) && !self.outdated.contains(here)),
            "{here:?} is opened on stale data"
        );
        let others: Vec<&Place> = self
            .writing
            .iter()
            .filter(|place| place.0 == here.0 && place.1 != here.1)
            .collect();
        for other in others {
            assert!(
                self.two.contains(other) && self.two.contains(here),
                "{here:?} is opened while {other:?} writes"
            );
        }
        self.writing.insert(here.clone());
    }

    /// Asserts what must hold at every moment.
    pub(crate) fn check(&self) {
        once_each(self.running.iter());
        let local = self.mounted.iter().filter(|(_, local)| **local);
        once_each(local.map(|(place, _)| place));
        for place in &self.writing {
            let twice = self
                .writing
                .iter()
                .any(|other| other.0 == place.0 && other.1 != place.1);
            assert!(
                !twice || self.two.contains(place),
                "{place:?} is written twice without leave"
            );
        }
        let mut members: BTreeMap<&str, &str> = BTreeMap::new();
        for ((filesystem, host), with) in &self.locks {
            assert!(
                with.contains(host.as_str()),
                "{host} locks without being in"
            );
            let same = members.insert(filesystem, with);
            assert!(
                same.is_none_or(|same| same == with),
                "{filesystem}: {same:?} and {with} give locks at once"
            );
        }
    }
}

fn once_each<'a>(active: impl Iterator<Item = &'a Place>) {
    let mut seen = BTreeMap::new();
    for (name, host) in active {
        assert_eq!(
            seen.insert(name, host),
            None,
            "{name} is active twice, also on {host}"
        );
    }
}
