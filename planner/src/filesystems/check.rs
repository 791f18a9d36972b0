//! Checks of a shared filesystem, each asked for by a person.
//!
//! A check beside a host that writes destroys the filesystem. So one begins only when no host may have it mounted: all have said
//! that they let go of it, or are confirmed off. While it runs nobody mounts it, whatever people wish meanwhile. A repair that did
//! not come to its end leaves the filesystem half mended: another one comes before anybody mounts it.

use super::shared;
use crate::amounts::moment;
use crate::outcome::{Outcome, condition};
use crate::rights::{Answer, Presence, answer, held, observed};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use crate::volumes::{self, Asking};
use crate::{Reason, Why};
use quorate_crds::{
    CheckAssignment, CheckResult, CheckStatus, DesiredMount, MountCheck, Name, NodeMode,
    SharedFilesystem, SharedFilesystemStatus, Time,
};

const CHECKED: &str = "Checked";

/// Whether a repair was broken off, and none has ended since.
pub(super) fn half_mended(status: Option<&SharedFilesystemStatus>) -> bool {
    let check = status.and_then(|status| status.last_check.as_ref());
    check.is_some_and(|check| {
        check.repair == Some(true)
            && check.node.is_none()
            && check.result == Some(CheckResult::Broken)
    })
}

/// Carries on with the check that runs, or begins the one that is asked for. True: one runs, and nothing else may happen to the
/// filesystem.
pub(super) fn settle(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, filesystem): (&str, &SharedFilesystem),
    status: &mut SharedFilesystemStatus,
) -> bool {
    let one = One {
        round,
        name,
        filesystem,
        subject: Subject::new(SubjectKind::Filesystem, name),
    };
    let mut check = status.last_check.clone().unwrap_or_default();
    let before = check.clone();
    if let Some(node) = check.node.clone() {
        one.follow(&node, &mut check);
    }
    let waits = match (&check.node, one.asked(outcome, &check)) {
        (None, true) => one.begin(status, &mut check).err(),
        _ => None,
    };
    if let Some(node) = check.node.clone() {
        one.tell(outcome, node.as_str(), &check);
    }
    one.say(outcome, status, (&before, &check), waits);
    let runs = check.node.is_some();
    status.last_check = (check != CheckStatus::default()).then_some(check);
    runs
}

struct One<'r, 'a> {
    round: &'r Round<'a>,
    name: &'r str,
    filesystem: &'r SharedFilesystem,
    subject: Subject,
}

impl One<'_, '_> {
    /// Whether a check is wished for that none has been begun for yet.
    fn asked(&self, outcome: &mut Outcome, check: &CheckStatus) -> bool {
        let wish = self.filesystem.spec.check.as_ref();
        let Some(at) = moment(wish.map(|wish| &wish.at)) else {
            return false;
        };
        if at > self.round.now {
            outcome.wake(at);
            return false;
        }
        moment(check.started_at.as_ref()).is_none_or(|begun| begun < at)
    }

    /// Begins it, or says what it waits for.
    fn begin(
        &self,
        status: &SharedFilesystemStatus,
        check: &mut CheckStatus,
    ) -> Result<(), String> {
        let Some(wish) = &self.filesystem.spec.check else {
            return Ok(());
        };
        if self.filesystem.spec.desired_state != DesiredMount::Unmounted {
            return Err(
                "it is to be mounted: stop the guests that use it, and set spec.desiredState to Unmounted"
                    .to_owned(),
            );
        }
        if let Some(holder) = self.holder(status) {
            return Err(holder);
        }
        if self.round.stopping() || self.filesystem.metadata.deletion_timestamp.is_some() {
            return Err("it goes away".to_owned());
        }
        let host = self.best().ok_or_else(|| {
            let volume = &self.filesystem.spec.volume;
            format!("volume {volume} can be opened on no host at present")
        })?;
        *check = CheckStatus {
            number: Some(check.number.unwrap_or(0) + 1),
            node: Some(Name::from(host)),
            repair: Some(wish.repair),
            started_at: Some(Time::from(self.round.now)),
            ..CheckStatus::default()
        };
        Ok(())
    }

    /// Who may have it mounted still, in words.
    fn holder(&self, status: &SharedFilesystemStatus) -> Option<String> {
        let hosts = &self.round.hosts;
        let records = self.round.state.records_of(&self.subject);
        let mut records = records.into_iter().flatten();
        let holding = records.find(|(_, record)| held(hosts, record));
        if let Some((host, _)) = holding {
            let why = match hosts.get(host).map(|host| host.presence) {
                Some(Presence::Silent) => "is silent and not confirmed off",
                Some(Presence::Online) => "has not let go of it yet",
                _ => "did not say that it let go of it",
            };
            return Some(format!("{host} {why}"));
        }
        let members = status.lockspace.iter().flat_map(|space| &space.members);
        let member = members.into_iter().next()?;
        Some(format!("{member} is a member of its locks still"))
    }

