//! Filesystems that all hosts share (GFS2, OCFS2), above a volume that all of them write.

use super::lockspace::{Present, Seat, Step, next};
use super::shown::{figures, still_mounted, withdrawn};
use super::{check, is_mounted, of, quota};
use crate::networks;
use crate::outcome::{Outcome, condition};
use crate::records::checksum;
use crate::rights::{Answer, Host, Presence, active, answer, held, observed};
use crate::round::Round;
use crate::state::{Record, Subject, SubjectKind};
use crate::volumes;
use crate::{Reason, Why};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Assignment, CheckAssignment, DesiredMount, LockspaceAssignment, LockspaceMember,
    LockspaceState, LockspaceStatus, LockspaceStep, MountAssignment, MountState, Name, NetworkRole,
    NodeMode, SharedFilesystem, SharedFilesystemStatus, SharedFilesystemType,
};
use std::collections::{BTreeMap, BTreeSet};

/// More is refused by the schema, too.
const MOST_JOURNALS: u32 = 64;

pub(super) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let mut users: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for (name, guest) in round.state.guests.iter() {
        for filesystem in of(round.state, guest) {
            let on = outcome
                .assignments()
                .hosts(round.state, &Subject::guest(name));
            users.entry(filesystem).or_default().extend(on);
        }
    }
    for (name, filesystem) in round.state.filesystems.iter() {
        let none = BTreeSet::new();
        let users = users.get(name).unwrap_or(&none);
        one(round, outcome, (name, filesystem), users);
    }
}

fn one(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, filesystem): (&str, &SharedFilesystem),
    users: &BTreeSet<String>,
) {
    let subject = Subject::new(SubjectKind::Filesystem, name);
    let old = filesystem.status.clone().unwrap_or_default();
    let mut status = old.clone();
    status.observed_generation = filesystem.metadata.generation;
    if check::settle(round, outcome, (name, filesystem), &mut status) {
        describe(
            round,
            outcome,
            (name, filesystem),
            &mut status,
            (false, users),
        );
        return outcome.status("SharedFilesystem", name, &old, &status);
    }
    let lockspace = status.lockspace.clone().unwrap_or_default();
    let volume = filesystem.spec.volume.as_str();
    let made = status.journals.is_some();
    let hosts = standings(round, outcome, (name, filesystem), users, &lockspace);
    let silent = hosts.values().any(|it| it.seat.member && it.seat.silent);
    let running = lockspace.state != Some(LockspaceState::Stopped);
    let now = Present {
        generation: lockspace.generation.unwrap_or(0),
        running,
        locks: lockspace.program_locks.unwrap_or(0),
    };
    let all = hosts.iter().map(|(host, it)| (host.as_str(), it.seat));
    let step = next(now, all);
    for (host, standing) in &hosts {
        let record = round.state.record(&subject, host);
        let holding = record.is_some_and(|record| held(&round.hosts, record));
        if holding || standing.invited || step.members.contains(host) {
            outcome.uses(volume, host);
        }
        let written = record.and_then(|record| record.spec.assignment.as_ref());
        let told = |active| assignment(round, (name, filesystem), &step, host, active, !made);
        let member = step.members.contains(host);
        match written {
            // What a former boot was told is not for the present one: that would be a member before the others stop.
            Some(_) if silent || untouched(round, host) => {
                outcome.leave(round.state, &subject, host);
            }
            _ if member => {
                outcome.assign(round.state, &subject, host, told(!standing.asked_out));
            }
            _ if standing.invited => outcome.assign(round.state, &subject, host, told(true)),
            Some(_) if holding => outcome.assign(round.state, &subject, host, told(false)),
            _ => {}
        }
    }
    if !silent {
        status.lockspace = Some(LockspaceStatus {
            generation: Some(step.generation),
            state: Some(match step.running {
                true => LockspaceState::Running,
                false => LockspaceState::Stopped,
            }),
            members: step.members.iter().cloned().map(Name).collect(),
            program_locks: (step.locks > 0).then_some(step.locks),
        });
    }
    describe(
        round,
        outcome,
        (name, filesystem),
        &mut status,
        (silent, users),
    );
    outcome.status("SharedFilesystem", name, &old, &status);
}

/// How a host stands to the lockspace.
struct Standing {
    seat: Seat,
    /// It may come to the door: it mounts, and waits in the kernel until all members let it in. Before it stands
    /// there nobody stops for it, so that a host that cannot mount holds nobody up.
    invited: bool,
    /// It is to unmount while locks are still given, for it needs them, and waits in the kernel until all members let
    /// it out.
    asked_out: bool,
}

