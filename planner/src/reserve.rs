//! Room that is kept for the loss of hosts (R9): what a lost host carried must fit where it may go.

use crate::amounts::{bytes, words};
use crate::placement::{Ledger, barred};
use crate::round::Round;
use crate::volumes;
use quorate_crds::VirtualMachine;
use std::cell::RefCell;
use std::collections::BTreeMap;

type Guest<'g> = (&'g str, &'g VirtualMachine);

/// What every host has left after a loss.
type Room = BTreeMap<String, u64>;

/// One host that is lost, or two.
type Lost<'l> = (&'l str, Option<&'l str>);

/// What would be left after each loss, as far as it was worked out in this round: by the first host
/// that is lost, then by the second, which is empty where there is none.
#[derive(Default)]
pub(crate) struct Spare(RefCell<BTreeMap<String, BTreeMap<String, Room>>>);

impl Spare {
    /// A guest got a place that keeps others away from it.
    pub(crate) fn forget(&mut self) {
        self.0.get_mut().clear();
    }

    /// A guest got a place. Where it is not on the lost host itself, what was worked out holds on, as
    /// long as its host has the room left.
    pub(crate) fn promised(&mut self, host: &str, need: u64) {
        let known = self.0.get_mut();
        known.remove(host);
        for rooms in known.values_mut() {
            rooms.remove(host);
            rooms.retain(|_, room| {
                let left = room.get_mut(host);
                left.is_none_or(|left| match left.checked_sub(need) {
                    Some(rest) => {
                        *left = rest;
                        true
                    }
                    None => false,
                })
            });
        }
    }
}

/// A guest that is to be on a host, and on that other one no more.
#[derive(Clone, Copy)]
struct Newcomer<'g> {
    guest: Guest<'g>,
    host: &'g str,
    from: Option<&'g str>,
}

/// Why not every protected guest would find its memory after the loss of as many hosts as the
/// cluster is to survive, were this guest here. All hosts count, also those that are lost at
/// present: what is kept free is kept for them.
///
/// A guest that comes from another host is refused only when what holds now would hold no more.
pub(crate) fn lacking(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    (name, guest): Guest<'_>,
    host: &str,
    from: Option<&str>,
) -> Option<String> {
    let nothing = round.settings.capacity.survive_node_losses == 0;
    if nothing || (from.is_none() && !counts(guest)) {
        return None;
    }
    let newcomer = Newcomer {
        guest: (name, guest),
        host,
        from,
    };
    let lacks = losses(round).find_map(|lost| {
        let known = from.is_none() && fits_beside(round, ledger, lost, newcomer);
        match known {
            true => None,
            false => pack(round, ledger, lost, Some(newcomer)).err(),
        }
    })?;
    let holds_now = || losses(round).all(|lost| pack(round, ledger, lost, None).is_ok());
    (from.is_none() || holds_now()).then_some(lacks)
}

fn counts(guest: &VirtualMachine) -> bool {
    guest.spec.protected && !guest.spec.without_reserve
}

/// Everything that the cluster is to survive: the loss of each host, or of any two. More than two are
/// not offered, so that there are never more of these than there are pairs of hosts.
fn losses<'r>(round: &'r Round<'_>) -> impl Iterator<Item = Lost<'r>> {
    let two = round.settings.capacity.survive_node_losses > 1 && round.hosts.len() > 1;
    let alone = round.hosts.names().filter(move |_| !two);
    let firsts = round.hosts.names().enumerate().filter(move |_| two);
    let pairs = firsts.flat_map(|(at, first)| {
        let seconds = round.hosts.names().skip(at + 1);
        seconds.map(move |second| (first, Some(second)))
    });
    alone.map(|lost| (lost, None)).chain(pairs)
}

/// Whether, after that loss, the host has so much left that nobody needs.
fn fits_beside(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    lost: Lost<'_>,
    newcomer: Newcomer<'_>,
) -> bool {
    let (first, second) = (lost.0, lost.1.unwrap_or_default());
    // Where the room of a survivor depends on who is there, it is counted anew each time.
    let apart = ledger.strangers(newcomer.guest).next().is_some();
    if apart || first == newcomer.host || second == newcomer.host {
        return false;
    }
    let mut known = ledger.spare().0.borrow_mut();
    let found = known.get(first).is_some_and(|it| it.contains_key(second));
    if !found {
        let Ok(room) = pack(round, ledger, lost, None) else {
            return false;
        };
        let rooms = known.entry(first.to_owned()).or_default();
        rooms.insert(second.to_owned(), room);
    }
    let room = known.get(first).and_then(|rooms| rooms.get(second));
    let left = room.and_then(|room| room.get(newcomer.host));
    left.is_some_and(|left| *left >= bytes(&newcomer.guest.1.spec.memory))
}

