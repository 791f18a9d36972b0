//! Makes sure that the hosts of a silent half are off, while there is no quorum to write anything down.
//!
//! It asks devices exactly as a fence operation does, once through all levels of each host. No watchdog proves anything
//! here: nobody knows what the other half has granted. When a host cannot be proven off, the attempt has failed; whoever
//! drives it lets the halves find each other again before the next.

use std::collections::BTreeMap;

use quorate_crds::PowerState;
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
    /// This level is at work; these failed before it.
    Level(usize, LevelAttempt, Vec<String>),
    Off(String),
    Failed(String),
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
            let victim = level(room, &host, 0, Vec::new());
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
            while let Victim::Level(index, attempt, failed) = victim {
                match attempt.advance(room, &mut self.dispatch, now, None) {
                    Progress::Working(at) => {
                        super::earliest(&mut wake_at, at);
                        break;
                    }
                    Progress::Off { .. } => *victim = Victim::Off(proof(attempt, now)),
                    Progress::Failed(failure) => {
                        let mut failed = std::mem::take(failed);
                        failed.push(format!("level {}: {failure}", attempt.name));
                        *victim = level(room, host, *index + 1, failed);
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
    pub fn off(&self) -> impl Iterator<Item = (&str, &str)> {
        self.victims
            .iter()
            .filter_map(|(host, victim)| match victim {
                Victim::Off(proof) => Some((host.as_str(), proof.as_str())),
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

fn level(room: &Room, host: &str, index: usize, failed: Vec<String>) -> Victim {
    let levels = room
        .node(host)
        .map(|node| node.spec.fencing.levels.as_slice())
        .unwrap_or_default();
    match levels.get(index) {
        Some(level) => Victim::Level(index, LevelAttempt::new(room, host, level), failed),
        None if failed.is_empty() => Victim::Failed(
            "it has no fence level: nothing can prove that it is off; add one to its Node".into(),
        ),
        None => Victim::Failed(failed.join("; ")),
    }
}

fn proof(attempt: &LevelAttempt, now: Now) -> String {
    let devices: Vec<String> = attempt
        .results(now.wall)
        .into_iter()
        .filter(|result| result.power == Some(PowerState::PoweredOff))
        .map(|result| {
            let plug = match result.plug.as_str() {
                "" => String::new(),
                plug => format!(" plug {plug}"),
            };
            let by = result
                .run_on
                .map_or(String::new(), |member| format!(", asked by {member}"));
            format!("{}{plug} says off{by}", result.device)
        })
        .collect();
    format!("level {}: {}", attempt.name, devices.join("; "))
}
