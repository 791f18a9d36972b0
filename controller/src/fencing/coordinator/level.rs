//! One attempt at one level: everything off, then everything seen to be off.

use jiff::Timestamp;
use std::time::Duration;

use quorate_crds::{
    DeviceResult, FenceDeviceState, FenceDeviceType, FenceLevel, FenceTarget, Name, PowerState,
    Time,
};
use tokio::time::Instant;

use super::{
    ask::{Answered, Ask, Dispatch, Urgency},
    heard, watchdog,
};
use crate::fencing::{
    agents::{Action, AgentFailure, Power},
    mistake::{Mistake, makes},
    room::{Now, Room, has_agent, length},
};

/// How one target of the level gets on.
#[derive(Debug)]
enum Step {
    /// It is told to switch off.
    Off(Ask),
    /// It has been told, or could not be; now it is to say whether it is off.
    Told { failure: Option<String> },
    /// It is asked.
    Check { ask: Ask, failure: Option<String> },
    /// The host's watchdog is waited for.
    Watchdog,
    /// It is over: off, or not.
    Over(Result<(), String>),
}

#[derive(Debug)]
struct Part {
    target: FenceTarget,
    step: Step,
    power: PowerState,
    member: Option<String>,
}

/// Where an attempt stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// It goes on; at this moment time alone changes something.
    Working(Option<Instant>),
    /// Every device of the level says off, asked after all were switched.
    Off {
        /// When the host's watchdog must have fired, if the level has one.
        watchdog_expired: bool,
        /// Whether a device has said so, and not the watchdog alone.
        by_devices: bool,
    },
    /// At least one of them did not.
    Failed(String),
}

/// One attempt at one level.
#[derive(Debug)]
pub(super) struct LevelAttempt {
    node: String,
    pub(super) name: String,
    parts: Vec<Part>,
    /// When the last device had been told to switch off.
    switched: Option<Instant>,
}

impl LevelAttempt {
    pub(super) fn new(room: &Room, node: &str, level: &FenceLevel) -> Self {
        let parts = level
            .devices
            .iter()
            .map(|target| Part {
                target: target.clone(),
                step: first_step(room, node, level, target),
                power: PowerState::Unknown,
                member: None,
            })
            .collect();
        Self {
            node: node.to_owned(),
            name: level.name.0.clone(),
            parts,
            switched: None,
        }
    }

    pub(super) fn cancel(&mut self, dispatch: &mut Dispatch) {
        for part in &mut self.parts {
            if let Step::Off(ask) | Step::Check { ask, .. } = &mut part.step {
                ask.cancel(dispatch);
            }
        }
    }

    /// Goes on as far as it can. `last_grant` is the last moment at which the host can have been granted a lease.
    pub(super) fn advance(
        &mut self,
        room: &Room,
        dispatch: &mut Dispatch,
        now: Now,
        last_grant: Option<Instant>,
    ) -> Progress {
        for part in &mut self.parts {
            part.distrust(room, dispatch);
            part.switch(room, dispatch);
        }
        if self
            .parts
            .iter()
            .any(|part| matches!(part.step, Step::Off(_)))
        {
            return Progress::Working(None);
        }
        let switched = *self.switched.get_or_insert(now.monotonic);
        let settled = switched + self.longest_wait(room);
        let told = |part: &Part| matches!(part.step, Step::Told { .. });
        if now.monotonic < settled && self.parts.iter().any(told) {
            return Progress::Working(Some(settled));
        }
        let mut wake = None;
        for part in &mut self.parts {
            part.check(room, dispatch, &self.node, &self.name);
            if let Some(at) = part.await_watchdog(room, &self.node, now, last_grant) {
                wake = Some(wake.map_or(at, |known: Instant| known.min(at)));
            }
        }
        self.progress(wake)
    }

    fn progress(&self, wake: Option<Instant>) -> Progress {
        let mut failures = Vec::new();
        for part in &self.parts {
            match &part.step {
                Step::Over(Ok(())) => {}
                Step::Over(Err(failure)) => failures.push(format!("{}: {failure}", part.shown())),
                _ => return Progress::Working(wake),
            }
        }
        if self.parts.is_empty() {
            return Progress::Failed("it has no device; add one to the level".into());
        }
        let enough = makes(Mistake::OneDeviceIsEnough) && failures.len() < self.parts.len();
        if !failures.is_empty() && !enough {
            return Progress::Failed(failures.join("; "));
        }
        let of_watchdog = |part: &Part| is_watchdog(part);
        Progress::Off {
            watchdog_expired: self.parts.iter().any(of_watchdog),
            by_devices: !self.parts.iter().all(of_watchdog),
        }
    }

    fn longest_wait(&self, room: &Room) -> Duration {
        self.parts
            .iter()
            .filter_map(|part| room.device(part.target.device.as_str()))
            .map(|device| length(&device.spec.power_wait, Duration::ZERO))
            .max()
            .unwrap_or_default()
    }

    /// What each device has said, for the operation's status.
    pub(super) fn results(&self, wall: Timestamp) -> Vec<DeviceResult> {
        self.parts
            .iter()
            .map(|part| DeviceResult {
                level: self.name.as_str().into(),
                device: part.target.device.clone(),
                plug: part.target.plug.clone(),
                power: Some(part.power),
                at: Some(Time::from(wall)),
                run_on: part.member.as_deref().map(Name::from),
                message: match &part.step {
                    Step::Over(Err(failure)) => Some(failure.chars().take(1024).collect()),
                    _ => None,
                },
            })
            .collect()
    }
}

