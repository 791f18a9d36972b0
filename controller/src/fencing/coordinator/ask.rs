//! One question to one device, repeated until it is answered or given up.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_crds::{FenceDevice, FenceTarget};

use super::Run;
use crate::fencing::{
    agents::{Action, AgentFailure, AgentReport, AgentRequest, SecretReference},
    mistake::{Mistake, makes},
    room::{Room, length},
};

/// Names one run of an agent on this leader.
pub type RunId = u64;

/// When a device has no usable time-out of its own.
const PATIENCE: Duration = Duration::from_secs(20);

/// Whom a question may disturb: it takes the device from what comes before it here, and waits for the rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Urgency {
    /// A regular check.
    Check,
    /// A person who waits for an answer.
    Test,
    /// Power for a host that is safe already.
    Return,
    /// A host that may still run.
    Fence,
}

/// How a question ended.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) report: AgentReport,
    /// The last member that was asked to run the agent.
    pub(super) member: Option<String>,
}

/// Gives out devices and run numbers, and carries reports to whoever asked. A device answers one question at a time:
/// many of them take one connection only.
#[derive(Debug)]
pub(super) struct Dispatch {
    pub(super) me: String,
    pub(super) term: u64,
    next: RunId,
    busy: BTreeMap<String, (RunId, Urgency)>,
    reports: BTreeMap<RunId, AgentReport>,
    taken_away: BTreeSet<RunId>,
    pub(super) start: Vec<Run>,
    pub(super) cancel: Vec<RunId>,
}

impl Dispatch {
    pub(super) fn new(me: String, term: u64) -> Self {
        Self {
            me,
            term,
            next: 0,
            busy: BTreeMap::new(),
            reports: BTreeMap::new(),
            taken_away: BTreeSet::new(),
            start: Vec::new(),
            cancel: Vec::new(),
        }
    }

    pub(super) fn finished(&mut self, id: RunId, report: AgentReport) {
        let before = self.busy.len();
        self.busy.retain(|_, (running, _)| *running != id);
        // A run that was cancelled is nobody's any more.
        if self.busy.len() < before {
            self.reports.insert(id, report);
        }
    }

    fn is_free(&self, device: &str, urgency: Urgency) -> bool {
        self.busy
            .get(device)
            .is_none_or(|(_, holder)| *holder < urgency)
    }

    fn begin(&mut self, member: String, request: AgentRequest, urgency: Urgency) -> RunId {
        self.next += 1;
        let id = self.next;
        if let Some((former, _)) = self.busy.insert(request.device.clone(), (id, urgency)) {
            self.cancel.push(former);
            self.taken_away.insert(former);
        }
        self.start.push(Run {
            id,
            member,
            request,
        });
        id
    }

    fn give_up(&mut self, id: RunId) {
        self.reports.remove(&id);
        self.taken_away.remove(&id);
        let before = self.busy.len();
        self.busy.retain(|_, (running, _)| *running != id);
        if self.busy.len() < before {
            self.cancel.push(id);
        }
    }
}

#[derive(Clone, Debug)]
enum State {
    Waiting,
    Running(RunId, String),
    Done(Answered),
}

/// One question.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) level: String,
    pub(super) target: FenceTarget,
    node: Option<String>,
    action: Action,
    urgency: Urgency,
    /// How often it may fail; none: once by every member, at least as often as the device says.
    tries: Option<u32>,
    failed: u32,
    away: u32,
    /// Where to begin among the members.
    offset: usize,
    harmless: bool,
    state: State,
    /// What each member that was asked has brought.
    pub(super) asked: BTreeMap<String, bool>,
}

impl Ask {
    pub(super) fn new(
        node: Option<&str>,
        level: &str,
        target: &FenceTarget,
        action: Action,
        urgency: Urgency,
    ) -> Self {
        Self {
            level: level.to_owned(),
            target: target.clone(),
            node: node.map(str::to_owned),
            action,
            urgency,
            tries: None,
            failed: 0,
            away: 0,
            offset: 0,
            harmless: false,
            state: State::Waiting,
            asked: BTreeMap::new(),
        }
    }

    /// It may fail so often.
    pub(super) fn tried(mut self, tries: u32) -> Self {
        self.tries = Some(tries);
        self
    }

    /// It begins with another member than the first.
    pub(super) fn beginning_at(mut self, offset: usize) -> Self {
        self.offset = offset;
        self
    }

    /// It changes nothing and nothing rests on it, so that the host's own member may ask as well.
    pub(super) fn harmless(mut self) -> Self {
        self.harmless = true;
        self
    }

    pub(super) fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    pub(super) fn answered(&self) -> Option<&Answered> {
        match &self.state {
            State::Done(answered) => Some(answered),
            _ => None,
        }
    }

    /// Takes a report that has come, and starts the next run if there is one to start.
    pub(super) fn advance(&mut self, room: &Room, dispatch: &mut Dispatch) {
        if let State::Running(id, member) = &self.state {
            let (id, member) = (*id, member.clone());
            if dispatch.taken_away.remove(&id) {
                self.state = State::Waiting;
            } else if let Some(report) = dispatch.reports.remove(&id) {
                self.take(room, report, member);
            }
        }
        if matches!(self.state, State::Waiting) {
            self.start(room, dispatch);
        }
    }

