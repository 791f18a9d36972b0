//! The drivers of a simulated host. Nothing above the traits can tell them from the real ones, but what they report says
//! loudly that nothing of it exists.

mod facts;
mod filesystems;
mod guests;
mod lockspaces;
mod networks;
mod pools;
mod replication;
mod watchdog;

pub use watchdog::RoomWatchdog;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use quorate_crds::{Name, Size};

use super::handle::{Room, answer};
use super::room::{Changed, HostCall, Reply, Request};
use crate::drivers::{Doing, DriverError, Drivers, Hint, Hints, Trouble};

/// How often a host's changes are asked for.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// One host of the room, as its daemon reaches it.
#[derive(Clone)]
pub(crate) struct Host {
    room: Arc<dyn Room>,
    name: String,
}

/// The drivers of the machine of this name.
#[must_use]
pub fn drivers(room: Arc<dyn Room>, machine: &str) -> Drivers {
    let host = Arc::new(Host {
        room,
        name: machine.to_owned(),
    });
    Drivers {
        networks: host.clone(),
        pools: host.clone(),
        replication: Arc::new(replication::Replicas::new((*host).clone())),
        filesystems: host.clone(),
        lockspaces: host.clone(),
        guests: host.clone(),
        facts: host,
    }
}

impl Host {
    pub(crate) async fn call(&self, call: HostCall) -> Result<Reply, DriverError> {
        answer(&*self.room, Request::Host(self.name.clone(), call)).await
    }

    pub(crate) fn act(&self, call: HostCall) -> Doing<'_, ()> {
        Box::pin(async move { self.call(call).await.map(drop) })
    }

    /// Asks again until what is under way is done.
    pub(crate) async fn until_done(&self, call: HostCall) -> Result<(), DriverError> {
        while self.call(call.clone()).await? == Reply::Waiting {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    pub(crate) fn hints(&self) -> Hints {
        let host = self.clone();
        let changes = stream::unfold(
            (host, 0, BTreeSet::new()),
            |(host, mut seen, mut left)| async move {
                loop {
                    if let Some(changed) = left.pop_first() {
                        let hint = match changed {
                            Changed::Anything => Hint::Anything,
                            Changed::Volume(name) | Changed::Guest(name) => {
                                Hint::Object(Name(name))
                            }
                        };
                        return Some((hint, (host, seen, left)));
                    }
                    if let Ok(Reply::Changes(number, changed)) =
                        host.call(HostCall::Changes(seen)).await
                        && number != seen
                    {
                        (seen, left) = (number, changed);
                        continue;
                    }
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            },
        );
        changes.boxed()
    }
}

/// The answer to another question came.
pub(crate) fn unexpected(reply: &Reply) -> DriverError {
    DriverError::unclear(
        Trouble::UnknownAnswer,
        format!("the simulated room answered something else: {reply:?}"),
    )
}

pub(crate) fn bytes(size: &Size) -> u64 {
    size.parse()
        .ok()
        .and_then(|quantity| quantity.as_u64())
        .unwrap_or(0)
}
