//! Whether a host could be fenced now, as far as its devices have shown.

use quorate_crds::{
    ConditionStatus, FenceDeviceState, FenceDeviceType, FenceLevel, FenceLevelStatus, FenceTarget,
    Node, NodeStatus, PowerState,
};
use quorate_planner::Reason;

use super::{
    conditions::say,
    heard::{self, Heard},
    watchdog,
};
use crate::fencing::room::{Now, Room};

/// The condition of a Node.
const CONDITION: &str = "FencingReady";

/// How one level or target stands.
enum Standing {
    Ready,
    NotAsked,
    Broken(String),
}

/// The host's status with what is known of its levels.
pub(super) fn of(room: &Room, node: &Node, heard: &Heard, now: Now) -> NodeStatus {
    let mut status = node.status.clone().unwrap_or_default();
    let levels = &node.spec.fencing.levels;
    let standings: Vec<Standing> = levels
        .iter()
        .map(|level| level_of(room, node, level, heard, now))
        .collect();
    status.fence_levels = levels
        .iter()
        .zip(&standings)
        .map(|(level, standing)| FenceLevelStatus {
            name: level.name.clone(),
            ready: match standing {
                Standing::Ready => Some(true),
                Standing::Broken(_) => Some(false),
                Standing::NotAsked => None,
            },
            last_tested: last_tested(room, level),
            message: match standing {
                Standing::Broken(message) => Some(message.chars().take(1024).collect()),
                _ => None,
            },
        })
        .collect();
    let broken: Vec<String> = levels
        .iter()
        .zip(&standings)
        .filter_map(|(level, standing)| match standing {
            Standing::Broken(message) => Some(format!("level {}: {message}", level.name)),
            _ => None,
        })
        .collect();
    let ready = standings
        .iter()
        .any(|standing| matches!(standing, Standing::Ready));
    let (so, reason, message) = if levels.is_empty() {
        let message = "it has no fence level: whatever it holds stays down when it is lost, until \
                       a person confirms that it is off; add levels to spec.fencing";
        (
            ConditionStatus::False,
            Reason::CannotFence,
            message.to_owned(),
        )
    } else if ready && broken.is_empty() {
        let message = if rests_on_its_watchdog(room, node) {
            "only its own watchdog makes it safe: no device can say that it is off, so what it held waits out its last \
             lease and the watchdog's time-out, and without a quorum it resets itself with all that runs on it"
        } else {
            "every level that was asked answers"
        };
        (
            ConditionStatus::True,
            Reason::FenceLevelsReady,
            message.to_owned(),
        )
    } else if ready {
        (
            ConditionStatus::True,
            Reason::FenceLevelFails,
            broken.join("; "),
        )
    } else if broken.is_empty() {
        (
            ConditionStatus::Unknown,
            Reason::DeviceNotAsked,
            "its devices were not asked yet".to_owned(),
        )
    } else {
        (
            ConditionStatus::False,
            Reason::NoFenceLevelReady,
            broken.join("; "),
        )
    };
    // The words of the same failure change; only what they mean is worth a write.
    let known = status.conditions.iter().any(|old| {
        let same_words = reason != Reason::FenceLevelsReady || old.message == message;
        old.type_ == CONDITION && old.status == so && old.reason == reason.as_str() && same_words
    });
    if !known {
        say(
            &mut status.conditions,
            CONDITION,
            so,
            reason,
            &message,
            now.wall,
        );
    }
    if let Some(old) = &node.status
        && known
        && same_levels(old, &status)
    {
        status.fence_levels.clone_from(&old.fence_levels);
    }
    status
}

/// Whether no level of it has a device that can be asked.
fn rests_on_its_watchdog(room: &Room, node: &Node) -> bool {
    let types = node.spec.fencing.levels.iter().flat_map(|level| {
        let targets = level.devices.iter();
        targets.filter_map(|target| Some(room.device(target.device.as_str())?.spec.type_))
    });
    let mut some = false;
    for type_ in types {
        if type_ != FenceDeviceType::Watchdog {
            return false;
        }
        some = true;
    }
    some
}

fn same_levels(old: &NodeStatus, new: &NodeStatus) -> bool {
    let meaning = |status: &NodeStatus| -> Vec<_> {
        status
            .fence_levels
            .iter()
            .map(|level| {
                (
                    level.name.clone(),
                    level.ready,
                    level.last_tested.clone(),
                    heard::says_so(level.message.as_deref()),
                )
            })
            .collect()
    };
    meaning(old) == meaning(new)
}

fn level_of(room: &Room, node: &Node, level: &FenceLevel, heard: &Heard, now: Now) -> Standing {
    if level.devices.is_empty() {
        return Standing::Broken("it has no device; add one".into());
    }
    let name = node.metadata.name.as_deref().unwrap_or_default();
    if let Some(complaint) = heard.complaint(room, name, level) {
        return Standing::Broken(complaint);
    }
    let mut not_asked = false;
    let mut broken = Vec::new();
    for target in &level.devices {
        match target_of(room, node, target, now) {
            Standing::Ready => {}
            Standing::NotAsked => not_asked = true,
            Standing::Broken(message) => broken.push(format!("{}: {message}", target.device)),
        }
    }
    if !broken.is_empty() {
        return Standing::Broken(broken.join("; "));
    }
    if not_asked {
        return Standing::NotAsked;
    }
    Standing::Ready
}

fn target_of(room: &Room, node: &Node, target: &FenceTarget, now: Now) -> Standing {
    let Some(device) = room.device(target.device.as_str()) else {
        return Standing::Broken("there is no such FenceDevice; apply it".into());
    };
    match device.spec.type_ {
        FenceDeviceType::Watchdog => match watchdog::expires(room, node, now.monotonic) {
            Ok(_) => Standing::Ready,
            Err(reason) => Standing::Broken(reason),
        },
        FenceDeviceType::Manual => Standing::Ready,
        FenceDeviceType::Agent | FenceDeviceType::Dummy => {
            let name = node.metadata.name.as_deref().unwrap_or_default();
            let Some(status) = &device.status else {
                return Standing::NotAsked;
            };
            let failure = || {
                let error = status.last_error.clone();
                error.unwrap_or_else(|| "it does not answer; run `quorate fence test`".into())
            };
            match (status.state, room.outlet(name, target)) {
                (Some(FenceDeviceState::Contradicted), _) => Standing::Broken(failure()),
                (_, Some(PowerState::PoweredOn | PowerState::PoweredOff)) => Standing::Ready,
                (Some(FenceDeviceState::Failed), _) => Standing::Broken(failure()),
                _ => Standing::NotAsked,
            }
        }
    }
}

fn last_tested(room: &Room, level: &FenceLevel) -> Option<quorate_crds::Time> {
    level
        .devices
        .iter()
        .map(|target| {
            room.device(target.device.as_str())?
                .status
                .as_ref()?
                .last_poll
                .clone()
        })
        .min()
        .flatten()
}
