//! R5: nothing is activated without a fresh lease.

use std::time::Duration;

use quorate_node_daemon::simulated::room::{Copy, Truth};

use super::judge::{Bench, Milestone};

/// Between asking for a lease and acting there may lie this much.
pub(super) const ACT: Duration = Duration::from_millis(400);

/// Judges every copy of a guest at the step in which it comes to be, and again at the one in which it comes to execute. In
/// between it only waits: a copy that is there already may outlast its host's lease, because what runs, runs on, and one
/// that waits for a guest to arrive executes nothing before the daemon acts once more.
pub(super) fn check(bench: &mut Bench, truth: &Truth) {
    let Some(former) = bench.former.take() else {
        return;
    };
    for (guest, copies) in &truth.guests {
        for copy in copies {
            let before = before(&former, guest, copy);
            let executed = before.is_some_and(|before| before.executes);
            if before.is_some() && (executed || !copy.executes) {
                continue;
            }
            bench.looked("R5");
            let at = bench.now;
            let known = former.runs.get(guest);
            if copy.executes && !known.is_some_and(|runs| runs.contains(&copy.run)) {
                let runs = Milestone::Runs(guest.clone(), copy.host.clone());
                bench.milestones.push((at, runs));
            }
            let leased = bench.leased.get(&copy.host);
            if leased.is_none_or(|leased| at.saturating_sub(*leased) > ACT) {
                let what = format!(
                    "guest {guest} was started on {}, which had no fresh lease",
                    copy.host
                );
                bench.broken("R5", &what);
            }
        }
    }
    bench.former = Some(former);
}

/// The same copy one step before. What has arrived has the number of the run that it goes on with.
fn before<'a>(former: &'a Truth, guest: &str, copy: &Copy) -> Option<&'a Copy> {
    let copies = former.guests.get(guest)?;
    let arrived = |run: u64| {
        former
            .runs
            .get(guest)
            .is_some_and(|runs| runs.contains(&run))
    };
    copies
        .iter()
        .find(|before| before.host == copy.host && (before.run == copy.run || arrived(copy.run)))
}
