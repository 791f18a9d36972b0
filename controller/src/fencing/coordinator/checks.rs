//! Asks every device regularly whether it would work, so that a broken one is known before it is needed.
//!
//! What is found is kept here and written only when it means something new, or rarely: an idle cluster writes nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use quorate_crds::{
    AgentMetadata, ConditionStatus, FenceDevice, FenceDeviceState, FenceDeviceStatus,
    FenceDeviceType, FenceTarget, Name, OutletStatus, PowerState, Time,
};
use quorate_planner::Reason;
use tokio::time::Instant;

use super::{
    ask::{Ask, Dispatch, Urgency, candidates},
    conditions::say,
    test::power,
    work::News,
};
use crate::fencing::{
    agents::{Action, AgentFailure},
    room::{Now, Room, has_agent, length},
};

const INTERVAL: Duration = Duration::from_secs(60);
const SHORTEST: Duration = Duration::from_secs(1);
/// How old the moments in a status may become when nothing else in it changes.
pub(super) const RARELY: Duration = Duration::from_secs(3600);

/// The regular checks of one device.
#[derive(Debug)]
pub(super) struct Check {
    next: Instant,
    next_full: Option<Instant>,
    generation: Option<i64>,
    rounds: usize,
    round: Option<Round>,
    /// The outlets that were asked about, by the host that they belong to. One that comes new is not left to wait.
    known: BTreeSet<(String, String)>,
    described: Option<AgentMetadata>,
    /// When the last round ended.
    pub(super) asked: Option<Instant>,
    cleared: bool,
    /// What is to be stored; none before the first round has ended.
    pub(super) status: Option<FenceDeviceStatus>,
    news: Vec<News>,
}

/// One round over all the outlets in use.
#[derive(Debug)]
struct Round {
    asks: Vec<Ask>,
    full: bool,
}

impl Check {
    /// The first check comes within one interval, at a moment that is the device's own, so that not all are asked
    /// together.
    pub(super) fn new(name: &str, device: &FenceDevice, room: &Room, now: Now) -> Self {
        let interval = interval(device, room);
        let never_asked = device
            .status
            .as_ref()
            .is_none_or(|status| status.state.is_none());
        let wait = if never_asked {
            Duration::ZERO
        } else {
            share(name, interval)
        };
        Self {
            next: now.monotonic + wait,
            next_full: test_interval(device).map(|every| now.monotonic + share(name, every)),
            generation: device.metadata.generation,
            rounds: 0,
            round: None,
            known: answered(device),
            described: None,
            asked: None,
            cleared: false,
            status: None,
            news: Vec::new(),
        }
    }

    pub(super) fn take_news(&mut self) -> Vec<News> {
        std::mem::take(&mut self.news)
    }

    pub(super) fn cancel(&mut self, dispatch: &mut Dispatch) {
        for ask in self.round.iter_mut().flat_map(|round| &mut round.asks) {
            ask.cancel(dispatch);
        }
    }

    pub(super) fn describe(&mut self, metadata: AgentMetadata) {
        self.described = Some(metadata);
    }

    /// A person has looked and tested it: what once contradicted it is over.
    pub(super) fn clear(&mut self, now: Instant) {
        self.cleared = true;
        self.next = now;
    }

    /// Goes on as far as it can; when time alone changes something.
    pub(super) fn advance(
        &mut self,
        name: &str,
        room: &Room,
        dispatch: &mut Dispatch,
        now: Now,
    ) -> Option<Instant> {
        let device = room.device(name)?;
        if device.metadata.generation != self.generation {
            // What was known of another spec says nothing about this one.
            self.cancel(dispatch);
            self.round = None;
            self.generation = device.metadata.generation;
            self.next = now.monotonic;
        }
        if !has_agent(device.spec.type_) {
            self.status = Some(without_agent(device, now));
            return None;
        }
        let used: BTreeSet<(String, String)> = room
            .uses_of(name)
            .map(|(node, _, target)| (node.to_owned(), target.plug.clone()))
            .collect();
        if self.round.is_none() {
            if !used.is_subset(&self.known) {
                self.next = now.monotonic;
            }
            if now.monotonic < self.next {
                return Some(self.next);
            }
            let full = self.next_full.is_some_and(|at| at <= now.monotonic);
            self.round = Some(Round::new(name, device, room, dispatch, self.rounds, full));
            self.rounds = self.rounds.wrapping_add(1);
            self.known = used;
        }
        if let Some(round) = &mut self.round {
            for ask in &mut round.asks {
                ask.advance(room, dispatch);
            }
            if round.asks.iter().any(|ask| ask.answered().is_none()) {
                return None;
            }
        }
        if let Some(round) = self.round.take() {
            self.next = now.monotonic + interval(device, room);
            if round.full {
                self.next_full = test_interval(device).map(|every| now.monotonic + every);
            }
            self.asked = Some(now.monotonic);
            self.conclude(device, &round, now);
        }
        Some(self.next)
    }

