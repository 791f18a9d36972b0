//! What the leader does beside answering: it looks, decides and commits, again and again.
//!
//! One round looks at everything once: what the detector makes of the beats, what the planner decides, how the cluster is.
//! Each of these is one transaction that is right only in this leader's term and only while the objects that it changes
//! and rests on are what they were. A refusal therefore means nothing but: look again. When nothing has changed and no
//! moment has come, nothing is done; an idle cluster writes nothing.

mod carry_out;
mod clock;
mod cluster_status;
mod deafness;
mod pace;
mod picture;
mod presence;
mod rings;

use std::{sync::Arc, time::Duration};

use futures_util::FutureExt;
use jiff::Timestamp;
use quorate_crds::{Node, NodeState, Time};
use quorate_planner::{Decisions, Leader};
use quorate_proto::member::v1::{Heard, HeardRequest};
use quorate_store::{
    Condition, MemberId, Outcome, Revision, Role, StoreError, View, Watch, WatchError, WatchScope,
};
use serde_json::json;
use tokio::time::{Instant, sleep_until, timeout};

use crate::{
    detector::{Incarnation, SharedDetector},
    error::ApiError,
    members::MemberCalls,
    resource::{Draft, Engine, find_kind},
};
use clock::LeaderClock;
use deafness::{Deafness, better_ears};
use pace::Pace;
use picture::Picture;

/// How often the membership is looked at, and whether the planner's moment has come by the wall clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a round that was refused waits for what refused it.
const SOON: Duration = Duration::from_millis(20);

/// Why a leader stopped leading before its time.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupted {
    /// The store. It is tried again as long as this member leads.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The history has moved on without us. It is begun anew.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// An object.
    #[error(transparent)]
    Object(#[from] ApiError),
}

/// One term's leadership.
pub(crate) struct Session {
    pub(crate) engine: Engine,
    pub(crate) detector: SharedDetector,
    pub(crate) member_calls: Arc<dyn MemberCalls>,
    pub(crate) term: u64,
}

/// What one round came to.
enum Round {
    /// There was nothing to write.
    Quiet,
    /// Something was written at this revision.
    Wrote(Revision),
    /// Others were faster.
    Overtaken,
}

impl Session {
    /// Leads until the store stops answering; the caller drops this when leadership is lost. `view` was taken after a
    /// barrier in this term.
    pub(crate) async fn lead(&self, view: View) -> Result<(), Interrupted> {
        let store = self.engine.store();
        let mut picture = Picture::of(&view);
        let mut watch = store.watch(WatchScope::default(), view.revision())?;
        drop(view);
        let mut planned: Option<(u64, Option<Timestamp>)> = None;
        let mut look_at = Instant::now();
        let mut deafness = Deafness::of_a_leader_since(look_at);
        let mut clock = LeaderClock::default();
        let mut pace = Pace::default();
        loop {
            let round = self
                .round(&picture, &mut clock, &mut planned, &mut look_at)
                .await?;
            self.hand_over_if_deaf(&picture, &mut deafness).await;
            match round {
                Round::Wrote(revision) => {
                    if revision > picture.revision + 1 {
                        pace.begin_anew();
                    }
                    catch_up(&mut watch, &mut picture, revision).await?;
                    if let Some(pause) = pace.wrote() {
                        tokio::time::sleep(pause).await;
                    }
                }
                Round::Overtaken => {
                    planned = None;
                    if let Ok(changes) = timeout(SOON, watch.next_batch()).await {
                        picture.take(&changes?, watch.revision());
                    }
                }
                Round::Quiet => {
                    pace.begin_anew();
                    self.wait(&mut watch, &mut picture, look_at).await?;
                }
            }
            // What came meanwhile belongs into the same round.
            while let Some(changes) = watch.next_batch().now_or_never() {
                pace.begin_anew();
                picture.take(&changes?, watch.revision());
            }
        }
    }

