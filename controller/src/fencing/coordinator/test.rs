//! A test on demand: every device in question is asked, and nothing is changed.

use jiff::Timestamp;
use quorate_crds::{DeviceResult, FenceOperation, FenceTarget, Name, PowerState, Time};

use super::ask::{Ask, Dispatch, Urgency};
use crate::fencing::{
    agents::{Action, Power},
    room::{Room, has_agent},
};

/// One test.
#[derive(Debug)]
pub(super) struct Test {
    asks: Vec<Ask>,
}

impl Test {
    /// What an operation wants tested, or why there is nothing to test.
    pub(super) fn of(operation: &FenceOperation, room: &Room) -> Result<Self, String> {
        let spec = &operation.spec;
        let host = spec.node.as_str();
        let node = room
            .node(host)
            .ok_or_else(|| format!("there is no Node {host:?}; look at `quorate get nodes`"))?;
        let levels = &node.spec.fencing.levels;
        if let Some(wanted) = &spec.level
            && !levels.iter().any(|level| level.name == *wanted)
        {
            let known: Vec<&str> = levels.iter().map(|level| level.name.as_str()).collect();
            return Err(format!(
                "{host} has no level {wanted}, found: {}",
                known.join(", ")
            ));
        }
        let targets: Vec<(&str, &FenceTarget)> = levels
            .iter()
            .filter(|level| {
                spec.level
                    .as_ref()
                    .is_none_or(|wanted| level.name == *wanted)
            })
            .flat_map(|level| {
                level
                    .devices
                    .iter()
                    .map(|target| (level.name.as_str(), target))
            })
            .filter(|(_, target)| {
                spec.device
                    .as_ref()
                    .is_none_or(|wanted| target.device == *wanted)
            })
            .collect();
        if targets.is_empty() {
            return Err(match &spec.device {
                Some(device) => format!("no such level of {host} uses FenceDevice {device}"),
                None => format!("{host} has no fence level with a device; add one to its Node"),
            });
        }
        let asks: Vec<Ask> = targets
            .into_iter()
            .filter(|(_, target)| {
                room.device(target.device.as_str())
                    .is_none_or(|device| has_agent(device.spec.type_))
            })
            .map(|(level, target)| {
                Ask::new(Some(host), level, target, Action::Status, Urgency::Test).harmless()
            })
            .collect();
        if asks.is_empty() {
            return Err(
                "a watchdog or a person cannot be tested from here; for the watchdog look \
                        at the host's condition WatchdogArmed"
                    .into(),
            );
        }
        Ok(Self { asks })
    }

    pub(super) fn cancel(&mut self, dispatch: &mut Dispatch) {
        for ask in &mut self.asks {
            ask.cancel(dispatch);
        }
    }

    /// Goes on; what came of it once all have answered.
    pub(super) fn advance(
        &mut self,
        room: &Room,
        dispatch: &mut Dispatch,
    ) -> Option<Result<String, String>> {
        for ask in &mut self.asks {
            ask.advance(room, dispatch);
        }
        let mut failures = Vec::new();
        for ask in &self.asks {
            if let Err(failure) = &ask.answered()?.report {
                failures.push(format!("{}: {failure}", ask.target.device));
            }
        }
        Some(if failures.is_empty() {
            Ok(format!("{} answers", devices(self.asks.len())))
        } else {
            Err(failures.join("; "))
        })
    }

    pub(super) fn results(&self, wall: Timestamp) -> Vec<DeviceResult> {
        self.asks
            .iter()
            .filter_map(|ask| {
                let answered = ask.answered()?;
                Some(DeviceResult {
                    level: ask.level.as_str().into(),
                    device: ask.target.device.clone(),
                    plug: ask.target.plug.clone(),
                    power: Some(answered.report.as_ref().map_or(PowerState::Unknown, power)),
                    at: Some(Time::from(wall)),
                    run_on: answered.member.as_deref().map(Name::from),
                    message: answered
                        .report
                        .as_ref()
                        .err()
                        .map(|failure| failure.to_string().chars().take(1024).collect()),
                })
            })
            .collect()
    }
}

/// What a device said, as it is stored.
pub(super) fn power(said: &Power) -> PowerState {
    match said {
        Power::On => PowerState::PoweredOn,
        Power::Off => PowerState::PoweredOff,
        Power::Unknown => PowerState::Unknown,
    }
}

fn devices(count: usize) -> String {
    match count {
        1 => "the device".to_owned(),
        more => format!("each of {more} devices"),
    }
}