    fn conclude(&mut self, device: &FenceDevice, round: &Round, now: Now) {
        let old = device.status.clone().unwrap_or_default();
        let mut new = old.clone();
        new.observed_generation = device.metadata.generation;
        if self.described.is_some() {
            new.agent.clone_from(&self.described);
        }
        new.reachable_from = reachable(&old, round);
        new.outlets = outlets(round);
        let failure = round.failure();
        let same_spec = old.observed_generation == new.observed_generation;
        let contradicted =
            old.state == Some(FenceDeviceState::Contradicted) && same_spec && !self.cleared;
        self.cleared = false;
        let (state, reason, message) = match &failure {
            _ if contradicted => (
                FenceDeviceState::Contradicted,
                Reason::EvidenceContradicted,
                old.last_error.clone().unwrap_or_else(|| {
                    "it said off of a host that was heard afterwards; look for swapped cables, \
                     then test it by `quorate fence test`"
                        .into()
                }),
            ),
            None => (
                FenceDeviceState::Ready,
                Reason::DeviceAnswers,
                "it answers".to_owned(),
            ),
            Some((refused, text)) => (
                FenceDeviceState::Failed,
                if *refused {
                    Reason::DeviceMisconfigured
                } else {
                    Reason::DeviceFails
                },
                text.clone(),
            ),
        };
        let ready = if state == FenceDeviceState::Ready {
            ConditionStatus::True
        } else {
            ConditionStatus::False
        };
        if old.state != Some(state) {
            self.news.push(News {
                reason,
                note: message.clone(),
                warning: state != FenceDeviceState::Ready,
            });
        }
        new.state = Some(state);
        say(
            &mut new.conditions,
            "Ready",
            ready,
            reason,
            &message,
            now.wall,
        );
        say_contradicted(&mut new, contradicted, &old, now);
        if device.spec.type_ == FenceDeviceType::Dummy {
            let warning = "it only pretends: a host fenced by it may still run; for tests alone";
            say(
                &mut new.conditions,
                "TestOnly",
                ConditionStatus::True,
                Reason::PretendsOnly,
                warning,
                now.wall,
            );
        }
        if state == FenceDeviceState::Failed && old.state != Some(state) {
            new.last_failure = Some(Time::from(now.wall));
            new.last_error = Some(message.chars().take(1024).collect());
        }
        if failure.is_none() {
            if !contradicted {
                new.last_error = None;
            }
            new.last_poll = Some(Time::from(now.wall));
            if round.full {
                new.last_test = Some(Time::from(now.wall));
            }
        }
        self.status = Some(if means_the_same(&old, &new, now) {
            old
        } else {
            new
        });
    }
}

impl Round {
    fn new(
        name: &str,
        device: &FenceDevice,
        room: &Room,
        dispatch: &Dispatch,
        number: usize,
        full: bool,
    ) -> Self {
        let mut targets: Vec<(Option<&str>, &str, FenceTarget, Action)> = room
            .uses_of(name)
            .map(|(node, level, target)| (Some(node), level, target.clone(), Action::Status))
            .collect();
        if targets.is_empty() {
            let alone = FenceTarget {
                device: Name::from(name),
                plug: String::new(),
                parameters: BTreeMap::new(),
            };
            targets.push((None, "", alone, Action::Monitor));
        }
        let members = candidates(room, name, None, &dispatch.me).len().max(1);
        // A full test asks from every member; an ordinary one from another member each time.
        let offsets = if full {
            (0..members).collect()
        } else {
            vec![number % members]
        };
        let asks = offsets
            .into_iter()
            .flat_map(|offset| {
                targets.iter().map(move |(node, level, target, action)| {
                    let ask = Ask::new(*node, level, target, *action, Urgency::Check)
                        .beginning_at(offset)
                        .harmless();
                    if full {
                        ask.tried(device.spec.retries.saturating_add(1))
                    } else {
                        ask
                    }
                })
            })
            .collect();
        Self { asks, full }
    }

    /// What went wrong, and whether it is the device's manifest that is wrong.
    fn failure(&self) -> Option<(bool, String)> {
        let mut failures = Vec::new();
        let mut refused = false;
        for ask in &self.asks {
            let Some(Err(failure)) = ask.answered().map(|answered| &answered.report) else {
                continue;
            };
            refused |= matches!(failure, AgentFailure::Refused(_));
            let text = if ask.target.plug.is_empty() {
                failure.to_string()
            } else {
                format!("plug {}: {failure}", ask.target.plug)
            };
            if !failures.contains(&text) {
                failures.push(text);
            }
        }
        (!failures.is_empty()).then(|| (refused, failures.join("; ")))
    }
}

