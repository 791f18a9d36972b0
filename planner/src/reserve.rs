//! Room that is kept for the loss of hosts (R9): what a lost host carried must fit where it may go.

use crate::amounts::{bytes, words};
use crate::placement::{Ledger, barred};
use crate::round::Round;
use crate::volumes;
use quorate_crds::VirtualMachine;
use std::collections::BTreeMap;

/// Why not every protected guest would find its memory after the loss of as many hosts as the
/// cluster is to survive, were this guest here. All hosts count, also those that are lost at
/// present: what is kept free is kept for them.
pub(crate) fn lacking(
    round: &Round<'_>,
    ledger: &Ledger<'_>,
    (name, guest): (&str, &VirtualMachine),
    host: &str,
) -> Option<String> {
    let losses = round.settings.capacity.survive_node_losses as usize;
    if losses == 0 || guest.spec.without_reserve || !guest.spec.protected {
        return None;
    }
    let names: Vec<&str> = round.hosts.names().collect();
    let more = |one: &str| match one == host {
        true => bytes(&guest.spec.memory),
        false => 0,
    };
    for (index, lost) in names.iter().enumerate() {
        let others = names.iter().cycle().skip(index + 1).take(names.len() - 1);
        let gone: Vec<&str> = std::iter::once(lost)
            .chain(others.take(losses - 1))
            .copied()
            .collect();
        let mut room: BTreeMap<&str, u64> = names
            .iter()
            .filter(|one| !gone.contains(one))
            .map(|one| {
                let used = ledger.memory(one) + more(one);
                (*one, round.hosts[one].memory.saturating_sub(used))
            })
            .collect();
        let mut moved: Vec<(u64, &str, &VirtualMachine)> = gone
            .iter()
            .flat_map(|one| ledger.on(one))
            .chain(gone.contains(&host).then_some((name, guest)))
            .filter(|(_, guest)| guest.spec.protected)
            .map(|(name, guest)| (bytes(&guest.spec.memory), name, guest))
            .collect();
        moved.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(b.1)));
        moved.dedup_by_key(|(_, name, _)| *name);
        let total = moved.iter().map(|(need, ..)| need).sum::<u64>();
        let free = room.values().sum::<u64>();
        for (need, name, guest) in moved {
            let mut allowed: Vec<_> = room
                .iter_mut()
                .filter(|(one, _)| may_go(round, (name, guest), one))
                .collect();
            if allowed.is_empty() {
                return Some(format!(
                    "if {} is lost, {name} could run nowhere: its placement and its data allow no \
                     other host; withoutReserve accepts that",
                    gone.join(" and ")
                ));
            }
            let most = allowed.iter_mut().max_by_key(|(_, free)| **free);
            match most.filter(|(_, most)| **most >= need) {
                Some((_, most)) => **most -= need,
                None => {
                    return Some(format!(
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
    }
    None
}

/// Whether the guest's placement and its data allow that host.
fn may_go(round: &Round<'_>, (name, guest): (&str, &VirtualMachine), host: &str) -> bool {
    let kept = |volume: String| {
        let status = round.views.get(volume.as_str());
        status.is_none_or(|status| {
            status.replicas.is_empty()
                || status
                    .replicas
                    .iter()
                    .any(|replica| replica.node.as_str() == host)
        })
    };
    barred(round, guest, host).is_none() && volumes::of(name, guest).all(kept)
}
