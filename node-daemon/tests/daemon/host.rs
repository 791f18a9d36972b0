use super::cluster::Cluster;
use futures_util::future::BoxFuture;
use quorate_node_daemon::daemon::{self, DaemonError, Environment, Outcome, Stop};
use quorate_node_daemon::lease::{BootClock, Command, LeaseChannel, LeaseView};
use quorate_node_daemon::plan::{Memory, MemoryError, Remembered};
use quorate_node_daemon::simulated::room::{Answer, HostCall, Reply, Request};
use quorate_node_daemon::simulated::room::{Layout, MachineLayout, MachineRoom, Settings, Truth};
use quorate_node_daemon::simulated::{LocalRoom, Room, drivers};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const STEP: Duration = Duration::from_millis(20);

/// A simulated machine, and the daemon that runs on it, if one does.
pub(crate) struct Host {
    pub(crate) cluster: Cluster,
    pub(crate) room: LocalRoom,
    pub(crate) memory: Run,
    lease: Lease,
    deaf: bool,
    booted: Boot,
    daemon: Option<Daemon>,
}

struct Daemon {
    stop: watch::Sender<Stop>,
    task: JoinHandle<Result<Outcome, DaemonError>>,
    lease: JoinHandle<()>,
}

/// What is kept in /run.
#[derive(Clone, Default)]
pub(crate) struct Run(Arc<Mutex<Kept>>);

#[derive(Default)]
struct Kept {
    remembered: Option<Remembered>,
    broken: bool,
}

impl Run {
    pub(crate) fn break_down(&self, broken: bool) {
        self.0.lock().expect("unpoisoned").broken = broken;
    }
}

impl Memory for Run {
    fn load(&self) -> BoxFuture<'_, Result<Option<Remembered>, MemoryError>> {
        let kept = self.0.lock().expect("unpoisoned").remembered.clone();
        Box::pin(async move { Ok(kept) })
    }

    fn save<'a>(&'a self, remembered: &'a Remembered) -> BoxFuture<'a, Result<(), MemoryError>> {
        Box::pin(async move {
            // A write takes a moment, in which a daemon may be killed.
            tokio::time::sleep(Duration::from_millis(1)).await;
            let mut kept = self.0.lock().expect("unpoisoned");
            if kept.broken {
                return Err(MemoryError::Io {
                    path: "/run/quorate-node/node.json".into(),
                    source: io::Error::other("no space"),
                });
            }
            kept.remembered = Some(remembered.clone());
            Ok(())
        })
    }
}

#[derive(Clone, Copy, Debug)]
struct Boot(Instant);

impl BootClock for Boot {
    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// A room that tells nobody when something has changed.
struct Deaf(LocalRoom);

impl Room for Deaf {
    fn ask(&self, request: Request) -> BoxFuture<'_, io::Result<Answer>> {
        Box::pin(async move { self.ask_now(request) })
    }

    fn ask_now(&self, request: Request) -> io::Result<Answer> {
        let silent = match &request {
            Request::Host(_, HostCall::Changes(seen)) => Some(*seen),
            _ => None,
        };
        let mut answer = self.0.ask_now(request)?;
        if let Some(seen) = silent {
            answer.outcome = Ok(Reply::Changes(seen, BTreeSet::new()));
        }
        Ok(answer)
    }
}

/// What the lease process would say.
#[derive(Clone)]
pub(crate) struct Lease {
    view: watch::Sender<LeaseView>,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    alive: u64,
}

impl Host {
    /// Under a daemon that has a lease.
    pub(crate) async fn new() -> Self {
        Self::with(false).await
    }

    /// On which nothing is ever told by itself: whatever changes must be looked for.
    pub(crate) async fn deaf() -> Self {
        Self::with(true).await
    }

    async fn with(deaf: bool) -> Self {
        let layout = Layout {
            machines: vec![MachineLayout {
                disks: BTreeMap::from([("/dev/sda".to_owned(), 100 << 30)]),
                ..MachineLayout::new("an1")
            }],
            devices: Vec::new(),
        };
        let room = LocalRoom::new(MachineRoom::new(layout, Settings::default(), 7));
        let running = room.clone();
        let begin = Instant::now();
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(STEP);
            loop {
                ticks.tick().await;
                running.lock().advance(begin.elapsed());
            }
        });
        let mut host = Self {
            cluster: Cluster::default(),
            room,
            memory: Run::default(),
            lease: Lease {
                view: watch::Sender::new(LeaseView::default()),
                heard: Arc::default(),
            },
            deaf,
            booted: Boot(begin),
            daemon: None,
        };
        host.lease(true);
        host.start();
        host
    }

    pub(crate) fn start(&mut self) {
        let (channel, mut end) = LeaseChannel::new();
        let lease = self.lease.clone();
        let mut view = lease.view.subscribe();
        let lease = tokio::spawn(async move {
            loop {
                end.view.send_replace(*view.borrow_and_update());
                tokio::select! {
                    command = end.commands.recv() => match command {
                        Some(Command::Alive) => lease.heard.lock().expect("unpoisoned").alive += 1,
                        Some(_) => {}
                        None => return,
                    },
                    changed = view.changed() => if changed.is_err() { return },
                }
            }
        });
        let environment = Environment {
            node: "an1".to_owned(),
            link: Arc::new(self.cluster.clone()),
            drivers: match self.deaf {
                true => drivers(Arc::new(Deaf(self.room.clone())), "an1"),
                false => drivers(Arc::new(self.room.clone()), "an1"),
            },
            memory: Arc::new(self.memory.clone()),
            lease: Arc::new(channel),
            watchdog: None,
            clock: Arc::new(jiff::Timestamp::UNIX_EPOCH),
            boot_clock: Arc::new(self.booted),
            addresses: watch::Sender::default(),
        };
        let (stop, stopped) = watch::channel(Stop::No);
        self.daemon = Some(Daemon {
            stop,
            task: tokio::spawn(daemon::run(environment, stopped)),
            lease,
        });
    }

    /// As with `kill -9`.
    pub(crate) async fn kill(&mut self) {
        let daemon = self.daemon.take().expect("a daemon runs");
        daemon.task.abort();
        daemon.lease.abort();
        let _ = daemon.task.await;
    }

    pub(crate) fn ask_to_stop(&self, why: Stop) {
        let daemon = self.daemon.as_ref().expect("a daemon runs");
        daemon.stop.send_replace(why);
    }

    pub(crate) async fn ended(&mut self) -> Outcome {
        let daemon = self.daemon.take().expect("a daemon runs");
        let outcome = daemon.task.await.expect("it did not break off");
        outcome.expect("it ended well")
    }

    /// Gives a lease for ever, or none.
    pub(crate) fn lease(&self, fresh: bool) {
        self.lease.view.send_replace(LeaseView {
            until: fresh.then_some(Duration::MAX),
            ..LeaseView::default()
        });
    }

    pub(crate) fn said_alive(&self) -> u64 {
        self.lease.heard.lock().expect("unpoisoned").alive
    }

    pub(crate) fn truth(&self) -> Truth {
        self.room.lock().truth()
    }

    /// Waits until it is so; on paused time that costs none.
    pub(crate) async fn until(&self, what: &str, so: impl Fn(&Self) -> bool) {
        for _ in 0..60_000 {
            if so(self) {
                return;
            }
            tokio::time::sleep(STEP).await;
        }
        panic!(
            "in ten minutes it did not come that {what}: {:#?}",
            self.cluster.state().said
        );
    }
}
