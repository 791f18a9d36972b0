//! The rules of the way from silence to `Fenced`: R3, R4 and R7.

use std::time::Duration;

use quorate_crds::{DeviceResult, EvidenceKind, FenceAction, NodeState, PowerState};

use super::{
    judge::{Bench, Leader, Milestone},
    late::{Ended, missed_by_the_former, silent_before},
};

/// `Cluster.spec.detection.timeout` of every simulated cluster.
const DETECTION: Duration = Duration::from_secs(2);
/// Clocks drift, and what is on its way takes its time.
const SLACK: Duration = Duration::from_millis(150);

/// R3: what is called fenced is off, or has booted since.
pub(super) fn fenced(bench: &mut Bench, node: &str) {
    bench.looked("R3");
    let status = bench
        .committed
        .nodes
        .get(node)
        .and_then(|n| n.status.clone());
    let boot = status.and_then(|status| status.boot_id);
    let truth = bench.room.lock().truth();
    let Some(machine) = truth.machines.get(node) else {
        return;
    };
    if machine.kernel.executes() && boot.as_deref() == Some(machine.boot_id.as_str()) {
        let what = format!("{node} is called fenced, and the boot that is meant still executes");
        bench.broken("R3", &what);
    }
}

/// R3, R4: an operation has succeeded only with evidence of its own incarnation, and of every device of the level.
pub(super) fn succeeded(bench: &mut Bench, name: &str) {
    let Some(operation) = bench.committed.operations.get(name).cloned() else {
        return;
    };
    let node = operation.spec.node.as_str();
    let status = operation.status.clone().unwrap_or_default();
    let about = operation.spec.incarnation.or(status.incarnation);
    let Some(evidence) = &status.evidence else {
        if !matches!(
            operation.spec.action,
            FenceAction::TestLevel | FenceAction::TestDevice
        ) {
            let what = format!("operation {name} succeeded without evidence");
            bench.broken("R3", &what);
        }
        return;
    };
    bench.looked("R3");
    if about.is_some_and(|about| about != evidence.incarnation) {
        let what = format!(
            "operation {name} is about incarnation {about:?}, its evidence about {}",
            evidence.incarnation
        );
        bench.broken("R3", &what);
    }
    bench.looked("R4");
    let node_object = bench.committed.nodes.get(node);
    let levels = node_object.map(|n| n.spec.fencing.levels.clone());
    let levels = levels.unwrap_or_default();
    let of_level = levels
        .iter()
        .position(|level| Some(level.name.as_str()) == evidence.level.as_deref());
    let Some(of_level) = of_level else {
        return;
    };
    // One that finds the proof of another operation about the same boot, a takeover's say, takes its evidence as it is.
    let said: Vec<DeviceResult> = bench
        .committed
        .operations
        .values()
        .filter(|other| other.spec.node == operation.spec.node)
        .filter_map(|other| other.status.as_ref())
        .filter(|status| {
            let mut theirs = status.evidence.clone();
            // A leader notes its own term beside the proof that it finds.
            if let Some(theirs) = &mut theirs {
                theirs.term = evidence.term;
            }
            theirs.as_ref() == Some(evidence)
        })
        .flat_map(|status| status.results.clone())
        .collect();
    let untried = levels[..of_level].iter().find(|level| {
        let tried = |result: &DeviceResult| result.level.as_str() == level.name.as_str();
        !said.iter().any(tried)
    });
    if let Some(untried) = untried {
        let what = format!(
            "operation {name} succeeded by level {}, and {} was not tried before",
            levels[of_level].name, untried.name
        );
        bench.broken("R4", &what);
    }
    if evidence.kind != EvidenceKind::Devices {
        return;
    }
    let silent = levels[of_level].devices.iter().find(|target| {
        !said.iter().any(|result| {
            result.device == target.device
                && result.plug == target.plug
                && result.power == Some(PowerState::PoweredOff)
        })
    });
    if let Some(target) = silent {
        let what = format!(
            "operation {name} succeeded, and {} has not said that {node} is off",
            target.device
        );
        bench.broken("R4", &what);
    }
}

/// R7: a host that its leader has heard, or would have heard had it listened, is not suspected.
pub(super) fn suspected(bench: &mut Bench, node: &str) {
    bench.looked("R7");
    let Some(leader) = bench.leader.clone() else {
        return;
    };
    let heard = bench.heard.get(&(node.to_owned(), leader.process.clone()));
    let heard = heard.copied().unwrap_or_default();
    let at = bench.now;
    let suspected = Milestone::Suspected(node.to_owned(), heard);
    bench.milestones.push((at, suspected));
    let since = heard.max(leader.since);
    let silence = bench.now.saturating_sub(since);
    let long = DETECTION.saturating_sub(SLACK);
    let by_the_former = missed_by_the_former(bench, node, long);
    if by_the_former == Some(Ended::Lately) {
        return;
    }
    alone_in_its_view(bench, node, &leader);
    let by_this_one = silent_before(bench, node, &leader, long);
    if by_this_one == Some(Ended::Lately) || silence + SLACK >= DETECTION {
        return;
    }
    let what = format!(
        "{node} is suspected after {} ms in which {} could have heard it",
        silence.as_millis(),
        leader.process
    );
    match by_the_former.or(by_this_one) {
        Some(_) => bench.doubted("R7", &what),
        None => bench.broken("R7", &what),
    }
}

/// R7: when most hosts are silent together, what the other voters hear counts more than what the leader does not.
fn alone_in_its_view(bench: &mut Bench, node: &str, leader: &Leader) {
    let now = bench.now;
    let silent = |node: &str| {
        let heard = bench.heard.get(&(node.to_owned(), leader.process.clone()));
        now.saturating_sub(heard.copied().unwrap_or_default()) > DETECTION / 2
    };
    let expected = bench.committed.nodes.iter().filter(|(_, node)| {
        let state = node.status.as_ref().and_then(|status| status.state);
        use NodeState::{Fencing, Online, Suspect};
        matches!(state, Some(Online | Suspect | Fencing))
    });
    let expected: Vec<bool> = expected.map(|(name, _)| silent(name)).collect();
    let together = expected.iter().filter(|silent| **silent).count();
    if together < 2 || together * 2 <= expected.len() {
        return;
    }
    let elsewhere = bench.reached.iter().find(|(process, reached)| {
        // Questions take their time, and whoever has just begun to hear a host, or to answer, was asked too early.
        let long = |since: Duration| now.saturating_sub(since) > DETECTION * 2;
        let pair = (node.to_owned(), (*process).clone());
        let steadily = bench.steadily.get(&pair).is_some_and(|since| long(*since));
        let fresh = bench
            .heard
            .get(&pair)
            .is_some_and(|heard| now.saturating_sub(*heard) < DETECTION / 4);
        long(**reached) && steadily && fresh
    });
    if let Some((process, _)) = elsewhere {
        let what = format!(
            "{node} is suspected with most others, and {process} hears it; {} does not ask",
            leader.process
        );
        bench.broken("R7", &what);
    }
}
