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

/// What would be left after the loss of each host, as far as it was worked out in this round.
#[derive(Default)]
pub(crate) struct Spare(RefCell<BTreeMap<String, Room>>);

impl Spare {
    /// A guest got a place. Where it is not on the lost host itself, what was worked out holds on, as
    /// long as its host has the room left.
    pub(crate) fn promised(&mut self, host: &str, need: u64) {
        let known = self.0.get_mut();
        known.remove(host);
        known.retain(|_, room| {
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

/// Why not every protected guest would find its memory after the loss of as many hosts as the
/// cluster is to survive, were this guest here. All hosts count, also those that are lost at
/// present: what is kept free is kept for them.
pub(crate) fn lacking(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    (name, guest): Guest<'_>,
    host: &str,
) -> Option<String> {
    let losses = round.settings.capacity.survive_node_losses as usize;
    if losses == 0 || guest.spec.without_reserve || !guest.spec.protected {
        return None;
    }
    let need = bytes(&guest.spec.memory);
    let names: Vec<&str> = round.hosts.names().collect();
    for (index, lost) in names.iter().enumerate() {
        let others = names.iter().cycle().skip(index + 1).take(names.len() - 1);
        let gone: Vec<&str> = std::iter::once(lost)
            .chain(others.take(losses - 1))
            .copied()
            .collect();
        let known = losses == 1 && *lost != host && fits_beside(round, ledger, lost, host, need);
        if known {
            continue;
        }
        if let Err(lacking) = pack(round, ledger, &gone, Some(((name, guest), host))) {
            return Some(lacking);
        }
    }
    None
}

/// Whether, after that loss, the host has so much left that nobody needs.
fn fits_beside(round: &Round<'_>, ledger: &Ledger<'_>, lost: &str, host: &str, need: u64) -> bool {
    let mut known = ledger.spare().0.borrow_mut();
    if !known.contains_key(lost) {
        let Ok(room) = pack(round, ledger, &[lost], None) else {
            return false;
        };
        known.insert(lost.to_owned(), room);
    }
    let room = known.get(lost).and_then(|room| room.get(host));
    room.is_some_and(|left| *left >= need)
}

/// Finds a place for every protected guest of the hosts that are gone, the largest first, and says
/// what is left then; or which of them finds none.
fn pack(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    gone: &[&str],
    more: Option<(Guest<'_>, &str)>,
) -> Result<Room, String> {
    let there = |one: &str| {
        more.filter(|(_, host)| *host == one)
            .map(|(guest, _)| guest)
    };
    let mut room: Room = round
        .hosts
        .names()
        .filter(|one| !gone.contains(one))
        .map(|one| {
            let new = there(one).map_or(0, |(_, guest)| bytes(&guest.spec.memory));
            let used = ledger.memory(one) + new;
            (one.to_owned(), round.hosts[one].memory.saturating_sub(used))
        })
        .collect();
    let carried = gone.iter().flat_map(|one| ledger.on(one));
    let new = gone.iter().find_map(|one| there(one));
    let mut moved: Vec<(u64, Guest<'_>)> = carried
        .chain(new)
        .filter(|(_, guest)| guest.spec.protected && !guest.spec.without_reserve)
        .map(|(name, guest)| (bytes(&guest.spec.memory), (name, guest)))
        .collect();
    moved.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.0.cmp(b.1.0)));
    moved.dedup_by_key(|(_, (name, _))| *name);
    let total = moved.iter().map(|(need, _)| need).sum::<u64>();
    let free = room.values().sum::<u64>();
    for (need, (name, guest)) in moved {
        let allowed: Vec<&str> = places(round, (name, guest))
            .into_iter()
            .filter(|one| room.contains_key(*one))
            .collect();
        let newcomer = more.is_some_and(|((new, _), _)| new == name);
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
        let most = allowed.into_iter().max_by_key(|one| room[*one]);
        match most.and_then(|one| room.get_mut(one)) {
            Some(left) if *left >= need => *left -= need,
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
