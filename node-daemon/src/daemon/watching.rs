use crate::drivers::Drivers;
use crate::reconcile::Subsystem;
use futures_util::StreamExt;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

/// How many hints may wait. They only say to look again, so that more of them say nothing more.
const WAITING: usize = 64;
/// After a subsystem went away, until it is watched again. What happens meanwhile is found by looking.
const AGAIN: Duration = Duration::from_secs(1);

/// The hints of all subsystems, and of the host itself (none).
pub(super) struct Watching {
    hints: mpsc::Receiver<Option<Subsystem>>,
    watchers: JoinSet<()>,
}

impl Watching {
    pub(super) fn start(drivers: &Drivers) -> Self {
        let (hint, hints) = mpsc::channel(WAITING);
        let mut watchers = JoinSet::new();
        for subsystem in Subsystem::ALL.map(Some).into_iter().chain([None]) {
            watchers.spawn(watch(drivers.clone(), subsystem, hint.clone()));
        }
        Self { hints, watchers }
    }

    /// The next one. Never none while the watchers run.
    pub(super) async fn next(&mut self) -> Option<Option<Subsystem>> {
        self.hints.recv().await
    }

    pub(super) async fn end(mut self) {
        self.watchers.shutdown().await;
    }
}

async fn watch(
    drivers: Drivers,
    subsystem: Option<Subsystem>,
    hint: mpsc::Sender<Option<Subsystem>>,
) {
    loop {
        let mut hints = match subsystem {
            Some(Subsystem::Networks) => drivers.networks.watch(),
            Some(Subsystem::Pools) => drivers.pools.watch(),
            Some(Subsystem::Replication) => drivers.replication.watch(),
            Some(Subsystem::Filesystems) => drivers.filesystems.watch(),
            Some(Subsystem::Lockspaces) => drivers.lockspaces.watch(),
            Some(Subsystem::Guests) => drivers.guests.watch(),
            None => drivers.facts.watch(),
        };
        while hints.next().await.is_some() {
            if hint.send(subsystem).await.is_err() {
                return;
            }
        }
        tokio::time::sleep(AGAIN).await;
        if hint.send(subsystem).await.is_err() {
            return;
        }
    }
}