fn first_step(room: &Room, node: &str, level: &FenceLevel, target: &FenceTarget) -> Step {
    if heard::is_known_wrong(room, node, level) && !makes(Mistake::ContradictedBelieved) {
        return Step::Over(Err(
            "it said off while the host was heard; look for swapped cables or a wrong plug".into(),
        ));
    }
    let Some(device) = room.device(target.device.as_str()) else {
        return Step::Over(Err("there is no such FenceDevice; apply it".into()));
    };
    if let Some(why) = contradicted(room, target) {
        return Step::Over(Err(why));
    }
    match device.spec.type_ {
        FenceDeviceType::Watchdog => Step::Watchdog,
        FenceDeviceType::Manual => Step::Over(Err(
            "it waits for a person: look that the host is off, then run `quorate node \
             confirm-fenced`"
                .into(),
        )),
        FenceDeviceType::Agent | FenceDeviceType::Dummy => Step::Off(Ask::new(
            Some(node),
            &level.name.0,
            target,
            Action::Off,
            Urgency::Fence,
        )),
    }
}

/// Why what this device says is not to be believed, if it is not.
fn contradicted(room: &Room, target: &FenceTarget) -> Option<String> {
    let status = room.device(target.device.as_str())?.status.as_ref()?;
    let contradicted = status.state == Some(FenceDeviceState::Contradicted)
        && !makes(Mistake::ContradictedBelieved);
    contradicted.then(|| {
        "it once said off of a host that was heard afterwards; look for swapped cables, then run \
         `quorate fence test` on it"
            .to_owned()
    })
}

fn is_watchdog(part: &Part) -> bool {
    // Whatever was asked has a member that was asked.
    part.member.is_none()
}

impl Part {
    fn shown(&self) -> String {
        if self.target.plug.is_empty() {
            self.target.device.as_str().to_owned()
        } else {
            format!("{} plug {}", self.target.device, self.target.plug)
        }
    }

    /// A device may be contradicted while it is being used, by another host that it has said off of.
    fn distrust(&mut self, room: &Room, dispatch: &mut Dispatch) {
        if matches!(self.step, Step::Over(Err(_))) {
            return;
        }
        let Some(why) = contradicted(room, &self.target) else {
            return;
        };
        if let Step::Off(ask) | Step::Check { ask, .. } = &mut self.step {
            ask.cancel(dispatch);
        }
        self.step = Step::Over(Err(why));
    }

    fn switch(&mut self, room: &Room, dispatch: &mut Dispatch) {
        let Step::Off(ask) = &mut self.step else {
            return;
        };
        ask.advance(room, dispatch);
        let Some(Answered { report, member }) = ask.answered().cloned() else {
            return;
        };
        self.member = member;
        if report.is_ok() && makes(Mistake::SuccessNotVerified) {
            self.power = PowerState::PoweredOff;
            self.step = Step::Over(Ok(()));
            return;
        }
        self.step = match report {
            Ok(_) => Step::Told { failure: None },
            // Some devices fail to switch off what is off already: it is asked all the same, unless it was silent.
            Err(AgentFailure::Failed(reason)) => Step::Told {
                failure: Some(reason),
            },
            Err(failure) => Step::Over(Err(failure.to_string())),
        };
    }

    fn check(&mut self, room: &Room, dispatch: &mut Dispatch, node: &str, level: &str) {
        if let Step::Told { failure } = &self.step {
            let failure = failure.clone();
            let ask = Ask::new(
                Some(node),
                level,
                &self.target,
                Action::Status,
                Urgency::Fence,
            );
            let ask = if failure.is_some() { ask.tried(1) } else { ask };
            self.step = Step::Check { ask, failure };
        }
        let Step::Check { ask, failure } = &mut self.step else {
            return;
        };
        ask.advance(room, dispatch);
        let Some(Answered { report, member }) = ask.answered().cloned() else {
            return;
        };
        let failure = failure.take();
        self.member = member.or(self.member.take());
        self.step = Step::Over(match report {
            Ok(Power::Off) => {
                self.power = PowerState::PoweredOff;
                Ok(())
            }
            Ok(Power::On) => {
                self.power = PowerState::PoweredOn;
                Err(match failure {
                    Some(reason) => format!("it is still on: {reason}"),
                    None => "it was told to switch off and says that it is still on".into(),
                })
            }
            Ok(Power::Unknown) => Err("it does not say whether it is off".into()),
            Err(later) => Err(failure.unwrap_or_else(|| {
                format!("it was told to switch off and then did not say whether it did: {later}")
            })),
        });
    }

    fn await_watchdog(
        &mut self,
        room: &Room,
        node: &str,
        now: Now,
        last_grant: Option<Instant>,
    ) -> Option<Instant> {
        if !matches!(self.step, Step::Watchdog) {
            return None;
        }
        let host = room.node(node)?;
        let Some(last_grant) = last_grant else {
            self.step = Step::Over(Err(
                "it is not known when the host was last granted a lease".into(),
            ));
            return None;
        };
        match watchdog::expires(room, host, last_grant) {
            Err(reason) => self.step = Step::Over(Err(reason)),
            Ok(at) if now.monotonic < at => return Some(at),
            Ok(_) => self.step = Step::Over(Ok(())),
        }
        None
    }
}

/// Whether an operation has told this device to do anything, or may have: a leader that was deposed in the middle has
/// left a result that says nothing at all.
pub(super) fn was_told(room: &Room, result: &DeviceResult) -> bool {
    let unfinished = result.message.is_none() && result.power == Some(PowerState::Unknown);
    (result.run_on.is_some() || unfinished) && switches(room, result.device.as_str())
}

/// Whether this device is one that an agent switches.
pub(super) fn switches(room: &Room, device: &str) -> bool {
    let device = room.device(device);
    device.is_some_and(|device| has_agent(device.spec.type_))
}
