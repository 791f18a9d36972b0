//! R12: a guest ends because its host did, because it ended itself, or because the log says so.

use quorate_crds::{Assignment, DesiredState, GuestStep, NodePlan};
use quorate_node_daemon::{
    drivers::GuestDoing,
    simulated::room::{Copy, Truth},
};

use super::{commits::answers, judge::Bench};

/// What a host was told last stands until it has answered what was said since. So does an order to end a guest that is
/// withdrawn again: it may be on its way, or have been carried out already.
pub(super) fn replaced(bench: &mut Bench, name: &str, before: Option<&NodePlan>) {
    let Some(record) = bench.committed.plans.get(name) else {
        bench.standing.remove(name);
        return;
    };
    if let Some(before) = before
        && let Some(assignment) = &before.spec.assignment
        && before.spec.assignment != record.spec.assignment
    {
        let standing = bench.standing.entry(name.to_owned()).or_default();
        standing.push((before.spec.node.to_string(), assignment.clone()));
    }
}

pub(super) fn check(bench: &mut Bench, truth: &Truth) {
    let Some(former) = bench.former.take() else {
        return;
    };
    begin_to_end(bench, &former, truth);
    for (guest, copies) in &former.guests {
        for copy in copies.iter().filter(|copy| copy.executes) {
            let goes_on = truth
                .guests
                .get(guest)
                .is_some_and(|now| now.iter().any(|now| now.run == copy.run));
            bench.looked("R12");
            if goes_on || !went_on(&former, truth, &copy.host) || bench.crashing.contains(guest) {
                continue;
            }
            let shut_down = bench.shutting_down.contains(&(guest.clone(), copy.run));
            if !shut_down && !ordered(bench, guest, copy) {
                let what = format!(
                    "guest {guest} was ended on {}, which went on, and nothing in the log asks for it",
                    copy.host
                );
                bench.broken("R12", &what);
            }
        }
    }
    let plans = &bench.committed.plans;
    bench
        .standing
        .retain(|name, _| !plans.get(name).is_some_and(answers));
    bench.former = Some(former);
}

/// A guest that shuts down ends some time later, and nobody can call it back: what counts is what was asked when it began.
fn begin_to_end(bench: &mut Bench, former: &Truth, truth: &Truth) {
    for (guest, copies) in &truth.guests {
        for copy in copies {
            let run = (guest.clone(), copy.run);
            if copy.doing != GuestDoing::Stopping || bench.shutting_down.contains(&run) {
                continue;
            }
            bench.looked("R12");
            if went_on(former, truth, &copy.host) && !ordered(bench, guest, copy) {
                let what = format!(
                    "guest {guest} is shut down on {}, and nothing in the log asks for it",
                    copy.host
                );
                bench.broken("R12", &what);
            }
            bench.shutting_down.insert(run);
        }
    }
}

/// Whether a host runs, and has not booted meanwhile.
fn went_on(former: &Truth, truth: &Truth, host: &str) -> bool {
    match (former.machines.get(host), truth.machines.get(host)) {
        (Some(before), Some(now)) => before.boots == now.boots && now.kernel.executes(),
        _ => false,
    }
}

/// Whether the log asks the host to end the guest, or did until a moment ago.
fn ordered(bench: &Bench, guest: &str, copy: &Copy) -> bool {
    let now = bench.committed.plans.values().filter_map(|record| {
        let assignment = record.spec.assignment.as_ref()?;
        Some((record.spec.node.as_str(), assignment))
    });
    let standing = bench.standing.values().flatten();
    // What was said before the copy's own right began is over.
    let standing = standing
        .filter(|(_, assignment)| assignment.epoch >= copy.epoch)
        .map(|(node, assignment)| (node.as_str(), assignment));
    now.chain(standing)
        .any(|(node, assignment)| node == copy.host && ends(assignment, guest, copy.epoch))
}

fn ends(assignment: &Assignment, guest: &str, epoch: u64) -> bool {
    let Some(assigned) = &assignment.guest else {
        return false;
    };
    assignment.object.name.as_str() == guest
        && (!assignment.active
            || assignment.epoch != epoch
            || assigned.step == GuestStep::Release
            || assigned.desired_state != DesiredState::Running)
}
