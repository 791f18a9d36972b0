//! Linearizable reads.
//!
//! After a barrier this member has applied everything that was acknowledged anywhere before the barrier
//! began. The leader confirms with a round of heartbeats that it still leads; no clock is trusted.
//! Barriers that wait at the same time share a round, and none joins a round that began before it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use openraft::ReadPolicy;
use prost::Message;
use tokio::sync::{Semaphore, mpsc, oneshot};

use super::{
    core::{Core, Way, stopped},
    link::{Method, peer},
};
use crate::{MemberId, Revision, StoreError, rt, wire::PbBarrier};

/// Rounds under way at a time.
const IN_FLIGHT: usize = 4;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

type Waiter = oneshot::Sender<Result<u64, String>>;

#[derive(Clone)]
pub(crate) struct Barriers {
    queue: mpsc::UnboundedSender<Waiter>,
}

impl Barriers {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Waiter>) {
        let (queue, waiting) = mpsc::unbounded_channel();
        (Self { queue }, waiting)
    }

    /// Waits until local reads are linearizable; the revision from which on they are.
    pub(crate) async fn pass(&self, core: &Core) -> Result<Revision, StoreError> {
        let (tell, told) = oneshot::channel();
        self.queue.send(tell).map_err(|_| StoreError::Stopped)?;
        let index = told
            .await
            .map_err(|_| StoreError::Stopped)?
            .map_err(|reason| StoreError::NoQuorum { reason })?;
        applied(core, index, "this member lags behind the leader").await
    }
}

/// Waits until what the log of this member holds now is applied.
pub(crate) async fn settle(core: &Core) -> Result<Revision, StoreError> {
    let last = core
        .raft
        .with_raft_state(|state| state.log_ids.last().map_or(0, |id| id.index))
        .await
        .map_err(|_| StoreError::Stopped)?;
    applied(core, last, "what was proposed before is not decided yet").await
}

async fn applied(core: &Core, index: u64, late: &str) -> Result<Revision, StoreError> {
    let mut progress = core.shared.progress();
    let applied = progress.wait_for(|p| p.index >= index || p.closed);
    match rt::within(core.config.propose_timeout, applied).await {
        Some(Ok(p)) if !p.closed => Ok(p.revision),
        Some(_) => Err(StoreError::Stopped),
        None => Err(StoreError::NoQuorum {
            reason: late.to_owned(),
        }),
    }
}

/// Serves barriers until the store stops.
pub(crate) async fn run(core: Arc<Core>, mut arriving: mpsc::UnboundedReceiver<Waiter>) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut stop = core.stopping();
    loop {
        let first = tokio::select! {
            () = stopped(&mut stop) => break,
            first = arriving.recv() => first,
        };
        let Some(first) = first else { break };
        let Ok(slot) = slots.clone().acquire_owned().await else {
            break;
        };
        let mut waiters = vec![first];
        while let Ok(more) = arriving.try_recv() {
            waiters.push(more);
        }
        let core = core.clone();
        rt::spawn(async move {
            let index = confirm(&core).await;
            for waiter in waiters {
                let _ = waiter.send(index.clone());
            }
            drop(slot);
        });
    }
}

/// Asks until somebody confirms that it leads, or patience ends.
async fn confirm(core: &Core) -> Result<u64, String> {
    let deadline = rt::now() + core.config.propose_timeout;
    loop {
        let reason = match core.way() {
            Way::Here | Way::Full(_) => match read_index(core).await {
                Ok(index) => return Ok(index),
                Err(reason) => reason,
            },
            Way::There(leader) => match ask(core, leader).await {
                Ok(index) => return Ok(index),
                Err(reason) => reason,
            },
            Way::Wait(reason) => reason,
        };
        if rt::now() + LOOK_AGAIN >= deadline || *core.stop.borrow() {
            return Err(reason);
        }
        rt::sleep(LOOK_AGAIN).await;
    }
}

async fn ask(core: &Core, leader: MemberId) -> Result<u64, String> {
    let member = core
        .member(leader)
        .ok_or_else(|| format!("the leader, member {leader}, is not in the membership"))?;
    let timeout = core.config.election_timeout * 2;
    let answer = core
        .link
        .ask(
            peer(leader, &member),
            Method::Barrier,
            Bytes::new(),
            timeout,
        )
        .await
        .map_err(|e| e.to_string())?;
    PbBarrier::decode(answer)
        .ok()
        .and_then(|barrier| barrier.index)
        .ok_or_else(|| format!("member {leader} does not lead, or reaches no majority"))
}

/// On the leader: the log index that a read must have seen. A majority has confirmed the leadership
/// after this was called.
pub(crate) async fn read_index(core: &Core) -> Result<u64, String> {
    let linearizer = core
        .raft
        .get_read_linearizer(ReadPolicy::ReadIndex)
        .await
        .map_err(|e| e.to_string())?;
    Ok(linearizer.read_log_id().index())
}
