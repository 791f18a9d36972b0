//! A host's plan and what it refers to, as it changes. Any member answers: a plan carries its own generation, term and
//! incarnation, and a host that follows a member that lags is late, never wrong.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, stream, stream::BoxStream};
use quorate_crds::{NodePlan, NodeStatus};
use quorate_proto::host::v1::{FollowRequest, MemberAddress, PlanUpdate, Timing};
use quorate_store::{Bucket, Change, Key, View, Watch, WatchScope};
use tokio::time::{Instant, sleep_until};

use super::{
    DeskError, HostDesk, check_incarnation, kind, members, node_status, settings, timing, watchdog,
};
use crate::{
    entries::entries_after,
    resource::{Engine, find_kind},
};

/// How often the membership is looked at; nobody tells when it changes.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// The plan as it changes. It ends with an error; the host then follows anew.
pub type Updates = BoxStream<'static, Result<PlanUpdate, DeskError>>;

impl HostDesk {
    /// The host's plan, whole, and then every change.
    ///
    /// # Errors
    /// When another boot of the host counts, or there is no quorum to ask which one does.
    pub async fn follow(&self, node: &str, request: FollowRequest) -> Result<Updates, DeskError> {
        let view = self.fresh_view().await?;
        let mut feed = Feed {
            node: node.to_owned(),
            incarnation: request.incarnation,
            records: BTreeMap::new(),
            members: members(self.store()),
            timing: timing(&settings(&view)),
            watchdog_bound: watchdog::is_bound(&view, node),
        };
        let whole = feed.whole(&view)?;
        let watch = self
            .store()
            .watch(WatchScope::default(), view.revision())
            .map_err(|error| DeskError::Unavailable(error.into()))?;
        drop(view);
        let following = Following {
            desk: self.clone(),
            feed,
            watch,
            ready: [whole].into(),
            look_at: Instant::now() + LOOK_EVERY,
        };
        Ok(stream::unfold(Some(following), |following| async move {
            let mut following = following?;
            match following.next().await {
                Ok(update) => Some((Ok(update), Some(following))),
                Err(error) => Some((Err(error), None)),
            }
        })
        .boxed())
    }
}

struct Following {
    desk: HostDesk,
    feed: Feed,
    watch: Watch,
    ready: std::collections::VecDeque<PlanUpdate>,
    look_at: Instant,
}

impl Following {
    async fn next(&mut self) -> Result<PlanUpdate, DeskError> {
        loop {
            if let Some(update) = self.ready.pop_front() {
                return Ok(update);
            }
            tokio::select! {
                biased;
                changes = self.watch.next_batch() => {
                    let changes = changes.map_err(|error| DeskError::Unavailable(error.into()))?;
                    let view = self.desk.store().view();
                    for changes in changes.chunk_by(|a, b| a.revision == b.revision) {
                        self.ready.extend(self.feed.changed(changes, &view)?);
                    }
                }
                () = sleep_until(self.look_at) => {
                    self.look_at = Instant::now() + LOOK_EVERY;
                    let members = members(self.desk.store());
                    self.ready.extend(self.feed.members_are(members, self.watch.revision()));
                }
            }
        }
    }
}

/// What one host has been told.
struct Feed {
    node: String,
    incarnation: u64,
    /// Its records, and the object that each of them assigns.
    records: BTreeMap<String, Option<Key>>,
    members: Vec<MemberAddress>,
    timing: Timing,
    watchdog_bound: bool,
}

impl Feed {
    fn whole(&mut self, view: &View) -> Result<PlanUpdate, DeskError> {
        let node = view.get(&Engine::key(kind("Node")?, &self.node));
        let node = node.map(|stored| stored.value).unwrap_or_default();
        self.check(&node)?;
        let mut update = PlanUpdate {
            revision: view.revision(),
            whole: true,
            node,
            members: self.members.clone(),
            timing: Some(self.timing),
            watchdog_bound: Some(self.watchdog_bound),
            ..PlanUpdate::default()
        };
        let mut objects = BTreeMap::new();
        for (bytes, record) in stored_records_of(view, &self.node) {
            let assigned = object_of(&record);
            if let Some(key) = &assigned
                && let Some(stored) = view.get(key)
            {
                objects.insert(key.clone(), stored.value);
            }
            let name = record.metadata.name.unwrap_or_default();
            self.records.insert(name, assigned);
            update.records.push(bytes);
        }
        update.objects = objects.into_values().collect();
        Ok(update)
    }