/// The outlets that a former leader has asked about.
fn answered(device: &FenceDevice) -> BTreeSet<(String, String)> {
    let outlets = device.status.iter().flat_map(|status| &status.outlets);
    outlets
        .filter_map(|outlet| Some((outlet.node.as_ref()?.0.clone(), outlet.plug.clone())))
        .collect()
}

fn reachable(old: &FenceDeviceStatus, round: &Round) -> Vec<Name> {
    let mut from: BTreeSet<String> = old
        .reachable_from
        .iter()
        .map(|name| name.0.clone())
        .collect();
    for (member, answered) in round.asks.iter().flat_map(|ask| &ask.asked) {
        if *answered {
            from.insert(member.clone());
        } else {
            from.remove(member);
        }
    }
    from.iter().map(|name| Name::from(name.as_str())).collect()
}

fn outlets(round: &Round) -> Vec<OutletStatus> {
    let mut outlets: BTreeMap<String, OutletStatus> = BTreeMap::new();
    for ask in &round.asks {
        let Some(node) = ask.node() else { continue };
        let said = ask
            .answered()
            .and_then(|answered| answered.report.as_ref().ok())
            .map_or(PowerState::Unknown, power);
        outlets.insert(
            ask.target.plug.clone(),
            OutletStatus {
                plug: ask.target.plug.clone(),
                node: Some(Name::from(node)),
                power: Some(said),
            },
        );
    }
    outlets.into_values().collect()
}

fn say_contradicted(
    status: &mut FenceDeviceStatus,
    contradicted: bool,
    old: &FenceDeviceStatus,
    now: Now,
) {
    let was = old
        .conditions
        .iter()
        .any(|condition| condition.type_ == "Contradicted");
    if was && !contradicted {
        say(
            &mut status.conditions,
            "Contradicted",
            ConditionStatus::False,
            Reason::DeviceAnswers,
            "it was tested anew, or changed",
            now.wall,
        );
    }
}

fn without_agent(device: &FenceDevice, now: Now) -> FenceDeviceStatus {
    let old = device.status.clone().unwrap_or_default();
    let mut new = old.clone();
    new.observed_generation = device.metadata.generation;
    new.state = Some(FenceDeviceState::Ready);
    let message = match device.spec.type_ {
        FenceDeviceType::Watchdog => {
            "it is the host's own; whether it would fire says the host's condition WatchdogArmed"
        }
        _ => "it is a person, who looks and confirms by name",
    };
    say(
        &mut new.conditions,
        "Ready",
        ConditionStatus::True,
        Reason::NothingToAsk,
        message,
        now.wall,
    );
    new
}

/// Whether two statuses differ in nothing but moments that are not old yet, and the words of the same failure.
fn means_the_same(old: &FenceDeviceStatus, new: &FenceDeviceStatus, now: Now) -> bool {
    let stale = |moment: &Option<Time>, newer: &Option<Time>| {
        moment != newer
            && moment
                .as_ref()
                .and_then(|moment| moment.parse().ok())
                .is_none_or(|moment| now.wall.duration_since(moment).unsigned_abs() >= RARELY)
    };
    let reasons = |status: &FenceDeviceStatus| -> Vec<(String, ConditionStatus, String)> {
        status
            .conditions
            .iter()
            .map(|it| (it.type_.clone(), it.status, it.reason.clone()))
            .collect()
    };
    old.state == new.state
        && old.observed_generation == new.observed_generation
        && old.agent == new.agent
        && old.outlets == new.outlets
        && old.reachable_from == new.reachable_from
        && reasons(old) == reasons(new)
        && !stale(&old.last_poll, &new.last_poll)
        && !stale(&old.last_test, &new.last_test)
}

fn interval(device: &FenceDevice, room: &Room) -> Duration {
    let cluster = &room.cluster.fencing.poll_interval;
    let own = device.spec.poll_interval.as_ref().unwrap_or(cluster);
    length(own, INTERVAL).max(SHORTEST)
}

fn test_interval(device: &FenceDevice) -> Option<Duration> {
    let every = device.spec.test_interval.as_ref()?;
    Some(length(every, RARELY).max(SHORTEST))
}

/// A share of `whole` that depends on the name alone.
fn share(name: &str, whole: Duration) -> Duration {
    let digest = name
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |digest, byte| {
            (digest ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
        });
    // The upper bits are the better mixed ones.
    whole * u32::try_from(digest >> 48).unwrap_or_default() / 65536
}