fn standings(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, filesystem): (&str, &SharedFilesystem),
    users: &BTreeSet<String>,
    lockspace: &LockspaceStatus,
) -> BTreeMap<String, Standing> {
    let subject = Subject::new(SubjectKind::Filesystem, name);
    let volume = filesystem.spec.volume.as_str();
    let journals = filesystem.status.as_ref().and_then(|it| it.journals);
    let made = journals.is_some();
    let closed = filesystem.spec.desired_state == DesiredMount::Unmounted
        || check::half_mended(filesystem.status.as_ref());
    let running = lockspace.state != Some(LockspaceState::Stopped);
    let allowed = chosen(round, filesystem);
    let records = round.state.records_of(&subject).into_iter().flatten();
    let members = lockspace.members.iter().map(ToString::to_string);
    let everybody: BTreeSet<String> = allowed
        .iter()
        .cloned()
        .chain(members)
        .chain(records.map(|(host, _)| host.to_owned()))
        .collect();
    let holds = |host: &str| {
        let record = round.state.record(&subject, host);
        record.is_some_and(|record| held(&round.hosts, record))
    };
    // The one that makes the filesystem is alone until it has.
    let making = !made && (!lockspace.members.is_empty() || everybody.iter().any(|it| holds(it)));
    let mut first = !made && !making;
    // Who is a member, or may be on its way in or out, has a journal, or will take one.
    let is_member = |host: &str| lockspace.members.iter().any(|one| one.as_str() == host);
    let taken = everybody.iter().filter(|it| holds(it) || is_member(it));
    let mut free = journals.map(|all| all.saturating_sub(count(taken)));
    let mut standings = BTreeMap::new();
    for host in everybody {
        let known = round.hosts.get(&host);
        let record = round.state.record(&subject, &host);
        let holding = holds(&host);
        let member = is_member(&host) && record.is_some();
        let goes = round.stopping()
            || closed
            || filesystem.metadata.deletion_timestamp.is_some()
            || !allowed.contains(&host)
            || known.is_none_or(|known| known.mode == NodeMode::Withdrawn);
        let there =
            known.is_some_and(|known| known.online() && known.mode != NodeMode::Maintenance);
        let wishes = there && (!goes || users.contains(&host));
        if wishes {
            outcome.uses(volume, &host);
        }
        let leaving = record.is_some_and(|record| holding && !active(record));
        let invited = wishes
            && !leaving
            && !member
            && volumes::joined(round, volume, &host)
            // It is made on the first host that has the volume open, whoever is named before that one.
            && (made || holding || std::mem::take(&mut first))
            && (holding || takes_one(&mut free));
        let stands = record.filter(|_| holding && there).and_then(waits_at);
        let out = member && stands == Some(MountState::Unmounting);
        let told = record.filter(|record| tells(record, lockspace));
        let answered = told.is_some_and(has_answered) || (running && out);
        let seat = Seat {
            member,
            dead: member && !holding,
            silent: holding && !there,
            wanted: match member {
                true => !out,
                false => invited && stands == Some(MountState::Mounting),
            },
            answered,
            locks: known.map_or(0, speaks),
        };
        let standing = Standing {
            seat,
            invited,
            asked_out: member && (!wishes || leaving),
        };
        standings.insert(host, standing);
    }
    standings
}

/// The newest form in which a host settles locks of programs with others.
fn speaks(host: &Host<'_>) -> u32 {
    let versions = host
        .node
        .status
        .as_ref()
        .and_then(|it| it.versions.as_ref());
    versions.and_then(|it| it.program_locks).unwrap_or(0)
}

fn count<T>(these: impl Iterator<Item = T>) -> u32 {
    u32::try_from(these.count()).unwrap_or(u32::MAX)
}

/// A journal for one more host. None is needed of what is not made yet: it is made with enough.
fn takes_one(free: &mut Option<u32>) -> bool {
    let Some(left) = free else { return true };
    let some = *left > 0;
    *left = left.saturating_sub(1);
    some
}

/// How many journals it is to have: one for each host that is to have it mounted.
fn journals(round: &Round<'_>, filesystem: &SharedFilesystem) -> u32 {
    let hosts = count(chosen(round, filesystem).iter());
    filesystem.spec.journals.max(hosts).min(MOST_JOURNALS)
}