    /// Waits until there may be something to do.
    async fn wait(
        &self,
        watch: &mut Watch,
        picture: &mut Picture,
        look_at: Instant,
    ) -> Result<(), Interrupted> {
        tokio::select! {
            biased;
            () = self.detector.changed() => {}
            changes = watch.next_batch() => picture.take(&changes?, watch.revision()),
            () = sleep_until(look_at) => {}
        }
        Ok(())
    }

    async fn round(
        &self,
        picture: &Picture,
        clock: &mut LeaderClock,
        planned: &mut Option<(u64, Option<Timestamp>)>,
        look_at: &mut Instant,
    ) -> Result<Round, Interrupted> {
        let store = self.engine.store();
        let Ok(view) = store.view_at(picture.revision) else {
            return Ok(Round::Overtaken);
        };
        let now = self.now(&view, clock);

        let judgement = self.detector.judgement();
        let mut draft = Draft::new(&view, self.engine.sources());
        let rings = rings::names(
            self.detector.rings(),
            &self.own_addresses(),
            picture.state.networks(),
        );
        presence::settle(&mut draft, &judgement, &rings, now)?;
        let round = self.commit(draft).await?;
        if !matches!(round, Round::Quiet) {
            return Ok(round);
        }
        if !judgement.doubtful.is_empty() {
            let asked: Vec<Incarnation> = judgement.doubtful.iter().cloned().collect();
            let nodes = asked.iter().map(|one| one.node.clone()).collect();
            let answers = self.ask_the_others(nodes).await;
            let answers: Vec<Heard> = answers.into_iter().flat_map(|(_, heard)| heard).collect();
            self.detector.consider(&asked, &answers);
        }

        let version = picture.state.version();
        let due = match *planned {
            Some((at, wake_at)) => at != version || wake_at.is_some_and(|wake_at| wake_at <= now),
            None => true,
        };
        if due {
            let mut decisions = quorate_planner::plan(
                &picture.state,
                Leader {
                    now,
                    term: self.term,
                },
            );
            let waiting = carry_out::hold_back(&mut decisions, &judgement.awaited);
            let mut draft = Draft::new(&view, self.engine.sources());
            for host in &waiting {
                carry_out::tell_of_waiting(&mut draft, host, &Time::from(now))?;
            }
            let round = self.carry_out(draft, picture, &decisions).await?;
            if !matches!(round, Round::Quiet) {
                return Ok(round);
            }
            *planned = waiting.is_empty().then_some((version, decisions.wake_at));
        }
        *look_at = Instant::now() + self.pause(*planned, now);

        let mut draft = Draft::new(&view, self.engine.sources());
        let status = store.status();
        cluster_status::settle(&mut draft, picture.state.nodes(), &status, &Time::from(now))?;
        self.write_accepted(draft).await
    }

    /// The time, which never goes back behind the log's.
    fn now(&self, view: &View, clock: &mut LeaderClock) -> Timestamp {
        let logged = i64::try_from(view.time_ms())
            .ok()
            .and_then(|ms| Timestamp::from_millisecond(ms).ok());
        clock.now(self.engine.sources().clock.now(), logged)
    }

    /// How long to wait when nothing happens.
    fn pause(&self, planned: Option<(u64, Option<Timestamp>)>, now: Timestamp) -> Duration {
        planned
            .and_then(|(_, wake_at)| wake_at)
            .and_then(|wake_at| Duration::try_from(wake_at.duration_since(now)).ok())
            .map_or(LOOK_EVERY, |until| until.min(LOOK_EVERY))
    }

    async fn carry_out(
        &self,
        mut draft: Draft<'_>,
        picture: &Picture,
        decisions: &Decisions,
    ) -> Result<Round, Interrupted> {
        if decisions.is_empty() {
            return self.commit(draft).await;
        }
        let away = picture.state.nodes().filter_map(|node| {
            let state = node.status.as_ref().and_then(|status| status.state);
            carry_out::is_away(state).then(|| node.metadata.name.clone())?
        });
        carry_out::put(&mut draft, decisions, away)?;
        self.commit(draft).await
    }

