//! The state machine and its snapshots, as the consensus library wants to see them.

use std::{io, sync::Arc, time::Duration};

use futures_util::{FutureExt, Stream, StreamExt};
use openraft::{
    OptionalSend, RaftSnapshotBuilder,
    storage::{ApplyResponder, RaftStateMachine, Snapshot},
};

use super::{Entry, LogId, Payload, SnapshotMeta, StoredMembership, Types};
use crate::{
    disk::is_full,
    rt,
    snapshot::{Blocks, SnapshotData, Snapshots},
    state::{Command, Reply, Shared, State},
    wire::decode_command,
};

type MemberSnapshot = Snapshot<super::Committed, crate::MemberId, crate::Member, SnapshotData>;

/// How many entries are applied under one lock at most.
const ENTRIES_PER_LOCK: usize = 256;
/// How often a snapshot that finds no room is tried again.
const ROOM_RETRY: Duration = Duration::from_secs(5);

pub(crate) struct Machine {
    shared: Arc<Shared>,
    snapshots: Arc<Snapshots>,
    inline: bool,
}

impl Machine {
    pub(crate) fn new(shared: Arc<Shared>, snapshots: Arc<Snapshots>, inline: bool) -> Self {
        Self {
            shared,
            snapshots,
            inline,
        }
    }
}

/// An entry, decoded before the lock is taken.
struct Step {
    at: LogId,
    what: What,
    responder: Option<ApplyResponder<Types>>,
}

enum What {
    Nothing,
    Command(u64, Command),
    Membership(StoredMembership),
}

impl Step {
    fn new(entry: Entry, responder: Option<ApplyResponder<Types>>) -> io::Result<Self> {
        let at = entry.log_id;
        let what = match entry.payload {
            Payload::Blank => What::Nothing,
            Payload::Normal(proposal) => {
                let (clock_ms, command) = decode_command(&proposal.0)?;
                What::Command(clock_ms, command)
            }
            Payload::Membership(membership) => {
                What::Membership(StoredMembership::new(Some(at), membership))
            }
        };
        Ok(Self {
            at,
            what,
            responder,
        })
    }
}

fn take(state: &mut State, step: Step, replies: &mut Vec<(ApplyResponder<Types>, Reply)>) {
    let reply = match step.what {
        What::Nothing => Reply::Nothing,
        What::Command(clock_ms, command) => state.apply(step.at.leader_id.term, clock_ms, command),
        What::Membership(membership) => {
            state.set_membership(membership);
            Reply::Nothing
        }
    };
    state.applied = Some(step.at);
    if let Some(responder) = step.responder {
        replies.push((responder, reply));
    }
}

/// Applies an entry that nobody waits for.
pub(crate) fn apply_unasked(state: &mut State, entry: Entry) -> io::Result<()> {
    take(state, Step::new(entry, None)?, &mut Vec::new());
    Ok(())
}

impl RaftStateMachine<Types> for Machine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> io::Result<(Option<LogId>, StoredMembership)> {
        Ok(self
            .shared
            .look(|state| (state.applied, state.membership.clone())))
    }

    async fn apply<S>(&mut self, entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<(Entry, Option<ApplyResponder<Types>>)>> + Unpin + OptionalSend,
    {
        let mut entries = entries.fuse();
        while let Some(first) = entries.next().await {
            let (entry, responder) = first?;
            let mut steps = vec![Step::new(entry, responder)?];
            while steps.len() < ENTRIES_PER_LOCK
                && let Some(Some(more)) = entries.next().now_or_never()
            {
                let (entry, responder) = more?;
                steps.push(Step::new(entry, responder)?);
            }
            let mut replies = Vec::with_capacity(steps.len());
            self.shared.change(|state| {
                for step in steps {
                    take(state, step, &mut replies);
                }
            });
            // Only now: whoever gets the answer can see the change.
            for (responder, reply) in replies {
                responder.send(reply);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder {
            shared: self.shared.clone(),
            blocks: Some(Blocks::new(&self.shared)),
            snapshots: self.snapshots.clone(),
            inline: self.inline,
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        let snapshots = self.snapshots.clone();
        let meta = meta.clone();
        let state = rt::blocking(self.inline, move || snapshots.install(&meta, snapshot)).await?;
        self.shared.replace(state);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<MemberSnapshot>> {
        let current = self.snapshots.current()?;
        Ok(current.map(|(meta, snapshot)| Snapshot { meta, snapshot }))
    }
}

/// Writes a snapshot of the moment at which it was made, while the store goes on.
pub(crate) struct Builder {
    shared: Arc<Shared>,
    blocks: Option<Blocks>,
    snapshots: Arc<Snapshots>,
    inline: bool,
}

impl RaftSnapshotBuilder<Types> for Builder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<MemberSnapshot> {
        loop {
            let blocks = self
                .blocks
                .take()
                .unwrap_or_else(|| Blocks::new(&self.shared));
            let snapshots = self.snapshots.clone();
            match rt::blocking(self.inline, move || snapshots.build(blocks)).await {
                Ok((meta, snapshot)) => return Ok(Snapshot { meta, snapshot }),
                // A full disk is a slow disk: the library would stop the member for an error.
                Err(error) if is_full(&error) => {
                    tracing::warn!(%error, "no room for a snapshot; it is tried again");
                    rt::sleep(ROOM_RETRY).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}