/// Where the host waits in the kernel, as it says under its present record.
fn waits_at(record: &Record) -> Option<MountState> {
    if !matches!(answer(record), Answer::Working | Answer::Converged) {
        return None;
    }
    let mount = record.status.as_ref()?.mount.as_ref()?;
    mount
        .state
        .filter(|state| matches!(state, MountState::Mounting | MountState::Unmounting))
}

/// The hosts that are to have it mounted as far as people say.
fn chosen(round: &Round<'_>, filesystem: &SharedFilesystem) -> BTreeSet<String> {
    if !filesystem.spec.nodes.is_empty() {
        return filesystem
            .spec
            .nodes
            .iter()
            .map(ToString::to_string)
            .collect();
    }
    let keepers = round.views.get(filesystem.spec.volume.as_str()).into_iter();
    keepers
        .flat_map(|status| status.replicas.iter().map(|it| it.node.to_string()))
        .collect()
}

/// Why a host that is to have it mounted does not, in words.
fn hindrance(
    round: &Round<'_>,
    (name, filesystem): (&str, &SharedFilesystem),
    (volume, host): (&str, &str),
) -> String {
    let known = round.hosts.get(host);
    let record = round
        .state
        .record(&Subject::new(SubjectKind::Filesystem, name), host);
    let record = record.filter(|record| held(&round.hosts, record));
    if let Some(Answer::Ended(_, message)) = record.map(answer) {
        return format!("{host}: {message}");
    }
    let status = filesystem.status.as_ref();
    let has = status.and_then(|status| status.journals);
    let short = has.filter(|has| record.is_none() && *has < journals(round, filesystem));
    let why = match known {
        Some(known) if known.mode != NodeMode::Active => "does not take part at present",
        Some(known) if !known.online() => "is not there",
        None => "is not there",
        Some(_) if keeps_none(round, volume, host) => {
            return format!("{host} keeps no replica of volume {volume}");
        }
        Some(_) if !volumes::joined(round, volume, host) => "has not caught up with the others",
        Some(_) if short.is_some() => "waits for one more journal",
        Some(_) => "is about to",
    };
    format!("{host} {why}")
}

fn keeps_none(round: &Round<'_>, volume: &str, host: &str) -> bool {
    let keepers = round.views.get(volume).map(|status| &status.replicas);
    keepers.is_some_and(|all| !all.is_empty() && all.iter().all(|it| it.node.as_str() != host))
}

/// Whether the record tells the present step. A decision may be too large for one transaction: then some records still tell the
/// step before, and what was answered to that is no answer.
fn tells(record: &Record, lockspace: &LockspaceStatus) -> bool {
    let assigned = record.spec.assignment.as_ref();
    let told = assigned
        .and_then(|it| it.mount.as_ref())
        .and_then(|mount| mount.lockspace.as_ref());
    told.is_some_and(|told| {
        let stopped = lockspace.state == Some(LockspaceState::Stopped);
        Some(told.generation) == lockspace.generation
            && (!stopped || told.step == LockspaceStep::Stop)
    })
}

fn has_answered(record: &Record) -> bool {
    !matches!(answer(record), Answer::Nothing | Answer::Working)
}

fn untouched(round: &Round<'_>, host: &str) -> bool {
    round
        .hosts
        .get(host)
        .is_none_or(|host| host.presence != Presence::Online || host.mode == NodeMode::Maintenance)
}

/// What a host is told that is to check it.
pub(super) fn to_check(
    round: &Round<'_>,
    (name, filesystem): (&str, &SharedFilesystem),
    host: &str,
    check: CheckAssignment,
) -> Assignment {
    let lockspace = filesystem.status.as_ref();
    let lockspace = lockspace.and_then(|status| status.lockspace.as_ref());
    let step = Step {
        generation: lockspace.and_then(|it| it.generation).unwrap_or(0),
        running: true,
        members: BTreeSet::new(),
        leaving: BTreeSet::new(),
        locks: 0,
    };
    let mut told = assignment(round, (name, filesystem), &step, host, true, false);
    if let Some(mount) = &mut told.mount {
        mount.lockspace = None;
        mount.check = Some(check);
    }
    told
}

