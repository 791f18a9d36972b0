use super::{BootClock, Keeper, LeaseView, Rings, Setup, WatchdogAct, WatchdogRules};
use crate::drivers::Watchdog;
use quorate_proto::heartbeat::{Beat, DaemonState, Grant, HeartbeatKey, MAX_LENGTH};
use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How the lease process sends and hears datagrams.
pub trait Wire: Send {
    /// From now on these are the members. May allocate; nothing else here may.
    fn members_are(&mut self, members: &[Rings]);

    /// Sends a datagram to a member on a ring. One that cannot be sent now is lost, like any datagram.
    fn send(&mut self, member: usize, ring: usize, datagram: &[u8]);

    /// The next datagram that came, on whatever ring.
    fn poll_receive(
        &mut self,
        context: &mut Context<'_>,
        buffer: &mut [u8; MAX_LENGTH],
    ) -> Poll<usize>;
}

/// What the daemon says to the lease process.
#[derive(Clone, Debug)]
pub enum Command {
    /// What it beats for.
    SetUp(Box<Setup>),
    /// The daemon's loops advance.
    Alive,
    /// The daemon stops in order, or its connection broke: it is about to be started again.
    Closed,
}

#[derive(Clone, Copy, Debug)]
enum Daemon {
    /// Last heard then.
    Heard(Duration),
    /// Gone since then.
    Gone(Duration),
}

/// Beats, and keeps lease and watchdog: everything that the lease process decides, without a socket or a clock.
#[derive(Debug)]
pub struct Heart {
    setup: Setup,
    key: HeartbeatKey,
    keeper: Keeper,
    rules: WatchdogRules,
    timeout: Option<Duration>,
    daemon: Daemon,
    buffer: [u8; MAX_LENGTH],
}

impl Heart {
    /// One that beats for this setup. The daemon counts as just gone, until it is heard.
    #[must_use]
    pub fn new(setup: Setup, now: Duration) -> Self {
        Self {
            key: HeartbeatKey::new(&setup.key),
            keeper: Keeper::new(setup.incarnation),
            setup,
            rules: WatchdogRules::new(),
            timeout: None,
            daemon: Daemon::Gone(now),
            buffer: [0; MAX_LENGTH],
        }
    }

    /// The daemon says something.
    pub fn command(&mut self, now: Duration, command: Command) {
        match command {
            Command::SetUp(setup) => {
                if setup.incarnation != self.setup.incarnation {
                    self.keeper = Keeper::new(setup.incarnation);
                }
                self.key = HeartbeatKey::new(&setup.key);
                self.setup = *setup;
                self.daemon = Daemon::Heard(now);
            }
            Command::Alive => self.daemon = Daemon::Heard(now),
            Command::Closed => self.daemon = Daemon::Gone(now),
        }
    }

    /// How the daemon is.
    #[must_use]
    pub fn daemon(&self, now: Duration) -> DaemonState {
        match self.daemon {
            Daemon::Heard(then) if now.saturating_sub(then) <= self.setup.daemon_patience => {
                DaemonState::Well
            }
            Daemon::Gone(then) if now.saturating_sub(then) <= self.setup.restart_grace => {
                DaemonState::Restarting
            }
            Daemon::Heard(_) | Daemon::Gone(_) => DaemonState::Stuck,
        }
    }

    /// One beat to every member on every ring.
    pub fn beat(&mut self, now: Duration, wire: &mut dyn Wire) {
        self.send(now, self.daemon(now), wire);
    }

    /// The last beat before this process is itself replaced by another one.
    pub fn pause(&mut self, now: Duration, wire: &mut dyn Wire) {
        self.send(now, DaemonState::Restarting, wire);
    }

    fn send(&mut self, now: Duration, daemon: DaemonState, wire: &mut dyn Wire) {
        let sequence = self.keeper.beat(now);
        let rings = self.setup.members.iter().map(Vec::len).max().unwrap_or(0);
        for ring in 0..rings {
            let beat = Beat {
                ring: u8::try_from(ring).unwrap_or(u8::MAX),
                node: &self.setup.node,
                incarnation: self.setup.incarnation,
                sequence,
                daemon,
            };
            // Registration refuses names that do not fit.
            let Ok(length) = beat.encode(&self.key, &mut self.buffer) else {
                return;
            };
            for (member, addresses) in self.setup.members.iter().enumerate() {
                if addresses
                    .get(ring)
                    .is_some_and(|address| !address.is_empty())
                {
                    wire.send(member, ring, &self.buffer[..length]);
                }
            }
        }
    }

