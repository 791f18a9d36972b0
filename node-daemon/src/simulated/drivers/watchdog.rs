use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::drivers::{Watchdog, WatchdogFound};
use crate::simulated::handle::Room;
use crate::simulated::room::{HostCall, Request, WatchdogCall};

/// The watchdog of a simulated machine.
pub struct RoomWatchdog {
    room: Arc<dyn Room>,
    machine: String,
    found: WatchdogFound,
}

impl RoomWatchdog {
    /// The watchdog of the machine of this name.
    #[must_use]
    pub fn new(room: Arc<dyn Room>, machine: &str) -> Self {
        Self {
            room,
            machine: machine.to_owned(),
            found: WatchdogFound {
                device: "/dev/watchdog0".to_owned(),
                identity: "SIMULATED watchdog".to_owned(),
                hardware: true,
            },
        }
    }

    fn ask(&self, call: WatchdogCall) -> io::Result<()> {
        let request = Request::Host(self.machine.clone(), HostCall::Watchdog(call));
        let answer = self.room.ask_now(request)?;
        answer.outcome.map(drop).map_err(io::Error::other)
    }
}

impl Watchdog for RoomWatchdog {
    fn found(&self) -> &WatchdogFound {
        &self.found
    }

    fn arm(&mut self, timeout: Duration) -> io::Result<Duration> {
        self.ask(WatchdogCall::Arm(timeout)).map(|()| timeout)
    }

    fn feed(&mut self) -> io::Result<()> {
        self.ask(WatchdogCall::Feed)
    }

    fn disarm(&mut self) -> io::Result<()> {
        self.ask(WatchdogCall::Disarm)
    }
}