fn assignment(
    round: &Round<'_>,
    (name, filesystem): (&str, &SharedFilesystem),
    step: &Step,
    host: &str,
    active: bool,
    make: bool,
) -> Assignment {
    let volume = filesystem.spec.volume.as_str();
    let table = filesystem.spec.lock_table.clone();
    let table = table.unwrap_or_else(|| match &round.state.cluster {
        Some(cluster) => format!(
            "{}:{name}",
            cluster.metadata.name.as_deref().unwrap_or("quorate")
        ),
        None => format!("quorate:{name}"),
    });
    let minor = round.views.get(volume).and_then(|status| status.minor);
    let subject = Subject::new(SubjectKind::Filesystem, name);
    let member = step.members.contains(host);
    let describe = |member: &str| LockspaceMember {
        node: Name::from(member),
        node_id: number(round, volume, member),
        incarnation: round
            .state
            .record(&subject, member)
            .map(|record| record.spec.incarnation),
        addresses: networks::addresses(
            round,
            member,
            None,
            &[NetworkRole::BackChannel, NetworkRole::Storage],
        ),
    };
    Assignment {
        object: subject.reference(),
        object_generation: filesystem.metadata.generation,
        epoch: step.generation,
        active,
        after: vec![Subject::volume(volume).reference()],
        network: None,
        storage: None,
        replica: None,
        mount: Some(MountAssignment {
            device: AbsolutePath(format!("/dev/drbd{}", minor.unwrap_or(0))),
            filesystem: match filesystem.spec.type_ {
                SharedFilesystemType::Gfs2 => "gfs2".to_owned(),
                SharedFilesystemType::Ocfs2 => "ocfs2".to_owned(),
            },
            mount_point: filesystem.spec.mount_point.clone(),
            options: options(filesystem),
            make: make && active,
            journals: Some(journals(round, filesystem)),
            check: None,
            lockspace: Some(LockspaceAssignment {
                id: u32::try_from(checksum(&table) & 0x7fff_ffff)
                    .unwrap_or(1)
                    .max(1),
                table,
                generation: step.generation,
                // Who stands at the door gets no locks, whatever the members do.
                step: match step.running && (member || !active) {
                    true => LockspaceStep::Start,
                    false => LockspaceStep::Stop,
                },
                members: step.members.iter().map(|it| describe(it)).collect(),
                own: Some(LockspaceMember {
                    incarnation: None,
                    ..describe(host)
                }),
                program_locks: (step.locks > 0).then_some(step.locks),
            }),
        }),
        guest: None,
        secrets: Vec::new(),
    }
}

/// How it is mounted: as people say, and with the way in which its use is counted.
fn options(filesystem: &SharedFilesystem) -> Vec<String> {
    let said = filesystem.spec.mount_options.iter().cloned();
    let counted = match filesystem.spec.type_ {
        SharedFilesystemType::Gfs2 => quota(filesystem.spec.quota),
        SharedFilesystemType::Ocfs2 => None,
    };
    said.chain(counted.map(str::to_owned)).collect()
}

/// The number of a host in lockspaces: its own, or else that of its replica.
fn number(round: &Round<'_>, volume: &str, host: &str) -> u32 {
    let own = round.hosts.get(host).and_then(|host| host.node.spec.number);
    own.unwrap_or_else(|| {
        let status = round.views.get(volume);
        let replica = status.and_then(|status| {
            let mut replicas = status.replicas.iter();
            replicas.find(|replica| replica.node.as_str() == host)
        });
        replica.and_then(|replica| replica.node_id).unwrap_or(0) + 1
    })
}

/// Whether POSIX and OFD locks hold on all its hosts, and otherwise who is in the way.
fn locks_of_programs(round: &Round<'_>, lockspace: &LockspaceStatus) -> (bool, Why) {
    let cannot = |member: &&Name| {
        let known = round.hosts.get(member.as_str());
        known.map_or(0, speaks) == 0
    };
    let silent: Vec<&str> = lockspace
        .members
        .iter()
        .filter(cannot)
        .map(|member| member.as_str())
        .collect();
    let refused = |message: String| Why {
        reason: Reason::ProgramLocksRefused,
        message,
    };
    match (lockspace.program_locks, silent.as_slice()) {
        (Some(_), _) => (
            true,
            Why {
                reason: Reason::ProgramLocksShared,
                message: "POSIX and OFD locks of programs hold on all hosts that have it mounted"
                    .to_owned(),
            },
        ),
        (None, []) => (
            false,
            refused(
                "POSIX and OFD locks of programs are refused until the members have changed"
                    .to_owned(),
            ),
        ),
        (None, cannot) => (
            false,
            refused(format!(
                "POSIX and OFD locks of programs are refused: the release of {} cannot settle them with other hosts",
                cannot.join(" and ")
            )),
        ),
    }
}

