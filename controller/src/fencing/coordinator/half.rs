//! Makes sure that the hosts of a silent half are off, while there is no quorum to write anything down.
//!
//! It asks devices exactly as a fence operation does, once through all levels of each host. No watchdog proves anything
//! here: nobody knows what the other half has granted. When a host cannot be proven off, the attempt has failed; whoever
//! drives it lets the halves find each other again before the next.

use std::collections::BTreeMap;

use quorate_crds::{DeviceResult, PowerState};
use tokio::time::Instant;

use super::{
    Run, RunId,
    ask::Dispatch,
    level::{LevelAttempt, Progress},
};
use crate::fencing::{
    agents::AgentReport,
    room::{Now, Room},
};

/// How one host gets on.
#[derive(Debug)]
enum Victim {
    /// This level is at work; others failed before it.
    Level(usize, LevelAttempt, Tried),
    Off(Proof),
    Failed(String),
}

/// The levels that have failed: why, and what their devices said.
#[derive(Debug, Default)]
struct Tried {
    failures: Vec<String>,
    results: Vec<DeviceResult>,
}

/// What proves a host off.
#[derive(Clone, Debug)]
pub struct Proof {
    /// In words.
    pub text: String,
    /// The level whose devices all say off.
    pub level: String,
    /// What every device said that was told to switch off, those of failed levels among them.
    pub results: Vec<DeviceResult>,
}

/// What is to be done now.
#[derive(Debug, Default)]
pub struct HalfSteps {
    /// Agents to kill. Before those to start.
    pub cancel: Vec<RunId>,
    /// Agents to start.
    pub start: Vec<Run>,
    /// When time alone may change something.
    pub wake_at: Option<Instant>,
}

/// One attempt at the hosts of a half.
#[derive(Debug)]
pub struct HalfFencing {
    victims: BTreeMap<String, Victim>,
    dispatch: Dispatch,
}

impl HalfFencing {
    /// An attempt by the member of this name at these hosts.
    #[must_use]
    pub fn new(
        member: &str,
        term: u64,
        room: &Room,
        hosts: impl IntoIterator<Item = String>,
    ) -> Self {
        let victims = hosts.into_iter().map(|host| {
            let victim = level(room, &host, 0, Tried::default());
            (host, victim)
        });
        Self {
            victims: victims.collect(),
            dispatch: Dispatch::new(member.to_owned(), term),
        }
    }

    /// A run has ended.
    pub fn finished(&mut self, id: RunId, report: AgentReport) {
        self.dispatch.finished(id, report);
    }

    /// Goes on as far as it can with what is known now.
    pub fn step(&mut self, room: &Room, now: Now) -> HalfSteps {
        let mut wake_at = None;
        for (host, victim) in &mut self.victims {
            while let Victim::Level(index, attempt, tried) = victim {
                match attempt.advance(room, &mut self.dispatch, now, None) {
                    Progress::Working(at) => {
                        super::earliest(&mut wake_at, at);
                        break;
                    }
                    Progress::Off { .. } => {
                        let tried = std::mem::take(&mut tried.results);
                        *victim = Victim::Off(proof(attempt, tried, now));
                    }
                    Progress::Failed(failure) => {
                        let mut tried = std::mem::take(tried);
                        tried
                            .failures
                            .push(format!("level {}: {failure}", attempt.name));
                        tried.results.extend(attempt.results(now.wall));
                        *victim = level(room, host, *index + 1, tried);
                    }
                }
            }
        }
        HalfSteps {
            cancel: std::mem::take(&mut self.dispatch.cancel),
            start: std::mem::take(&mut self.dispatch.start),
            wake_at,
        }
    }

    /// The hosts that are off, and what proves it.
    pub fn off(&self) -> impl Iterator<Item = (&str, &Proof)> {
        self.victims
            .iter()
            .filter_map(|(host, victim)| match victim {
                Victim::Off(proof) => Some((host.as_str(), proof)),
                _ => None,
            })
    }

    /// Why the attempt has failed, once every host has been tried and one could not be proven off.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        let mut failures = Vec::new();
        for (host, victim) in &self.victims {
            match victim {
                Victim::Level(..) => return None,
                Victim::Failed(failure) => failures.push(format!("{host}: {failure}")),
                Victim::Off(_) => {}
            }
        }
        (!failures.is_empty()).then(|| failures.join("; "))
    }
}

fn level(room: &Room, host: &str, index: usize, tried: Tried) -> Victim {
    let levels = room
        .node(host)
        .map(|node| node.spec.fencing.levels.as_slice())
        .unwrap_or_default();
    match levels.get(index) {
        Some(level) => Victim::Level(index, LevelAttempt::new(room, host, level), tried),
        None if tried.failures.is_empty() => Victim::Failed(
            "it has no fence level: nothing can prove that it is off; add one to its Node".into(),
        ),
        None => Victim::Failed(tried.failures.join("; ")),
    }
}

fn proof(attempt: &LevelAttempt, mut results: Vec<DeviceResult>, now: Now) -> Proof {
    let last = attempt.results(now.wall);
    let devices: Vec<String> = last
        .iter()
        .filter(|result| result.power == Some(PowerState::PoweredOff))
        .map(|result| {
            let plug = match result.plug.as_str() {
                "" => String::new(),
                plug => format!(" plug {plug}"),
            };
            let by = result
                .run_on
                .as_ref()
                .map_or(String::new(), |member| format!(", asked by {member}"));
            format!("{}{plug} says off{by}", result.device)
        })
        .collect();
    let text = format!("level {}: {}", attempt.name, devices.join("; "));
    results.extend(last);
    Proof {
        text,
        level: attempt.name.clone(),
        results,
    }
}
