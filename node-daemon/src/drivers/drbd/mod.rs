//! Replicated devices by DRBD, 8.4 and 9.
//!
//! One resource per volume, under the volume's name. Its configuration is rendered into /run, so that after a boot nothing
//! is configured, and nothing starts, before the plan says so. A resource of the kernel that has no configuration of ours is
//! somebody else's, and is left alone.
//!
//! State comes from the kernel's own event stream. After an act of ours, and while figures move, the kernel is asked anew:
//! the stream may be a moment behind, and what is said about an act must be from after it.

mod acts;
mod aside;
mod config;
mod events;
mod filling;
mod kept;
mod questions;
mod seen;
mod state;
#[cfg(test)]
mod tests;

mod verify;
mod version;
mod watch;
mod writes;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use quorate_crds::{ConnectionState, Name};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::command::{self, Command, Run};
use super::{
    Abilities, Doing, DriverError, Hints, Pools, Question, ReplicaSeen, ReplicaTarget, Replication,
    Trouble,
};
use crate::handler::Call;
use kept::Place;
use questions::{Knows, Questions};
use state::State;
use verify::Verification;
use version::{Generation, Version};
use writes::Watch;

/// While something moves, and nothing else is known to have happened, figures are as old as this at most.
const FIGURES: Duration = Duration::from_secs(10);

/// What fuzzing feeds: lines of events, and the answer to `--version`.
pub fn read_events(text: &str) {
    let _ = State::from_lines(text);
    let _ = version::read(text);
}

/// Where things are on a host.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// For configuration, below /run.
    pub(crate) directory: PathBuf,
    pub(crate) sys: PathBuf,
    pub(crate) dev: PathBuf,
    /// What the kernel calls.
    pub(crate) handler: PathBuf,
    /// What the host calls itself.
    pub(crate) hostname: String,
}

/// DRBD on this host.
#[derive(Clone)]
pub(crate) struct Drbd {
    run: Arc<dyn Run>,
    pools: Arc<dyn Pools>,
    host: Host,
    place: Place,
    shared: Arc<Shared>,
    questions: Arc<Questions>,
}

#[derive(Default)]
struct Shared {
    version: OnceCell<Version>,
    /// What the event stream has said.
    live: Mutex<State>,
    /// Counts acts of ours.
    acts: AtomicU64,
    /// How many of them had ended when the kernel was last asked, and when that was.
    looked: Mutex<Option<(u64, Instant)>>,
    /// Since when a replica that has split stays apart.
    apart: Mutex<BTreeMap<String, Instant>>,
    /// How far a resync was, and when.
    progress: Mutex<BTreeMap<String, (Instant, u64)>>,
    /// When they were last written.
    writes: Mutex<Watch>,
    listening: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drbd {
    pub(crate) fn new(run: Arc<dyn Run>, pools: Arc<dyn Pools>, host: Host) -> Self {
        Self {
            place: Place {
                directory: host.directory.clone(),
            },
            run,
            pools,
            host,
            shared: Arc::default(),
            questions: Arc::default(),
        }
    }

    fn loaded(&self) -> bool {
        self.host.sys.join("module/drbd").exists()
    }

    /// Which DRBD this is; the module is loaded when it is not.
    async fn version(&self) -> Result<Version, DriverError> {
        let version = self.shared.version.get_or_try_init(|| async {
            if !self.loaded() {
                command::act(&*self.run, Command::new("modprobe", ["drbd"]))
                    .await
                    .map_err(|error| no_module().because(error))?;
            }
            let asked = Command::new("drbdadm", ["--version"]);
            let said = command::look(&*self.run, asked).await?;
            version::read(&said.stdout).ok_or_else(no_module)
        });
        version.await.cloned()
    }

    /// What the kernel has.
    async fn state(&self) -> Result<State, DriverError> {
        if !self.loaded() {
            return Ok(State {
                complete: true,
                ..State::default()
            });
        }
        let acts = self.shared.acts.load(Ordering::SeqCst);
        if let Some(live) = self.live(acts) {
            return Ok(live);
        }
        let asked = ["events2", "--now", "--statistics", "all"];
        let said = command::look(&*self.run, Command::new("drbdsetup", asked)).await?;
        let mut state = State::from_lines(&said.stdout);
        if !state.complete {
            return Err(DriverError::passing(
                Trouble::UnknownAnswer,
                "what drbdsetup says of the replicas has no end",
            ));
        }
        *lock(&self.shared.looked) = Some((acts, Instant::now()));
        lock(&self.shared.live).learn_from(&mut state);
        Ok(state)
    }

    /// What the stream has said, where that is enough.
    fn live(&self, acts: u64) -> Option<State> {
        let live = lock(&self.shared.live);
        let (counted, at) = (*lock(&self.shared.looked))?;
        let moves = live.resources.values().any(state::Resource::moves)
            || live.verifications.values().any(Verification::runs);
        let figures_are_old = moves && at.elapsed() >= FIGURES;
        (live.complete && counted == acts && !figures_are_old).then(|| live.clone())
    }

    /// A program that changes something. What is said afterwards is asked of the kernel anew.
    async fn act(&self, command: Command) -> Result<command::Ended, DriverError> {
        let done = command::run_to_end(&*self.run, command).await;
        self.shared.acts.fetch_add(1, Ordering::SeqCst);
        done
    }

    /// `drbdadm` with our configuration.
    fn administer<A: Into<String>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let main = self.place.main().display().to_string();
        let before = ["-c".to_owned(), main];
        let all = before
            .into_iter()
            .chain(arguments.into_iter().map(Into::into));
        Command::new("drbdadm", all)
    }
}

