use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use quorate_crds::AgentMetadata;
use quorate_identity::Clock;
use quorate_store::{
    Bucket, Change, Condition, Key, Leadership, Outcome, Role, Store, StoreError, Transaction,
    Watch, WatchError, WatchScope, Write, takeover::Phase,
};
use serde_json::Value;
use tokio::{
    sync::watch,
    task::{AbortHandle, JoinSet},
    time::Instant,
};

use super::{
    agents::{AgentFailure, AgentReport, Agents},
    coordinator::{Coordinator, Grants, RunId, StatusWrite, Steps},
    room::{AgentMember, BUCKETS, Now, Room},
};
use crate::events::Happening;

/// How long to wait before the state is read anew after the store failed.
const AGAIN: Duration = Duration::from_millis(500);
/// How often the members' reachability is looked at, when nothing else happens.
const LOOK: Duration = Duration::from_secs(5);

/// Runs the coordinator on the member that leads.
pub struct Fencing {
    /// The store.
    pub store: Store,
    /// What runs agents.
    pub agents: Arc<dyn Agents>,
    /// What is known of leases.
    pub grants: Arc<dyn Grants>,
    /// The wall clock, for what people read.
    pub clock: Arc<dyn Clock>,
    /// Where events go.
    pub tell: Arc<dyn Fn(Happening) + Send + Sync>,
    /// This member's name.
    pub member: String,
}

/// What ended beside the coordinator.
enum Ended {
    Run(RunId, AgentReport),
    Described(String, Result<AgentMetadata, AgentFailure>),
}

impl Fencing {
    /// Fences as long as this member leads in `term`. Dropping the future kills every agent that it runs here.
    pub async fn lead(&self, term: u64) {
        let mut leadership = self.store.leadership();
        while leads(&leadership, term) {
            let session = Session {
                fencing: self,
                term,
                coordinator: Coordinator::new(&self.member, term),
                room: Room::default(),
                work: JoinSet::new(),
                runs: BTreeMap::new(),
            };
            tokio::select! {
                biased;
                () = async { drop(leadership.wait_for(|now| !(now.is_self && now.term == term)).await) } => return,
                Err(error) = session.run() => {
                    tracing::warn!(%error, "fencing begins anew from what is stored");
                    tokio::time::sleep(AGAIN).await;
                }
            }
        }
    }

    fn now(&self) -> Now {
        Now {
            monotonic: Instant::now(),
            wall: self.clock.now(),
        }
    }
}

fn leads(leadership: &watch::Receiver<Leadership>, term: u64) -> bool {
    let now = leadership.borrow();
    now.is_self && now.term == term
}

/// Why a session cannot go on. The next one begins from what is stored.
#[derive(Debug, thiserror::Error)]
enum SessionError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Watch(#[from] WatchError),
}

/// One stretch of leading, from one reading of the store on.
struct Session<'a> {
    fencing: &'a Fencing,
    term: u64,
    coordinator: Coordinator,
    room: Room,
    work: JoinSet<Ended>,
    runs: BTreeMap<RunId, AbortHandle>,
}

