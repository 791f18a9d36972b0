use super::above::Above;
use super::act::{Act, Job};
use super::answer::Answering;
use super::seen::{Look, Observation, Seen, Subsystem};
use super::verdict::{Case, Verdict, words};
use super::work::{Failure, Work, wait};
use super::{guest, mount, network, replica, storage};
use crate::drivers::{DriverError, Trouble};
use crate::plan::{Accepted, Plan, Record};
use jiff::Timestamp;
use quorate_crds::{Name, NodePlanStatus, ObjectReference};
use std::collections::{BTreeMap, BTreeSet};
use tokio::time::Instant;

/// Whether the host may activate anything now, rule R5.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    /// The lease is fresh and the plan new enough.
    Granted,
    /// Why not.
    Denied(String),
}

#[derive(Debug, Default)]
struct Looking {
    begun: u64,
    done: u64,
    wanted: u64,
    under_way: bool,
    failures: u32,
    failure: Option<Failure>,
    wait_until: Option<Instant>,
}

/// What the host has to do, what was seen, and what was said about it.
#[derive(Debug)]
pub struct Reconciler {
    host: Name,
    incarnation: u64,
    work: BTreeMap<String, Work>,
    looking: BTreeMap<Subsystem, Looking>,
    seen: Seen,
    above: Above,
    begun: BTreeMap<String, u64>,
    asked: BTreeSet<(Name, Name)>,
    wake_at: Option<Instant>,
    /// When it was first asked what is to be done.
    born: Option<Instant>,
    answered: Option<Instant>,
}

impl Reconciler {
    /// For a daemon that has just been started: nothing was seen yet, and what it was doing when it ended is unknown.
    #[must_use]
    pub fn new(host: &str, incarnation: u64, begun: BTreeMap<String, u64>) -> Self {
        let looking = |subsystem| {
            (
                subsystem,
                Looking {
                    wanted: 1,
                    ..Looking::default()
                },
            )
        };
        Self {
            host: Name::from(host),
            incarnation,
            work: BTreeMap::new(),
            looking: Subsystem::ALL.into_iter().map(looking).collect(),
            seen: Seen::default(),
            above: Above::default(),
            begun,
            asked: BTreeSet::new(),
            wake_at: None,
            born: None,
            answered: None,
        }
    }

    /// The plan changed.
    pub fn plan_changed(&mut self, plan: &Plan, accepted: &Accepted) {
        for name in &accepted.changed {
            let Some(record) = plan.records().get(name) else {
                continue;
            };
            let begun = &self.begun;
            let work = self.work.entry(name.clone()).or_insert_with(|| Work {
                object: Some(record.assignment.object.clone()),
                said: record.said.clone(),
                // A former daemon may have been killed in the middle of starting it.
                unclear: record.assignment.guest.is_some()
                    && begun.contains_key(record.assignment.object.name.as_str()),
                ..Work::default()
            });
            work.renew(record.generation);
            for subsystem in subsystems(record) {
                self.look_again(*subsystem, Some(name));
            }
        }
        self.work
            .retain(|name, _| plan.records().contains_key(name));
        self.above.plan_changed(plan);
        self.look_above();
    }

    /// Something of the subsystem may have changed.
    pub fn hint(&mut self, subsystem: Subsystem) {
        self.look_again(subsystem, None);
    }

    /// The storage asks about a peer.
    pub fn asks_about(&mut self, volume: Name, peer: Name) {
        self.asked.insert((volume, peer));
    }

    /// It has been answered, or asks no more. The member has put the question beside what was said of these records, which
    /// are said again, however they are.
    pub fn asks_no_more(&mut self, volume: &Name, peer: &Name) -> Vec<String> {
        self.asked.retain(|(a, b)| a != volume || b != peer);
        let of_volume = |work: &Work| {
            let object = work.object.as_ref();
            object.is_some_and(|object| object.kind == "Volume" && object.name == *volume)
        };
        let about = self.work.iter().filter(|(_, work)| of_volume(work));
        let about: Vec<String> = about.map(|(name, _)| name.clone()).collect();
        for record in &about {
            self.unsure(record);
        }
        about
    }

    fn look_again(&mut self, subsystem: Subsystem, record: Option<&str>) {
        let looking = self.looking.entry(subsystem).or_default();
        looking.wanted = looking.begun + 1;
        looking.wait_until = None;
        if let Some(work) = record.and_then(|name| self.work.get_mut(name)) {
            work.needs.insert(subsystem, looking.wanted);
        }
    }

    /// Volume groups are looked for where they could not be found before.
    fn look_above(&mut self) {
        if self.above.have_changed(&self.seen) {
            self.look_again(Subsystem::Pools, None);
        }
    }

