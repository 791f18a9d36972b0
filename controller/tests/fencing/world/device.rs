use std::{collections::BTreeMap, time::Duration};

use quorate_controller::fencing::agents::{Action, AgentFailure, AgentReport, AgentRequest, Power};
use tokio::time::Instant;

/// How long a device takes that works.
pub(crate) const TAKES: Duration = Duration::from_millis(200);

/// How a device behaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    /// It does what it is asked.
    Works,
    /// It refuses everything with these words.
    Refuses(&'static str),
    /// It says nothing; agents are killed.
    Silent,
    /// It accepts every order and does nothing.
    Stuck,
    /// It switches, and then its answer is lost.
    LosesAnswers,
    /// It fails to switch off what is off already, and works otherwise.
    RefusesTwice,
    /// The member that should run the agent does not.
    MemberAway(&'static str),
    /// Each question is answered by the next of these, then by the last again.
    InTurn(Vec<Mood>),
}

/// One device with its outlets; all are on at first.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) mood: Mood,
    /// From whom it can be reached; none: from all.
    pub(crate) reachable_from: Option<Vec<&'static str>>,
    /// How long an outlet takes to go off after it was told.
    pub(crate) lag: Duration,
    off: BTreeMap<String, bool>,
    /// Orders that take effect later.
    pending: Vec<(Instant, String, bool)>,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            mood: Mood::Works,
            reachable_from: None,
            lag: Duration::ZERO,
            off: BTreeMap::new(),
            pending: Vec::new(),
        }
    }
}

impl Device {
    pub(crate) fn is_off(&self, plug: &str) -> bool {
        self.off.get(plug).copied().unwrap_or(false)
    }

    pub(crate) fn set_off(&mut self, plug: &str, off: bool) {
        self.off.insert(plug.to_owned(), off);
    }

    /// Brings the outlets to this moment.
    pub(crate) fn catch_up(&mut self, now: Instant) {
        let due: Vec<_> = self.pending.extract_if(.., |(at, ..)| *at <= now).collect();
        for (_, plug, off) in due {
            self.off.insert(plug, off);
        }
    }

    /// An agent begins to ask: how long it takes, and what it will report. What a device says of its power is what holds
    /// when it answers, see [`Device::answer`].
    pub(super) fn ask(
        &mut self,
        member: &str,
        request: &AgentRequest,
        now: Instant,
    ) -> (Duration, AgentReport) {
        self.catch_up(now);
        let mood = self.next_mood();
        let silent = (
            request.timeout,
            Err(AgentFailure::TimedOut(request.timeout)),
        );
        if self
            .reachable_from
            .as_ref()
            .is_some_and(|from| !from.contains(&member))
        {
            return silent;
        }
        let failed = |text: &str| Err(AgentFailure::Failed(text.to_owned()));
        let report = match &mood {
            Mood::Silent => return silent,
            Mood::MemberAway(away) if *away == member => Err(AgentFailure::MemberAway {
                member: member.to_owned(),
                reason: "it is not there".into(),
            }),
            Mood::Refuses(words) => failed(words),
            Mood::RefusesTwice if request.action == Action::Off && self.is_off(&request.plug) => {
                failed("it is off already")
            }
            Mood::Stuck => Ok(Power::Unknown),
            Mood::LosesAnswers => {
                self.switch(request, now);
                failed("connection lost")
            }
            _ => {
                self.switch(request, now);
                Ok(Power::Unknown)
            }
        };
        (TAKES, report)
    }

    /// The agent ends.
    pub(super) fn answer(
        &mut self,
        request: &AgentRequest,
        now: Instant,
        report: &mut AgentReport,
    ) {
        self.catch_up(now);
        if request.action == Action::Status && *report == Ok(Power::Unknown) {
            *report = Ok(if self.is_off(&request.plug) {
                Power::Off
            } else {
                Power::On
            });
        }
    }

    fn next_mood(&mut self) -> Mood {
        match &mut self.mood {
            Mood::InTurn(moods) if moods.len() > 1 => moods.remove(0),
            Mood::InTurn(moods) => moods.first().cloned().unwrap_or(Mood::Works),
            other => other.clone(),
        }
    }

    fn switch(&mut self, request: &AgentRequest, now: Instant) {
        let off = match request.action {
            Action::Off => true,
            Action::On => false,
            Action::Status | Action::Monitor => return,
        };
        let at = now + if off { self.lag } else { Duration::ZERO };
        self.pending.push((at, request.plug.clone(), off));
        self.catch_up(now);
    }
}
