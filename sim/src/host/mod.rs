//! A simulated host: the product's daemon and lease process over the machines of the room.

mod link;
mod run_dir;

use std::{sync::Arc, time::Duration};

use quorate_node_daemon::{
    daemon::{self, Environment, Outcome, Stop},
    lease::beat,
    simulated::{LocalRoom, RoomWatchdog, drivers},
};
use tokio::sync::watch;

use crate::{
    beats::Socket,
    executor::{ProcessId, Wire},
    time::{BootTime, MachineClock},
};
pub(crate) use link::{Desks, OldPlans, WireLink};
pub(crate) use run_dir::RunDir;

/// After how long systemd starts a daemon again that has given up.
const RESTART: Duration = Duration::from_secs(2);

/// What a host's processes need of the run around them.
#[derive(Clone)]
pub(crate) struct HostSite {
    pub(crate) name: String,
    pub(crate) room: LocalRoom,
    pub(crate) wire: Wire,
    pub(crate) desks: Desks,
    /// The members that the host was told of when it was installed.
    pub(crate) members: Vec<ProcessId>,
    pub(crate) old_plans: OldPlans,
    pub(crate) clock: MachineClock,
    pub(crate) boot_time: BootTime,
    pub(crate) run_dir: RunDir,
}

impl HostSite {
    /// `quorate-node`, until it has left.
    pub(crate) async fn node(self) {
        let (_running, stop) = watch::channel(Stop::No);
        let link = WireLink::new(
            &self.name,
            self.wire,
            self.desks,
            self.members,
            self.old_plans,
        );
        let watchdog = RoomWatchdog::new(Arc::new(self.room.clone()), &self.name);
        let environment = Environment {
            node: self.name.clone(),
            link: Arc::new(link),
            drivers: drivers(Arc::new(self.room), &self.name),
            memory: Arc::new(self.run_dir.clone()),
            lease: Arc::new(self.run_dir.clone()),
            watchdog: Some(quorate_node_daemon::drivers::Watchdog::found(&watchdog).clone()),
            clock: Arc::new(self.clock),
            boot_clock: Arc::new(self.boot_time),
            addresses: watch::Sender::default(),
        };
        loop {
            match daemon::run(environment.clone(), stop.clone()).await {
                Ok(Outcome::Left | Outcome::Stopped) => return,
                Err(error) => tracing::info!(host = self.name, %error, "quorate-node gave up"),
            }
            self.run_dir.daemon_is_gone();
            tokio::time::sleep(RESTART).await;
        }
    }

    /// `quorate-lease`.
    pub(crate) async fn lease(self, mut socket: Socket) {
        let mut watchdog = RoomWatchdog::new(Arc::new(self.room), &self.name);
        let (setup, mut commands, view) = self.run_dir.listen();
        beat(
            setup,
            &mut socket,
            &mut watchdog,
            &self.boot_time,
            &mut commands,
            &view,
        )
        .await;
    }
}
