//! What to do about a network.

use super::act::Act;
use super::verdict::{Case, Verdict};
use crate::drivers::{NetworkSeen, NetworkTarget};
use quorate_crds::{Network, NetworkAssignment};
use std::sync::Arc;

impl Case<'_> {
    /// Whether nothing becomes of what is planned, whatever arrives: its manifest is another one by now, or there is neither
    /// a manifest nor anything of the network.
    fn waits_for_a_plan(&self, manifest: Option<&Network>, seen: Option<&NetworkSeen>) -> bool {
        let planned = self.record.assignment.object_generation;
        match manifest {
            Some(manifest) => {
                manifest.metadata.generation > planned && seen.is_none_or(|seen| !seen.on_trial)
            }
            None => seen.is_none(),
        }
    }
}

pub(super) fn decide(case: &Case<'_>, assigned: &NetworkAssignment) -> Verdict {
    let seen = case.seen.network(case.name());
    if !case.record.assignment.active {
        return match seen {
            Some(seen) if seen.going && case.reaches_cluster => {
                Verdict::Do(Act::KeepNetwork(case.name().clone()))
            }
            Some(seen) if seen.going => {
                Verdict::Waits("it is gone for good once the cluster is reached again".to_owned())
            }
            Some(_) => Verdict::Do(Act::RemoveNetwork(case.name().clone())),
            None => Verdict::Released,
        };
    }
    let manifest = case.plan.network(case.name().as_str());
    let network = match case.planned(manifest, |network| network.metadata.generation) {
        Ok(network) => network,
        // Another host comes first: until then it stays as it was planned before, also when its manifest is gone.
        Err(_) if seen.is_some_and(|seen| seen.as_applied && !seen.on_trial) => {
            return Verdict::Converged;
        }
        // The others are not to wait for a host that itself waits for its turn.
        Err(waits) if case.waits_for_a_plan(manifest.map(AsRef::as_ref), seen) => {
            return Verdict::Outdated(waits);
        }
        Err(waits) => return Verdict::Waits(waits),
    };
    let Some(node) = case.plan.node() else {
        return Verdict::Waits("the host's own manifest is not here yet".to_owned());
    };
    if !case.work.adjusted || seen.is_none_or(|seen| !seen.as_applied) {
        let named = |card: &&quorate_crds::Nic| assigned.nics.contains(&card.name);
        return Verdict::Do(Act::ApplyNetwork(Box::new(NetworkTarget {
            name: case.name().clone(),
            spec: Arc::new(network.spec.clone()),
            assignment: assigned.clone(),
            cards: node.spec.nics.iter().filter(named).cloned().collect(),
        })));
    }
    match seen {
        Some(NetworkSeen {
            on_trial: true,
            unfit: Some(why),
            ..
        }) => Verdict::Do(Act::TakeBackNetwork(case.name().clone(), why.clone())),
        Some(seen) if seen.on_trial && seen.unheard => Verdict::Waits(
            "it is kept once another host is heard over it again, as one was before".to_owned(),
        ),
        Some(seen) if seen.on_trial && case.reaches_cluster => {
            Verdict::Do(Act::KeepNetwork(case.name().clone()))
        }
        Some(seen) if seen.on_trial => {
            Verdict::Waits("it is kept once the cluster is reached again".to_owned())
        }
        _ => Verdict::Converged,
    }
}