    /// The subsystems that are to be looked at now. Each must be answered by [`Reconciler::looked`].
    pub fn looks(&mut self, now: Instant) -> Vec<Look> {
        let mut due = Vec::new();
        for (subsystem, looking) in &mut self.looking {
            if looking.under_way
                || looking.wanted <= looking.done
                || looking.wait_until.is_some_and(|until| now < until)
            {
                continue;
            }
            looking.under_way = true;
            looking.begun += 1;
            let above = match subsystem {
                Subsystem::Pools => self.above.begin(&self.seen),
                _ => Vec::new(),
            };
            due.push(Look {
                subsystem: *subsystem,
                above,
            });
        }
        due
    }

    /// What was seen.
    pub fn looked(&mut self, observation: Observation, now: Instant) {
        let looking = self.looking.entry(observation.subsystem()).or_default();
        looking.under_way = false;
        if let Observation::Failed(_, error) = &observation {
            looking.failures = looking.failures.saturating_add(1);
            looking.wanted = looking.wanted.max(looking.begun + 1);
            looking.wait_until = Some(now + wait(looking.failures, false));
            looking.failure = Some(Failure {
                trouble: error.trouble(),
                message: super::work::in_full(error),
                lasting: matches!(error, DriverError::Lasting { .. }),
            });
            return;
        }
        looking.done = looking.begun;
        looking.failure = None;
        match &observation {
            Observation::Pools(seen) if !seen.unread.is_empty() => {
                looking.failures = looking.failures.saturating_add(1);
                looking.wanted = looking.wanted.max(looking.begun + 1);
                looking.wait_until = Some(now + wait(looking.failures, false));
            }
            _ => looking.failures = 0,
        }
        match observation {
            Observation::Networks(seen) => self.seen.networks = seen,
            Observation::Pools(seen) => {
                self.above.ended(&seen.unread);
                self.seen.groups = seen.groups;
            }
            Observation::Replication(seen) => {
                self.seen.replicas = seen;
                self.look_above();
            }
            Observation::Filesystems(mounts, checks) => {
                self.seen.mounts = mounts;
                self.seen.checks = checks;
            }
            Observation::Lockspaces(seen) => self.seen.lockspaces = seen,
            Observation::Guests(seen) => self.seen.guests = seen,
            Observation::Failed(..) => {}
        }
    }

    /// When the newest of those questions was sent that the leader has answered; none where nobody says so.
    pub fn answered(&mut self, at: Option<Instant>) {
        self.answered = at;
    }

    /// Whether anything waits for the leader's next answer.
    #[must_use]
    pub fn waits_for_answer(&self) -> bool {
        self.seen.networks.iter().any(|seen| seen.on_trial)
    }

    /// Whether the leader has answered since the host's ways were changed. A lease alone does not say so: it lasts.
    fn reaches_cluster(&self, work: &Work, right: &Right) -> bool {
        let since = work.rewired.or(self.born);
        let answered = match (self.answered, since) {
            (Some(answered), Some(since)) => answered > since,
            // A lease process of a former release.
            (None, _) => true,
            (Some(_), None) => false,
        };
        *right == Right::Granted && answered
    }

    /// What is to be done now. Each job must be answered by [`Reconciler::finished`].
    pub fn next(&mut self, plan: &Plan, right: &Right, now: Instant, wall: Timestamp) -> Vec<Job> {
        self.born.get_or_insert(now);
        self.wake_at = self
            .looking
            .values()
            .filter_map(|looking| looking.wait_until)
            .filter(|until| *until > now)
            .min();
        let mut jobs = Vec::new();
        if !plan.complete() {
            return jobs;
        }
        for (name, record) in plan.records() {
            let Some(verdict) = self.judge(plan, record, right, now) else {
                continue;
            };
            if let Some(job) = self.carry_out(name, record, verdict, right, now, wall) {
                jobs.push(job);
            }
        }
        jobs
    }

    /// Whether it is about a guest that was begun here, or was seen to run when guests could be looked at.
    fn may_run(&self, record: &Record) -> bool {
        let name = &record.assignment.object.name;
        let begun = self.begun.get(name.as_str()) == Some(&record.assignment.epoch);
        let seen = self.seen.guest(name);
        record.assignment.guest.is_some() && (begun || seen.is_some_and(|seen| seen.doing.active()))
    }