    /// A datagram came. Returns whether the lease changed.
    pub fn received(&mut self, now: Duration, datagram: &[u8]) -> bool {
        match Grant::decode(datagram, &self.key) {
            Ok(grant) => self.keeper.granted(now, &grant),
            Err(_) => false,
        }
    }

    /// Feeds the watchdog, or lets it starve. What the device refuses counts as not armed, and is tried again.
    pub fn tend(&mut self, now: Duration, watchdog: &mut dyn Watchdog) {
        let fresh = self.keeper.view().fresh(now);
        match self
            .rules
            .decide(&self.setup.watchdog, fresh, self.daemon(now))
        {
            WatchdogAct::Leave | WatchdogAct::Starve => {}
            WatchdogAct::Arm(timeout) => {
                let taken = watchdog
                    .arm(timeout)
                    .and_then(|taken| watchdog.feed().map(|()| taken));
                self.timeout = taken.ok();
                self.rules.now_armed(self.timeout.map(|_| timeout));
            }
            WatchdogAct::Feed => {
                if watchdog.feed().is_err() {
                    self.rules.now_armed(None);
                    self.timeout = None;
                }
            }
            WatchdogAct::Disarm => {
                if watchdog.disarm().is_ok() {
                    self.rules.now_armed(None);
                    self.timeout = None;
                } else {
                    // It cannot be stopped (nowayout), so it must be fed on.
                    let _ = watchdog.feed();
                }
            }
        }
    }

    /// This process ends in order. A watchdog that makes the host safe runs on: when no other process comes and has a
    /// lease, it fires. Any other is stopped.
    pub fn let_go(&mut self, watchdog: &mut dyn Watchdog) {
        if !self.rules.armed() || self.setup.watchdog.bound_to_lease {
            return;
        }
        if let Err(error) = watchdog.disarm() {
            tracing::warn!(%error, "the watchdog cannot be stopped; it fires unless this process is started again");
        }
    }

    /// The lease and the watchdog, as the daemon sees them.
    #[must_use]
    pub fn view(&self) -> LeaseView {
        LeaseView {
            watchdog_armed: self.rules.armed(),
            watchdog_timeout: self.timeout,
            ..self.keeper.view()
        }
    }

    /// What it beats for.
    #[must_use]
    pub fn setup(&self) -> &Setup {
        &self.setup
    }
}

/// Beats until `commands` is closed. Nothing in the loop allocates, touches a disk or waits for anybody.
pub async fn beat(
    setup: Option<Setup>,
    wire: &mut dyn Wire,
    watchdog: &mut dyn Watchdog,
    clock: &dyn BootClock,
    commands: &mut mpsc::Receiver<Command>,
    view: &watch::Sender<LeaseView>,
) {
    let Some(mut heart) = (match setup {
        Some(setup) => Some(Heart::new(setup, clock.now())),
        None => first_setup(clock, commands).await,
    }) else {
        return;
    };
    wire.members_are(&heart.setup.members);
    let mut buffer = [0; MAX_LENGTH];
    let mut next = Instant::now();
    loop {
        tokio::select! {
            biased;
            () = tokio::time::sleep_until(next) => {
                let now = clock.now();
                heart.beat(now, wire);
                heart.tend(now, watchdog);
                // After a stall, beats are not made up for.
                next = (next + heart.setup.interval).max(Instant::now());
            }
            length = poll_fn(|context| wire.poll_receive(context, &mut buffer)) => {
                heart.received(clock.now(), &buffer[..length.min(MAX_LENGTH)]);
            }
            command = commands.recv() => {
                let Some(command) = command else {
                    heart.pause(clock.now(), wire);
                    heart.let_go(watchdog);
                    return;
                };
                let members = matches!(&command, Command::SetUp(setup) if setup.members != heart.setup.members);
                heart.command(clock.now(), command);
                if members {
                    wire.members_are(&heart.setup.members);
                }
            }
        }
        let seen = heart.view();
        view.send_if_modified(|known| std::mem::replace(known, seen) != seen);
    }
}

async fn first_setup(
    clock: &dyn BootClock,
    commands: &mut mpsc::Receiver<Command>,
) -> Option<Heart> {
    loop {
        if let Command::SetUp(setup) = commands.recv().await? {
            let now = clock.now();
            let mut heart = Heart::new(*setup, now);
            heart.command(now, Command::Alive);
            return Some(heart);
        }
    }
}

#[cfg(test)]
#[path = "heart_tests.rs"]
pub(super) mod tests;