    async fn commit(&self, mut draft: Draft<'_>) -> Result<Round, Interrupted> {
        if draft.is_empty() {
            return Ok(Round::Quiet);
        }
        draft.require(Condition::Term(self.term));
        let Some(transaction) = draft.finish() else {
            return Ok(Round::Quiet);
        };
        Ok(match self.engine.store().propose(transaction).await? {
            Outcome::Committed { revision, .. } => Round::Wrote(revision),
            Outcome::Refused(refusals) => {
                tracing::debug!(
                    ?refusals,
                    "what was decided is out of date; the leader looks again"
                );
                Round::Overtaken
            }
        })
    }

    /// Where this member is reached, ring by ring.
    fn own_addresses(&self) -> Vec<String> {
        let status = self.engine.store().status();
        let mut members = status.members.into_iter();
        let own = members.find(|member| member.id == status.member_id);
        own.map(|own| own.addresses).unwrap_or_default()
    }

    /// Writes with the rest which plans hosts have accepted, all of them together.
    async fn write_accepted(&self, mut draft: Draft<'_>) -> Result<Round, Interrupted> {
        let accepted = self.detector.accepted().take(Instant::now());
        for (node, (incarnation, generation)) in &accepted {
            draft.edit(find_kind("Node")?, node, |object| {
                let status = &mut object["status"];
                let known = status["planGeneration"].as_u64().unwrap_or(0);
                if status["incarnation"] == json!(incarnation) && known < *generation {
                    status["planGeneration"] = json!(generation);
                }
            })?;
        }
        let round = self.commit(draft).await;
        if !matches!(round, Ok(Round::Quiet | Round::Wrote(_))) {
            let mut waiting = self.detector.accepted();
            waiting.give_back(accepted, Instant::now());
        }
        round
    }

    /// Lets another member lead when it hears more of the hosts: only the leader gives leases.
    async fn hand_over_if_deaf(&self, picture: &Picture, deafness: &mut Deafness) {
        let deaf = !self.detector.judgement().heard_elsewhere.is_empty();
        let timeout = self.detector.lock().settings().timeout;
        if !deafness.is_unbearable(deaf, timeout, Instant::now()) {
            return;
        }
        let state = |node: &Node| node.status.as_ref().and_then(|status| status.state);
        let online = picture.state.nodes();
        let online = online.filter(|node| state(node) == Some(NodeState::Online));
        let nodes: Vec<String> = online
            .filter_map(|node| node.metadata.name.clone())
            .collect();
        let own = self.detector.heard(&nodes);
        let others = self.ask_the_others(nodes).await;
        let Some(better) = better_ears(&own, &others, timeout) else {
            return;
        };
        tracing::warn!(
            member = better,
            "this member does not hear most hosts, and another one does: it is to lead"
        );
        if let Err(error) = self.engine.store().transfer_leadership(Some(better)).await {
            tracing::warn!(%error, member = better, "leadership could not be handed over; it is tried again");
        }
    }

    /// What each of the other voters hears of these hosts. Those that do not answer within a detection time say nothing.
    async fn ask_the_others(&self, nodes: Vec<String>) -> Vec<(MemberId, Vec<Heard>)> {
        let status = self.engine.store().status();
        let request = HeardRequest { nodes };
        let patience = self.detector.lock().settings().timeout;
        let calls = status
            .members
            .iter()
            .filter(|member| member.role == Role::Voter && member.id != status.member_id)
            .map(|member| {
                let call = self.member_calls.heard(member.id, request.clone());
                let id = member.id;
                async move { Some((id, timeout(patience, call).await.ok()?.ok()?.heard)) }
            });
        let answers = futures_util::future::join_all(calls).await;
        answers.into_iter().flatten().collect()
    }
}

/// Takes in everything up to `revision`.
async fn catch_up(
    watch: &mut Watch,
    picture: &mut Picture,
    revision: Revision,
) -> Result<(), WatchError> {
    while watch.revision() < revision {
        let changes = watch.next_batch().await?;
        picture.take(&changes, watch.revision());
    }
    Ok(())
}
