//! Outlets that say off while their host is heard are somebody else's: a plug number is wrong, or cables are swapped. What
//! they say of the host proves nothing, least of all when the host falls silent.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_crds::{FenceLevel, Node, NodeState, PowerState};
use tokio::time::Instant;

use crate::fencing::room::{Room, has_agent, length};

/// What the status says of such a level; the next leader reads it there.
const MESSAGE: &str = "every device says off although the host is heard; look for swapped cables or \
                       a wrong plug";
/// An outlet may have been asked before the host was switched on, or the host may not be missed yet.
const SURELY: Duration = Duration::from_secs(15);
/// A host whose connections were closed is not missed either for as long as a restart takes: the usual grace.
const RESTART_GRACE: Duration = Duration::from_secs(30);

/// For how long hosts are heard, and which levels said off meanwhile.
#[derive(Debug, Default)]
pub(super) struct Heard {
    since: BTreeMap<String, Instant>,
    wrong: BTreeSet<(String, String)>,
}

impl Heard {
    /// Looks at every host. `asked` is when a device last answered for all its outlets. Returns when time alone changes
    /// something.
    pub(super) fn look(
        &mut self,
        room: &Room,
        asked: impl Fn(&str) -> Option<Instant>,
        now: Instant,
    ) -> Option<Instant> {
        let mut wake = None;
        let grace = length(&room.cluster.detection.restart_grace, RESTART_GRACE);
        let surely_heard = SURELY + grace;
        self.wrong.clear();
        self.since
            .retain(|node, _| room.node(node).is_some_and(is_heard));
        for (name, node) in room.nodes.iter().map(|(name, held)| (name, &held.object)) {
            if !is_heard(node) {
                continue;
            }
            let since = *self.since.entry(name.clone()).or_insert(now);
            for level in &node.spec.fencing.levels {
                if !all_off(room, name, level) {
                    continue;
                }
                let answers = level
                    .devices
                    .iter()
                    .map(|target| asked(target.device.as_str()));
                let Some(answers) = answers.collect::<Option<Vec<Instant>>>() else {
                    continue;
                };
                if answers.iter().any(|at| *at < since + surely_heard) {
                    continue;
                }
                let Some(surely) = answers.into_iter().max().map(|at| at + surely_heard) else {
                    continue;
                };
                if now < surely {
                    wake = Some(wake.map_or(surely, |known: Instant| known.min(surely)));
                } else {
                    self.wrong.insert((name.clone(), level.name.0.clone()));
                }
            }
        }
        wake
    }

    /// Why a level proves nothing, if its devices said off while its host was heard and have not said on since.
    pub(super) fn complaint(&self, room: &Room, name: &str, level: &FenceLevel) -> Option<String> {
        let key = (name.to_owned(), level.name.0.clone());
        let wrong = self.wrong.contains(&key) || is_known_wrong(room, name, level);
        wrong.then(|| MESSAGE.to_owned())
    }
}

/// The same, as far as it is stored.
pub(super) fn is_known_wrong(room: &Room, name: &str, level: &FenceLevel) -> bool {
    let known = room
        .node(name)
        .and_then(|node| node.status.as_ref())
        .and_then(|status| {
            status
                .fence_levels
                .iter()
                .find(|known| known.name == level.name)
        })
        .is_some_and(|known| says_so(known.message.as_deref()));
    // A device that does not answer for a while has not said on.
    let any_on = level
        .devices
        .iter()
        .any(|target| room.outlet(name, target) == Some(PowerState::PoweredOn));
    known && !any_on
}

/// Whether a stored message is this complaint.
pub(super) fn says_so(message: Option<&str>) -> bool {
    message == Some(MESSAGE)
}

fn is_heard(node: &Node) -> bool {
    node.status.as_ref().and_then(|status| status.state) == Some(NodeState::Online)
}

fn all_off(room: &Room, name: &str, level: &FenceLevel) -> bool {
    !level.devices.is_empty()
        && level.devices.iter().all(|target| {
            room.device(target.device.as_str())
                .filter(|device| has_agent(device.spec.type_))
                .and_then(|_| room.outlet(name, target))
                == Some(PowerState::PoweredOff)
        })
}