impl Session<'_> {
    async fn run(mut self) -> Result<std::convert::Infallible, SessionError> {
        let store = &self.fencing.store;
        store.barrier().await?;
        let view = store.view();
        let mut watch = store.watch(WatchScope::default(), view.revision())?;
        self.room = Room::of(&view);
        drop(view);
        let mut half = store.takeover();
        loop {
            self.look_at_members();
            self.room.half_acts = *half.borrow_and_update() != Phase::Idle;
            let now = self.fencing.now();
            let steps = self
                .coordinator
                .step(&self.room, now, &*self.fencing.grants);
            let look = now.monotonic + LOOK;
            let wake_at = steps.wake_at.map_or(look, |at| at.min(look));
            let written = self.carry_out(steps).await?;
            if !written {
                tokio::select! {
                    biased;
                    Ok(()) = half.changed() => {}
                    waited = self.wait(&mut watch, wake_at) => waited?,
                }
            }
        }
    }

    /// Does what is to be done; whether anything was written, so that the coordinator may go on with it at once.
    async fn carry_out(&mut self, steps: Steps) -> Result<bool, SessionError> {
        for id in steps.cancel {
            if let Some(run) = self.runs.remove(&id) {
                run.abort();
            }
        }
        for run in steps.start {
            let report = self.fencing.agents.run(&run.member, run.request);
            let id = run.id;
            let handle = self.work.spawn(async move { Ended::Run(id, report.await) });
            self.runs.insert(id, handle);
        }
        for agent in steps.describe {
            let described: BoxFuture<_> = self.fencing.agents.describe(&agent);
            self.work
                .spawn(async move { Ended::Described(agent, described.await) });
        }
        for happening in steps.happenings {
            (self.fencing.tell)(happening);
        }
        let mut written = false;
        for write in &steps.writes {
            written |= self.write(write).await?;
        }
        Ok(written)
    }

    async fn write(&mut self, write: &StatusWrite) -> Result<bool, SessionError> {
        let store = &self.fencing.store;
        let key = Key::new(Bucket::new(write.bucket), write.name.as_str());
        let Some(stored) = store
            .view()
            .get(&key)
            .filter(|stored| stored.modified == write.revision)
        else {
            // The watch brings the newer one, and the coordinator decides again.
            return Ok(false);
        };
        let Some(value) = with_status(&stored.value, &write.fields) else {
            return Ok(false);
        };
        let transaction = Transaction {
            conditions: vec![
                Condition::Term(self.term),
                Condition::AtRevision(key.clone(), write.revision),
            ],
            writes: vec![Write::Put {
                key,
                value: value.clone().into(),
                expires_at_ms: None,
            }],
        };
        match store.propose(transaction).await? {
            Outcome::Committed { revision, .. } => {
                self.room
                    .put(write.bucket, &write.name, value.as_bytes(), revision);
                Ok(true)
            }
            Outcome::Refused(_) => Ok(false),
        }
    }

    async fn wait(&mut self, watch: &mut Watch, wake_at: Instant) -> Result<(), SessionError> {
        tokio::select! {
            biased;
            Some(ended) = self.work.join_next() => self.take(ended),
            changes = watch.next_batch() => {
                for change in changes? {
                    self.follow(&change);
                }
            }
            () = tokio::time::sleep_until(wake_at) => {}
        }
        Ok(())
    }

    fn take(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Run(id, report)) => {
                self.runs.remove(&id);
                self.coordinator.finished(id, report);
            }
            Ok(Ended::Described(agent, Ok(metadata))) => {
                self.coordinator.described(&agent, metadata);
            }
            Ok(Ended::Described(agent, Err(error))) => {
                tracing::debug!(%error, agent, "an agent is not described");
            }
            // A run that was cancelled; its device is given to another one already.
            Err(error) if error.is_cancelled() => {}
            Err(error) => {
                tracing::error!(%error, "an agent's run broke off");
            }
        }
    }

    fn follow(&mut self, change: &Change) {
        let bucket = change.key.bucket.as_str();
        if !BUCKETS.contains(&bucket) {
            return;
        }
        match &change.value {
            Some(value) => self
                .room
                .put(bucket, &change.key.name, value, change.revision),
            None => self.room.remove(bucket, &change.key.name),
        }
    }

    fn look_at_members(&mut self) {
        let status = self.fencing.store.status();
        self.room.members = status
            .members
            .into_iter()
            .map(|member| AgentMember {
                reachable: member.id == status.member_id || member.reachable != Some(false),
                voter: member.role == Role::Voter,
                name: member.name,
            })
            .collect();
    }
}

/// A stored object with some fields of its status replaced.
pub(super) fn with_status(
    stored: &[u8],
    fields: &serde_json::Map<String, Value>,
) -> Option<String> {
    let mut object: Value = serde_json::from_slice(stored).ok()?;
    let status = object
        .as_object_mut()?
        .entry("status")
        .or_insert_with(|| Value::Object(serde_json::Map::new()));
    if status.is_null() {
        *status = Value::Object(serde_json::Map::new());
    }
    let status = status.as_object_mut()?;
    for (field, value) in fields {
        if value.is_null() {
            status.remove(field);
        } else {
            status.insert(field.clone(), value.clone());
        }
    }
    Some(object.to_string())
}
