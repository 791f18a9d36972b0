//! What even splits may do (R8): one half goes on at most, and only when the other half was off.

use std::collections::{BTreeMap, BTreeSet};

use quorate_node_daemon::simulated::room::Truth;
use quorate_store::{
    MemberId, Role, StoreStatus,
    takeover::{Attempt, Phase, Round},
};

use super::World;

/// The attempts that were seen, and which boot of each machine it was when each of them began.
#[derive(Default)]
pub(super) struct Halves {
    begun: BTreeMap<Round, BTreeMap<String, u64>>,
    certified: BTreeSet<Round>,
}

impl World {
    /// Looks at what the members make of an even split.
    pub(super) fn look_at_halves(&mut self, truth: &Truth) {
        let mut standing_in: Vec<Attempt> = Vec::new();
        for name in self.setup.member_names() {
            let Some(engine) = self.running.get(&name) else {
                continue;
            };
            let phase = engine.store().takeover().borrow().clone();
            match phase {
                Phase::Gathering(attempt) | Phase::Fencing(attempt, _) => {
                    let boots = truth.machines.iter();
                    let boots = boots.map(|(name, machine)| (name.clone(), machine.boots));
                    self.halves
                        .begun
                        .entry(attempt.round)
                        .or_insert_with(|| boots.collect());
                }
                Phase::Certified(attempt, _) => {
                    if self.halves.certified.insert(attempt.round) {
                        self.judge.lock().looked("R8");
                        self.others_were_off(&attempt, &engine.store().status(), truth);
                    }
                    standing_in.push(attempt);
                }
                Phase::Idle | Phase::Pledged { .. } => {}
            }
        }
        for (number, one) in standing_in.iter().enumerate() {
            for other in &standing_in[number + 1..] {
                if one.side.is_disjoint(&other.side) {
                    let what = format!("{:?} and {:?} both stand in", one.side, other.side);
                    self.judge.lock().broken("R8", &what);
                }
            }
        }
    }

    /// Whoever is left out was off at some moment since the attempt began.
    fn others_were_off(&self, attempt: &Attempt, status: &StoreStatus, truth: &Truth) {
        let began = self.halves.begun.get(&attempt.round);
        for other in &attempt.others {
            let Some(name) = name_of(status, *other) else {
                continue;
            };
            let Some(machine) = truth.machines.get(name) else {
                continue;
            };
            let boots = began.and_then(|boots| boots.get(name));
            let booted = boots.is_some_and(|boots| machine.boots > *boots);
            if machine.kernel.executes() && !booted {
                let what = format!("{:?} goes on without {name}, which runs", attempt.side);
                self.judge.lock().broken("R8", &what);
            }
        }
    }

    /// Which member does not vote, although everything has healed.
    pub(super) fn votes_lack(&self) -> Option<String> {
        let names = self.setup.member_names();
        let engines = names.iter().filter_map(|name| self.running.get(name));
        let newest = engines.max_by_key(|engine| engine.store().view().revision())?;
        let status = newest.store().status();
        let votes = |name: &&String| {
            let mut members = status.members.iter();
            members.any(|member| member.name == **name && member.role == Role::Voter)
        };
        let silent = names.iter().find(|name| !votes(name))?;
        Some(format!("the member on {silent} does not vote"))
    }
}

fn name_of(status: &StoreStatus, id: MemberId) -> Option<&str> {
    let mut members = status.members.iter();
    let found = members.find(|member| member.id == id)?;
    Some(&found.name)
}
