//! Verifications on a schedule: every block of a replicated volume is compared between its hosts, one volume at a time on
//! each host, and only while nothing else happens to the volume.
//!
//! It reads every block on every host. That it begins late costs nothing; that it stands in the way of a recovery would.

use super::view::current;
use crate::amounts::{bytes, later, moment, span, words};
use crate::outcome::{Outcome, condition};
use crate::rights::{Presence, observed};
use crate::round::Round;
use crate::state::{About, Subject};
use crate::{Reason, Why};
use jiff::{SignedDuration, Timestamp};
use quorate_crds::{
    ConnectionState, Name, NodeMode, ReplicaRole, ReplicaVerify, Time, VerifyState, VerifyStatus,
    Volume, VolumeState, VolumeStatus,
};
use std::collections::BTreeSet;

const VERIFIED: &str = "Verified";
/// One that was broken off is begun anew after this, or after the interval where that is shorter.
const AGAIN_AFTER: SignedDuration = SignedDuration::from_hours(1);

/// Hosts that compare a volume at present.
pub(super) struct Comparing<'a> {
    busy: BTreeSet<&'a str>,
}

/// A volume that may be verified.
pub(super) struct One<'r, 'a> {
    pub(super) round: &'r Round<'a>,
    pub(super) name: &'a str,
    pub(super) volume: &'a Volume,
    /// It grows, or a replica of it goes.
    pub(super) changing: bool,
}

impl<'a> Comparing<'a> {
    pub(super) fn of(round: &Round<'a>) -> Self {
        let mut busy = BTreeSet::new();
        for (_, volume) in round.state.volumes.iter() {
            let Some(status) = &volume.status else {
                continue;
            };
            let verify = status.last_verify.as_ref();
            if verify.is_some_and(|verify| verify.node.is_some()) {
                busy.extend(status.replicas.iter().map(|replica| replica.node.as_str()));
            }
        }
        Self { busy }
    }

    /// The host that is told to compare, and the number under which.
    pub(super) fn settle(
        &mut self,
        outcome: &mut Outcome,
        one: &One<'_, 'a>,
        status: &mut VolumeStatus,
    ) -> Option<(Name, u64)> {
        if one.volume.spec.verify.algorithm.is_none() {
            status.conditions.retain(|it| it.type_ != VERIFIED);
            return None;
        }
        let mut verify = status.last_verify.clone().unwrap_or_default();
        let before = verify.clone();
        let mut broken = None;
        if let Some(node) = verify.node.clone() {
            broken = one.follow(&node, &mut verify);
        }
        if verify.node.is_none() {
            match one.due(&verify) {
                at if at > one.round.now => outcome.wake(at),
                _ if self.may_begin(one, status) => {
                    verify.number = Some(verify.number.unwrap_or(0) + 1);
                    verify.node = one.comparer(status);
                    verify.started_at = Some(Time::from(one.round.now));
                    let replicas = one.volume.status.iter().flat_map(|it| &it.replicas);
                    self.busy
                        .extend(replicas.map(|replica| replica.node.as_str()));
                }
                _ => {}
            }
        }
        one.say(outcome, status, &before, &verify, broken);
        let order = verify.node.clone().zip(verify.number);
        status.last_verify = (verify != VerifyStatus::default()).then_some(verify);
        order
    }

    fn may_begin(&self, one: &One<'_, 'a>, status: &VolumeStatus) -> bool {
        let hosts = &one.round.hosts;
        let quiet = status.state == Some(VolumeState::Ready)
            && status.replicas.len() > 1
            && status.two_primaries_allowed.is_none()
            && !one.changing
            && !one.round.stopping();
        let mut replicas = status.replicas.iter();
        quiet
            && replicas.all(|replica| {
                let node = replica.node.as_str();
                let host = hosts.get(node);
                current(hosts, replica)
                    && replica.connection == Some(ConnectionState::Connected)
                    && host.is_some_and(|host| host.mode == NodeMode::Active)
                    && !self.busy.contains(node)
            })
    }
}

