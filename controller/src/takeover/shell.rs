use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use quorate_crds::{ConditionStatus, EvenSplit, NodeMode};
use quorate_store::{
    MemberId, Role, Store, StoreStatus,
    takeover::{Attempt, Obstacle, Phase, Round, Shot},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::{
    Standing, claim::Halves, evidence::Before, patience::Patience, power_back::Tried, runs::Runs,
};
use crate::{
    cluster_info::ClusterInfo,
    detector::SharedDetector,
    events::{Happening, Severity},
    fencing::{
        AgentMember, HalfFencing, Now, Room, Run,
        agents::{Action, Agents},
    },
    sources::Sources,
};

/// How often it is looked whether there is a quorum.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(200);
/// A member that has not looked for so long stood still itself.
const STALL: Duration = Duration::from_secs(1);
/// How long the others of a half may take to promise.
const GATHERING: Duration = Duration::from_secs(10);
/// How long a promise is kept when nothing comes of it.
const PROMISED: Duration = Duration::from_secs(180);
/// How long the halves have to find each other again after an attempt has failed; longer after each.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// What is waited for at least, however short the detection time.
const SHORTEST: Duration = Duration::from_millis(250);

/// Lets this member's half go on without the other half. It does nothing while there is a quorum.
pub struct HalfGoesOn {
    pub(super) store: Store,
    pub(super) agents: Arc<dyn Agents>,
    detector: SharedDetector,
    pub(super) sources: Sources,
    tell: Arc<dyn Fn(Happening) + Send + Sync>,
    pub(super) standing: watch::Sender<Standing>,
    started: Instant,
}

/// Until when no other attempt is made, how long that pause is, and why the last one failed.
type Failed = (Instant, Duration, String);

fn after(former: Option<&Failed>, why: String) -> Failed {
    let pause = former.map_or(FIRST_PAUSE, |(_, pause, _)| *pause * 2);
    let pause = pause.min(LONGEST_PAUSE);
    (Instant::now() + pause, pause, why)
}

/// What may begin, and when.
enum Turn {
    Not(Standing),
    Now,
}

impl HalfGoesOn {
    /// For the member of this store.
    pub fn new(
        store: Store,
        agents: Arc<dyn Agents>,
        detector: SharedDetector,
        sources: Sources,
        tell: Arc<dyn Fn(Happening) + Send + Sync>,
        standing: watch::Sender<Standing>,
    ) -> Self {
        Self {
            store,
            agents,
            detector,
            sources,
            tell,
            standing,
            started: Instant::now(),
        }
    }

    /// Watches for as long as it is polled.
    pub async fn run(self) {
        let mut patience = Patience::default();
        let mut failed: Option<Failed> = None;
        let mut tried = Tried::default();
        let mut begun = false;
        loop {
            sleep(LOOK_EVERY).await;
            let phase = self.store.takeover().borrow().clone();
            match phase {
                // It was over before it was looked at: refused, or there is a quorum again.
                Phase::Idle if std::mem::take(&mut begun) && !self.store.has_quorum() => {
                    let mut why = "a member of this half has not promised to go along: it may have started a moment ago"
                        .to_owned();
                    let words = self.give_power_back(Obstacle::NeverInQuorum, &mut tried);
                    if let Some(words) = words.await {
                        why = format!("{why}; {words}");
                    }
                    failed = Some(after(failed.as_ref(), why));
                }
                Phase::Idle => {}
                Phase::Pledged { .. } => {
                    self.keep_promise().await;
                    continue;
                }
                Phase::Gathering(attempt)
                | Phase::Fencing(attempt, _)
                | Phase::Certified(attempt, _) => {
                    begun = false;
                    tried = Tried::default();
                    match self.coordinate(&attempt).await {
                        Ok(()) => failed = None,
                        Err(why) => {
                            tracing::warn!(%why, "the other half could not be proven off");
                            failed = Some(after(failed.as_ref(), why));
                        }
                    }
                    continue;
                }
            }
            let silence = patience.look(self.store.has_quorum(), Instant::now(), STALL);
            let Some(silence) = silence else {
                failed = None;
                self.standing.send_replace(Standing::Quorate);
                self.settle_shots(&mut tried).await;
                continue;
            };
            if let Some((until, _, why)) = &failed
                && Instant::now() < *until
            {
                self.standing.send_replace(Standing::Failed(why.clone()));
                continue;
            }
            let standing = match self.turn(silence) {
                Turn::Not(standing) => standing,
                Turn::Now => match self.store.begin_takeover().await {
                    Ok(_) => {
                        begun = true;
                        continue;
                    }
                    Err(Obstacle::UnderWay | Obstacle::QuorumSeen) => continue,
                    Err(Obstacle::Unsettled) => {
                        Standing::Obstructed(Obstacle::Unsettled.to_string())
                    }
                    Err(obstacle) => Standing::Obstructed(
                        match self.give_power_back(obstacle, &mut tried).await {
                            Some(words) => format!("{obstacle}; {words}"),
                            None => obstacle.to_string(),
                        },
                    ),
                },
            };
            self.standing.send_replace(standing);
        }
    }

    /// Whether this half has waited long enough.
    fn turn(&self, silence: Duration) -> Turn {
        if let Some(why) = self.store.succeeded() {
            return Turn::Not(Standing::Obstructed(why));
        }
        let status = self.store.status();
        let view = self.store.view();
        let room = Room::of(&view);
        if room.cluster.quorum.even_split == EvenSplit::Freeze {
            return Turn::Not(Standing::Obstructed(
                "quorum.evenSplit of the Cluster is Freeze: only a majority goes on".to_owned(),
            ));
        }
        if room.cluster.maintenance {
            return Turn::Not(Standing::Obstructed(
                "the whole cluster is in maintenance (Cluster.spec.maintenance): nothing is fenced"
                    .to_owned(),
            ));
        }
        let own = own_name(&status);
        if goes_down(&room, room.machine_of(&own), self.store.boot()) {
            return Turn::Not(Standing::Obstructed(
                "this machine is being shut down, and so may the other half be; whoever is started again goes on".to_owned(),
            ));
        }
        let heard: BTreeSet<MemberId> = self.store.answering().into_iter().collect();
        let hosts = |ours: bool| -> BTreeSet<String> {
            voters(&status)
                .filter(|(id, _)| (*id == status.member_id || heard.contains(id)) == ours)
                .map(|(_, name)| room.machine_of(name).to_owned())
                .collect()
        };
        let halves = Halves {
            ours: hosts(true),
            theirs: hosts(false),
        };
        if let Some(host) = halves.theirs.iter().find(|host| left_alone(&room, host)) {
            return Turn::Not(Standing::Obstructed(format!(
                "{host} is in maintenance (Node.spec.mode) and is not fenced; end its maintenance, or look that it is off \
                 and run `quorate cluster takeover` on this machine"
            )));
        }
        let (settings, there) = {
            let detector = self.detector.lock();
            let settings = *detector.settings();
            let asked: Vec<String> = halves.theirs.iter().cloned().collect();
            let timeout = u64::try_from(settings.timeout.as_millis()).unwrap_or(u64::MAX);
            let there = detector
                .heard(&asked, Instant::now())
                .into_iter()
                .find(|heard| heard.known && heard.silent_ms < timeout);
            (settings, there)
        };
        // The store has been silent for that long before the quorum counts as lost.
        let lost_after = self.store.quorum_patience();
        let (detection, why) = match there {
            // Its member may be starting anew: that is no reason to shoot a host that is well.
            Some(host) => (
                settings.restart_grace,
                format!("{} itself is heard, its member may come back", host.node),
            ),
            None => (
                settings.timeout.saturating_sub(lost_after).max(SHORTEST),
                "the other half must be silent for the whole detection time".to_owned(),
            ),
        };
        let (head_start, who) = halves.wait(&room, &view);
        let started = self.started.elapsed();
        let waits = [
            (
                settings.startup_wait.saturating_sub(started),
                "this member has just started".to_owned(),
            ),
            (detection.saturating_sub(silence), why),
            (
                (detection + head_start).saturating_sub(silence),
                who.to_owned(),
            ),
        ];
        let longest = waits.into_iter().find(|(left, _)| !left.is_zero());
        match longest {
            Some((left, why)) => Turn::Not(Standing::Waits { left, why }),
            None => Turn::Now,
        }
    }

    /// Waits until the coordinator of this half is done, but not for ever.
    async fn keep_promise(&self) {
        self.standing.send_replace(Standing::Promised);
        let mut phase = self.store.takeover();
        let over = phase.wait_for(|phase| !matches!(phase, Phase::Pledged { .. }));
        if tokio::time::timeout(PROMISED, over).await.is_err() {
            self.store.give_up_takeover();
        }
    }

    /// Sees an attempt through; why it failed.
    async fn coordinate(&self, attempt: &Attempt) -> Result<(), String> {
        let mut phase = self.store.takeover();
        let gathered = phase.wait_for(|phase| !matches!(phase, Phase::Gathering(_)));
        match tokio::time::timeout(GATHERING, gathered).await {
            Ok(Ok(_)) => {}
            Ok(Err(_)) => return Ok(()),
            Err(_) => {
                self.store.give_up_takeover();
                return Err("the others of this half did not promise to go along".to_owned());
            }
        }
        let fences =
            matches!(&*phase.borrow(), Phase::Fencing(now, _) if now.round == attempt.round);
        if fences {
            let mut ended = self.store.takeover();
            let over = ended.wait_for(
                |phase| !matches!(phase, Phase::Fencing(now, _) if now.round == attempt.round),
            );
            tokio::select! {
                biased;
                _ = over => {}
                why = self.fence(attempt) => {
                    self.store.give_up_takeover();
                    return Err(why);
                }
            }
        }
        let certified =
            |phase: &Phase| matches!(phase, Phase::Certified(now, _) if now.round == attempt.round);
        if !certified(&phase.borrow()) {
            return Err("the attempt ended before the other half was proven off".to_owned());
        }
        self.standing.send_replace(Standing::TakesOver);
        // The store sees to the rest. It goes on for as long as its own disk does.
        let _ = phase.wait_for(|phase| !certified(phase)).await;
        self.tell_of(attempt.round);
        Ok(())
    }

    /// Drives the devices until all are proven off; returns only when that has failed.
    async fn fence(&self, attempt: &Attempt) -> String {
        let status = self.store.status();
        let before = Before::new(self.store.view(), status.term, attempt.round);
        let mut room = before.room.clone();
        room.members = agent_members(&status, |id| attempt.side.contains(&id));
        let machines: BTreeMap<MemberId, String> = voters(&status)
            .filter(|(id, _)| attempt.others.contains(id))
            .map(|(id, name)| (id, room.machine_of(name).to_owned()))
            .collect();
        let hosts: Vec<String> = machines.values().cloned().collect();
        self.standing.send_replace(Standing::Fences(hosts.clone()));
        let mut fencing = HalfFencing::new(&own_name(&status), status.term, &room, hosts);
        let mut runs = Runs::new(self.agents.clone());
        let mut proven = BTreeSet::new();
        loop {
            let now = Now {
                monotonic: Instant::now(),
                wall: self.sources.clock.now(),
            };
            let steps = fencing.step(&room, now);
            runs.cancel(steps.cancel);
            for run in steps.start {
                if let Err(why) = self.note(attempt.round, &run) {
                    return why;
                }
                runs.start(run);
            }
            for (host, proof) in fencing.off() {
                for (id, _) in machines.iter().filter(|(_, machine)| *machine == host) {
                    if proven.insert(*id) {
                        tracing::warn!(host, proof = proof.text, "it is off");
                        match before.proven_off(host, proof, &self.sources) {
                            Ok(told) => self.store.tell_beside(attempt.round, told),
                            // Then it is switched off once more, for the sake of its guests.
                            Err(error) => tracing::warn!(%error, host, "its fencing is not noted"),
                        }
                        self.store
                            .confirm_off(attempt.round, *id, proof.text.clone());
                    }
                }
            }
            if let Some(why) = fencing.failure() {
                return why;
            }
            let wake_at = steps.wake_at.unwrap_or_else(|| now.monotonic + STALL);
            tokio::select! {
                biased;
                (id, report) = runs.next() => fencing.finished(id, report),
                () = sleep_until(wake_at) => {}
            }
        }
    }

    /// Nobody is told to switch off of whom it is not on the disk.
    fn note(&self, round: Round, run: &Run) -> Result<(), String> {
        let (Action::Off, Some(host)) = (run.request.action, &run.request.node) else {
            return Ok(());
        };
        let shot = Shot {
            round,
            host: host.clone(),
            device: run.request.device.clone(),
            plug: run.request.plug.clone(),
        };
        self.store.note_shot(shot).map_err(|error| {
            format!("it cannot be written down that {host} is switched off: {error}")
        })
    }

    fn tell_of(&self, round: Round) {
        let Some(record) = self
            .store
            .takeovers()
            .into_iter()
            .find(|it| it.round == round)
        else {
            return;
        };
        let proofs: Vec<String> = record
            .evidence
            .iter()
            .map(|evidence| format!("member {}: {}", evidence.member, evidence.proof))
            .collect();
        (self.tell)(Happening {
            kind: "Cluster".into(),
            name: ClusterInfo::read(&self.store.view()).name,
            uid: None,
            reason: "TakenOver".into(),
            note: format!(
                "one half of the voters was lost; the other goes on since it is proven off: {}",
                proofs.join("; ")
            )
            .chars()
            .take(1024)
            .collect(),
            severity: Severity::Warning,
        });
    }
}

/// Somebody may be at work on it.
pub(super) fn left_alone(room: &Room, host: &str) -> bool {
    room.node(host)
        .is_some_and(|node| node.spec.mode == NodeMode::Maintenance)
}

/// It was emptied and has left so that somebody can switch it off and work on it: whoever does that also switches it on.
pub(super) fn withdrawn(room: &Room, host: &str) -> bool {
    room.node(host)
        .is_some_and(|node| node.spec.mode == NodeMode::Withdrawn)
}

/// In that boot it was told to shut down. What an earlier boot of it was told says nothing.
fn goes_down(room: &Room, host: &str, boot: Option<&str>) -> bool {
    let status = room.node(host).and_then(|node| node.status.as_ref());
    status.is_some_and(|status| {
        boot.is_some()
            && status.boot_id.as_deref() == boot
            && status.conditions.iter().any(|condition| {
                condition.type_ == "ShuttingDown" && condition.status == ConditionStatus::True
            })
    })
}

fn voters(status: &StoreStatus) -> impl Iterator<Item = (MemberId, &str)> {
    status
        .members
        .iter()
        .filter(|member| member.role == Role::Voter)
        .map(|member| (member.id, member.name.as_str()))
}

/// The members of these ids, as such that run agents.
pub(super) fn agent_members(
    status: &StoreStatus,
    which: impl Fn(MemberId) -> bool,
) -> Vec<AgentMember> {
    voters(status)
        .filter(|(id, _)| which(*id))
        .map(|(_, name)| AgentMember {
            name: name.to_owned(),
            reachable: true,
            voter: true,
        })
        .collect()
}

pub(super) fn own_name(status: &StoreStatus) -> String {
    let own = voters(status).find(|(id, _)| *id == status.member_id);
    own.map(|(_, name)| name.to_owned()).unwrap_or_default()
}
