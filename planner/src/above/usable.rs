//! Where a volume above another one can be used: wherever the one below can be opened, and on one host
//! at a time.

use super::{Place, refused};
use crate::rights::{Answer, active, answer, held};
use crate::round::Round;
use crate::state::{About, Subject, SubjectKind};
use crate::volumes::{self, Asking};
use quorate_crds::{Volume, VolumeAccess, VolumeState};

/// Why it cannot be used on that host now, if so.
pub(crate) fn unusable(
    round: &Round<'_>,
    name: &str,
    volume: &Volume,
    place: Place<'_>,
    host: &str,
    asking: Asking<'_>,
) -> Option<String> {
    if let Some(why) = refused(round.state, name, volume, place) {
        return Some(why.message);
    }
    if volume.metadata.deletion_timestamp.is_some() {
        return Some(format!("volume {name} is being deleted"));
    }
    let state = round.views.get(name).and_then(|status| status.state);
    if matches!(state, None | Some(VolumeState::Pending)) {
        return Some(format!("volume {name} is not made yet"));
    }
    let nodes = &volume.spec.nodes;
    if !nodes.is_empty() && nodes.iter().all(|node| node.as_str() != host) {
        return Some(format!("is not among spec.nodes of volume {name}"));
    }
    let Some(below) = round.state.volumes.get(place.base) else {
        return Some(format!(
            "volume {} below pool {} does not exist",
            place.base, place.pool
        ));
    };
    if asking.from.is_some() && below.spec.access == VolumeAccess::SingleWriter {
        return Some(format!(
            "volume {} below volume {name} is open on one host at a time, so that its guest is \
             moved only when it is off; access MultiWriter of {} allows more",
            place.base, place.base
        ));
    }
    let records = round.state.records_of(About::volume(name));
    for (other, record) in records.into_iter().flatten() {
        if other != host && asking.from != Some(other) && held(&round.hosts, record) {
            return Some(format!("volume {name} may be active on {other}"));
        }
    }
    let group = Subject::new(SubjectKind::Pool, place.pool);
    if let Some(record) = round.state.record(&group, host)
        && active(record)
        && let Answer::Ended(_, message) = answer(record)
    {
        return Some(format!("pool {} does not come up: {message}", place.pool));
    }
    volumes::unwritable(round, place.base, below, host, asking)
        .map(|obstacle| format!("below volume {name}: {obstacle}"))
}

/// Whether it is active on that host, as the host says itself.
pub(crate) fn opened(round: &Round<'_>, name: &str, host: &str) -> bool {
    let record = round.state.record(About::volume(name), host);
    record.is_some_and(|record| active(record) && answer(record) == Answer::Converged)
}