/// Finds a place for every protected guest of the hosts that are gone, the largest first, and says
/// what is left then; or which of them finds none.
fn pack(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    lost: Lost<'_>,
    more: Option<Newcomer<'_>>,
) -> Result<Room, String> {
    let gone: Vec<&str> = std::iter::once(lost.0).chain(lost.1).collect();
    let comes = |one: &str| more.filter(|new| new.host == one).map(|new| new.guest);
    let leaves = |one: &str| {
        more.filter(|new| new.from == Some(one))
            .map(|new| new.guest)
    };
    let need = |guest: Option<Guest<'_>>| guest.map_or(0, |(_, guest)| bytes(&guest.spec.memory));
    let mut room: Room = round
        .hosts
        .names()
        .filter(|one| !gone.contains(one))
        .map(|one| {
            let used = (ledger.memory(one) + need(comes(one))).saturating_sub(need(leaves(one)));
            (one.to_owned(), round.hosts[one].memory.saturating_sub(used))
        })
        .collect();
    let carried = gone.iter().flat_map(|one| {
        let left = leaves(one).map(|(name, _)| name);
        let here = ledger.on(one);
        here.filter(move |(name, _)| Some(*name) != left)
    });
    let new = gone.iter().find_map(|one| comes(one));
    let mut moved: Vec<(u64, Guest<'_>)> = carried
        .chain(new)
        .filter(|(_, guest)| counts(guest))
        .map(|(name, guest)| (bytes(&guest.spec.memory), (name, guest)))
        .collect();
    moved.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.0.cmp(b.1.0)));
    moved.dedup_by_key(|(_, (name, _))| *name);
    let total = moved.iter().map(|(need, _)| need).sum::<u64>();
    let free = room.values().sum::<u64>();
    // Who would be where then.
    let mut taken: Vec<(&str, String)> = Vec::new();
    for (need, (name, guest)) in moved {
        let mut allowed = places(round, (name, guest));
        allowed.retain(|one| room.contains_key(*one));
        let newcomer = more.is_some_and(|new| new.guest.0 == name);
        if allowed.is_empty() && !newcomer {
            // It cannot be helped, whatever room is kept, and is no reason to refuse others.
            continue;
        }
        if allowed.is_empty() {
            return Err(format!(
                "if {} is lost, {name} could run nowhere: its placement and its data allow no \
                 other host; withoutReserve accepts that",
                gone.join(" and ")
            ));
        }
        let strangers: Vec<&str> = ledger.strangers((name, guest)).collect();
        allowed.retain(|one| {
            let carries = |other: &&str| match more.filter(|new| new.guest.0 == *other) {
                Some(new) => new.host == *one,
                None => ledger.is_on(other, one),
            };
            let meets = |other: &&str| taken.iter().any(|(it, at)| it == other && at == one);
            !strangers.iter().any(|it| carries(it) || meets(it))
        });
        if allowed.is_empty() {
            // Its manifest says by name that it rather does not run than beside those.
            continue;
        }
        let most = allowed.into_iter().max_by_key(|one| room[*one]);
        match most.and_then(|one| Some((one, room.get_mut(one)?))) {
            Some((one, left)) if *left >= need => {
                *left -= need;
                taken.push((name, one.to_owned()));
            }
            _ => {
                return Err(format!(
                    "if {} is lost, its protected guests need {} and the other hosts have {} \
                     left: {name} ({}) would find no room where it may run",
                    gone.join(" and "),
                    words(total),
                    words(free),
                    words(need)
                ));
            }
        }
    }
    Ok(room)
}

/// The hosts that the guest's placement and its data allow.
fn places<'r>(round: &'r Round<'_>, (name, guest): Guest<'_>) -> Vec<&'r str> {
    let volumes: Vec<String> = volumes::of(name, guest).collect();
    let keepers = |volume: &String| {
        let replicas = volumes::replicas(round, volume);
        (!replicas.is_empty()).then_some(replicas)
    };
    let first = volumes.iter().find_map(keepers);
    let hosts: Vec<&str> = match first {
        Some(replicas) => replicas.iter().map(|one| one.node.as_str()).collect(),
        None => round.hosts.names().collect(),
    };
    let kept = |host: &str| {
        let mut known = volumes.iter().filter_map(keepers);
        known.all(|replicas| replicas.iter().any(|one| one.node.as_str() == host))
    };
    hosts
        .into_iter()
        .filter(|host| {
            round.hosts.get(host).is_some() && kept(host) && barred(round, guest, host).is_none()
        })
        .collect()
}
