//! How drivers and agents reach the room: in the same process, or through a socket.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::room::{Answer, MachineRoom, Refusal, Reply, Request};
use crate::drivers::{DriverError, Trouble};

/// A way to the room.
pub trait Room: Send + Sync {
    /// Asks, and says what the room answered and when the answer comes. Nothing is waited for but the way itself.
    fn ask(&self, request: Request) -> BoxFuture<'_, io::Result<Answer>>;

    /// The same for callers that may not wait on a runtime: the watchdog's.
    fn ask_now(&self, request: Request) -> io::Result<Answer>;
}

/// A room in this process. Whoever made it lets its time go on.
#[derive(Clone, Debug)]
pub struct LocalRoom(Arc<Mutex<MachineRoom>>);

impl LocalRoom {
    /// A handle that many may share.
    #[must_use]
    pub fn new(room: MachineRoom) -> Self {
        Self(Arc::new(Mutex::new(room)))
    }

    /// The room itself.
    pub fn lock(&self) -> MutexGuard<'_, MachineRoom> {
        // The room is never left half changed by a panic that anybody survives.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Room for LocalRoom {
    fn ask(&self, request: Request) -> BoxFuture<'_, io::Result<Answer>> {
        Box::pin(async move { self.ask_now(request) })
    }

    fn ask_now(&self, request: Request) -> io::Result<Answer> {
        Ok(self.lock().ask(request))
    }
}

/// Asks, and waits until the answer comes. One that never comes is waited for without end, like a call into a kernel that
/// hangs.
pub(crate) async fn answer(room: &dyn Room, request: Request) -> Result<Reply, DriverError> {
    let answer = room.ask(request).await.map_err(|error| {
        DriverError::unclear(Trouble::TimedOut, "the simulated room does not answer").because(error)
    })?;
    match answer.after {
        None => std::future::pending().await,
        Some(Duration::ZERO) => {}
        Some(after) => tokio::time::sleep(after).await,
    }
    answer.outcome.map_err(as_driver_error)
}

fn as_driver_error(refusal: Refusal) -> DriverError {
    let message = refusal.to_string();
    match refusal {
        Refusal::NotThere(_) => DriverError::passing(Trouble::DeviceMissing, message),
        Refusal::Busy(_) => DriverError::passing(Trouble::InUse, message),
        Refusal::NoData(_) => DriverError::passing(Trouble::NotCurrent, message),
        Refusal::PeerUnknown(_) | Refusal::Unreachable(_) => {
            DriverError::passing(Trouble::PeerUnreachable, message)
        }
        Refusal::NoSpace(_) => DriverError::lasting(Trouble::NoSpace, message),
        Refusal::Foreign(_) => DriverError::lasting(Trouble::ForeignInTheWay, message),
        Refusal::Guest(_) => DriverError::passing(Trouble::GuestNotRunning, message),
        Refusal::Fault => DriverError::passing(Trouble::Refused, message),
        Refusal::AnswerLost => DriverError::unclear(Trouble::UnknownAnswer, message),
    }
}
