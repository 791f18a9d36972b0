//! Gives machines their power back that this member has switched off for a takeover that came to nothing.
//!
//! A round ends with the program. When the machine of the member that drives it is lost before the membership without the
//! other half is committed, that half stays off: no leader is there to return its power, and a member that comes back alone
//! may begin no other round. It has noted whom it shot ([`quorate_store::takeover::Shot`]), and makes it good. Nothing
//! rests on their being off any more: what was stood in for was so in the memory of the program that has ended.
//!
//! The same may happen to a leader that fences a host of the other half for another reason. Whom it has told to switch off
//! stands in the log.

use std::{collections::BTreeSet, time::Duration};

use quorate_crds::NodeState;
use quorate_store::takeover::{Obstacle, Phase, Shot};
use tokio::time::{Instant, timeout};

use super::{
    Standing,
    runs::Runs,
    shell::{HalfGoesOn, LOOK_EVERY, agent_members, left_alone, own_name, withdrawn},
};
use crate::fencing::{HalfReturn, Now, Outlets, Room, told_by_operations};

/// After a device could not be told to switch on.
const PAUSE: Duration = Duration::from_secs(60);

/// What was tried.
#[derive(Debug, Default)]
pub(super) struct Tried {
    /// What was in vain is tried again then.
    again_at: Option<Instant>,
    why: String,
    /// What was switched on: it is done once in each start of the program.
    on: BTreeSet<String>,
}

impl Tried {
    fn waits(&self) -> bool {
        self.again_at.is_some_and(|at| Instant::now() < at)
    }
}

impl HalfGoesOn {
    /// There is a quorum. Whoever is known to the log as online, or as lost, is seen to by the leader; so is everybody
    /// who was shot in a round that the log tells of. Of a machine that was off or booting by the log, nobody else knows that
    /// it was shot.
    pub(super) async fn settle_shots(&self, tried: &mut Tried) {
        let shots = self.store.shots();
        tried.on.clear();
        if shots.is_empty() || tried.waits() {
            return;
        }
        let room = Room::of(&self.store.view());
        let told: BTreeSet<_> = self.store.takeovers().iter().map(|it| it.round).collect();
        let unseen = shots.into_iter().filter(|shot| {
            let status = room.node(&shot.host).and_then(|node| node.status.as_ref());
            let state = status.and_then(|status| status.state);
            let seen = matches!(
                state,
                Some(NodeState::Online | NodeState::Suspect | NodeState::Fencing)
            );
            !told.contains(&shot.round) && !seen
        });
        let (outlets, _) = outlets(&room, unseen);
        if outlets.is_empty() {
            self.store.forget_shots();
            return;
        }
        if self.switch_on(&room, &outlets, true, tried).await {
            self.store.forget_shots();
        }
    }

    /// There is no quorum, and this half cannot begin: with those that were switched off there may be one. Why some of them stay
    /// off.
    pub(super) async fn give_power_back(
        &self,
        obstacle: Obstacle,
        tried: &mut Tried,
    ) -> Option<String> {
        let room = Room::of(&self.store.view());
        // The note stays until there is a quorum: a device may say that it acted and not have.
        let (mut outlets, mut words) = outlets(&room, self.store.shots());
        // Only where nobody else can lead is a leader's work taken over.
        if obstacle == Obstacle::NeverInQuorum {
            for (host, told) in told_by_operations(&room, &self.silent_machines(&room)) {
                if !left_alone(&room, &host) {
                    outlets.entry(host).or_insert(told);
                }
            }
        }
        outlets.retain(|host, _| !tried.on.contains(host));
        if !tried.waits() && !outlets.is_empty() {
            let hosts = outlets.keys().cloned().collect();
            self.standing.send_replace(Standing::ReturnsPower(hosts));
            if self.switch_on(&room, &outlets, false, tried).await {
                tried.on.extend(outlets.into_keys());
            }
        }
        if tried.again_at.is_some() {
            words.push(tried.why.clone());
        }
        (!words.is_empty()).then(|| words.join("; "))
    }

    /// The machines of the voters that are not heard.
    fn silent_machines(&self, room: &Room) -> BTreeSet<String> {
        let status = self.store.status();
        let heard = self.store.answering();
        let silent = |id| id != status.member_id && !heard.contains(&id);
        let voters = agent_members(&status, silent).into_iter();
        voters
            .map(|member| room.machine_of(&member.name).to_owned())
            .collect()
    }

    /// Whether all of them were told to switch on. It is left off when there is a quorum, or none any more.
    async fn switch_on(
        &self,
        room: &Room,
        outlets: &Outlets,
        quorum: bool,
        tried: &mut Tried,
    ) -> bool {
        let status = self.store.status();
        let mut room = room.clone();
        let heard = self.store.answering();
        room.members = agent_members(&status, |id| id == status.member_id || heard.contains(&id));
        let now = || Now {
            monotonic: Instant::now(),
            wall: self.sources.clock.now(),
        };
        tracing::warn!(
            ?outlets,
            "their power is returned: what they were switched off for has come to nothing"
        );
        let mut returning = HalfReturn::new(&own_name(&status), status.term, &room, outlets, now());
        let mut runs = Runs::new(self.agents.clone());
        loop {
            let steps = returning.step(&room, now());
            runs.cancel(steps.cancel);
            for run in steps.start {
                runs.start(run);
            }
            if let Some(failures) = returning.over() {
                let why: Vec<String> = failures
                    .iter()
                    .map(|(host, why)| {
                        format!(
                            "{host} was switched off for nothing, and {why}; switch it on by hand"
                        )
                    })
                    .collect();
                tried.again_at = (!why.is_empty()).then(|| Instant::now() + PAUSE);
                tried.why = why.join("; ");
                return failures.is_empty();
            }
            let idle = *self.store.takeover().borrow() == Phase::Idle;
            if !idle || self.store.has_quorum() != quorum {
                return false;
            }
            if let Ok((id, report)) = timeout(LOOK_EVERY, runs.next()).await {
                returning.finished(id, report);
            }
        }
    }
}

/// What is to be switched on, and why the rest is not.
fn outlets(room: &Room, shots: impl IntoIterator<Item = Shot>) -> (Outlets, Vec<String>) {
    let mut outlets = Outlets::new();
    let mut left = BTreeSet::new();
    for shot in shots {
        let why = if left_alone(room, &shot.host) {
            "it is in maintenance"
        } else if withdrawn(room, &shot.host) {
            "it was withdrawn"
        } else if !room.cluster.fencing.power_on {
            "fencing.powerOn of the Cluster is false"
        } else {
            let outlet = (shot.device, shot.plug);
            outlets.entry(shot.host).or_default().push(outlet);
            continue;
        };
        left.insert(format!(
            "{} was switched off for a takeover that came to nothing, and {why}: switch it on by hand",
            shot.host
        ));
    }
    (outlets, left.into_iter().collect())
}