fn describe(
    round: &Round<'_>,
    outcome: &mut Outcome,
    (name, filesystem): (&str, &SharedFilesystem),
    status: &mut SharedFilesystemStatus,
    (silent, users): (bool, &BTreeSet<String>),
) {
    let subject = Subject::new(SubjectKind::Filesystem, name);
    let records = round.state.records_of(&subject);
    let mut mounted = BTreeSet::new();
    // What is not as it should be on hosts that have it mounted all the same.
    let mut troubles = Vec::new();
    status.mounts.clear();
    for (host, record) in records.into_iter().flatten() {
        if let Some(seen) = observed(&round.hosts, record).and_then(|it| it.mount.clone()) {
            status.mounts.push(seen);
        }
        let held_now = active(record) && held(&round.hosts, record);
        if held_now && is_mounted(round, record) {
            match answer(record) {
                Answer::Converged => _ = mounted.insert(host.to_owned()),
                Answer::Ended(_, message) => {
                    mounted.insert(host.to_owned());
                    troubles.push(format!("{host}: {message}"));
                }
                Answer::Nothing | Answer::Working | Answer::Released => {}
            }
        }
    }
    let mut missing = chosen(round, filesystem);
    missing.retain(|host| !mounted.contains(host));
    let closed = filesystem.spec.desired_state == DesiredMount::Unmounted;
    if filesystem.metadata.deletion_timestamp.is_some() || round.stopping() || closed {
        missing.clear();
    }
    let (mounted, all) = (mounted.len(), mounted.len() + missing.len());
    let counted = status.mounts.iter().filter_map(|mount| mount.journals);
    let made = (mounted > 0).then(|| journals(round, filesystem));
    // They are never taken away.
    status.journals = counted.max().max(status.journals).or(made);
    figures(round, outcome, name, status);
    withdrawn(round, outcome, name, status);
    let members = status.lockspace.as_ref().map_or(0, |it| it.members.len());
    status.mounted_summary = Some(format!("{mounted}/{all}"));
    let stopped =
        status.lockspace.as_ref().and_then(|it| it.state) == Some(LockspaceState::Stopped);
    let (reason, message) = if silent {
        (
            Reason::LocksFrozen,
            "locks wait until a member that is silent is confirmed off".to_owned(),
        )
    } else if stopped {
        (
            Reason::LocksFrozen,
            "locks wait while the members change".to_owned(),
        )
    } else if status
        .last_check
        .as_ref()
        .is_some_and(|it| it.node.is_some())
    {
        (
            Reason::Checking,
            "nobody mounts it while it is checked".to_owned(),
        )
    } else if closed && members > 0 {
        (Reason::Unmounting, still_mounted(status, users))
    } else if closed {
        (
            Reason::Unmounted,
            "it is mounted nowhere, as spec.desiredState says".to_owned(),
        )
    } else if check::half_mended(Some(status)) {
        (
            Reason::CheckBroken,
            "it is half mended, and not mounted before another repair has come to its end"
                .to_owned(),
        )
    } else if members > 0 && mounted == members {
        let mut words = format!("mounted on {mounted} of {all} hosts");
        let volume = filesystem.spec.volume.as_str();
        for host in &missing {
            let why = hindrance(round, (name, filesystem), (volume, host));
            words += &format!("; {why}");
        }
        for trouble in &troubles {
            words += &format!("; {trouble}");
        }
        if status
            .lockspace
            .as_ref()
            .is_some_and(|it| it.program_locks.is_some())
        {
            words += "; locks of programs hold on all of them";
        }
        (Reason::Mounted, words)
    } else if members > 0 {
        (
            Reason::Mounting,
            format!("mounted on {mounted} of {all} hosts"),
        )
    } else {
        (
            Reason::WaitingForVolume,
            format!("volume {} is open on no host yet", filesystem.spec.volume),
        )
    };
    let why = Why { reason, message };
    // Of a check the one that makes it has said so.
    if why.reason != Reason::Checking {
        outcome.why("SharedFilesystem", name, why.reason, &why.message);
    }
    let ready = why.reason == Reason::Mounted;
    condition(&mut status.conditions, "Ready", ready, &why, round.now);
    let frozen = why.reason == Reason::LocksFrozen;
    condition(&mut status.conditions, "Frozen", frozen, &why, round.now);
    if let Some(lockspace) = status.lockspace.as_ref().filter(|_| members > 0) {
        let (shared, why) = locks_of_programs(round, lockspace);
        condition(
            &mut status.conditions,
            "ProgramLocks",
            shared,
            &why,
            round.now,
        );
    }
}