impl One<'_, '_> {
    /// What became of the one that runs; why, where it was broken off.
    fn follow(&self, node: &Name, verify: &mut VerifyStatus) -> Option<String> {
        let host = node.as_str();
        let said = self
            .said(host)
            .filter(|said| Some(said.number) == verify.number);
        let lost = !self.round.hosts.is(host, Presence::Online)
            && !self.round.hosts.is(host, Presence::Silent);
        match said {
            Some(said) if said.state == VerifyState::Finished => {
                verify.node = None;
                verify.finished_at = Some(Time::from(self.round.now));
                verify.out_of_sync = said.out_of_sync.clone().or_else(|| Some("0".into()));
                None
            }
            Some(said) if said.state == VerifyState::Broken => {
                verify.node = None;
                let why = said.message.as_deref().unwrap_or("it does not say why");
                Some(format!("{host}: {why}"))
            }
            _ if lost => {
                verify.node = None;
                Some(format!("{host} was lost"))
            }
            _ => None,
        }
    }

    fn said(&self, host: &str) -> Option<&ReplicaVerify> {
        let record = self.round.state.record(About::volume(self.name), host)?;
        let status = observed(&self.round.hosts, record)?;
        status.replica.as_ref()?.verify.as_ref()
    }

    /// When the next one is to begin.
    fn due(&self, verify: &VerifyStatus) -> Timestamp {
        let spec = &self.volume.spec.verify;
        let interval = span(&spec.interval);
        let begun = moment(verify.started_at.as_ref());
        let asked = moment(spec.at.as_ref()).filter(|at| begun.is_none_or(|begun| begun < *at));
        let made = self.volume.metadata.creation_timestamp.as_ref();
        let made = made.map_or(self.round.now, |made| made.0);
        let regular = match (begun, moment(verify.finished_at.as_ref())) {
            (Some(begun), finished) if finished.is_none_or(|finished| finished < begun) => {
                later(begun, interval.min(AGAIN_AFTER))
            }
            (_, Some(finished)) => later(finished, interval),
            _ => later(made, interval),
        };
        asked.map_or(regular, |asked| asked.min(regular))
    }

    /// The one that is written, so that it is compared where it is read anyway.
    fn comparer(&self, status: &VolumeStatus) -> Option<Name> {
        let mut replicas = status.replicas.iter();
        let primary = replicas.find(|replica| replica.role == Some(ReplicaRole::Primary));
        let chosen = primary.or(status.replicas.first());
        chosen.map(|replica| replica.node.clone())
    }

    fn say(
        &self,
        outcome: &mut Outcome,
        status: &mut VolumeStatus,
        before: &VerifyStatus,
        verify: &VerifyStatus,
        broken: Option<String>,
    ) {
        let differs = verify.out_of_sync.as_ref().map_or(0, bytes);
        let sound = verify.finished_at.is_some() && differs == 0;
        let finished = verify.finished_at.as_ref().map_or("", |at| at.as_str());
        let why = match (&verify.node, &broken) {
            (Some(node), _) => {
                let number = verify.number.unwrap_or(0);
                let text = format!("{node} compares every block, for the {number}. time");
                why(Reason::Verifying, text)
            }
            (None, Some(broken)) => why(
                Reason::VerifyBroken,
                format!("it ended before every block was compared: {broken}"),
            ),
            (None, None) if sound => why(
                Reason::Verified,
                format!("every block was compared until {finished}, and none differed"),
            ),
            (None, None) if verify.finished_at.is_some() => why(
                Reason::ReplicasDiffer,
                format!(
                    "{} differed when they were compared until {finished}",
                    words(differs)
                ),
            ),
            (None, None) => return,
        };
        if why.reason != Reason::Verified {
            outcome.why("Volume", self.name, why.reason, &why.message);
        }
        condition(
            &mut status.conditions,
            VERIFIED,
            sound,
            &why,
            self.round.now,
        );
        if before.node != verify.node {
            outcome.event(self.round.now, Subject::volume(self.name).reference(), &why);
        }
    }
}

fn why(reason: Reason, message: String) -> Why {
    Why { reason, message }
}
