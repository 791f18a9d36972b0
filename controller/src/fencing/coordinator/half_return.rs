//! Gives hosts their power back that were switched off for nothing, while there is no quorum to write anything down.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::FenceTarget;

use super::{
    HalfSteps, RunId,
    ask::Dispatch,
    earliest,
    level::{switches, was_told},
    power_return::{Ending, PowerReturn, owes_power},
};
use crate::fencing::{
    agents::AgentReport,
    room::{Now, Room},
};

/// Outlets, each a device and a plug, by host.
pub type Outlets = BTreeMap<String, Vec<(String, String)>>;

/// What operations of a leader have told these hosts' devices, or may have, without having returned their power.
///
/// Of an operation that has not ended every device counts: a leader tells the first one while it writes down that it
/// does, and when that was the machine whose answer the log needs, it is never written.
#[must_use]
pub fn told_by_operations(room: &Room, hosts: &BTreeSet<String>) -> Outlets {
    let mut outlets = Outlets::new();
    for operation in room.operations.values().map(|held| &held.object) {
        let host = operation.spec.node.as_str();
        if !hosts.contains(host) || !owes_power(operation) {
            continue;
        }
        let status = operation.status.as_ref();
        let ended = status.and_then(|status| status.finished_at.as_ref());
        let told: Vec<_> = if ended.is_some() {
            let results = status.into_iter().flat_map(|status| &status.results);
            let told = results.filter(|it| was_told(room, it));
            told.map(|it| (it.device.to_string(), it.plug.clone()))
                .collect()
        } else {
            let levels = room.node(host).into_iter();
            let levels = levels.flat_map(|node| &node.spec.fencing.levels);
            let targets = levels.flat_map(|level| &level.devices);
            let switched = targets.filter(|it| switches(room, it.device.as_str()));
            switched
                .map(|it| (it.device.to_string(), it.plug.clone()))
                .collect()
        };
        if !told.is_empty() {
            outlets.entry(host.to_owned()).or_default().extend(told);
        }
    }
    outlets
}

/// One attempt at some hosts.
#[derive(Debug)]
pub struct HalfReturn {
    returns: BTreeMap<String, PowerReturn>,
    dispatch: Dispatch,
}

impl HalfReturn {
    /// An attempt by the member of this name to switch on what these hosts' fence levels know of these outlets.
    #[must_use]
    pub fn new(member: &str, term: u64, room: &Room, hosts: &Outlets, now: Now) -> Self {
        let returns = hosts.iter().map(|(host, outlets)| {
            let told = |_: &str, target: &FenceTarget| {
                let mut outlets = outlets.iter();
                outlets
                    .any(|(device, plug)| target.device.as_str() == device && target.plug == *plug)
            };
            (host.clone(), PowerReturn::of(room, host, told, now))
        });
        Self {
            returns: returns.collect(),
            dispatch: Dispatch::new(member.to_owned(), term),
        }
    }

    /// A run has ended.
    pub fn finished(&mut self, id: RunId, report: AgentReport) {
        self.dispatch.finished(id, report);
    }

    /// Goes on as far as it can with what is known now.
    pub fn step(&mut self, room: &Room, now: Now) -> HalfSteps {
        let mut wake_at = None;
        for one in self.returns.values_mut() {
            if let Some(at) = one.advance(room, &mut self.dispatch, now, false) {
                earliest(&mut wake_at, Some(at));
            }
        }
        HalfSteps {
            cancel: std::mem::take(&mut self.dispatch.cancel),
            start: std::mem::take(&mut self.dispatch.start),
            wake_at,
        }
    }

    /// Once all of them have been tried: what did not come on, by host.
    #[must_use]
    pub fn over(&self) -> Option<BTreeMap<String, String>> {
        let mut failures = BTreeMap::new();
        for (host, one) in &self.returns {
            match one.ending()? {
                Ending::Returned => {}
                Ending::GivenUp(why) => _ = failures.insert(host.clone(), why),
            }
        }
        Some(failures)
    }
}
