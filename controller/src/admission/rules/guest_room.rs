//! The arithmetic of memory and processors (R9): can all guests that are wanted be carried at all, also by the hosts that
//! the loss of some leaves?
//!
//! Where each guest goes is the planner's to choose, and it refuses a place that does not fit. Here only what no choice
//! could make fit is refused, by sums over the hosts on which a guest may run; so nothing is refused that the planner
//! would find a place for.

use std::collections::BTreeSet;

use super::amounts::words;

/// What a host has for guests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) memory: u64,
    pub(super) cpus: u64,
}

/// What a guest takes, and of whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Demand {
    pub(super) memory: u64,
    pub(super) cpus: u64,
    /// Whether room for it is kept for the loss of hosts.
    pub(super) protected: bool,
    /// The hosts on which it may run.
    pub(super) hosts: BTreeSet<String>,
}

/// What there is, and what is promised.
#[derive(Clone, Debug, Default)]
pub(super) struct Room {
    pub(super) hosts: Vec<Host>,
    /// The other guests that are to run.
    pub(super) others: Vec<Demand>,
    /// How many virtual processors may share a real one.
    pub(super) cpu_overcommit: u64,
    /// How many hosts may be lost.
    pub(super) losses: usize,
}

/// Why a guest cannot be carried: the field that says too much, and the arithmetic.
pub(super) type Shortage = (&'static str, String);

impl Room {
    /// Why `new` cannot be carried beside the others, also by the hosts that a loss leaves when room is kept for it.
    pub(super) fn shortage(&self, new: &Demand) -> Option<Shortage> {
        let everywhere: BTreeSet<String> = self.hosts.iter().map(|it| it.name.clone()).collect();
        self.too_large(new)
            .or_else(|| self.too_much(new, &new.hosts))
            .or_else(|| self.too_much(new, &everywhere))
            .or_else(|| {
                let reserve = new.protected && self.losses > 0;
                reserve
                    .then(|| {
                        self.lost(new, &new.hosts)
                            .or_else(|| self.lost(new, &everywhere))
                    })
                    .flatten()
            })
    }

    /// Alone on the largest host.
    fn too_large(&self, new: &Demand) -> Option<Shortage> {
        let hosts = self.among(&new.hosts);
        let largest = hosts.first()?;
        if new.memory > largest.memory {
            return Some((
                "spec.memory",
                format!(
                    "found {}, allowed: at most {}, the most that a host has on which it may run: {}",
                    words(new.memory),
                    words(largest.memory),
                    listed(&hosts)
                ),
            ));
        }
        let cpus = hosts.iter().map(|host| host.cpus).max().unwrap_or(0) * self.cpu_overcommit;
        (new.cpus > cpus).then(|| {
            (
                "spec.cpus",
                format!(
                    "found {}, allowed: at most {cpus}: {} real processors of the host that has most, each shared by {}",
                    new.cpus,
                    cpus / self.cpu_overcommit.max(1),
                    self.cpu_overcommit
                ),
            )
        })
    }

    /// Together with all others that must run on these hosts.
    fn too_much(&self, new: &Demand, on: &BTreeSet<String>) -> Option<Shortage> {
        let hosts = self.among(on);
        let others: Vec<&Demand> = self.bound_to(on).collect();
        let promised: u64 = others.iter().map(|other| other.memory).sum();
        let there = hosts.iter().map(|host| host.memory).sum::<u64>();
        if promised.saturating_add(new.memory) > there {
            return Some((
                "spec.memory",
                format!(
                    "found {}, allowed: at most {}: {} together have {}, of which {} are promised to {}",
                    words(new.memory),
                    words(there.saturating_sub(promised)),
                    listed(&hosts),
                    words(there),
                    words(promised),
                    counted(others.len(), "other guest")
                ),
            ));
        }
        let shared: u64 = others.iter().map(|other| other.cpus).sum();
        let real = hosts.iter().map(|host| host.cpus).sum::<u64>();
        let limit = real * self.cpu_overcommit;
        (shared + new.cpus > limit).then(|| {
            (
                "spec.cpus",
                format!(
                    "found {}, allowed: at most {}: {real} real processors, each shared by {}, carry {limit}, of which \
                     {shared} are promised to {}",
                    new.cpus,
                    limit.saturating_sub(shared),
                    self.cpu_overcommit,
                    counted(others.len(), "other guest")
                ),
            )
        })
    }

    /// With the protected ones among them, when the largest of these hosts are lost.
    fn lost(&self, new: &Demand, on: &BTreeSet<String>) -> Option<Shortage> {
        let hosts = self.among(on);
        if hosts.is_empty() {
            return None;
        }
        let (lost, left) = hosts.split_at(self.losses.min(hosts.len()));
        let lost: Vec<&str> = lost.iter().map(|host| host.name.as_str()).collect();
        let if_lost = format!(
            "if {} {} lost",
            lost.join(" and "),
            if lost.len() == 1 { "is" } else { "are" }
        );
        let others: Vec<&Demand> = self.bound_to(on).filter(|other| other.protected).collect();
        let promised: u64 = others.iter().map(|other| other.memory).sum();
        let there = left.iter().map(|host| host.memory).sum::<u64>();
        let largest = left.first().map_or(0, |host| host.memory);
        let allowed = largest.min(there.saturating_sub(promised));
        if new.memory <= allowed {
            return None;
        }
        let arithmetic = if left.is_empty() {
            format!("{if_lost}, no host is left on which it may run")
        } else if new.memory > largest {
            format!(
                "{if_lost}, the most that another host has on which it may run is {}",
                words(largest)
            )
        } else {
            format!(
                "{if_lost}, {} left with {}, of which {} are promised to {}",
                match left {
                    [one] => format!("{} is", one.name),
                    _ => format!("{} are", listed(left)),
                },
                words(there),
                words(promised),
                counted(others.len(), "other protected guest")
            )
        };
        Some((
            "spec.memory",
            format!(
                "found {}, allowed: at most {}: {arithmetic}; set withoutReserve to give the reserve up for this guest",
                words(new.memory),
                words(allowed)
            ),
        ))
    }

    /// These hosts, the largest first.
    fn among(&self, names: &BTreeSet<String>) -> Vec<&Host> {
        let mut hosts: Vec<&Host> = self
            .hosts
            .iter()
            .filter(|host| names.contains(&host.name))
            .collect();
        hosts.sort_by(|a, b| b.memory.cmp(&a.memory).then(a.name.cmp(&b.name)));
        hosts
    }

    /// The others that may run nowhere else.
    fn bound_to<'a>(&'a self, on: &'a BTreeSet<String>) -> impl Iterator<Item = &'a Demand> {
        self.others
            .iter()
            .filter(|other| !other.hosts.is_empty() && other.hosts.is_subset(on))
    }
}

fn listed(hosts: &[&Host]) -> String {
    let each: Vec<String> = hosts
        .iter()
        .map(|host| format!("{} {}", host.name, words(host.memory)))
        .collect();
    each.join(" + ")
}

fn counted(count: usize, what: &str) -> String {
    match count {
        0 => format!("no {what}"),
        1 => format!("one {what}"),
        several => format!("{several} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn host(name: &str, gib: u64) -> Host {
        Host {
            name: name.into(),
            memory: gib * GIB,
            cpus: 4,
        }
    }

    fn guest(gib: u64, hosts: &[&str]) -> Demand {
        Demand {
            memory: gib * GIB,
            cpus: 1,
            protected: true,
            hosts: hosts.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    fn two_hosts(others: Vec<Demand>) -> Room {
        Room {
            hosts: vec![host("an1", 32), host("an2", 32)],
            others,
            cpu_overcommit: 8,
            losses: 1,
        }
    }

    const BOTH: [&str; 2] = ["an1", "an2"];

    #[test]
    fn a_guest_that_no_host_could_carry_is_told_what_the_hosts_have() {
        let (field, text) = two_hosts(Vec::new())
            .shortage(&guest(40, &BOTH))
            .expect("too large");
        assert_eq!(field, "spec.memory");
        assert_eq!(
            text,
            "found 40 GiB, allowed: at most 32 GiB, the most that a host has on which it may run: an1 32 GiB + an2 32 GiB"
        );
    }

    #[test]
    fn what_fits_only_while_no_host_is_lost_is_refused_unless_it_is_given_up_by_name() {
        let room = two_hosts(vec![guest(20, &BOTH), guest(8, &BOTH)]);
        let new = guest(8, &BOTH);
        let (_, text) = room.shortage(&new).expect("no reserve");
        assert_eq!(
            text,
            "found 8 GiB, allowed: at most 4 GiB: if an1 is lost, an2 is left with 32 GiB, of which 28 GiB are promised to \
             2 other protected guests; set withoutReserve to give the reserve up for this guest"
        );
        let unprotected = Demand {
            protected: false,
            ..new
        };
        assert_eq!(room.shortage(&unprotected), None);
        assert_eq!(room.shortage(&guest(4, &BOTH)), None);
    }

    #[test]
    fn what_is_promised_counts_also_for_a_guest_without_reserve() {
        let room = two_hosts(vec![guest(30, &BOTH), guest(30, &BOTH)]);
        let (_, text) = room.shortage(&guest(8, &BOTH)).expect("too much");
        assert!(
            text.contains("together have 64 GiB, of which 60 GiB are promised to 2 other guests"),
            "{text}"
        );
    }

    #[test]
    fn a_guest_counts_the_hosts_on_which_it_may_run_and_no_others() {
        let mut room = two_hosts(vec![guest(20, &["an1"])]);
        room.losses = 0;
        let (_, text) = room.shortage(&guest(16, &["an1"])).expect("pinned");
        assert!(text.contains("an1 32 GiB together have 32 GiB"), "{text}");
        assert_eq!(room.shortage(&guest(16, &BOTH)), None);
        room.losses = 1;
        let (_, text) = room.shortage(&guest(4, &["an1"])).expect("alone");
        assert!(
            text.contains("if an1 is lost, no host is left on which it may run"),
            "{text}"
        );
    }

    #[test]
    fn processors_are_shared_as_often_as_the_cluster_says_and_no_more() {
        let mut room = two_hosts(Vec::new());
        room.others = vec![Demand {
            cpus: 60,
            ..guest(1, &BOTH)
        }];
        let many = |cpus| Demand {
            cpus,
            ..guest(1, &BOTH)
        };
        assert_eq!(room.shortage(&many(4)), None);
        let (field, text) = room.shortage(&many(5)).expect("too many");
        assert_eq!(field, "spec.cpus");
        assert_eq!(
            text,
            "found 5, allowed: at most 4: 8 real processors, each shared by 8, carry 64, of which 60 are promised to one \
             other guest"
        );
        let (_, text) = room.shortage(&many(33)).expect("too many for one");
        assert!(text.contains("at most 32: 4 real processors"), "{text}");
    }
}