    /// How the record stands; none while that is not known.
    fn judge(&self, plan: &Plan, record: &Record, right: &Right, now: Instant) -> Option<Verdict> {
        let work = self.work.get(&record.name)?;
        for subsystem in subsystems(record) {
            let looking = self.looking.get(subsystem)?;
            if let Some(failure) = &looking.failure {
                let message = format!(
                    "{} cannot be looked at: {}",
                    subsystem.as_str(),
                    failure.message
                );
                let lasts = failure.lasting || looking.failures >= super::work::PATIENCE;
                return Some(
                    // Whoever does not see a guest that runs says nothing about it.
                    if lasts && !self.may_run(record) {
                        Verdict::Ended(failure.trouble, message)
                    } else {
                        Verdict::Waits(message)
                    },
                );
            }
            let needed = work.needs.get(subsystem).copied().unwrap_or(1);
            if looking.done < needed {
                return None;
            }
        }
        let assignment = &record.assignment;
        if let Some(below) = self.above.hidden(record, &self.seen) {
            // What was said of it stays said, until somebody waits for it to be let go.
            return (!assignment.active).then(|| {
                Verdict::Waits(format!(
                    "what lies on volume {below} cannot be read on this host now"
                ))
            });
        }
        let case = Case {
            record,
            plan,
            seen: &self.seen,
            work,
            begun: self.begun.get(assignment.object.name.as_str()).copied(),
            host: &self.host,
            reaches_cluster: self.reaches_cluster(work, right),
            now,
        };
        let verdict = if let Some(guest) = &assignment.guest {
            guest::decide(&case, guest)
        } else if let Some(replica) = &assignment.replica {
            replica::decide(&case, replica)
        } else if let Some(mount) = &assignment.mount {
            mount::decide(&case, mount)
        } else if let Some(network) = &assignment.network {
            network::decide(&case, network)
        } else if let Some(storage) = &assignment.storage {
            storage::decide(&case, storage)
        } else {
            Verdict::Ended(
                Trouble::NotSupported,
                format!(
                    "this release cannot do what is planned for {}: upgrade this host",
                    words(&assignment.object)
                ),
            )
        };
        Some(verdict)
    }

    fn carry_out(
        &mut self,
        name: &str,
        record: &Record,
        mut verdict: Verdict,
        right: &Right,
        now: Instant,
        wall: Timestamp,
    ) -> Option<Job> {
        if let Verdict::Do(act) = &verdict
            && act.needs_lease()
        {
            if let Right::Denied(why) = right {
                verdict = Verdict::Waits(why.clone());
            } else if record.assignment.active
                && let Some(first) = self.unmet(record)
            {
                verdict = Verdict::Waits(format!("it waits for {first}"));
            }
        }
        let asks_about = self
            .asked
            .iter()
            .filter(|(volume, _)| *volume == record.assignment.object.name)
            .map(|(_, peer)| peer.clone())
            .collect();
        let work = self.work.get_mut(name)?;
        work.converged = matches!(verdict, Verdict::Converged) && work.acting.is_none();
        if let Some((verb, since)) = work.acting {
            // What is quickly done is answered when it is.
            let word = since + super::work::QUICK;
            if now < word {
                self.wake_at = Some(self.wake_at.map_or(word, |at| at.min(word)));
                return None;
            }
            verdict = Verdict::Waits(format!("{verb} is under way"));
        }
        let answer = Answering {
            record,
            verdict: &verdict,
            work,
            seen: &self.seen,
            host: &self.host,
            incarnation: self.incarnation,
            asks_about,
            wall,
        }
        .answer();
        let news = work.unsure || work.said.as_ref() != Some(&answer);
        work.to_say = news.then_some(answer);
        if matches!(verdict, Verdict::Converged | Verdict::Released) {
            work.arrived(now);
        }
        let due = match &verdict {
            Verdict::Do(_) => work.wait_until,
            Verdict::Until(at, _) => Some(*at),
            _ => None,
        };
        if let Some(due) = due.filter(|due| *due > now) {
            self.wake_at = Some(self.wake_at.map_or(due, |at| at.min(due)));
            return None;
        }
        let Verdict::Do(act) = verdict else {
            return None;
        };
        if matches!(act, Act::ShutDown(..) | Act::CancelSend(_)) {
            work.asked = Some(now);
        }
        match act {
            Act::ShutDown(..) => work.shut_down_at = Some(now),
            Act::Start(..) => work.shut_down_at = None,
            _ => {}
        }
        if act.is_long() {
            work.long = Some(act.verb());
        } else {
            work.acting = Some((act.verb(), now));
        }
        let object = record.assignment.object.name.as_str();
        let note = matches!(act, Act::Start(..) | Act::Receive(..))
            .then(|| (object.to_owned(), record.assignment.epoch));
        if let Some((guest, epoch)) = &note {
            self.begun.insert(guest.clone(), *epoch);
        }
        Some(Job {
            record: name.to_owned(),
            act,
            note,
        })
    }