    fn best(&self) -> Option<&str> {
        let round = self.round;
        let volume = self.filesystem.spec.volume.as_str();
        let known = round.state.volumes.get(volume)?;
        let mut hosts = round.hosts.names();
        hosts.find(|host| {
            round.hosts[host].takes_more()
                && volumes::unwritable(round, volume, known, host, Asking::default()).is_none()
        })
    }

    /// What became of the one that runs.
    fn follow(&self, node: &Name, check: &mut CheckStatus) {
        let host = node.as_str();
        let record = self.round.state.record(&self.subject, host);
        let Some(record) = record.filter(|record| number(record) == check.number) else {
            // The host was not told yet.
            return;
        };
        if !held(&self.round.hosts, record) {
            let text = format!("{host} was lost before it came to its end");
            return self.end(check, Some(CheckResult::Broken), Some(text));
        }
        if let Some(said) = self.said(record, check) {
            return self.end(check, Some(said.result), said.message.clone());
        }
        if let Answer::Ended(_, message) = answer(record) {
            let text = format!("{host} could not begin: {message}");
            self.end(check, None, Some(text));
        }
    }

    fn said<'s>(&self, record: &'s Record, check: &CheckStatus) -> Option<&'s MountCheck> {
        let mount = observed(&self.round.hosts, record)?.mount.as_ref()?;
        let said = mount.check.as_ref()?;
        (Some(said.number) == check.number).then_some(said)
    }

    fn end(&self, check: &mut CheckStatus, result: Option<CheckResult>, message: Option<String>) {
        check.node = None;
        check.finished_at = Some(Time::from(self.round.now));
        check.result = result;
        check.message = message;
    }

    fn tell(&self, outcome: &mut Outcome, host: &str, check: &CheckStatus) {
        let round = self.round;
        outcome.uses(self.filesystem.spec.volume.as_str(), host);
        let known = round.hosts.get(host);
        let heard = known.is_some_and(|it| it.online() && it.mode != NodeMode::Maintenance);
        let record = round.state.record(&self.subject, host);
        if !heard && record.is_some() {
            return outcome.leave(round.state, &self.subject, host);
        }
        let ordered = CheckAssignment {
            number: check.number.unwrap_or(0),
            repair: check.repair == Some(true),
        };
        let assigned = shared::to_check(round, (self.name, self.filesystem), host, ordered);
        outcome.assign(round.state, &self.subject, host, assigned);
    }

    fn say(
        &self,
        outcome: &mut Outcome,
        status: &mut SharedFilesystemStatus,
        (before, check): (&CheckStatus, &CheckStatus),
        waits: Option<String>,
    ) {
        let until = check.finished_at.as_ref().map_or("", |at| at.as_str());
        let words = check.message.as_deref().unwrap_or("it does not say what");
        let (reason, message) = match (&check.node, waits, check.result) {
            (Some(node), _, _) if check.repair == Some(true) => (
                Reason::Checking,
                format!("{node} checks it, and mends what it finds"),
            ),
            (Some(node), _, _) => (Reason::Checking, format!("{node} checks it")),
            (None, Some(waits), _) => (Reason::CheckWaits, format!("it is not checked: {waits}")),
            (None, None, Some(CheckResult::Clean)) => (
                Reason::CheckedClean,
                match &check.message {
                    Some(left) => format!("it was checked until {until}, and is sound; {left}"),
                    None => format!("it was checked until {until}, and nothing was found"),
                },
            ),
            (None, None, Some(CheckResult::Repaired)) => (
                Reason::CheckRepaired,
                format!("it was checked until {until}, and what was found was mended: {words}"),
            ),
            (None, None, Some(CheckResult::Damaged)) => (
                Reason::CheckFoundDamage,
                format!("it was checked until {until}, and is not sound: {words}"),
            ),
            (None, None, Some(CheckResult::Broken)) => (
                Reason::CheckBroken,
                format!("the check did not come to its end: {words}"),
            ),
            (None, None, None) if check.finished_at.is_some() => {
                (Reason::CheckBroken, words.to_owned())
            }
            (None, None, None) => return,
        };
        let why = Why { reason, message };
        let sound = matches!(reason, Reason::CheckedClean | Reason::CheckRepaired);
        if !sound {
            outcome.why("SharedFilesystem", self.name, why.reason, &why.message);
        }
        let conditions = &mut status.conditions;
        condition(conditions, CHECKED, sound, &why, self.round.now);
        if before.node != check.node {
            outcome.event(self.round.now, self.subject.reference(), &why);
        }
    }
}

/// The check that the record orders.
fn number(record: &Record) -> Option<u64> {
    let assigned = record.spec.assignment.as_ref()?;
    let check = assigned.mount.as_ref()?.check.as_ref()?;
    Some(check.number)
}