    pub(super) fn cancel(&mut self, dispatch: &mut Dispatch) {
        if let State::Running(id, _) = self.state {
            dispatch.give_up(id);
            self.state = State::Waiting;
        }
    }

    fn take(&mut self, room: &Room, report: AgentReport, member: String) {
        let candidates = candidates(room, self.target.device.as_str(), self.victim(), &member);
        let away = matches!(report, Err(AgentFailure::MemberAway { .. }));
        if !away {
            self.asked.insert(member.clone(), report.is_ok());
        }
        if away {
            self.away += 1;
        } else if report.is_err() {
            self.failed += 1;
        }
        let device = room.device(self.target.device.as_str());
        let retries = device.map_or(0, |device| device.spec.retries);
        let members = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
        let may_fail = self.tries.unwrap_or_else(|| match self.urgency {
            Urgency::Check => retries.saturating_add(1).max(members),
            _ => retries.saturating_add(1),
        });
        self.state = if report.is_ok() || self.failed >= may_fail || self.away > members {
            State::Done(Answered {
                report,
                member: Some(member),
            })
        } else {
            State::Waiting
        };
    }

    fn start(&mut self, room: &Room, dispatch: &mut Dispatch) {
        let name = self.target.device.as_str();
        let Some(device) = room.device(name) else {
            self.refuse(format!(
                "there is no FenceDevice {name:?}; apply it, or take it out of the level"
            ));
            return;
        };
        let Some(agent) = &device.spec.agent else {
            self.refuse(format!(
                "FenceDevice {name:?} has no agent; name one in spec.agent"
            ));
            return;
        };
        if !dispatch.is_free(name, self.urgency) {
            return;
        }
        let candidates = candidates(room, name, self.victim(), &dispatch.me);
        if candidates.is_empty() {
            self.refuse(no_member(device));
            return;
        }
        let tried = (self.failed + self.away) as usize;
        let member = candidates[(self.offset + tried) % candidates.len()].clone();
        let request = request(device, agent, self, dispatch.term);
        let id = dispatch.begin(member.clone(), request, self.urgency);
        self.state = State::Running(id, member);
    }

    fn refuse(&mut self, reason: String) {
        self.state = State::Done(Answered {
            report: Err(AgentFailure::Refused(reason)),
            member: None,
        });
    }

    /// The host that must not run this itself.
    fn victim(&self) -> Option<&str> {
        self.node()
            .filter(|_| !self.harmless && !makes(Mistake::VictimRunsAgent))
    }
}

fn request(device: &FenceDevice, agent: &str, ask: &Ask, term: u64) -> AgentRequest {
    let mut parameters = device.spec.parameters.clone();
    parameters.extend(ask.target.parameters.clone());
    AgentRequest {
        device: ask.target.device.as_str().to_owned(),
        node: ask.node.clone(),
        plug: ask.target.plug.clone(),
        agent: agent.to_owned(),
        action: ask.action,
        parameters,
        secrets: device
            .spec
            .secret_parameters
            .iter()
            .map(|secret| SecretReference {
                parameter: secret.name.clone(),
                secret: secret.from.secret.as_str().to_owned(),
                key: secret.from.key.clone(),
            })
            .collect(),
        timeout: length(&device.spec.timeout, PATIENCE),
        term,
    }
}

fn no_member(device: &FenceDevice) -> String {
    if device.spec.run_on.is_empty() {
        "no member is left that may run the agent: a host's own member never runs an agent \
         against it; add a member on another machine"
            .to_owned()
    } else {
        let listed: Vec<&str> = device
            .spec
            .run_on
            .iter()
            .map(|name| name.as_str())
            .collect();
        format!(
            "none of the members in runOn may run the agent now: {}; start one of them, or list \
             others in spec.runOn (a host's own member never runs an agent against it)",
            listed.join(", ")
        )
    }
}

/// The members that may run a device's agent, the likeliest first: the leader itself, then those from which the device
/// has answered, then the others; those that the leader does not hear come last.
pub(super) fn candidates(
    room: &Room,
    device: &str,
    victim: Option<&str>,
    first: &str,
) -> Vec<String> {
    let Some(device) = room.device(device) else {
        return Vec::new();
    };
    let allowed = &device.spec.run_on;
    let answered = device
        .status
        .as_ref()
        .map(|status| status.reachable_from.as_slice())
        .unwrap_or_default();
    let mut members: Vec<_> = room
        .members
        .iter()
        .filter(|member| {
            allowed.is_empty() || allowed.iter().any(|name| name.as_str() == member.name)
        })
        .filter(|member| victim.is_none_or(|victim| room.machine_of(&member.name) != victim))
        .collect();
    members.sort_by_key(|member| {
        (
            !member.reachable,
            !answered.is_empty() && !answered.iter().any(|name| name.as_str() == member.name),
            member.name != first,
        )
    });
    members
        .into_iter()
        .map(|member| member.name.clone())
        .collect()
}