    /// The first of what must be so before that is not.
    fn unmet(&self, record: &Record) -> Option<String> {
        record
            .assignment
            .after
            .iter()
            .find(|wanted| {
                let mut others = self.work.iter().filter(|(name, work)| {
                    **name != record.name
                        && work.object.as_ref().is_some_and(|object| {
                            object.kind == wanted.kind && object.name == wanted.name
                        })
                });
                let mut any = false;
                let all = others.all(|(_, work)| {
                    any = true;
                    work.converged || self.serves(wanted)
                });
                !(any && all)
            })
            .map(words)
    }

    /// A filesystem that is mounted serves, also while something else about it is not as it should be.
    fn serves(&self, wanted: &ObjectReference) -> bool {
        wanted.kind == "SharedFilesystem" && self.seen.serves(&wanted.name)
    }

    /// A job has ended.
    pub fn finished(&mut self, job: &Job, result: &Result<(), DriverError>, now: Instant) {
        let Some(work) = self.work.get_mut(&job.record) else {
            return;
        };
        if job.act.is_long() {
            work.long = None;
        } else {
            work.acting = None;
        }
        // Also one that failed may have changed something.
        if matches!(job.act, Act::ApplyNetwork(_) | Act::RemoveNetwork(_)) {
            work.rewired = Some(now);
        }
        match result {
            Ok(()) => {
                work.acted(job.act.verb(), now);
                work.created |= matches!(job.act, Act::CreateReplica(_));
                work.adjusted |= matches!(
                    job.act,
                    Act::AdjustReplica(_)
                        | Act::ApplyNetwork(_)
                        | Act::EnsureGroup(_)
                        | Act::GrowFilesystem(_)
                        | Act::Define(_)
                        | Act::Receive(..)
                );
                if matches!(
                    job.act,
                    Act::Destroy(_) | Act::TakeDown(_) | Act::Unmount(_) | Act::Activate(..)
                ) {
                    work.unclear = false;
                }
            }
            Err(error) => work.failed(error, now),
        }
        for subsystem in job.act.touches() {
            self.look_again(*subsystem, Some(&job.record));
        }
    }

    /// What is to be said about records, and was not said yet.
    #[must_use]
    pub fn answers(&self) -> Vec<(String, NodePlanStatus)> {
        self.work
            .iter()
            .filter_map(|(name, work)| Some((name.clone(), work.to_say.clone()?)))
            .collect()
    }

    /// That was said, and the cluster has written it down.
    pub fn said(&mut self, record: &str, status: NodePlanStatus) {
        if let Some(work) = self.work.get_mut(record) {
            if work.to_say.as_ref() == Some(&status) {
                work.to_say = None;
            }
            work.unsure = false;
            work.said = Some(status);
        }
    }

    /// Nobody knows whether the last words about this record have arrived: what is so is said, also when it is what was said
    /// before them.
    pub fn unsure(&mut self, record: &str) {
        if let Some(work) = self.work.get_mut(record) {
            work.unsure = true;
            if work.to_say.is_none() {
                work.to_say.clone_from(&work.said);
            }
        }
    }

    /// When something is due that nothing else would bring about.
    #[must_use]
    pub fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// What was seen last.
    #[must_use]
    pub fn seen(&self) -> &Seen {
        &self.seen
    }

    /// The subsystems that cannot be looked at, and why.
    pub fn blind(&self) -> impl Iterator<Item = (Subsystem, Trouble, &str)> {
        self.looking.iter().filter_map(|(subsystem, looking)| {
            let failure = looking.failure.as_ref()?;
            Some((*subsystem, failure.trouble, failure.message.as_str()))
        })
    }
}

/// What must have been looked at before a record is decided.
fn subsystems(record: &Record) -> &'static [Subsystem] {
    let assignment = &record.assignment;
    if assignment.guest.is_some() {
        &[Subsystem::Guests, Subsystem::Replication]
    } else if assignment.replica.is_some() {
        &[Subsystem::Pools, Subsystem::Replication]
    } else if assignment.mount.is_some() {
        &[Subsystem::Filesystems, Subsystem::Lockspaces]
    } else if assignment.network.is_some() {
        &[Subsystem::Networks]
    } else if assignment.after.is_empty() {
        &[Subsystem::Pools]
    } else {
        // It lies on a replicated volume.
        &[Subsystem::Pools, Subsystem::Replication]
    }
}

#[cfg(test)]
#[path = "reconciler_tests.rs"]
mod tests;