fn no_module() -> DriverError {
    DriverError::lasting(
        Trouble::NotInstalled,
        "the kernel of this host has no module drbd of version 8.4 or 9: install it, or plan no replicas for this host",
    )
}

impl Knows for Drbd {
    fn whom(&self, call: &Call) -> Option<(Name, Name)> {
        let kept = self.place.kept(&call.resource)?;
        let mut peers = kept.peers.iter();
        let peer = match (&call.peer, call.peer_node_id) {
            (Some(named), _) if peers.clone().any(|peer| peer.node.as_str() == named) => {
                peers.find(|peer| peer.node.as_str() == named)
            }
            (_, Some(id)) => peers.find(|peer| peer.node_id == id),
            _ if kept.peers.len() == 1 => peers.next(),
            _ => None,
        };
        Some((kept.volume.clone(), peer?.node.clone()))
    }

    /// Only when the kernel itself says that they are connected, and that nothing waits.
    fn is_moot(&self, volume: Name, peer: Name) -> BoxFuture<'static, bool> {
        let drbd = self.clone();
        Box::pin(async move {
            // An act may be what asks: the kernel is asked anew.
            drbd.shared.acts.fetch_add(1, Ordering::SeqCst);
            match drbd.seen().await {
                Ok(seen) => seen.iter().any(|seen| {
                    seen.owner.object() == Some(&volume)
                        && !seen.frozen
                        && seen.peers.iter().any(|seen| {
                            seen.node == peer && seen.connection == ConnectionState::Connected
                        })
                }),
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "not known whether the peer is back"
                    );
                    false
                }
            }
        })
    }

    fn may_go_on(&self, call: Call) -> BoxFuture<'static, bool> {
        let drbd = self.clone();
        Box::pin(async move { drbd.heard(&call).await })
    }
}

impl Replication for Drbd {
    fn abilities(&self) -> Doing<'_, Abilities> {
        Box::pin(async move {
            let version = self.version().await?;
            Ok(Abilities {
                peers: version.peers(),
                quorum: version.generation == Generation::Nine,
                version: version.module,
            })
        })
    }

    fn observe(&self) -> Doing<'_, Vec<ReplicaSeen>> {
        Box::pin(self.seen())
    }

    fn watch(&self) -> Hints {
        self.follow()
    }

    fn questions(&self) -> BoxStream<'static, Question> {
        let heard = self.questions.hear();
        if !std::mem::replace(&mut *lock(&self.shared.listening), true) {
            if let Err(error) = self.place.prepare() {
                tracing::warn!(%error, "there is no place for the configuration of replicas");
            }
            let socket = self.host.directory.join("questions.sock");
            Arc::clone(&self.questions).listen(socket, Arc::new(self.clone()));
        }
        heard
    }

    fn create<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()> {
        Box::pin(self.create(target))
    }

    fn adjust<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()> {
        Box::pin(self.adjust(target))
    }

    fn promote<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.promote(volume))
    }

    fn demote<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.demote(volume))
    }

    fn resize<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.resize(volume))
    }

    fn outdate<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.outdate(volume))
    }

    fn discard<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.discard(volume))
    }

    fn verify<'a>(&'a self, volume: &'a Name, number: u64) -> Doing<'a, ()> {
        Box::pin(self.verify(volume, number))
    }

    fn take_down<'a>(&'a self, volume: &'a Name) -> Doing<'a, ()> {
        Box::pin(self.take_down(volume))
    }

    fn erase<'a>(&'a self, target: &'a ReplicaTarget) -> Doing<'a, ()> {
        Box::pin(self.erase(target))
    }
}
