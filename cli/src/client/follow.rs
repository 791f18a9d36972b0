//! A watch that outlives connections: it goes on, on another member, where it was cut.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use quorate_proto::api::v1::{WatchReply, WatchRequest, WatchType};
use serde_json::Value;
use tokio::time::Instant;
use tonic::Streaming;

use super::{Client, Refusal, objects};
use crate::error::CliError;

/// How long to look for a member that answers before giving up: several elections.
const PATIENCE: Duration = Duration::from_secs(30);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(250);

/// Which objects to follow.
#[derive(Debug, Clone, Default)]
pub(crate) struct Scope {
    /// The kind.
    pub(crate) kind: String,
    /// Kubernetes' label selector syntax.
    pub(crate) label_selector: String,
    /// Kubernetes' field selector syntax.
    pub(crate) field_selector: String,
}

/// What a watch tells.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Followed {
    /// Exists, or has come to match.
    Added(Value),
    /// Has changed.
    Modified(Value),
    /// Is gone, or matches no longer; with its last state.
    Deleted(Value),
    /// All objects that existed when the watch began have been told.
    Complete,
}

/// A running watch.
pub(crate) struct Follow {
    client: Arc<Client>,
    scope: Scope,
    /// Empty until the initial list is complete.
    revision: String,
    stream: Option<Streaming<WatchReply>>,
    failing_since: Option<Instant>,
    queue: VecDeque<Followed>,
}

impl Follow {
    /// Follow from what exists now.
    pub(crate) fn from_now(client: Arc<Client>, scope: Scope) -> Self {
        Self::after(client, scope, String::new())
    }

    /// Follow what happens after `revision`.
    pub(crate) fn after(client: Arc<Client>, scope: Scope, revision: String) -> Self {
        Self {
            client,
            scope,
            revision,
            stream: None,
            failing_since: None,
            queue: VecDeque::new(),
        }
    }

    /// What happens next. Returns an error when the server refuses, or when no member has answered
    /// for a while.
    pub(crate) async fn next(&mut self) -> Result<Followed, CliError> {
        loop {
            if let Some(told) = self.queue.pop_front() {
                return Ok(told);
            }
            let reply = match self.receive().await {
                Ok(Some(reply)) => reply,
                // The server ended the stream, as it does when it shuts down.
                Ok(None) => {
                    self.start_again(None).await?;
                    continue;
                }
                Err(CliError::Refused(refusal)) if refusal.is_expired() => {
                    self.revision.clear();
                    self.start_again(Some(CliError::Refused(refusal))).await?;
                    continue;
                }
                Err(error) if is_passing(&error) => {
                    self.start_again(Some(error)).await?;
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.failing_since = None;
            self.take(reply)?;
        }
    }

    /// As a stream that ends after the first error.
    pub(crate) fn into_stream(self) -> impl Stream<Item = Result<Followed, CliError>> {
        stream::unfold(Some(self), |follow| async {
            let mut follow = follow?;
            match follow.next().await {
                Ok(told) => Some((Ok(told), Some(follow))),
                Err(error) => Some((Err(error), None)),
            }
        })
    }

    fn take(&mut self, reply: WatchReply) -> Result<(), CliError> {
        let object = || {
            serde_json::from_slice::<Value>(&reply.object).map_err(|error| {
                CliError::Broken(format!(
                    "the server sent an object that is not JSON: {error}"
                ))
            })
        };
        match reply.r#type() {
            WatchType::Added => self.queue.push_back(Followed::Added(object()?)),
            WatchType::Modified => self.queue.push_back(Followed::Modified(object()?)),
            WatchType::Deleted => self.queue.push_back(Followed::Deleted(object()?)),
            WatchType::Bookmark if reply.initial_end => self.queue.push_back(Followed::Complete),
            WatchType::Bookmark | WatchType::Unspecified => {}
        }
        // Within the initial list there is nothing to go on from: objects do not arrive in the
        // order of their revisions.
        let listing = self.revision.is_empty() && !reply.initial_end;
        if !listing && !reply.resource_version.is_empty() {
            self.revision = reply.resource_version;
        }
        Ok(())
    }

    async fn receive(&mut self) -> Result<Option<WatchReply>, CliError> {
        let stream = match &mut self.stream {
            Some(stream) => stream,
            none => {
                let channel = self.client.channel().await?;
                let request = WatchRequest {
                    kind: self.scope.kind.clone(),
                    label_selector: self.scope.label_selector.clone(),
                    field_selector: self.scope.field_selector.clone(),
                    resource_version: self.revision.clone(),
                    send_initial: self.revision.is_empty(),
                    bookmarks: true,
                };
                let opened = objects(channel)
                    .watch(request)
                    .await
                    .map_err(|status| Refusal::from_status(&status, "a member"))?;
                none.insert(opened.into_inner())
            }
        };
        Ok(stream
            .message()
            .await
            .map_err(|status| Refusal::from_status(&status, "a member"))?)
    }

    async fn start_again(&mut self, because: Option<CliError>) -> Result<(), CliError> {
        self.stream = None;
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        if since.elapsed() > PATIENCE {
            return Err(because.unwrap_or_else(|| {
                CliError::Broken("the server keeps ending the watch".to_owned())
            }));
        }
        self.client.leave_current().await;
        tokio::time::sleep(PAUSE).await;
        Ok(())
    }
}

fn is_passing(error: &CliError) -> bool {
    match error {
        CliError::Unreachable(_) => true,
        CliError::Refused(refusal) => {
            refusal.is_broken_connection()
                || refusal.no_quorum()
                || refusal.reason == "TooManyRequests"
        }
        _ => false,
    }
}
