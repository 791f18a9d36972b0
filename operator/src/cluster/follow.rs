//! Following the objects of one kind, on whichever member answers, for as long as the operator leads.

use std::{sync::Arc, time::Duration};

use quorate_proto::api::v1::{WatchReply, WatchType};
use serde_json::Value;
use tokio::time::Instant;
use tonic::Streaming;

use super::{
    CallError, Members,
    cache::{Cache, Phase, name_of},
    refusal::decode,
};

/// How long a cluster may be silent before its objects say so: several elections.
const PATIENCE: Duration = Duration::from_secs(15);
/// The pauses between two attempts grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// What has changed in the cache.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changed {
    /// One object.
    One(String),
    /// Perhaps everything.
    All,
}

/// Who is told of changes.
pub type Listener = Box<dyn Fn(Changed) + Send + Sync>;

/// Follows one kind into a cache.
pub struct Follower {
    members: Arc<Members>,
    kind: &'static str,
    cache: Arc<Cache>,
    listener: Listener,
    /// Empty until the initial list is complete.
    revision: String,
    listed: Vec<Value>,
}

impl Follower {
    /// Follows `kind` into `cache`, and tells `listener` what has changed.
    #[must_use]
    pub fn new(
        members: Arc<Members>,
        kind: &'static str,
        cache: Arc<Cache>,
        listener: Listener,
    ) -> Self {
        Self {
            members,
            kind,
            cache,
            listener,
            revision: String::new(),
            listed: Vec::new(),
        }
    }

    /// Follows until it is dropped.
    pub async fn run(mut self) {
        let mut silent_since = None;
        let mut pause = PAUSES.0;
        loop {
            let before = self.revision.clone();
            let error = match self.members.watch(self.kind, &self.revision).await {
                Ok(stream) => {
                    silent_since = None;
                    if self.cache.phase() != Phase::Loading && !self.revision.is_empty() {
                        self.enter(Phase::Following);
                    }
                    self.receive(stream).await
                }
                Err(error) => Some(error),
            };
            self.listed.clear();
            if self.revision != before {
                pause = PAUSES.0;
            }
            match error {
                // The member shuts down; another one goes on.
                None => self.members.leave_current().await,
                Some(CallError::Expired) => self.revision.clear(),
                Some(error) => {
                    tracing::debug!(
                        kind = self.kind,
                        error = &error as &dyn std::error::Error,
                        "a watch ended"
                    );
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= PATIENCE {
                        self.enter(Phase::Silent(error.to_string()));
                    }
                    self.members.leave_current().await;
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// Takes what the stream tells, until it ends.
    async fn receive(&mut self, mut stream: Streaming<WatchReply>) -> Option<CallError> {
        loop {
            match stream.message().await {
                Ok(Some(reply)) => {
                    if let Err(error) = self.take(reply) {
                        return Some(error);
                    }
                }
                Ok(None) => return None,
                Err(status) => return Some(status.into()),
            }
        }
    }

    fn take(&mut self, reply: WatchReply) -> Result<(), CallError> {
        let revision = reply.resource_version.parse().unwrap_or_default();
        let listing = self.revision.is_empty();
        match reply.r#type() {
            WatchType::Bookmark if reply.initial_end => {
                let listed = std::mem::take(&mut self.listed);
                self.cache.replace(listed, revision);
                (self.listener)(Changed::All);
            }
            WatchType::Bookmark | WatchType::Unspecified => {}
            WatchType::Added | WatchType::Modified if listing => {
                self.listed.push(decode(&reply.object)?);
            }
            WatchType::Added | WatchType::Modified => {
                let object = decode(&reply.object)?;
                let name = name_of(&object).map(ToOwned::to_owned);
                self.cache.put(object);
                name.into_iter()
                    .for_each(|name| (self.listener)(Changed::One(name)));
            }
            WatchType::Deleted => {
                let object = decode(&reply.object)?;
                if let Some(name) = name_of(&object) {
                    self.cache.remove(name, revision);
                    (self.listener)(Changed::One(name.to_owned()));
                }
            }
        }
        // Within the initial list there is nothing to go on from: objects do not come in the order of their revisions.
        if (!listing || reply.initial_end) && !reply.resource_version.is_empty() {
            self.revision = reply.resource_version;
        }
        Ok(())
    }

    fn enter(&self, phase: Phase) {
        if self.cache.enter(phase) {
            (self.listener)(Changed::All);
        }
    }
}
