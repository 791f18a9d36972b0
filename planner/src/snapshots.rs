//! Snapshots that people ask for. None is taken in this release, and each says so: nothing waits without a word.

use crate::outcome::{Outcome, condition};
use crate::round::Round;
use crate::{Reason, Why};

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    for (name, snapshot) in round.state.snapshots.iter() {
        let old = snapshot.status.clone().unwrap_or_default();
        let mut status = old.clone();
        status.observed_generation = snapshot.metadata.generation;
        status.ready = Some(false);
        let why = Why {
            reason: Reason::NotSupported,
            message: format!(
                "this release takes no snapshots; volume {} is as it was",
                snapshot.spec.volume
            ),
        };
        outcome.why("VolumeSnapshot", name, why.reason, &why.message);
        condition(&mut status.conditions, "Ready", false, &why, round.now);
        outcome.status("VolumeSnapshot", name, &old, &status);
    }
}
