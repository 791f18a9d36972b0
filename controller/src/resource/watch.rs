//! Watches: what is there, then every change, in order, once.
//!
//! A watch holds no buffer. It reads the store's history when its reader has room, so a slow reader
//! costs nothing and slows nobody; one that falls behind the history is cut off with *expired* and lists
//! again, never with a gap.
//!
//! With a selector the meaning is Kubernetes': an object that begins to match is ADDED, one that ceases
//! to match is DELETED, whatever really happened to it.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use quorate_crds::KindInfo;
use quorate_schema::selector::{FieldSelector, LabelSelector};
use quorate_store::{Bucket, Change, Revision, Stored, Watch, WatchError, WatchScope};
use tokio::time::{Instant, timeout_at};

use super::{Engine, outbox::ChangeId, parse_version};
use crate::error::ApiError;

/// How often a watch without events says how far it is.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// How many present objects are read from the store in one go.
const CHUNK: usize = 500;

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchQuery {
    /// Only objects with these labels.
    pub labels: LabelSelector,
    /// Only objects with these fields.
    pub fields: FieldSelector,
    /// Deliver what happened after this; empty for from now on, after what is there.
    pub resource_version: String,
    /// Begin with what is there.
    pub send_initial: bool,
    /// Send a bookmark now and then.
    pub bookmarks: bool,
    /// End then; with bookmarks, the last one says how far everything was told.
    pub until: Option<Instant>,
}

/// One thing a watch tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchEvent {
    /// The object appeared, or began to match.
    Added(Bytes, Revision),
    /// The object changed.
    Modified(Bytes, Revision),
    /// The object went, or ceased to match; its last state.
    Deleted(Bytes, Revision),
    /// Everything up to here was told.
    Bookmark {
        /// Up to where.
        revision: Revision,
        /// What was there at the start is now complete.
        initial_end: bool,
    },
}

/// What a watch tells, until it is dropped or ends with an error.
pub type WatchStream = std::pin::Pin<Box<dyn Stream<Item = Result<WatchEvent, ApiError>> + Send>>;

struct Follower {
    engine: Engine,
    kind: &'static KindInfo,
    query: WatchQuery,
    initial: Option<Initial>,
    watch: Watch,
    ready: VecDeque<WatchEvent>,
    next_bookmark: Instant,
    over: bool,
}

/// What is still to be told of what was there at the start. Not the state itself: that would be kept
/// for as long as the slowest reader takes.
struct Initial {
    revision: Revision,
    after: Option<String>,
}

impl Engine {
    /// Follows the objects of one kind.
    pub async fn watch(
        &self,
        kind: &'static KindInfo,
        query: WatchQuery,
    ) -> Result<WatchStream, ApiError> {
        let from = parse_version(&query.resource_version)?.filter(|revision| *revision > 0);
        let view = self.fresh_view().await?;
        let after = match from {
            Some(revision) if revision > view.revision() => {
                return Err(ApiError::Expired(format!(
                    "revision {revision} is newer than anything here ({}); it belongs to another history of the cluster, list again",
                    view.revision()
                )));
            }
            Some(revision) if !query.send_initial => revision,
            _ => view.revision(),
        };
        let scope = WatchScope {
            bucket: Some(Bucket::new(kind.plural)),
            name: query.fields.required_value("metadata.name").map(Arc::from),
        };
        let watch = self.store.watch(scope, after).map_err(ended)?;
        let initial = (from.is_none() || query.send_initial).then(|| Initial {
            revision: view.revision(),
            after: None,
        });
        let follower = Follower {
            engine: self.clone(),
            kind,
            query,
            initial,
            watch,
            ready: VecDeque::new(),
            next_bookmark: Instant::now() + BOOKMARK_EVERY,
            over: false,
        };
        Ok(Box::pin(stream::unfold(follower, |mut follower| async {
            if follower.over {
                return None;
            }
            let next = follower.next().await;
            follower.over |= next.is_err();
            Some((next.transpose()?, follower))
        })))
    }
}

