use std::{collections::BTreeMap, time::Duration};

use quorate_crds::NodeState;
use serde::{Deserialize, Serialize};

use super::judge::Milestone;

/// How long the parts of one guest's recovery took, from the loss of its host until it ran elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failover {
    /// The guest.
    pub guest: String,
    /// From the last that was heard of the host until it was suspected.
    pub detect_ms: u64,
    /// From there until it was surely off.
    pub fence_ms: u64,
    /// From there until the guest was ordered to run elsewhere: the volume's promotion is part of it.
    pub plan_ms: u64,
    /// From there until it ran.
    pub start_ms: u64,
}

#[derive(Clone, Copy, Default)]
struct Loss {
    heard: Duration,
    suspected: Duration,
    fenced: Option<Duration>,
}

/// The recoveries among the moments of a run.
pub(super) fn failovers(milestones: &[(Duration, Milestone)]) -> Vec<Failover> {
    let mut losses: BTreeMap<&str, Loss> = BTreeMap::new();
    let mut ordered: BTreeMap<(&str, &str), Duration> = BTreeMap::new();
    let mut hosts: BTreeMap<&str, &str> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, milestone) in milestones {
        match milestone {
            Milestone::Suspected(node, heard) => {
                let loss = Loss {
                    heard: *heard,
                    suspected: *at,
                    fenced: None,
                };
                losses.insert(node, loss);
            }
            Milestone::State(node, NodeState::Fenced) => {
                if let Some(loss) = losses.get_mut(node.as_str()) {
                    loss.fenced.get_or_insert(*at);
                }
            }
            Milestone::State(..) => {}
            Milestone::Ordered(guest, host) => {
                ordered.insert((guest, host), *at);
            }
            Milestone::Runs(guest, host) => {
                let former = hosts.insert(guest, host);
                let loss = former.filter(|former| *former != host.as_str());
                let Some(loss) = loss.and_then(|former| losses.get(former)) else {
                    continue;
                };
                let Some(order) = ordered.get(&(guest.as_str(), host.as_str())) else {
                    continue;
                };
                let Some(fenced) = loss.fenced.filter(|fenced| fenced <= order) else {
                    continue;
                };
                found.push(Failover {
                    guest: guest.clone(),
                    detect_ms: between(loss.heard, loss.suspected),
                    fence_ms: between(loss.suspected, fenced),
                    plan_ms: between(fenced, *order),
                    start_ms: between(*order, *at),
                });
            }
        }
    }
    found
}

fn between(from: Duration, to: Duration) -> u64 {
    u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recovery_is_split_into_its_parts() {
        let ms = Duration::from_millis;
        let milestones = [
            (ms(100), Milestone::Ordered("web".into(), "a".into())),
            (ms(300), Milestone::Runs("web".into(), "a".into())),
            (ms(12_100), Milestone::Suspected("a".into(), ms(10_000))),
            (ms(13_000), Milestone::State("a".into(), NodeState::Fenced)),
            (ms(13_050), Milestone::Ordered("web".into(), "b".into())),
            (ms(13_500), Milestone::Runs("web".into(), "b".into())),
        ];
        let expected = Failover {
            guest: "web".into(),
            detect_ms: 2_100,
            fence_ms: 900,
            plan_ms: 50,
            start_ms: 450,
        };
        assert_eq!(failovers(&milestones), [expected]);
    }

    #[test]
    fn a_guest_that_is_moved_or_restarted_was_not_recovered() {
        let ms = Duration::from_millis;
        let milestones = [
            (ms(100), Milestone::Ordered("web".into(), "a".into())),
            (ms(300), Milestone::Runs("web".into(), "a".into())),
            (ms(400), Milestone::Runs("web".into(), "a".into())),
            (ms(500), Milestone::Ordered("web".into(), "b".into())),
            (ms(600), Milestone::Runs("web".into(), "b".into())),
        ];
        assert_eq!(failovers(&milestones), []);
    }
}
