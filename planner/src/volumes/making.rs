//! Why a volume is not there yet: what its hosts have to do for it first, and what keeps them from it.

use super::{roles, source};
use crate::rights::{Answer, answer, observed};
use crate::round::Round;
use crate::state::{Record, Subject};
use crate::{Reason, Why};
use quorate_crds::{Volume, VolumeStatus};

pub(super) fn why(
    round: &Round<'_>,
    (name, volume): (&str, &Volume),
    status: &VolumeStatus,
) -> Why {
    let mut replicas = status.replicas.iter();
    let first = replicas.find(|replica| roles::begins_here(status, replica));
    let first = first.map(|replica| &replica.node);
    if let Some(why) = first.and_then(|host| source::original(round, (name, volume), host).err()) {
        return why;
    }
    let mut message = first
        .and_then(|host| source::filling(name, volume, host))
        .unwrap_or_else(|| "no replica is made and current yet".to_owned());
    let subject = Subject::volume(name);
    for replica in &status.replicas {
        let host = replica.node.as_str();
        let record = round.state.record(&subject, host);
        if let Some(trouble) = record.and_then(|record| trouble(round, record)) {
            message.push_str(&format!("; {host}: {trouble}"));
        }
    }
    Why {
        reason: Reason::BeingMade,
        message,
    }
}

/// What the host says of an attempt that failed.
fn trouble(round: &Round<'_>, record: &Record) -> Option<String> {
    if let Answer::Ended(_, message) = answer(record) {
        return Some(message);
    }
    let said = observed(&round.hosts, record)?;
    said.attempts.filter(|attempts| *attempts > 0)?;
    said.message.clone()
}