impl Follower {
    /// What comes next; none when its time is over.
    async fn next(&mut self) -> Result<Option<WatchEvent>, ApiError> {
        loop {
            if self
                .query
                .until
                .is_some_and(|until| until <= Instant::now())
            {
                self.over = true;
                let told = self.ready.is_empty() && self.initial.is_none();
                return Ok((told && self.query.bookmarks).then(|| self.bookmark()));
            }
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if let Some(initial) = self.initial.take() {
                self.tell_present(initial)?;
                continue;
            }
            let pause = self
                .query
                .until
                .map_or(self.next_bookmark, |until| until.min(self.next_bookmark));
            match timeout_at(pause, self.watch.next()).await {
                Ok(Ok(change)) => {
                    if let Some(event) = self.event(&change)? {
                        return Ok(Some(event));
                    }
                }
                Ok(Err(error)) => return Err(ended(error)),
                Err(_) if pause < self.next_bookmark => {}
                Err(_) => {
                    self.next_bookmark = Instant::now() + BOOKMARK_EVERY;
                    if self.query.bookmarks {
                        return Ok(Some(self.bookmark()));
                    }
                }
            }
        }
    }

    /// How far everything was told.
    fn bookmark(&self) -> WatchEvent {
        WatchEvent::Bookmark {
            revision: self.watch.revision(),
            initial_end: false,
        }
    }

    /// Tells some of what was there at the start, and where it ends.
    fn tell_present(&mut self, mut initial: Initial) -> Result<(), ApiError> {
        let view = self.engine.store().view_at(initial.revision)?;
        let bucket = Bucket::new(self.kind.plural);
        let present: Vec<_> = match self.query.fields.required_value("metadata.name") {
            Some(name) => {
                let key = Engine::key(self.kind, name);
                let found = view.get(&key);
                found.map(|stored| (key, stored)).into_iter().collect()
            }
            None => view.list(&bucket, initial.after.as_deref(), CHUNK),
        };
        let more = present.len() == CHUNK;
        for (key, stored) in present {
            if self.selected(&key.name, &stored)? {
                let object = self.engine.sent(self.kind, &key.name, &stored)?;
                self.ready
                    .push_back(WatchEvent::Added(object, stored.modified));
            }
            initial.after = Some(key.name.to_string());
        }
        if more {
            self.initial = Some(initial);
        } else {
            self.ready.push_back(WatchEvent::Bookmark {
                revision: initial.revision,
                initial_end: true,
            });
        }
        Ok(())
    }

    /// What a change means to this watch; nothing when it matched neither before nor after.
    fn event(&self, change: &Change) -> Result<Option<WatchEvent>, ApiError> {
        let name = &change.key.name;
        let now = change.value.as_ref().map(|value| Stored {
            value: value.clone(),
            created: change.revision,
            modified: change.revision,
        });
        // The last state of a deleted object carries the revision of its deletion.
        let before = change.previous.as_ref().map(|stored| Stored {
            modified: change.revision,
            ..stored.clone()
        });
        let is = match &now {
            Some(stored) if self.selected(name, stored)? => Some(stored),
            _ => None,
        };
        let was = match &before {
            Some(stored) if self.selected(name, stored)? => Some(stored),
            _ => None,
        };
        let revision = change.revision;
        let send = |stored: &Stored, before| {
            let change = ChangeId::new(self.kind, name, revision, before);
            let encode = || self.engine.sent(self.kind, name, stored);
            self.engine.outbox.send(change, encode)
        };
        Ok(match (was, is) {
            (None, Some(is)) => Some(WatchEvent::Added(send(is, false)?, revision)),
            (Some(_), Some(is)) => Some(WatchEvent::Modified(send(is, false)?, revision)),
            (Some(was), None) => Some(WatchEvent::Deleted(send(was, true)?, revision)),
            (None, None) => None,
        })
    }

    fn selected(&self, name: &str, stored: &Stored) -> Result<bool, ApiError> {
        if self.query.labels.is_empty() && self.query.fields.is_empty() {
            return Ok(true);
        }
        let object = self.engine.read(self.kind, name, stored)?;
        Ok(self.query.labels.matches_object(&object) && self.query.fields.matches(&object))
    }
}

fn ended(error: WatchError) -> ApiError {
    match error {
        WatchError::Expired { .. } => ApiError::Expired(error.to_string()),
        WatchError::Stopped => ApiError::NoQuorum(error.to_string()),
    }
}