    /// What the changes of one revision mean to this host, if anything.
    fn changed(
        &mut self,
        changes: &[Arc<Change>],
        view: &View,
    ) -> Result<Option<PlanUpdate>, DeskError> {
        let mut update = PlanUpdate {
            revision: changes.last().map_or(0, |change| change.revision),
            ..PlanUpdate::default()
        };
        let mut objects: BTreeMap<Key, Bytes> = BTreeMap::new();
        let mut look_at_watchdog = false;
        for change in changes {
            let name = &*change.key.name;
            match change.key.bucket.as_str() {
                "nodes" if name == self.node => {
                    let node = change.value.clone().unwrap_or_default();
                    self.check(&node)?;
                    update.node = node;
                    look_at_watchdog = true;
                }
                "fencedevices" => look_at_watchdog = true,
                "clusters" => {
                    let timing = timing(&settings(view));
                    if timing != self.timing {
                        self.timing = timing;
                        update.timing = Some(timing);
                    }
                }
                "nodeplans" => match &change.value {
                    None => {
                        if self.records.remove(name).is_some() {
                            update.removed.push(name.to_owned());
                        }
                    }
                    Some(value) if is_record_of(name, &self.node) => {
                        let Some(record) =
                            read(value).filter(|it| it.spec.node.as_str() == self.node)
                        else {
                            continue;
                        };
                        if only_answered(change, &record) {
                            continue;
                        }
                        let assigned = object_of(&record);
                        let known = self.records.insert(name.to_owned(), assigned.clone());
                        if let Some(key) = assigned
                            && known.flatten().as_ref() != Some(&key)
                            && let Some(stored) = view.get(&key)
                        {
                            objects.entry(key).or_insert(stored.value);
                        }
                        update.records.push(value.clone());
                    }
                    Some(_) => {}
                },
                _ => {
                    let assigned = self
                        .records
                        .values()
                        .flatten()
                        .any(|key| *key == change.key);
                    if let Some(value) = change.value.as_ref().filter(|_| assigned) {
                        objects.insert(change.key.clone(), value.clone());
                    }
                }
            }
        }
        update.objects = objects.into_values().collect();
        if look_at_watchdog {
            let bound = watchdog::is_bound(view, &self.node);
            update.watchdog_bound = (bound != self.watchdog_bound).then_some(bound);
            self.watchdog_bound = bound;
        }
        let news = !update.records.is_empty()
            || !update.removed.is_empty()
            || !update.objects.is_empty()
            || !update.node.is_empty()
            || update.timing.is_some()
            || update.watchdog_bound.is_some();
        Ok(news.then_some(update))
    }

    fn members_are(&mut self, members: Vec<MemberAddress>, revision: u64) -> Option<PlanUpdate> {
        if members == self.members {
            return None;
        }
        self.members.clone_from(&members);
        Some(PlanUpdate {
            revision,
            members,
            ..PlanUpdate::default()
        })
    }

    fn check(&self, node: &[u8]) -> Result<(), DeskError> {
        let status: NodeStatus = serde_json::from_slice(node)
            .map(|object| node_status(&object))
            .unwrap_or_default();
        check_incarnation(&self.node, &status, self.incarnation)
    }
}

/// The host's own answers come back to it as changes of its records; it knows them.
fn only_answered(change: &Change, record: &NodePlan) -> bool {
    change
        .previous
        .as_ref()
        .and_then(|previous| read(&previous.value))
        .is_some_and(|previous| previous.spec == record.spec)
}

/// Records are named after their host: `an1`, `an1.virtualmachine.web`.
fn is_record_of(name: &str, node: &str) -> bool {
    name.strip_prefix(node)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn read(bytes: &[u8]) -> Option<NodePlan> {
    serde_json::from_slice(bytes).ok()
}

fn object_of(record: &NodePlan) -> Option<Key> {
    let object = &record.spec.assignment.as_ref()?.object;
    let kind = find_kind(&object.kind).ok()?;
    Some(Key::new(Bucket::new(kind.plural), object.name.as_str()))
}

/// A host's records, the head first.
pub(super) fn records_of(view: &View, node: &str) -> Vec<(String, NodePlan)> {
    stored_records_of(view, node)
        .into_iter()
        .map(|(_, record)| (record.metadata.name.clone().unwrap_or_default(), record))
        .collect()
}

fn stored_records_of(view: &View, node: &str) -> Vec<(Bytes, NodePlan)> {
    let own = |value: &Bytes| read(value).filter(|record| record.spec.node.as_str() == node);
    let mut found = Vec::new();
    if let Some(head) = view.get(&Key::new(Bucket::new("nodeplans"), node)) {
        found.extend(own(&head.value).map(|record| (head.value, record)));
    }
    let prefix = format!("{node}.");
    let records = entries_after(view, "nodeplans", &prefix)
        .take_while(|(key, _)| key.name.starts_with(&prefix));
    found.extend(
        records.filter_map(|(_, stored)| Some((stored.value.clone(), own(&stored.value)?))),
    );
    found
}
